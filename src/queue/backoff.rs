//! How long a failed key waits before the next attempt: exponential backoff with jitter, without end.
//!
//! Input: why the attempt failed, how many have failed in a row, a seed for the jitter. Output: a wait. I/O: none;
//! no clock, and randomness only from the seed.
//!
//! The n-th wait is drawn from the upper half of `min(500 ms × 2ⁿ, cap)` ("equal jitter"): a quarter of a second at
//! least, so a failing key never spins; never above the cap; and spread over half of it, so that the keys which
//! failed together when the API server went away do not come back together.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Longest first wait.
pub const BASE: Duration = Duration::from_millis(500);

/// Longest wait while the API server does not answer: it usually recovers within seconds, and then every owed restart
/// should be written.
pub const UNAVAILABLE_CAP: Duration = Duration::from_secs(5);

/// Longest wait after a refusal that only a user can lift (RBAC, a broken webhook, an invalid object). client-go's own
/// cap of 1000 s would mean a quarter of an hour of silence after the fix.
pub const REJECTED_CAP: Duration = Duration::from_mins(1);

/// Longest `Retry-After` that is honored: API Priority and Fairness asks for seconds; a proxy that asks for days must
/// not block a workload for days.
pub const RETRY_AFTER_CAP: Duration = Duration::from_mins(10);

/// Doublings after which every cap is reached: 500 ms × 2⁷ is above 60 s.
const MAX_DOUBLINGS: u32 = 7;

/// Why an attempt failed, as far as the next one's time depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The API server could not be reached, timed out or answered 5xx. Waits up to `UNAVAILABLE_CAP`.
    Unavailable,
    /// The API server refused (403, 409, 422, ...), or the attempt was aborted. Waits up to `REJECTED_CAP`.
    Rejected,
    /// The API server asked, by `Retry-After`, for a pause of at least that long (honored up to `RETRY_AFTER_CAP`).
    /// Waits that long, or as after [`Retry::Unavailable`] where that is longer, so that a `Retry-After: 0` does not
    /// make the key spin.
    After(Duration),
}

impl Retry {
    /// The pause that the server asked for; zero if it did not.
    pub(super) fn requested_wait(self) -> Duration {
        match self {
            Self::Unavailable | Self::Rejected => Duration::ZERO,
            Self::After(requested) => requested.min(RETRY_AFTER_CAP),
        }
    }

    /// The wait after a failure.
    ///
    /// `earlier` is the number of failures in a row before this one (0 for the first); `seed` picks the point within
    /// the jitter, the same seed gives the same point.
    pub(super) fn delay(self, earlier: u32, seed: u64) -> Duration {
        let cap = match self {
            Self::Unavailable | Self::After(_) => UNAVAILABLE_CAP,
            Self::Rejected => REJECTED_CAP,
        };
        // backon adds up to once the delay as jitter, hence the halves.
        let mut waits = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(BASE / 2)
            .with_max_delay(cap / 2)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed)
            .build();
        let doublings = earlier.min(MAX_DOUBLINGS) as usize;
        let wait = waits.nth(doublings).map_or(cap, |wait| wait.min(cap));
        wait.max(self.requested_wait())
    }
}

#[cfg(test)]
mod tests;
