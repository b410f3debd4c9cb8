//! Settings of a queue.

use std::time::Duration;

use super::limits::Rate;

/// Settings of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a key's causes must have been quiet before it is due, at most one minute (longer is taken as one
    /// minute); zero makes every key due at once.
    pub window: Duration,
    /// Limit of each namespace; `None` is no limit.
    pub namespace_rate: Option<Rate>,
    /// Limit of all namespaces together; `None` is no limit.
    pub total_rate: Option<Rate>,
    /// Tickets of one namespace that may be out at once, at least 1: when an admission webhook hangs, its namespace
    /// must not occupy every worker.
    pub namespace_in_flight: usize,
}

impl Default for Settings {
    /// 100 ms of quiet, no limits.
    fn default() -> Self {
        Self {
            window: Duration::from_millis(100),
            namespace_rate: None,
            total_rate: None,
            namespace_in_flight: usize::MAX,
        }
    }
}
