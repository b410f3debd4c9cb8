//! Objects as plain JSON: custom resources, whose pod template is where the user says, and objects that must be read in
//! full before they are written.
//!
//! Input: JSON of the API. Output: [`WorkloadObject`], or the JSON. I/O: none.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    Decoded, WorkloadObject, resource_of_any_kind,
    whole::{WHOLE, understood},
    wire::{MetaWire, SpecWire, TemplateWire, Wire},
};
use crate::model::WorkloadKind;

/// An object of any kind, nothing left out but what lies deeper than anything that Kubernetes knows.
#[derive(Clone)]
pub struct RawObject {
    /// Name, namespace, uid and resourceVersion only.
    metadata: ObjectMeta,
    value: Value,
}

resource_of_any_kind!(RawObject);

impl RawObject {
    /// The object's JSON.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// A field of `metadata` that is a text; empty where there is none.
    pub fn metadata_text(&self, field: &str) -> &str {
        self.value["metadata"][field].as_str().unwrap_or_default()
    }

    /// Whether it is being deleted, and finalizers hold it.
    pub fn is_terminating(&self) -> bool {
        !self.metadata_text("deletionTimestamp").is_empty()
    }
}

impl From<Value> for RawObject {
    fn from(value: Value) -> Self {
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        Self {
            metadata: ObjectMeta {
                name: text("name"),
                namespace: text("namespace"),
                uid: text("uid"),
                resource_version: text("resourceVersion"),
                ..ObjectMeta::default()
            },
            value,
        }
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WHOLE).map(Self::from)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl std::fmt::Debug for RawObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RawObject").field(&self.metadata.name).finish()
    }
}

impl Decoded for RawObject {
    fn into_object(mut self, kind: WorkloadKind) -> WorkloadObject {
        if !matches!(kind, WorkloadKind::Custom(_)) {
            return WorkloadObject::from(understood::<Wire>(self.value));
        }
        let template = kind
            .template_path()
            .into_iter()
            .try_fold(&mut self.value, |value, field| value.get_mut(field))
            .map(Value::take);
        let lacks_template = !template
            .as_ref()
            .is_some_and(|template| template["spec"]["containers"].is_array());
        let template: TemplateWire = template.map(understood).unwrap_or_default();
        let metadata = self.value.get_mut("metadata").map(Value::take);
        let metadata: MetaWire = metadata.map(understood).unwrap_or_default();
        let status = self.value.get_mut("status").map(Value::take);
        let replicas = self.value.pointer("/spec/replicas").and_then(Value::as_i64);
        let wire = Wire {
            metadata,
            spec: SpecWire {
                template,
                replicas,
                ..SpecWire::default()
            },
            status: status.map(understood).unwrap_or_default(),
        };
        WorkloadObject {
            lacks_template,
            ..WorkloadObject::from(wire)
        }
    }
}
