//! Decodes Deployments, DaemonSets and StatefulSets into what a decision needs.
//!
//! Input: JSON of the API. Output: [`crate::model::Workload`]. I/O: none.
//!
//! Every field may be absent or null: a workload that cannot be understood is one that uses nothing, never an error
//! that hides the rest of the list.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde::{Deserialize, Deserializer};

use crate::model::{
    AnnotationKeys, Container, OptIn, Pause, PodTemplate, SourceKind, SourceRef, Volume, Workload,
    WorkloadKey, WorkloadKind, opt_in::LAST_RELOADED_FROM,
};

/// Environment variables with this prefix are markers of the env-vars strategy.
const MARKER_PREFIX: &str = "STAKATER_";

/// Which workload kind a decoded object is.
pub trait WorkloadType: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The kind it decodes; all are of API group `apps/v1`.
    const KIND: WorkloadKind;
}

macro_rules! workload_type {
    ($($name:ident),*) => {$(
        #[doc = concat!("`apps/v1` ", stringify!($name), ".")]
        #[derive(Clone, Debug)]
        pub struct $name;

        impl WorkloadType for $name {
            const KIND: WorkloadKind = WorkloadKind::$name;
        }
    )*};
}
workload_type!(Deployment, DaemonSet, StatefulSet);

/// A workload as the client decodes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire", bound = "T: WorkloadType")]
pub struct WorkloadObject<T> {
    /// Name, namespace, uid and resourceVersion only.
    metadata: ObjectMeta,
    annotations: Annotations,
    template_annotations: Annotations,
    /// `spec.paused`, which only Deployments have.
    paused: bool,
    template: PodTemplate,
    kind: std::marker::PhantomData<T>,
}

impl<T: WorkloadType> WorkloadObject<T> {
    /// The workload, with its annotations read under the configured keys. A workload that opts into nothing keeps
    /// no pod template (unless `auto_reload_all` opts everything in): on most clusters that is most of them.
    pub fn into_workload(self, keys: &AnnotationKeys, auto_reload_all: bool) -> Workload {
        let opt_in = OptIn::parse(
            keys,
            |key| self.annotations.get(key).map(String::as_str),
            |key| self.template_annotations.get(key).map(String::as_str),
        );
        let template = if opt_in.is_empty() && !auto_reload_all {
            PodTemplate::default()
        } else {
            PodTemplate {
                last_reloaded_from: self
                    .template_annotations
                    .get(LAST_RELOADED_FROM)
                    .map(|text| text.as_str().into()),
                ..self.template.clone()
            }
        };
        let annotation = |key: &str| self.annotations.get(key).map(String::as_str);
        let pause = Pause::parse(
            T::KIND,
            annotation(&keys.pause_period),
            annotation(&keys.paused_at),
            self.paused,
        );
        Workload {
            uid: self.metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: self
                .metadata
                .resource_version
                .as_deref()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            created_at: self
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(0, |time| time.0.as_second()),
            key: self.key(),
            opt_in,
            pause: pause.map(Box::new),
            template,
        }
    }

    /// Which object this is.
    pub fn key(&self) -> WorkloadKey {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
        WorkloadKey::new(T::KIND, text(&self.metadata.namespace), text(&self.metadata.name))
    }
}

impl<T: WorkloadType> kube::Resource for WorkloadObject<T> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        T::KIND.as_str().into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "apps".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        T::KIND.resource().into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

type Annotations = BTreeMap<String, String>;

impl<T> From<Wire> for WorkloadObject<T> {
    fn from(wire: Wire) -> Self {
        let Wire {
            metadata,
            spec:
                SpecWire {
                    paused,
                    template:
                        TemplateWire {
                            metadata: template_metadata,
                            spec,
                        },
                },
        } = wire;
        let PodSpecWire {
            containers,
            init_containers,
            volumes,
        } = spec;
        let MetaWire {
            name,
            namespace,
            uid,
            resource_version,
            creation_timestamp,
            annotations,
        } = metadata;
        let creation_timestamp = creation_timestamp.and_then(|text| text.parse().ok()).map(Time);
        Self {
            metadata: ObjectMeta {
                name,
                namespace,
                uid,
                resource_version,
                creation_timestamp,
                ..ObjectMeta::default()
            },
            annotations: without_absent(annotations),
            template_annotations: without_absent(template_metadata.annotations),
            paused,
            template: PodTemplate {
                containers: containers.into_iter().map(Container::from).collect(),
                init_containers: init_containers.into_iter().map(Container::from).collect(),
                volumes: volumes
                    .into_iter()
                    .map(Volume::from)
                    .filter(|volume| !volume.sources.is_empty())
                    .collect(),
                last_reloaded_from: None,
            },
            kind: std::marker::PhantomData,
        }
    }
}

fn without_absent(annotations: BTreeMap<String, Option<String>>) -> Annotations {
    annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

impl From<ContainerWire> for Container {
    fn from(wire: ContainerWire) -> Self {
        let mut references = Vec::new();
        let mut markers = Vec::new();
        for EnvWire {
            name,
            value,
            value_from,
        } in wire.env
        {
            references.extend(value_from.config_map_key_ref.reference(SourceKind::ConfigMap));
            references.extend(value_from.secret_key_ref.reference(SourceKind::Secret));
            match (name, value) {
                (Some(name), Some(value)) if name.starts_with(MARKER_PREFIX) => {
                    markers.push((name.into(), value.into()));
                }
                _ => {}
            }
        }
        for EnvFromWire {
            config_map_ref,
            secret_ref,
        } in wire.env_from
        {
            references.extend(config_map_ref.reference(SourceKind::ConfigMap));
            references.extend(secret_ref.reference(SourceKind::Secret));
        }
        references.sort();
        references.dedup();
        Self {
            name: wire.name.unwrap_or_default().into(),
            references,
            mounts: wire
                .volume_mounts
                .into_iter()
                .filter_map(|mount| mount.name)
                .map(Into::into)
                .collect(),
            markers,
        }
    }
}

impl From<VolumeWire> for Volume {
    fn from(wire: VolumeWire) -> Self {
        let direct = [
            wire.config_map.reference(SourceKind::ConfigMap),
            wire.secret
                .secret_name
                .map(|name| SourceRef::new(SourceKind::Secret, name)),
            // Any driver's: upstream does not look at its name either.
            wire.csi
                .volume_attributes
                .secret_provider_class
                .filter(|name| !name.is_empty())
                .map(|name| SourceRef::new(SourceKind::SecretProviderClass, name)),
        ];
        let projected = wire.projected.sources.into_iter().flat_map(|source| {
            [
                source.config_map.reference(SourceKind::ConfigMap),
                source.secret.reference(SourceKind::Secret),
            ]
        });
        let sources = direct.into_iter().chain(projected).flatten().collect();
        Self {
            name: wire.name.unwrap_or_default().into(),
            sources,
        }
    }
}

impl NameWire {
    fn reference(self, kind: SourceKind) -> Option<SourceRef> {
        self.name.map(|name| SourceRef::new(kind, name))
    }
}

/// The API's `null` for a field means the same as its absence.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list in which a null item means an item without fields.
fn null_items<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let items: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    Ok(items
        .unwrap_or_default()
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect())
}

macro_rules! wire {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty = $with:literal),* $(,)? })*) => {$(
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name { $($(#[$attribute])* #[serde(deserialize_with = $with)] $field: $kind,)* }
    )*};
}
wire! {
    Wire { metadata: MetaWire = "null_as_default", spec: SpecWire = "null_as_default" }
    MetaWire {
        name: Option<String> = "null_as_default",
        namespace: Option<String> = "null_as_default",
        uid: Option<String> = "null_as_default",
        resource_version: Option<String> = "null_as_default",
        creation_timestamp: Option<String> = "null_as_default",
        annotations: BTreeMap<String, Option<String>> = "null_as_default",
    }
    SpecWire { paused: bool = "null_as_default", template: TemplateWire = "null_as_default" }
    TemplateWire { metadata: MetaWire = "null_as_default", spec: PodSpecWire = "null_as_default" }
    PodSpecWire {
        containers: Vec<ContainerWire> = "null_items",
        init_containers: Vec<ContainerWire> = "null_items",
        volumes: Vec<VolumeWire> = "null_items",
    }
    ContainerWire {
        name: Option<String> = "null_as_default",
        env: Vec<EnvWire> = "null_items",
        env_from: Vec<EnvFromWire> = "null_items",
        volume_mounts: Vec<NameWire> = "null_items",
    }
    EnvWire {
        name: Option<String> = "null_as_default",
        value: Option<String> = "null_as_default",
        value_from: ValueFromWire = "null_as_default",
    }
    ValueFromWire { config_map_key_ref: NameWire = "null_as_default", secret_key_ref: NameWire = "null_as_default" }
    EnvFromWire { config_map_ref: NameWire = "null_as_default", secret_ref: NameWire = "null_as_default" }
    VolumeWire {
        name: Option<String> = "null_as_default",
        config_map: NameWire = "null_as_default",
        secret: SecretVolumeWire = "null_as_default",
        projected: ProjectedWire = "null_as_default",
        csi: CsiWire = "null_as_default",
    }
    CsiWire { volume_attributes: VolumeAttributesWire = "null_as_default" }
    VolumeAttributesWire { secret_provider_class: Option<String> = "null_as_default" }
    SecretVolumeWire { secret_name: Option<String> = "null_as_default" }
    ProjectedWire { sources: Vec<ProjectionWire> = "null_items" }
    ProjectionWire { config_map: NameWire = "null_as_default", secret: NameWire = "null_as_default" }
    NameWire { name: Option<String> = "null_as_default" }
}
