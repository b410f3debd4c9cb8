//! What an Event is about, what it says, and what becomes of it.
//!
//! I/O: none.

use std::{fmt, sync::Arc};

use k8s_openapi::jiff::Timestamp;

use crate::{
    mailbox::Bounds,
    model::{SourceKey, SourceKind, WorkloadKey},
};

/// Events that wait to be written at most, of about 600 bytes each.
pub(super) const WAITING: Bounds = Bounds {
    namespace: 4000,
    total: 8000,
};
/// The type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Type `Normal`.
    Normal,
    /// Type `Warning`.
    Warning,
}

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A workload.
    Workload(WorkloadKey),
    /// A source.
    Source(SourceKey),
}

impl Subject {
    pub(super) const fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Workload(key) => &key.namespace,
            Self::Source(key) => &key.namespace,
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        match self {
            Self::Workload(key) => &key.name,
            Self::Source(key) => &key.name,
        }
    }

    /// Its `apiVersion` and `kind`.
    pub(super) fn kind(&self) -> (String, String) {
        match self {
            Self::Workload(key) => (key.kind.api_version(), key.kind.to_string()),
            Self::Source(key) => (key.kind.api_version().to_owned(), key.kind.to_string()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(key) => key.fmt(f),
            Self::Source(key) => key.fmt(f),
        }
    }
}

/// One Event to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The object it is about.
    pub about: Subject,
    /// `metadata.uid` of the object.
    pub uid: Box<str>,
    /// The kind of source that led to it: names the reporting component as upstream does.
    pub source: SourceKind,
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// CamelCase, of a fixed set: `Reloaded`, `ReloadFail`, `MarkerDropped`, `ResumeFail`, `InvalidAnnotation`,
    /// `NoPodTemplate`, `RestartReverted`, `SourceFlaps`.
    pub reason: &'static str,
    /// The text; cut at 1024 bytes. Never holds object data.
    pub message: String,
}

/// What became of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The API server has it.
    Written,
    /// The API server did not take it.
    Failed,
    /// The API server did not take it, because its namespace goes or is gone.
    Moot,
    /// Too many waited.
    Dropped,
}

/// A notice, and when it was given.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) notice: Notice,
    pub(super) at: Timestamp,
}

impl Queued {
    pub(super) fn now(notice: Notice) -> Self {
        Self {
            notice,
            at: Timestamp::now(),
        }
    }
}
