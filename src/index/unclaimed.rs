//! Changes that workloads may owe which no stream has shown yet, or not as they are now.
//!
//! Input: changes of sources, as they are noted. Output: what a workload seen later runs with. I/O: none.
//!
//! Each stream has a connection of its own, and one may lag behind another: by milliseconds as a rule, by minutes when
//! its connection has died without a word. A workload that was created, or has opted in, before a source changed must
//! be restarted for the change all the same, whichever of the two is seen first.

use std::time::Instant;

use super::{Change, namespace::Namespace};
use crate::model::{Content, Source, UnixSeconds, Workload};

/// So many changes of one source are told apart; a workload older than all of them may run with anything.
const TOLD_APART: usize = 8;

/// How far apart the clocks of two API servers may be, in seconds. Each writes times of its own.
const CLOCK_SKEW: i64 = 2;

/// The changes of one source.
#[derive(Debug)]
pub(super) struct Unclaimed {
    past: Vec<Past>,
    /// The last one.
    pub(super) change: Change,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Past {
    /// What the source held until then, as far as that is known.
    pub(super) before: Option<Content>,
    /// When it was written, as far as that is known, and the source's resourceVersion since; `None` for a deletion, which
    /// leaves neither.
    written: Option<(Option<UnixSeconds>, u64)>,
    change: Change,
}

/// How a workload came to be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// A watch has shown what has just happened to it, and its resourceVersion is that of the event. Else it was listed
    /// or read, and has become so at any time before.
    pub(super) is_event: bool,
    /// How many changes had been seen by then.
    pub(super) order: u64,
}

impl Unclaimed {
    /// None yet; this one is to be noted.
    pub(super) const fn new(change: Change) -> Self {
        Self {
            past: Vec::new(),
            change,
        }
    }

    /// `source`: as it is after the change; `None` where it is gone.
    pub(super) fn note(&mut self, before: Option<Content>, source: Option<&Source>, change: Change) {
        self.past.push(Past {
            before,
            written: source.map(|source| (source.modified_at, source.resource_version)),
            change,
        });
        if self.past.len() > TOLD_APART {
            self.past.remove(0);
            self.past[0].before = None;
        }
        self.change = change;
    }

    /// The first change that came after a workload that was not known: it runs with what was before.
    pub(super) fn first_after_new(&self, workload: &Workload, is_event: bool) -> Option<&Past> {
        self.past.iter().find(|past| match past.written {
            None => workload.created_at <= Some(past.change.seen.unix),
            Some((at, version)) if is_event => {
                let is_older = |at: UnixSeconds| workload.created_at <= Some(at.saturating_add(CLOCK_SKEW));
                workload.resource_version < version && at.is_none_or(is_older)
            }
            Some((None, _)) => true,
            Some(written) => (workload.created_at, workload.resource_version) <= written,
        })
    }

    /// The same of a workload that was known and uses the source only now.
    ///
    /// `before`: as it was, and the number of changes after which it was last read. `same_template`: its pods need not
    /// be others than then.
    pub(super) fn first_after_changed(
        &self,
        workload: &Workload,
        sight: Sight,
        (before, read_at): (&Workload, u64),
        same_template: bool,
    ) -> Option<&Past> {
        self.past.iter().find(|past| {
            let Some((_, version)) = past.written else {
                return false;
            };
            let is_older = workload.resource_version < version;
            if sight.is_event {
                return is_older;
            }
            let came_since = past.change.order >= read_at && before.resource_version < version;
            came_since && (is_older || same_template)
        })
    }
}

impl Namespace {
    /// Forgets the changes that were seen until then: every workload they may concern has been seen since.
    pub(super) fn forget_changes_until(&mut self, horizon: Instant) {
        if self.oldest_unclaimed.is_none_or(|oldest| oldest > horizon) {
            return;
        }
        let is_over = |unclaimed: &Unclaimed| unclaimed.change.seen.at <= horizon;
        let expired = self.unclaimed.extract_if(|_, unclaimed| is_over(unclaimed));
        let expired: Vec<_> = expired.map(|(reference, _)| reference).collect();
        self.oldest_unclaimed = self
            .unclaimed
            .values()
            .map(|unclaimed| unclaimed.change.seen.at)
            .min();
        for reference in expired {
            self.forget_deleted(&reference);
        }
    }
}
