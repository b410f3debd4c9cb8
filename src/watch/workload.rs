//! Decodes workloads of every kind into what a decision needs.
//!
//! Input: JSON of the API. Output: [`crate::model::Workload`]. I/O: none.
//!
//! Every field may be absent, null or of another type: a workload that cannot be understood is one that uses nothing,
//! never an error that hides the rest of the list.

mod managed_fields;
mod raw;
mod reading;
mod rollout;
mod status;
#[cfg(test)]
mod tests;
mod whole;
mod wire;

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Resource, core::DynamicResourceScope};
use serde::{Deserialize, de::DeserializeOwned};

use super::notes::LabelKeys;
use crate::{
    diagnose::Pairs,
    model::{
        Container, FIELD_MANAGER, HeldBack, LastWrite, PodTemplate, Replacement, SourceKind, SourceRef,
        UnixSeconds, Volume, WorkloadKey, WorkloadKind, is_dns_subdomain, opt_in::LAST_RELOADED_FROM,
    },
};

use managed_fields::MARKER_PREFIX;
pub use raw::RawObject;
pub use reading::Reading;
use status::StatusWire;
use wire::{
    ContainerWire, EnvFromWire, EnvWire, ManagerWire, MetaWire, NameWire, PodSpecWire, SpecWire,
    StrategyWire, TemplateWire, TriggerWire, UpdateStrategyWire, VolumeWire, Wire, WorkloadRefWire,
};

/// The finalizer of an object whose dependents stay when it is deleted.
const ORPHAN: &str = "orphan";

/// What a client can decode workloads into; their kind is given separately.
pub trait Decoded:
    Resource<DynamicType = WorkloadKind, Scope = DynamicResourceScope>
    + Clone
    + DeserializeOwned
    + std::fmt::Debug
    + Send
    + 'static
{
    /// The same, with its pod template found.
    fn into_object(self, kind: WorkloadKind) -> WorkloadObject;
}

/// A workload as the client decodes it, of any kind but a custom one.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of the API that have nothing to do with each other"
)]
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct WorkloadObject {
    /// Name, namespace, uid, resourceVersion and creation time only.
    metadata: ObjectMeta,
    annotations: Annotations,
    template_annotations: Annotations,
    labels: LabelKeys,
    /// `spec.paused`, which only Deployments, Rollouts and DeploymentConfigs have.
    paused: bool,
    /// What `spec.updateStrategy` keeps from being replaced.
    held_back: Option<HeldBack>,
    /// What a DeploymentConfig does when its template changes.
    deployer: Replacement,
    template: PodTemplate,
    status: StatusWire,
    /// `spec.replicas`.
    replicas: Option<i64>,
    /// `spec.updateStrategy.rollingUpdate.partition`.
    partition: Option<i64>,
    /// It is being deleted (`metadata.deletionTimestamp`), and finalizers hold it.
    is_terminating: bool,
    /// It is being deleted, and its pods stay (`kubectl delete --cascade=orphan`).
    is_orphaning: bool,
    /// Another controller owns it.
    is_controlled: bool,
    /// A Job that has succeeded or failed for good.
    is_finished: bool,
    /// `spec.suspend`.
    is_suspended: bool,
    /// `spec.restartAt` of a Rollout.
    restart_at: Option<Time>,
    /// The Deployment whose pod template a Rollout uses.
    template_of: Option<String>,
    /// The last write, if another manager made it.
    written_by: Option<Box<LastWrite>>,
    /// There is no pod template where the user said.
    lacks_template: bool,
}

impl Decoded for WorkloadObject {
    fn into_object(self, _kind: WorkloadKind) -> WorkloadObject {
        self
    }
}

impl WorkloadObject {
    /// Whether it is being deleted and its pods stay.
    pub const fn is_orphaning(&self) -> bool {
        self.is_orphaning
    }

    /// What its pods use, each as often as it is named.
    pub fn references(&self) -> Vec<SourceRef> {
        self.template.references().cloned().collect()
    }

    /// Whether its own pod template says what its pods are: it is no patch, and uses no other object's.
    pub fn shows_pods(&self) -> bool {
        let has_containers =
            !(self.template.containers.is_empty() && self.template.init_containers.is_empty());
        has_containers && self.template_of.is_none() && !self.lacks_template
    }

    /// Which object this is.
    pub fn key(&self, kind: WorkloadKind) -> WorkloadKey {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
        WorkloadKey::new(kind, text(&self.metadata.namespace), text(&self.metadata.name))
    }
}

macro_rules! resource_of_any_kind {
    ($name:ty) => {
        impl kube::Resource for $name {
            type DynamicType = WorkloadKind;
            type Scope = DynamicResourceScope;

            fn kind(kind: &WorkloadKind) -> Cow<'_, str> {
                kind.as_str().into()
            }
            fn group(kind: &WorkloadKind) -> Cow<'_, str> {
                kind.group().into()
            }
            fn version(kind: &WorkloadKind) -> Cow<'_, str> {
                kind.version().into()
            }
            fn plural(kind: &WorkloadKind) -> Cow<'_, str> {
                kind.plural().into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
use resource_of_any_kind;
resource_of_any_kind!(WorkloadObject);

type Annotations = Pairs;

impl From<Wire> for WorkloadObject {
    fn from(wire: Wire) -> Self {
        let Wire {
            metadata,
            spec,
            status,
        } = wire;
        let SpecWire {
            paused,
            template,
            job_template,
            suspend,
            restart_at,
            workload_ref,
            update_strategy,
            strategy,
            triggers,
            replicas,
        } = spec;
        // Only a CronJob has the one, only the others have the other.
        let TemplateWire {
            metadata: template_metadata,
            spec: pod,
            fingerprint,
        } = job_template.map_or(template, |job| job.spec.template);
        let PodSpecWire {
            containers,
            init_containers,
            volumes,
        } = pod;
        let MetaWire {
            name,
            namespace,
            uid,
            resource_version,
            creation_timestamp,
            deletion_timestamp,
            generation,
            finalizers,
            annotations,
            labels,
            owner_references,
            managed_fields,
        } = metadata;
        let written_by = last_foreign_write(&managed_fields);
        let newest = |counts: fn(&ManagerWire) -> bool| {
            let counting = managed_fields.iter().filter(|entry| counts(entry));
            let times = counting.filter_map(|entry| entry.time.as_ref()?.parse::<Timestamp>().ok());
            times.map(UnixSeconds::from).max()
        };
        let written_at = newest(|entry| entry.is_reloaders() && entry.fields_v1.own_a_marker);
        let touched_at = newest(|entry| !entry.is_reloaders() && entry.fields_v1.own_template);
        let replaced_at = newest(|entry| !entry.is_reloaders() && entry.fields_v1.own_template_only);
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Time);
        let template_annotations = without_absent(template_metadata.annotations);
        Self {
            metadata: ObjectMeta {
                name,
                namespace,
                uid,
                resource_version,
                creation_timestamp: time(creation_timestamp),
                generation,
                ..ObjectMeta::default()
            },
            annotations: without_absent(annotations),
            paused,
            held_back: update_strategy.held_back(),
            deployer: deployer(&strategy, triggers.as_deref()),
            template: PodTemplate {
                containers: containers.into_iter().map(Container::from).collect(),
                init_containers: init_containers.into_iter().map(Container::from).collect(),
                volumes: volumes
                    .into_iter()
                    .map(Volume::from)
                    .filter(|volume| !volume.sources.is_empty())
                    .collect(),
                last_reloaded_from: template_annotations
                    .get(LAST_RELOADED_FROM)
                    .map(|text| text.as_str().into()),
                written_at,
                replaced_at,
                touched_at,
                fingerprint,
            },
            template_annotations,
            labels,
            replicas,
            partition: update_strategy.rolling_update.partition,
            is_orphaning: deletion_timestamp.is_some() && finalizers.iter().any(|name| name == ORPHAN),
            is_terminating: deletion_timestamp.is_some(),
            is_controlled: owner_references.iter().any(|owner| owner.controller),
            is_finished: status.is_finished(),
            is_suspended: suspend,
            written_by,
            lacks_template: false,
            restart_at: time(restart_at),
            template_of: workload_ref.and_then(WorkloadRefWire::deployment),
            status,
        }
    }
}

/// The last write of the object itself, if another manager than Reloader made it.
fn last_foreign_write(managed_fields: &[ManagerWire]) -> Option<Box<LastWrite>> {
    let (time, manager) = managed_fields
        .iter()
        .filter(|entry| entry.subresource.is_none())
        .filter_map(|entry| {
            let time = entry.time.as_deref()?.parse::<Timestamp>().ok()?;
            Some((time, entry.manager.as_deref()?))
        })
        .max_by_key(|(time, manager)| (*time, *manager != FIELD_MANAGER))?;
    (manager != FIELD_MANAGER).then(|| {
        Box::new(LastWrite {
            manager: manager.into(),
            at: time.into(),
        })
    })
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
        let mut names: Vec<&str> = wire
            .env
            .iter()
            .filter_map(|variable| variable.name.as_deref())
            .collect();
        names.sort_unstable();
        let repeats_variables = names.windows(2).any(|pair| pair[0] == pair[1]);
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
            repeats_variables,
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

impl ManagerWire {
    fn is_reloaders(&self) -> bool {
        self.manager.as_deref() == Some(FIELD_MANAGER)
    }
}

impl UpdateStrategyWire {
    fn held_back(&self) -> Option<HeldBack> {
        if self.r#type.as_deref() == Some("OnDelete") {
            return Some(HeldBack::OnDelete);
        }
        let partition = self.rolling_update.partition?;
        (partition > 0).then_some(HeldBack::Partition)
    }
}

impl WorkloadRefWire {
    fn deployment(self) -> Option<String> {
        let is_deployment = self.kind.as_deref() == Some("Deployment");
        self.name.filter(|name| is_deployment && is_dns_subdomain(name))
    }
}

/// What a DeploymentConfig does when its template changes. Without any `triggers`, `ConfigChange` is the default; an empty
/// list has none. A `Custom` strategy runs an image of the user's, which may do anything
/// ([reference](https://github.com/openshift/api/blob/master/apps/v1/types.go)).
fn deployer(strategy: &StrategyWire, triggers: Option<&[TriggerWire]>) -> Replacement {
    let is_config_change = |trigger: &TriggerWire| trigger.r#type.as_deref() == Some("ConfigChange");
    match triggers {
        Some(triggers) if !triggers.iter().any(is_config_change) => Replacement::Partly(HeldBack::NoTrigger),
        _ if strategy.r#type.as_deref() == Some("Custom") => Replacement::Unknown,
        _ => Replacement::All,
    }
}

impl NameWire {
    fn reference(self, kind: SourceKind) -> Option<SourceRef> {
        self.name.map(|name| SourceRef::new(kind, name))
    }
}
