//! Names of objects and kinds, as answers show them and as users type them.
//!
//! Input: keys, texts. Output: [`ObjectName`], [`SourceName`], kinds. I/O: none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{SourceKey, SourceKind, SourceRef, WorkloadKey, WorkloadKind};

/// Which object is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// As the API spells it: `Deployment`.
    pub kind: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl From<&WorkloadKey> for ObjectName {
    fn from(key: &WorkloadKey) -> Self {
        Self {
            kind: key.kind.to_string(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
        }
    }
}

impl From<&SourceKey> for ObjectName {
    fn from(key: &SourceKey) -> Self {
        Self {
            kind: key.kind.to_string(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A source of the workload's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceName {
    /// `ConfigMap`, `Secret` or `SecretProviderClass`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl From<&SourceRef> for SourceName {
    fn from(source: &SourceRef) -> Self {
        Self {
            kind: source.kind.to_string(),
            name: source.name.to_string(),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// The kind of source of that name: in any case, in the plural too, and by `kubectl`'s short name.
pub fn source_kind(text: &str) -> Option<SourceKind> {
    let text = text.to_ascii_lowercase();
    SourceKind::ALL.into_iter().find(|kind| match kind {
        SourceKind::ConfigMap => matches!(&*text, "configmap" | "configmaps" | "cm"),
        SourceKind::Secret => matches!(&*text, "secret" | "secrets"),
        SourceKind::SecretProviderClass => matches!(&*text, "secretproviderclass" | "secretproviderclasses"),
    })
}

/// The one of these kinds of that name: in any case, in the plural too (with its group, where that is given), and by
/// `kubectl`'s short name.
pub fn workload_kind(text: &str, kinds: &[WorkloadKind]) -> Option<WorkloadKind> {
    let text = text.to_ascii_lowercase();
    kinds.iter().copied().find(|kind| {
        let short = match kind {
            WorkloadKind::Deployment => Some("deploy"),
            WorkloadKind::DaemonSet => Some("ds"),
            WorkloadKind::StatefulSet => Some("sts"),
            WorkloadKind::CronJob => Some("cj"),
            WorkloadKind::Rollout => Some("ro"),
            WorkloadKind::DeploymentConfig => Some("dc"),
            WorkloadKind::Job | WorkloadKind::Custom(_) => None,
        };
        let (name, group) = text.split_once('.').unwrap_or((&text, kind.group()));
        group == kind.group()
            && (kind.as_str().eq_ignore_ascii_case(name) || kind.plural() == name || short == Some(name))
    })
}
