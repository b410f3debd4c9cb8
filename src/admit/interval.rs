//! How long a workload rests between two restarts.
//!
//! Input: the least time, when it restarted last and how often in a row. Output: until when it rests. I/O: none.
//!
//! Restarts that follow each other as soon as they may double the time, up to an hour: a source that flaps costs a workload
//! five restarts in ten minutes with an interval of 30 s, not twenty. One that comes later begins anew.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::UnixSeconds;

/// The longest rest that doubling leads to.
const LONGEST: Duration = Duration::from_hours(1);

/// The last restart of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When it was.
    pub at: UnixSeconds,
    /// How many before it followed each other as soon as they might.
    pub streak: u32,
}

impl Last {
    /// Until when the workload rests.
    pub fn rests_until(self, interval: Duration) -> UnixSeconds {
        let rest = interval
            .saturating_mul(1_u32.checked_shl(self.streak).unwrap_or(u32::MAX))
            .min(LONGEST.max(interval));
        UnixSeconds(self.at.0.saturating_add_unsigned(rest.as_secs()))
    }

    /// The restart after this one.
    #[must_use]
    pub fn next(self, at: UnixSeconds, interval: Duration) -> Self {
        let rest = self.rests_until(interval).0 - self.at.0;
        let is_in_a_row = at.0.saturating_sub(self.at.0) < rest.saturating_mul(2);
        Self {
            at,
            streak: if is_in_a_row {
                self.streak.saturating_add(1)
            } else {
                0
            },
        }
    }
}

/// When the workload may restart again; `None`: now.
pub(super) fn rests(interval: Duration, last: Option<Last>, now: Timestamp) -> Option<Timestamp> {
    let last = last.filter(|_| !interval.is_zero())?;
    let until = last.rests_until(interval);
    // A time to come is that of a clock which was set back since.
    let is_over = until.0 <= now.as_second() || last.at.0 > now.as_second();
    (!is_over).then(|| Timestamp::from_second(until.0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    /// A source that changes each second.
    fn restarts(seconds: i64) -> Vec<i64> {
        let mut last: Option<Last> = None;
        let mut restarts = Vec::new();
        for second in 0..seconds {
            let now = Timestamp::from_second(second).unwrap();
            if rests(INTERVAL, last, now).is_none() {
                let at = UnixSeconds(second);
                last = Some(last.map_or(Last { at, streak: 0 }, |last| last.next(at, INTERVAL)));
                restarts.push(second);
            }
        }
        restarts
    }

    #[test]
    fn a_source_that_flaps_costs_ever_fewer_restarts() {
        assert_eq!(restarts(600), [0, 30, 90, 210, 450]);
        let late = restarts(50_000);
        assert_eq!(
            late.last().unwrap() - late[late.len() - 2],
            3600,
            "at least one an hour"
        );
    }

    #[test]
    fn a_change_after_a_while_begins_anew() {
        let first = Last {
            at: UnixSeconds(0),
            streak: 3,
        };
        assert_eq!(first.next(UnixSeconds(479), INTERVAL).streak, 4);
        assert_eq!(first.next(UnixSeconds(480), INTERVAL).streak, 0);
    }

    #[test]
    fn a_longer_interval_than_an_hour_is_kept_as_it_is() {
        let last = Last {
            at: UnixSeconds(0),
            streak: 40,
        };
        assert_eq!(last.rests_until(Duration::from_hours(5)), UnixSeconds(5 * 3600));
        assert_eq!(last.rests_until(INTERVAL), UnixSeconds(3600));
    }

    #[test]
    fn without_an_interval_nothing_rests() {
        let now = Timestamp::from_second(10).unwrap();
        let at = |at| {
            Some(Last {
                at: UnixSeconds(at),
                streak: 0,
            })
        };
        assert_eq!(rests(Duration::ZERO, at(9), now), None);
        assert_eq!(rests(INTERVAL, None, now), None);
        assert_eq!(rests(INTERVAL, at(11), now), None, "a clock that was set back");
        assert_eq!(rests(INTERVAL, at(9), now), Timestamp::from_second(39).ok());
    }
}
