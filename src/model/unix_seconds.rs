//! A moment as the API writes most of them: in whole seconds.
//!
//! Input: a [`Timestamp`]. Output: [`UnixSeconds`]. I/O: none; nothing here reads a clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// A moment in seconds since 1970-01-01 UTC, the unit of `creationTimestamp` and `managedFields[].time`.
///
/// Later moments compare greater. A moment that is not known is an `Option`, never a special number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// The moment so many seconds later; the last one if that would overflow.
    #[must_use]
    pub const fn saturating_add(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// How long before `now` it was; zero for a time to come, which a clock that was set back leaves.
    pub fn elapsed(self, now: Self) -> Duration {
        let seconds = now.0.saturating_sub(self.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

/// Fractions of a second are cut off.
impl From<Timestamp> for UnixSeconds {
    fn from(time: Timestamp) -> Self {
        Self(time.as_second())
    }
}

/// As the API prints times; a moment beyond the year 9999 becomes the last one that can be printed, one before the year
/// -9999 the first.
impl From<UnixSeconds> for Timestamp {
    fn from(UnixSeconds(seconds): UnixSeconds) -> Self {
        let clamped = seconds.clamp(Self::MIN.as_second(), Self::MAX.as_second());
        Self::from_second(clamped).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_second_are_cut_off() {
        let time: Timestamp = "2026-01-02T03:04:05.999Z".parse().unwrap();
        assert_eq!(UnixSeconds::from(time), UnixSeconds(1_767_323_045));
        assert_eq!(
            Timestamp::from(UnixSeconds(1_767_323_045)).to_string(),
            "2026-01-02T03:04:05Z"
        );
    }

    #[test]
    fn a_time_to_come_is_no_time_ago() {
        let (then, now) = (UnixSeconds(5), UnixSeconds(7));
        assert_eq!(then.elapsed(now), Duration::from_secs(2));
        assert_eq!(now.elapsed(then), Duration::ZERO);
        assert_eq!(
            UnixSeconds(i64::MIN).elapsed(now).as_secs(),
            i64::MAX.unsigned_abs()
        );
    }

    #[test]
    fn no_number_of_seconds_overflows() {
        assert_eq!(UnixSeconds(i64::MAX).saturating_add(1), UnixSeconds(i64::MAX));
        assert_eq!(UnixSeconds(5).saturating_add(1), UnixSeconds(6));
        for seconds in [i64::MIN, i64::MAX] {
            let time = Timestamp::from(UnixSeconds(seconds));
            assert_eq!(time.as_second() > 0, seconds > 0);
        }
    }
}
