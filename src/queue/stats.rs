//! Figures of a queue, for metrics.

use std::time::Duration;

use super::priority::Priority;

/// A consistent snapshot of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of [`Queue::add`](super::Queue::add) and [`Queue::wake`](super::Queue::wake) so far.
    pub adds: u64,
    /// Those of [`Stats::adds`] that were merged into a hand-out already to come.
    pub coalesced: u64,
    /// Outcomes so far that put a key back.
    pub retries: u64,
    /// Keys of high priority that wait: for quiet, for a retry, for their turn.
    pub depth_high: usize,
    /// Keys of low priority that wait.
    pub depth_low: usize,
    /// Tickets out now.
    pub in_flight: usize,
    /// How long the oldest ticket has been out; zero without one.
    pub longest_running: Duration,
    /// How long all tickets have been out, added up.
    pub unfinished: Duration,
    /// Namespaces in memory now.
    pub namespaces: usize,
}

impl Stats {
    /// Keys of that priority that wait.
    pub const fn depth(&self, priority: Priority) -> usize {
        match priority {
            Priority::Low => self.depth_low,
            Priority::High => self.depth_high,
        }
    }
}
