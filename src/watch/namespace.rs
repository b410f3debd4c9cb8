//! Decodes namespaces: of each its name, and what its annotations say about when restarts may happen.
//!
//! Input: JSON of the API. Output: names, policies. I/O: none.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::{ClusterResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::{Deserialize, Deserializer};

use super::{lenient::wire, notes::Notes};
use crate::model::Policy;

/// A namespace as the client decodes it. Its labels were looked at by the API server.
#[derive(Clone, Debug)]
pub(super) struct NamespaceObject {
    /// Name and resourceVersion only.
    metadata: ObjectMeta,
    policy: Option<Box<Policy>>,
}

impl NamespaceObject {
    /// Its name, and what its annotations say about when restarts may happen.
    pub(super) fn into_parts(self) -> (Arc<str>, Option<Box<Policy>>) {
        (self.metadata.name.unwrap_or_default().into(), self.policy)
    }
}

impl<'de> Deserialize<'de> for NamespaceObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wire! {
            Meta { name: Option<String>, resource_version: Option<String>, annotations: Notes }
            Wire { metadata: Meta }
        }
        let Meta {
            name,
            resource_version,
            annotations,
        } = Wire::deserialize(deserializer)?.metadata;
        Ok(Self {
            policy: Policy::parse(|key| annotations.get(key)),
            metadata: ObjectMeta {
                name,
                resource_version,
                ..ObjectMeta::default()
            },
        })
    }
}

impl kube::Resource for NamespaceObject {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Namespace".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "namespaces".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
