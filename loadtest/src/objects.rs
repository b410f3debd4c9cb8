//! Sources and workloads to measure with. Input: names; output: objects on the API server. I/O: writes.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, ServiceAccount},
        rbac::v1::ClusterRoleBinding,
    },
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Requests in flight while objects are made or changed at once.
pub const IN_FLIGHT: usize = 32;

/// Creates a namespace.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .with_context(|| format!("create namespace {name}"))?;
    Ok(())
}

/// Creates a `ServiceAccount` that may do everything.
pub async fn create_administrator(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let account = json!({ "metadata": { "name": name } });
    create_all::<ServiceAccount>(client, namespace, std::iter::once(account)).await?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
    }))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &binding)
        .await
        .with_context(|| format!("create ClusterRoleBinding {name}"))?;
    Ok(())
}

/// A ConfigMap with one key.
pub fn config_map(name: &str, value: &str) -> Value {
    json!({ "metadata": { "name": name }, "data": { "key": value } })
}

/// A Deployment that takes its environment from these ConfigMaps and, if asked to, opts into restarts.
pub fn deployment(name: &str, sources: &[String], opted_in: bool) -> Value {
    let sources: Vec<Value> = sources
        .iter()
        .map(|source| json!({ "configMapRef": { "name": source } }))
        .collect();
    let annotations = if opted_in {
        json!({ "reloader.stakater.com/auto": "true" })
    } else {
        json!({})
    };
    json!({
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "none", "envFrom": sources }] },
            },
        },
    })
}

/// Creates objects of one kind, [`IN_FLIGHT`] at a time.
pub async fn create_all<K>(
    client: &Client,
    namespace: &str,
    objects: impl Iterator<Item = Value>,
) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    stream::iter(objects)
        .map(|object| {
            let api = api.clone();
            async move {
                let object: K = serde_json::from_value(object)?;
                api.create(&PostParams::default(), &object)
                    .await
                    .with_context(|| format!("create {} {:?}", K::kind(&()), object.meta().name))?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// Creates `count` ConfigMaps and a Deployment of the same name for each, which uses it: `w-0`, `w-1`, ...
pub async fn create_pairs(client: &Client, namespace: &str, count: usize, opted_in: bool) -> Result<()> {
    let sources = (0..count).map(|number| config_map(&pair(number), "0"));
    create_all::<ConfigMap>(client, namespace, sources).await?;
    let workloads = (0..count).map(|number| deployment(&pair(number), &[pair(number)], opted_in));
    create_all::<Deployment>(client, namespace, workloads).await
}

/// The name of a pair of [`create_pairs`].
pub fn pair(number: usize) -> String {
    format!("w-{number}")
}

/// Sets the one key of a ConfigMap.
pub async fn change(client: &Client, namespace: &str, name: &str, value: &str) -> Result<()> {
    let body = json!({ "data": { "key": value } });
    Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .with_context(|| format!("change ConfigMap {namespace}/{name}"))?;
    Ok(())
}

/// Sets the one key of several ConfigMaps, [`IN_FLIGHT`] at a time.
pub async fn change_all(
    client: &Client,
    namespace: &str,
    names: impl Iterator<Item = String>,
    value: &str,
) -> Result<()> {
    stream::iter(names)
        .map(|name| async move { change(client, namespace, &name, value).await })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}
