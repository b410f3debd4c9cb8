//! What an Event is about, what it says, and what becomes of it.
//!
//! I/O: none.

use k8s_openapi::jiff::Timestamp;

use crate::{
    mailbox::Bounds,
    model::{SourceKey, SourceKind},
};

pub use crate::model::ObjectKey as Subject;

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

/// One Event to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The object it is about.
    pub about: Subject,
    /// `metadata.uid` of the object.
    pub uid: Box<str>,
    /// The source that led to it; of several, the first.
    pub related: Option<SourceKey>,
    /// What is said once of the object, whichever replica says it: the Event's name follows from it, so that the API server
    /// refuses a second one. `None`: what repeats raises a count.
    pub once: Option<Box<str>>,
    /// The kind of source that led to it: names the reporting component as upstream does.
    pub source: SourceKind,
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// CamelCase, of a fixed set: `Reloaded`, `ReloadFail`, `MarkerDropped`, `ResumeFail`, `InvalidAnnotation`,
    /// `NoPodTemplate`, `RestartDeferred`, `RestartReverted`, `RolloutFailed`, `RolloutStarted`, `RolloutHalted`,
    /// `RolloutComplete`, `SourceFlaps`, `LedgerFull`.
    pub reason: &'static str,
    /// The text; cut at 1024 bytes. Never holds object data.
    pub message: String,
}

impl Notice {
    /// What Reloader did, or tried to do.
    pub(super) fn action(&self) -> &'static str {
        match self.reason {
            "Reloaded" | "ReloadFail" | "RestartDeferred" | "MarkerDropped" | "RestartReverted"
            | "RolloutFailed" | "RolloutStarted" | "RolloutHalted" | "RolloutComplete" => "Restart",
            "ResumeFail" => "Resume",
            "LedgerFull" => "Record",
            _ => "Check",
        }
    }
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
