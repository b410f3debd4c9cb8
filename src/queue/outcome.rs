//! How the work on a ticket ends.

use super::backoff::Retry;

/// The result of the work on a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done: the key and its failures are forgotten.
    Settled,
    /// Nothing had to be done: as [`Outcome::Settled`], and the hand-out does not count for the limits.
    Skipped,
    /// It failed: the key comes back after a wait.
    Retry(Retry),
}
