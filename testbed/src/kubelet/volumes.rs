//! What a pod's volumes hold. Input: a pod; output: files, and the objects that its variables come from. I/O: reads ConfigMaps
//! and Secrets, asks for a token.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret,
    ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::sandbox::VolumeFile;
use super::variables::{Sources, field_of, missing};
use crate::error::{Error, Result};

/// What is mounted into a container.
#[derive(Default)]
pub struct Mounted {
    /// Files, by their path from the root.
    pub files: Vec<VolumeFile>,
    /// Empty folders, likewise.
    pub empty_folders: Vec<PathBuf>,
}

type Pairs = std::collections::BTreeMap<String, Vec<u8>>;

/// Reads every ConfigMap and Secret that the pod names.
pub async fn read_sources(client: &Client, pod: &Pod) -> Result<Sources> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut sources = Sources::default();
    let (config_maps, secrets) = names(pod);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    for name in config_maps {
        let found = api.get_opt(&name).await;
        let found = found.map_err(Error::kubernetes(format!("read ConfigMap {namespace}/{name}")))?;
        sources.config_maps.extend(found.map(|map| (name, map)));
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    for name in secrets {
        let found = api.get_opt(&name).await;
        let found = found.map_err(Error::kubernetes(format!("read Secret {namespace}/{name}")))?;
        sources.secrets.extend(found.map(|secret| (name, secret)));
    }
    Ok(sources)
}

/// The names of ConfigMaps and of Secrets in a pod's volumes and variables.
fn names(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let (mut config_maps, mut secrets) = (Vec::new(), Vec::new());
    let Some(spec) = &pod.spec else {
        return (config_maps, secrets);
    };
    for volume in spec.volumes.iter().flatten() {
        config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        secrets.extend(
            volume
                .secret
                .iter()
                .filter_map(|source| source.secret_name.clone()),
        );
        let projections = volume
            .projected
            .iter()
            .filter_map(|source| source.sources.as_ref())
            .flatten();
        for projection in projections {
            config_maps.extend(projection.config_map.iter().map(|source| source.name.clone()));
            secrets.extend(projection.secret.iter().map(|source| source.name.clone()));
        }
    }
    for container in &spec.containers {
        for from in container.env_from.iter().flatten() {
            config_maps.extend(from.config_map_ref.iter().map(|source| source.name.clone()));
            secrets.extend(from.secret_ref.iter().map(|source| source.name.clone()));
        }
        let keys = container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref());
        for key in keys {
            config_maps.extend(key.config_map_key_ref.iter().map(|key| key.name.clone()));
            secrets.extend(key.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }
    (config_maps, secrets)
}

/// What the container's mounts hold.
pub async fn mounted(
    client: &Client,
    pod: &Pod,
    container: &Container,
    sources: &Sources,
) -> Result<Mounted> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let mut mounted = Mounted::default();
    for mount in container.volume_mounts.iter().flatten() {
        let folder = PathBuf::from(mount.mount_path.trim_start_matches('/'));
        let volume = volumes
            .unwrap_or_default()
            .iter()
            .find(|volume| volume.name == mount.name)
            .ok_or_else(|| Error::unsupported(format!("mount {}", mount.name)))?;
        if volume.empty_dir.is_some() {
            mounted.empty_folders.push(folder);
            continue;
        }
        for (path, content) in files_of(client, pod, volume, sources).await? {
            let path = folder.join(path);
            mounted.files.push(VolumeFile { path, content });
        }
    }
    Ok(mounted)
}

async fn files_of(client: &Client, pod: &Pod, volume: &Volume, sources: &Sources) -> Result<Pairs> {
    if let Some(source) = &volume.config_map {
        let pairs = sources.config_map(&source.name);
        return picked(&source.name, pairs, source.items.as_ref(), source.optional);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return picked(name, sources.secret(name), source.items.as_ref(), source.optional);
    }
    match &volume.projected {
        Some(projected) => projections(client, pod, projected, sources).await,
        None => Err(Error::unsupported(format!("volume {}", volume.name))),
    }
}

async fn projections(
    client: &Client,
    pod: &Pod,
    projected: &ProjectedVolumeSource,
    sources: &Sources,
) -> Result<Pairs> {
    let mut files = Pairs::new();
    for source in projected.sources.iter().flatten() {
        if let Some(map) = &source.config_map {
            let pairs = sources.config_map(&map.name);
            files.extend(picked(&map.name, pairs, map.items.as_ref(), map.optional)?);
        }
        if let Some(secret) = &source.secret {
            let pairs = sources.secret(&secret.name);
            files.extend(picked(
                &secret.name,
                pairs,
                secret.items.as_ref(),
                secret.optional,
            )?);
        }
        for item in source
            .downward_api
            .iter()
            .filter_map(|source| source.items.as_ref())
            .flatten()
        {
            files.insert(item.path.clone(), field(pod, item)?.into_bytes());
        }
        if let Some(source) = &source.service_account_token {
            files.insert(
                source.path.clone(),
                token(client, pod, source).await?.into_bytes(),
            );
        }
    }
    Ok(files)
}

fn field(pod: &Pod, item: &DownwardAPIVolumeFile) -> Result<String> {
    match &item.field_ref {
        Some(field) => field_of(pod, &field.field_path),
        None => Err(Error::unsupported(format!("downwardAPI file {}", item.path))),
    }
}

/// The keys that are asked for, under the paths that are asked for.
fn picked(
    name: &str,
    pairs: Option<Pairs>,
    items: Option<&Vec<KeyToPath>>,
    optional: Option<bool>,
) -> Result<Pairs> {
    let Some(pairs) = pairs else {
        return if optional == Some(true) {
            Ok(Pairs::new())
        } else {
            Err(missing(name))
        };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(pairs);
    };
    let pick = |item: &KeyToPath| match pairs.get(&item.key) {
        Some(value) => Ok((item.path.clone(), value.clone())),
        None => Err(missing(&format!("{name}, key {}", item.key))),
    };
    items.iter().map(pick).collect()
}

/// A token of the pod's ServiceAccount that is good for as long as the pod exists. It is not renewed: it lives for an hour.
async fn token(client: &Client, pod: &Pod, source: &ServiceAccountTokenProjection) -> Result<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone());
    let account = account.unwrap_or_else(|| "default".to_owned());
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: source.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: source.expiration_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = Api::<ServiceAccount>::namespaced(client.clone(), &namespace)
        .create_token_request(&account, &PostParams::default(), &request)
        .await
        .map_err(Error::kubernetes(format!(
            "get a token for ServiceAccount {namespace}/{account}"
        )))?;
    Ok(answer.status.and_then(|status| status.token).unwrap_or_default())
}
