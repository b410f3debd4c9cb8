//! How the work on a ticket ends.

use super::backoff::Retry;

/// The result of the work on a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do: the key and its failures are forgotten.
    Settled,
    /// It failed: the key comes back after a wait.
    Retry(Retry),
}
