//! One namespace's queue: its keys, those of them that are due, and its limit.
//!
//! Input and output: what `core` puts in and takes out. I/O: none.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{limits::Limiter, priority::Priority, turns::Turns};
use crate::model::WorkloadKey;

/// Windows after the first cause at which a key is due even though causes keep coming.
const MAX_WINDOWS: u32 = 10;

/// When something is due. The order among equal times is that in which they were scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub due: Instant,
    pub order: u64,
}

/// One hand-out to come.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// The highest priority of its causes.
    pub priority: Priority,
    /// When the first of its causes came.
    pub waited_since: Instant,
    /// When its causes will have been quiet for long enough.
    pub quiet_at: Instant,
}

impl Pending {
    /// A hand-out with one cause so far.
    pub fn new(priority: Priority, now: Instant, window: Duration) -> Self {
        Self {
            priority,
            waited_since: now,
            quiet_at: now + window,
        }
    }

    /// Merges one more cause.
    pub fn merge(&mut self, priority: Priority, now: Instant, window: Duration) {
        self.priority = self.priority.max(priority);
        self.quiet_at = (now + window).min(self.waited_since + window * MAX_WINDOWS);
    }
}

/// The wait after a failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// When the key is retried.
    pub until: Instant,
    /// The end of the pause that the server asked for; in the past if it did not.
    pub not_before: Instant,
}

/// Where a key is.
#[derive(Debug)]
pub enum State {
    /// Not due yet.
    Waiting {
        pending: Pending,
        position: Position,
        backoff: Option<Backoff>,
    },
    /// Due: in [`Namespace::ready`] under its priority.
    Ready { pending: Pending, position: Position },
    /// Handed out.
    Running {
        /// The hand-out to come once this one ended.
        again: Option<Pending>,
        /// The workload changed or was deleted since: a failure of this attempt predicts nothing about the next.
        outdated: bool,
    },
}

/// One key.
#[derive(Debug)]
pub struct Entry {
    pub state: State,
    /// Failures in a row.
    pub failures: u32,
}

/// One namespace's queue.
#[derive(Debug)]
pub struct Namespace {
    pub entries: HashMap<WorkloadKey, Entry>,
    /// Due keys, first due first; indexed by [`Priority`].
    pub ready: [BTreeMap<Position, WorkloadKey>; 2],
    /// The places in the rings of [`Turns`]; indexed by [`Priority`].
    turns: [Option<u64>; 2],
    pub limiter: Option<Limiter>,
    /// Tickets out, and how many may be.
    pub out: usize,
    pub most_out: usize,
    /// Over its limit: takes no turn until its next free slot, which has this place.
    pub passed_over: Option<Position>,
    /// Empty, but kept until its limiter is full again.
    pub retiring: bool,
}

impl Namespace {
    pub fn new(limiter: Option<Limiter>, most_out: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ready: [BTreeMap::new(), BTreeMap::new()],
            turns: [None, None],
            limiter,
            out: 0,
            most_out,
            passed_over: None,
            retiring: false,
        }
    }

    /// Joins and leaves the rings so that the namespace waits for a turn exactly where it has a key due and its limits
    /// allow one.
    pub fn line_up(&mut self, name: &Arc<str>, turns: &mut Turns) {
        for priority in Priority::ALL {
            let wants = self.passed_over.is_none()
                && self.out < self.most_out
                && !self.ready[priority as usize].is_empty();
            let turn = &mut self.turns[priority as usize];
            match (wants, *turn) {
                (true, None) => *turn = Some(turns.join(priority, name)),
                (false, Some(number)) => {
                    turns.leave(priority, number);
                    *turn = None;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    /// Goes to the end of a ring, after having been served.
    pub fn end_turn(&mut self, priority: Priority, name: &Arc<str>, turns: &mut Turns) {
        if let Some(number) = self.turns[priority as usize].take() {
            turns.leave(priority, number);
        }
        self.line_up(name, turns);
    }
}
