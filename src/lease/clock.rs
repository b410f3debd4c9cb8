//! The clock that decides when a lease ends.
//!
//! Input: the operating system's clocks. Output: [`Moment`]. I/O: reads clocks.

use std::{fmt, time::Duration};

use jiff::Timestamp;
#[cfg(unix)]
use nix::time::{ClockId, clock_gettime};

/// The clock that keeps counting while the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
/// On other systems (development machines) the closest there is.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// A point on a clock that never goes back, as the time since that clock's start.
///
/// Moments of two processes, or of two boots, mean nothing to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment that lies that long after the clock's start; saturates after 584 years.
    pub fn from_start(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment that lies that many nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// How long `self` lies after `earlier`; zero when it does not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    /// Saturates: a far future stays a far future.
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.0))
    }
}

/// The time source of the election.
pub trait Clock: Send + Sync + 'static {
    /// Now, on a clock that never goes back and keeps counting while the machine is suspended.
    fn now(&self) -> Moment;

    /// The wall clock, only ever written into the record for people to read; never used to decide.
    fn wall(&self) -> Timestamp;
}

/// The production clock: `CLOCK_BOOTTIME`.
///
/// Not [`std::time::Instant`]: that is `CLOCK_MONOTONIC`, which stands still while the machine is suspended
/// (<https://github.com/rust-lang/rust/issues/87906>). A leader on a resumed machine would take it that its deadline is
/// still ahead, long after another replica took over.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    #[cfg(unix)]
    fn now(&self) -> Moment {
        // The call fails only for a clock that the kernel does not have; Linux has this one since 2.6.39. Were it to
        // fail, the end of time is the safe answer: no deadline lies ahead of it, so nothing is written.
        clock_gettime(CLOCK).map_or(Moment(u64::MAX), |time| Moment::from_start(Duration::from(time)))
    }

    /// No replica runs here, so no lease is held: see `main`.
    #[cfg(not(unix))]
    fn now(&self) -> Moment {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        Moment::from_start(START.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The longest sleep in one piece. Timers of the runtime stand still while the machine is suspended, unlike
/// [`BootClock`]; looking at the clock this often is how soon a resumed process learns what it slept through.
const SLICE: Duration = Duration::from_millis(500);

/// Sleeps until `clock` shows `until`.
pub(super) async fn sleep_until(clock: &dyn Clock, until: Moment) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_on_and_never_back() {
        let first = BootClock.now();
        assert!(first > Moment::from_nanos(0) && first < Moment::from_nanos(u64::MAX));
        assert!(BootClock.now() >= first);
    }

    #[test]
    fn moments_saturate_at_both_ends() {
        let end = Moment::from_nanos(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Moment::from_nanos(1).since(end), Duration::ZERO);
        assert_eq!(Moment::from_start(Duration::MAX), end);
    }
}
