//! What was written, in order.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::kind::Kind;

/// The revision of a store in which nothing was written. Not 0: a client may ask for versions before it.
pub(super) const FIRST: u64 = 1000;

/// One write that changed something.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The store's revision after it.
    pub revision: u64,
    /// When.
    pub at: Instant,
    /// Who sent it: the name that was given to [`Front::handle`](super::Front::handle).
    pub caller: String,
    /// The field manager.
    pub manager: String,
    /// `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// The resource, in plural: `configmaps`.
    pub resource: &'static str,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The object's namespace; empty for one that lies in none.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object before; `None`: it did not exist.
    pub before: Option<Arc<Value>>,
    /// The object after; `None`: it is gone.
    pub after: Option<Arc<Value>>,
}

impl Commit {
    pub(super) fn is_of(&self, kind: &Kind) -> bool {
        self.resource == kind.plural
    }
}

/// Every write since the store began.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<Commit>);

impl Log {
    /// The revision of the last write.
    pub(super) fn revision(&self) -> u64 {
        FIRST + u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, commit: Commit) {
        self.0.push(commit);
    }

    /// Those after a revision, in order.
    pub(super) fn since(&self, revision: u64) -> &[Commit] {
        let first = usize::try_from(revision.saturating_sub(FIRST)).unwrap_or(usize::MAX);
        self.0.get(first..).unwrap_or_default()
    }

    /// The revision at some moment.
    pub(super) fn revision_at(&self, moment: Instant) -> u64 {
        let before = self.0.partition_point(|commit| commit.at <= moment);
        FIRST + u64::try_from(before).unwrap_or(u64::MAX)
    }
}
