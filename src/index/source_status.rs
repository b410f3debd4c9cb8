//! How far the workloads have got with a source, for a later leader.
//!
//! Input: what is owed. Output: plain data, which the ledger writes down. I/O: none.

use std::sync::Arc;

use crate::model::{Content, Digest, WorkloadKind};

/// Above so many workloads owing one source, the ledger's line says that all of them do: their markers show a later
/// leader which are up to date, and a line of a few KiB stays one.
const LONGEST_LIST: usize = 64;

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

    /// A list that is too long is left out, with the state as it was before the change, or with a digest that no source
    /// can have: either way all workloads owe.
    pub(super) fn new(state: SourceState, owed: Vec<OwedBy>) -> Self {
        if owed.len() <= LONGEST_LIST {
            return Self { state, owed };
        }
        let none = Digest::from_bytes([0; 20]);
        let state = match owed.iter().find_map(|owed| owed.running) {
            Some(Content::Present(digest)) => SourceState::Present(digest),
            Some(Content::Absent) => SourceState::Deleted(none),
            None => SourceState::Present(none),
        };
        Self {
            state,
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
