//! The form in which the API shows workloads, every field of it lenient.
//!
//! Input: JSON of the API. Output: structs of its fields. I/O: none.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::de::MapAccess;

use super::{
    managed_fields::ManagedFields,
    status::StatusWire,
    whole::{WHOLE, understood},
};
use crate::{
    model::Fingerprint,
    watch::{
        lenient::{Lenient, wire},
        notes::LabelKeys,
    },
};

/// A pod template, and a hash of all of it. The API server always writes an object in the same way.
#[derive(Default)]
pub(super) struct TemplateWire {
    pub(super) metadata: TemplateMetaWire,
    pub(super) spec: PodSpecWire,
    pub(super) fingerprint: Fingerprint,
}

impl Lenient for TemplateWire {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut template = Self::default();
        let mut hasher = DefaultHasher::new();
        while let Some(field) = object.next_key::<String>()? {
            let value = object.next_value_seed(WHOLE)?;
            (&field, &value).hash(&mut hasher);
            match field.as_str() {
                "metadata" => template.metadata = understood(value),
                "spec" => template.spec = understood(value),
                _ => {}
            }
        }
        template.fingerprint = Fingerprint::new(hasher.finish());
        Ok(Some(template))
    }
}

wire! {
    Wire {
        metadata: MetaWire,
        spec: SpecWire,
        status: StatusWire,
    }
    MetaWire {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<String>,
        deletion_timestamp: Option<String>,
        generation: Option<i64>,
        finalizers: Vec<String>,
        annotations: BTreeMap<String, Option<String>>,
        labels: LabelKeys,
        owner_references: Vec<OwnerWire>,
        managed_fields: Vec<ManagerWire>,
    }
    TemplateMetaWire { annotations: BTreeMap<String, Option<String>> }
    ManagerWire { manager: Option<String>, time: Option<String>, fields_v1: ManagedFields, subresource: Option<String> }
    OwnerWire { controller: bool }
    SpecWire {
        paused: bool,
        template: TemplateWire,
        job_template: Option<JobTemplateWire>,
        suspend: bool,
        restart_at: Option<String>,
        workload_ref: Option<WorkloadRefWire>,
        update_strategy: UpdateStrategyWire,
        strategy: StrategyWire,
        triggers: Option<Vec<TriggerWire>>,
        replicas: Option<i64>,
    }
    UpdateStrategyWire { r#type: Option<String>, rolling_update: RollingUpdateWire }
    StrategyWire { r#type: Option<String> }
    TriggerWire { r#type: Option<String> }
    RollingUpdateWire { partition: Option<i64> }
    JobTemplateWire { spec: JobSpecWire }
    JobSpecWire { template: TemplateWire }
    WorkloadRefWire { kind: Option<String>, name: Option<String> }
    PodSpecWire {
        containers: Vec<ContainerWire>,
        init_containers: Vec<ContainerWire>,
        volumes: Vec<VolumeWire>,
    }
    ContainerWire {
        name: Option<String>,
        env: Vec<EnvWire>,
        env_from: Vec<EnvFromWire>,
        volume_mounts: Vec<NameWire>,
    }
    EnvWire {
        name: Option<String>,
        value: Option<String>,
        value_from: ValueFromWire,
    }
    ValueFromWire { config_map_key_ref: NameWire, secret_key_ref: NameWire }
    EnvFromWire { config_map_ref: NameWire, secret_ref: NameWire }
    VolumeWire {
        name: Option<String>,
        config_map: NameWire,
        secret: SecretVolumeWire,
        projected: ProjectedWire,
        csi: CsiWire,
    }
    CsiWire { volume_attributes: VolumeAttributesWire }
    VolumeAttributesWire { secret_provider_class: Option<String> }
    SecretVolumeWire { secret_name: Option<String> }
    ProjectedWire { sources: Vec<ProjectionWire> }
    ProjectionWire { config_map: NameWire, secret: NameWire }
    NameWire { name: Option<String> }
}
