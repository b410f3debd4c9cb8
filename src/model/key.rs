//! Names of objects: sources, which change, and workloads, which are restarted.

use std::{fmt, sync::Arc};

use super::WorkloadKind;

/// A kind of object whose change restarts workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `secrets-store.csi.x-k8s.io/v1` SecretProviderClass. Its content is what the pods that mount it show in their
    /// SecretProviderClassPodStatuses.
    SecretProviderClass,
}

impl SourceKind {
    /// Every kind, in the order in which they are declared.
    pub const ALL: [Self; 3] = [Self::ConfigMap, Self::Secret, Self::SecretProviderClass];

    /// The spelling inside markers, Events and log lines: `CONFIGMAP`, `SECRET` or `SECRETPROVIDERCLASS`.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::ConfigMap => "CONFIGMAP",
            Self::Secret => "SECRET",
            Self::SecretProviderClass => "SECRETPROVIDERCLASS",
        }
    }

    /// The plural resource name of the API, also a metric label: `configmaps`, `secrets`, or, of the objects that show
    /// a class's content, `secretproviderclasspodstatuses`.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::SecretProviderClass => "secretproviderclasspodstatuses",
        }
    }

    /// `apiVersion` of its objects.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ConfigMap | Self::Secret => "v1",
            Self::SecretProviderClass => "secrets-store.csi.x-k8s.io/v1",
        }
    }

    /// The kind as the API spells it: `ConfigMap`, `Secret` or `SecretProviderClass`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::SecretProviderClass => "SecretProviderClass",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source as a pod spec names it, without its namespace, which is the pod's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceRef {
    /// ConfigMap, Secret or SecretProviderClass.
    pub kind: SourceKind,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl SourceRef {
    /// A reference to the source of that kind and name.
    pub fn new(kind: SourceKind, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// The source that a pod spec of that namespace means.
    pub fn in_namespace(&self, namespace: &Arc<str>) -> SourceKey {
        SourceKey {
            namespace: Arc::clone(namespace),
            kind: self.kind,
            name: Arc::clone(&self.name),
        }
    }
}

/// One source in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// ConfigMap, Secret or SecretProviderClass.
    pub kind: SourceKind,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl SourceKey {
    /// The key of the source of that kind, namespace and name.
    pub fn new(kind: SourceKind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            kind,
            name: name.into(),
        }
    }

    /// The same source as a pod spec of its namespace names it.
    pub fn reference(&self) -> SourceRef {
        SourceRef {
            kind: self.kind,
            name: Arc::clone(&self.name),
        }
    }
}

impl fmt::Display for SourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// One workload in the cluster; what the work queue carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// `metadata.namespace`; the work queues are keyed by it.
    pub namespace: Arc<str>,
    /// Deployment, CronJob, …
    pub kind: WorkloadKind,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl WorkloadKey {
    /// The key of the workload of that kind, namespace and name.
    pub fn new(kind: WorkloadKind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            kind,
            name: name.into(),
        }
    }
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// An object of either sort.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKey {
    /// A workload.
    Workload(WorkloadKey),
    /// A source.
    Source(SourceKey),
}

impl ObjectKey {
    /// `metadata.namespace`.
    pub const fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Workload(key) => &key.namespace,
            Self::Source(key) => &key.namespace,
        }
    }

    /// `metadata.name`.
    pub const fn name(&self) -> &Arc<str> {
        match self {
            Self::Workload(key) => &key.name,
            Self::Source(key) => &key.name,
        }
    }

    /// Its `apiVersion`.
    pub fn api_version(&self) -> String {
        match self {
            Self::Workload(key) => key.kind.api_version(),
            Self::Source(key) => key.kind.api_version().to_owned(),
        }
    }

    /// Its kind as the API spells it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Workload(key) => key.kind.as_str(),
            Self::Source(key) => key.kind.as_str(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(key) => key.fmt(f),
            Self::Source(key) => key.fmt(f),
        }
    }
}
