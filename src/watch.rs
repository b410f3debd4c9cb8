//! Watch streams of sources and workloads, reduced to [`Observation`]s.
//!
//! Input: the API's list and watch answers. Output: [`Observation`]s, one stream a kind and namespace scope.
//! I/O: reads.
//!
//! An object is reduced while it is decoded: of a ConfigMap or Secret only its digest is left ([`source`]), of a
//! workload only what a decision needs ([`workload`]), of the Secrets Store CSI driver's objects a digest and two
//! annotations ([`csi`]). Nothing downstream can log or keep what it never had.
//! Mistakes in annotations are found at the same time, while their text is there ([`Found`]).
//!
//! # What is not guaranteed
//! As with every informer, each object shows a subsequence of its states in order, there is no order across objects,
//! and a delete followed by a create may arrive as one update. After a gap the stream starts over with
//! [`Event::ListStarted`]; whatever is not seen again until [`Event::Listed`] is gone, and no delete is sent for it.

mod classes_first;
pub mod csi;
mod found;
mod lenient;
mod namespace;
mod notes;
mod on_demand;
mod selectors;
pub mod source;
mod stream;
#[cfg(test)]
mod tests;
pub mod workload;

use std::{fmt, sync::Arc, time::Duration};

use crate::model::{
    ClassAnnotations, PodStatus, Policy, Source, SourceKey, SourceKind, Workload, WorkloadKey, WorkloadKind,
};

pub use classes_first::ClassesKnown;
pub use found::Found;
pub use on_demand::Lister;
pub use selectors::Selectors;
pub use stream::{Discovery, GRACE, Settings, watch};

/// What one watch stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// ConfigMaps, Secrets or SecretProviderClassPodStatuses.
    Source(SourceKind),
    /// SecretProviderClasses: their annotations only, since they hold no content.
    Class,
    /// Workloads of one kind.
    Workload(WorkloadKind),
    /// Namespaces with the labels of `--namespace-selector`, or all of them for `--namespace-policies`; not watched without
    /// either.
    Namespace,
}

impl Watched {
    /// What is watched only with `--enable-csi-integration`. Classes first: they determine whether a status matters.
    pub const CSI: [Self; 2] = [Self::Class, Self::Source(SourceKind::SecretProviderClass)];

    /// Every kind that the user need not describe.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::with(&WorkloadKind::BUILT_IN)
    }

    /// The sources and these kinds of workloads; sources first, so that a starting controller knows digests before
    /// owners.
    pub fn with(workloads: &[WorkloadKind]) -> impl Iterator<Item = Self> {
        let workloads = workloads.iter().copied().map(Self::Workload);
        [SourceKind::ConfigMap, SourceKind::Secret]
            .into_iter()
            .map(Self::Source)
            .chain(workloads)
    }

    /// The kind as the API spells it, also a metric label.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Class => "SecretProviderClass",
            Self::Source(SourceKind::SecretProviderClass) => "SecretProviderClassPodStatus",
            Self::Source(kind) => kind.as_str(),
            Self::Workload(kind) => kind.as_str(),
            Self::Namespace => "Namespace",
        }
    }

    /// The plural resource name of the API.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Class => "secretproviderclasses",
            Self::Source(kind) => kind.resource(),
            Self::Workload(kind) => kind.resource(),
            Self::Namespace => "namespaces",
        }
    }
}

/// One watch stream: a kind in one namespace or in all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The kind of its objects.
    pub watched: Watched,
    /// The one namespace it covers; `None` is all namespaces.
    pub namespace: Option<Arc<str>>,
}

impl StreamId {
    /// Whether it shows the objects of that namespace.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            _ if self.watched == Watched::Namespace => f.write_str("namespaces"),
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.watched.resource()),
            None => write!(f, "{} in all namespaces", self.watched.resource()),
        }
    }
}

/// Something a watch stream showed.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The stream that showed it.
    pub stream: StreamId,
    /// What it showed.
    pub event: Event,
    /// What is wrong with the annotations of the objects that it shows; empty, and without a heap, where all is right.
    pub found: Vec<Found>,
}

impl Observation {
    /// Of objects whose annotations are right.
    pub const fn of(stream: StreamId, event: Event) -> Self {
        Self {
            stream,
            event,
            found: Vec::new(),
        }
    }
}

/// What a watch stream can show.
#[derive(Clone, Debug)]
pub enum Event {
    /// A complete list begins: a new generation of the stream's objects.
    ListStarted,
    /// The list is complete: objects of the stream that it did not show are gone.
    Listed,
    /// A source exists with this content.
    SourceSeen(Source),
    /// A source was deleted.
    SourceGone {
        /// Which it was.
        key: SourceKey,
        /// The resourceVersion of the deletion; 0: not known.
        version: u64,
    },
    /// A pod shows this content of a SecretProviderClass.
    PodStatusSeen(PodStatus),
    /// A SecretProviderClassPodStatus was deleted, or names no class.
    PodStatusGone {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its own name.
        name: Box<str>,
    },
    /// A SecretProviderClass exists with these annotations.
    ClassSeen(ClassAnnotations),
    /// A SecretProviderClass was deleted.
    ClassGone(SourceKey),
    /// A workload exists in this form.
    WorkloadSeen(Box<Workload>),
    /// A workload was deleted.
    WorkloadGone(WorkloadKey),
    /// A workload is being deleted, and its pods stay for whoever comes under its name (`--cascade=orphan`).
    WorkloadReleased(WorkloadKey),
    /// A namespace has the labels that are asked for, if any are.
    NamespaceSeen {
        /// Its name.
        name: Arc<str>,
        /// What its annotations say about when restarts may happen.
        policy: Option<Box<Policy>>,
    },
    /// A namespace was deleted or has lost these labels.
    NamespaceGone(Arc<str>),
    /// All workloads of the stream's kind in one namespace, where they may not be watched.
    NamespaceListed {
        /// The namespace.
        namespace: Arc<str>,
        /// Its workloads of that kind; others that were known are gone.
        workloads: Vec<Workload>,
    },
    /// The API server does not serve the kind, which is watched only where it does: there are no objects of it.
    NotServed,
    /// The stream failed and tries again after a pause.
    Failed(Failure),
    /// A watch that was asked for again after a failure, from where it was, has not failed for a while: it is open, and
    /// there was nothing to show.
    Resumed,
}

impl Event {
    /// Whether it shows that there are no objects of the stream's kind of workloads, because there is no such kind.
    pub fn shows_no_kind(&self, stream: &StreamId) -> bool {
        let is_missing = match self {
            Self::NotServed => true,
            Self::Failed(failure) => failure.not_installed,
            _ => false,
        };
        is_missing && matches!(stream.watched, Watched::Workload(_))
    }
}

/// Why a watch stream failed; it always tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Static name of the failure, for metrics.
    pub category: &'static str,
    /// The API server refused it: the ServiceAccount lacks `list` or `watch` on the kind (403).
    pub denied: bool,
    /// Listing is allowed, only watching is refused: [`Lister`] is the way back.
    pub only_watch: bool,
    /// The API server does not know the kind (404): its `CustomResourceDefinition` is not installed (yet). That is no
    /// fault, and it is looked for again.
    pub not_installed: bool,
    /// The HTTP status, where there was an answer.
    pub code: Option<u16>,
    /// How long the API server asks to wait (429 or 503 with Retry-After); zero where it does not.
    pub retry_after: Duration,
    /// What happened, for a log line; holds no object data.
    pub message: String,
}

impl Failure {
    /// A failure that is neither a refusal nor a network error.
    pub(crate) fn other(message: &str) -> Self {
        Self {
            category: "other",
            denied: false,
            only_watch: false,
            not_installed: false,
            code: None,
            retry_after: Duration::ZERO,
            message: message.to_owned(),
        }
    }
}
