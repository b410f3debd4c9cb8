//! Objects as the JSON they are: custom resources, whose pod template is where the user says, and whatever has to be
//! read in full before it is written.
//!
//! Input: JSON of the API. Output: [`WorkloadObject`], or the JSON. I/O: none.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

use super::{Decoded, MetaWire, SpecWire, TemplateWire, Wire, WorkloadObject, resource_of_any_kind};
use crate::model::WorkloadKind;

/// An object of any kind, nothing left out.
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
        Value::deserialize(deserializer).map(Self::from)
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
        let template: TemplateWire = template.map(understood).unwrap_or_default();
        let metadata = self.value.get_mut("metadata").map(Value::take);
        let metadata: MetaWire = metadata.map(understood).unwrap_or_default();
        WorkloadObject::from(Wire {
            metadata,
            spec: SpecWire {
                template,
                ..SpecWire::default()
            },
            ..Wire::default()
        })
    }
}

/// What does not have the expected form uses nothing.
fn understood<T: DeserializeOwned + Default>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_default()
}
