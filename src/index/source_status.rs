//! How far the workloads have got with a source, for a later leader.
//!
//! Input: what is owed. Output: plain data, which the ledger writes down. I/O: none.

use std::sync::Arc;

use crate::model::{Content, Digest, WorkloadKind};

/// How far the workloads have got with a source: what a later leader needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// What is settled for all workloads but [`SourceStatus::owed`].
    pub state: SourceState,
    /// The workloads that still owe a restart for it.
    pub owed: Vec<OwedBy>,
}

/// The state of a source, for a process that has not seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It exists with this content.
    Present(Digest),
    /// It was deleted, and this was its last content; the workloads that had to be restarted for the deletion were.
    Deleted(Digest),
    /// It was never there, but a workload uses it: its creation will be a change.
    Missing,
}

/// A workload of the source's namespace that owes a restart for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedBy {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: Arc<str>,
    /// The content it runs with; `None` where a patch of unknown outcome was sent.
    pub running: Option<Content>,
}

impl SourceStatus {
    /// Of a source that a workload waits for.
    pub(super) const fn missing() -> Self {
        Self {
            state: SourceState::Missing,
            owed: Vec::new(),
        }
    }
}

impl SourceState {
    /// Its content, or its last one.
    pub(super) const fn content(self) -> Option<Content> {
        match self {
            Self::Present(digest) | Self::Deleted(digest) => Some(Content::Present(digest)),
            Self::Missing => None,
        }
    }
}
