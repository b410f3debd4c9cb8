//! The Events that were written, to be raised when they repeat.
//!
//! Input: what was written. Output: the same when it repeats. I/O: none; `now` is given.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::notice::Notice;
use crate::mailbox::{Bounds, Rank, Waiting};

/// An Event that repeats within this time raises the count of the first one instead of becoming another object; as long as
/// the API server keeps Events by default.
const SAME_FOR: Duration = Duration::from_hours(1);
/// Events remembered for that; the oldest are forgotten first.
const REMEMBERED: Bounds = Bounds {
    namespace: 500,
    total: 4000,
};

/// An Event that was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// `metadata.name`.
    pub(super) name: String,
    /// How often it was reported.
    pub(super) count: i32,
    /// When it was written last.
    pub(super) last: Instant,
}

/// The Events that were written of late.
#[derive(Debug)]
pub(super) struct Memory(Waiting<(Notice, Written)>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Waiting::new(REMEMBERED))
    }

    /// What was written of that notice, if it is not too old. Forgets it: if it is written, it is remembered again.
    pub(super) fn recall(&mut self, notice: &Notice, now: Instant) -> Option<Written> {
        let (_, written) = self
            .0
            .extract(notice.about.namespace(), |(other, _)| other == notice)?;
        (now.duration_since(written.last) < SAME_FOR).then_some(written)
    }

    pub(super) fn remember(&mut self, notice: Notice, written: Written) {
        let namespace = Arc::clone(notice.about.namespace());
        drop(self.0.push(&namespace, Rank::Usual, (notice, written)));
    }
}
