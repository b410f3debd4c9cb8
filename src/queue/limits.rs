//! How many keys a second may be handed out.
//!
//! Input: a rate and the times of the requests. Output: granted, or when the next slot is free. I/O: none; governor's
//! clock is driven by the caller's `now`.
//!
//! governor counts by the generic cell rate algorithm: its whole state is one number, the *theoretical arrival time*
//! (TAT), which lies ahead of the clock by as much as was used up. Keeping that number in a store of our own adds the
//! two things the queue needs and governor's own store lacks: to give a grant back, and to see when a limiter has
//! recovered so far that a new one would do as well.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

/// A limit on hand-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Keys a second in the long run, 1 to 10⁹.
    pub per_second: NonZeroU32,
    /// Keys that may go out at once after a pause long enough, at least 1.
    pub burst: NonZeroU32,
}

/// The state of one [`Rate`]. Starts full: a whole burst may go out.
#[derive(Debug)]
pub struct Limiter {
    governor: RateLimiter<NotKeyed, Tat, Ticker, NoOpMiddleware<Nanos>>,
    /// The same number as governor's.
    tat: Tat,
    /// Set before each of governor's looks.
    ticker: Ticker,
    /// What governor counts nanoseconds from.
    epoch: Instant,
    /// The nanoseconds that one grant moves the TAT by.
    interval: u64,
    /// The latest grant before which the limiter was full: of those before it nothing is left to give back.
    full_before: Instant,
}

impl Limiter {
    /// A full limiter. No later call may have a `now` before this one's.
    pub fn new(rate: Rate, now: Instant) -> Self {
        let tat = Tat::default();
        let ticker = Ticker::default();
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            governor: RateLimiter::new(quota, tat.clone(), ticker.clone()),
            tat,
            ticker,
            epoch: now,
            interval: u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX),
            full_before: now,
        }
    }

    /// Uses up a slot; `Err` says when the next one is free.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let since = now.saturating_duration_since(self.epoch);
        // 2⁶⁴ ns are 584 years.
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.ticker.0.store(nanos, Ordering::Relaxed);
        let before = self.tat.0.load(Ordering::Relaxed);
        match self.governor.check() {
            Ok(()) => {
                if before <= nanos {
                    self.full_before = now;
                }
                Ok(())
            }
            Err(refusal) => Err(self.epoch + Duration::from(refusal.earliest_possible())),
        }
    }

    /// Undoes the grant of that time, as far as it still counts: once the limiter was full again, it does not.
    pub fn give_back(&mut self, granted_at: Instant) {
        if granted_at >= self.full_before {
            let tat = self.tat.0.load(Ordering::Relaxed);
            self.tat
                .0
                .store(tat.saturating_sub(self.interval), Ordering::Relaxed);
        }
    }

    /// From when on this limiter is equal to a new one.
    pub fn full_at(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.tat.0.load(Ordering::Relaxed))
    }
}

/// Nanoseconds since the limiter's epoch, as last set.
#[derive(Clone, Debug, Default)]
struct Ticker(Arc<AtomicU64>);

impl Clock for Ticker {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

/// The theoretical arrival time in nanoseconds since the limiter's epoch; 0 before the first grant. Atomic only because
/// governor's store takes `&self`: the queue's lock is held around every use.
#[derive(Clone, Debug, Default)]
struct Tat(Arc<AtomicU64>);

impl StateStore for Tat {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let tat = self.0.load(Ordering::Relaxed);
        let (granted, next) = decide((tat != 0).then(|| Nanos::new(tat)))?;
        self.0.store(next.as_u64(), Ordering::Relaxed);
        Ok(granted)
    }
}

#[cfg(test)]
mod tests;
