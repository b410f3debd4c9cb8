//! What the annotations of a workload, a source or a Namespace say about how many restarts may be under way.
//!
//! Input: annotations. Output: [`Limits`]. I/O: none.
//!
//! A number that cannot be read counts as the most careful one: its author wanted a limit. A duration that cannot be read says
//! nothing, so that the next level counts.

use std::{fmt, str::FromStr, time::Duration};

use super::go_duration::{DurationError, parse_go_duration, parse_positive_go_duration};

/// On a source or a Namespace: how many of its workloads may roll at a time.
pub const MAX_CONCURRENT: &str = "reloader.stakater.com/max-concurrent-rollouts";
/// On a source or a Namespace: how many workloads go first.
pub const CANARY: &str = "reloader.stakater.com/canary";
/// On a source or a Namespace: how long a restarted workload has to be healthy before it counts.
pub const BAKE_TIME: &str = "reloader.stakater.com/bake-time";
/// On a source or a Namespace: how many restarted workloads may fail before the others are held back.
pub const MAX_FAILURES: &str = "reloader.stakater.com/max-failures";
/// On a source or a Namespace: how long a rollout may make no progress before it counts as failed.
pub const ROLLOUT_TIMEOUT: &str = "reloader.stakater.com/rollout-timeout";
/// On a workload or a Namespace: the least time between two restarts.
pub const MIN_INTERVAL: &str = "reloader.stakater.com/min-restart-interval";
/// On a workload, an integer: lower ones restart first.
pub const WAVE: &str = "reloader.stakater.com/rollout-wave";

/// A number of workloads, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many of a hundred, rounded down.
    Percent(u8),
}

/// Why a text is no [`Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a number of workloads, as 5, nor a percentage of them, as 10%")]
pub struct NotAShare;

impl Share {
    /// So many of `all`.
    pub const fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => all.saturating_mul(percent as usize) / 100,
        }
    }

    /// The same, but never none: a percentage of few is one.
    pub fn at_least_one(self, all: usize) -> usize {
        self.of(all).max(1)
    }

    /// Whether it is none whatever it is of.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let text = text.trim();
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(NotAShare),
            },
            None => text.parse().map(Self::Count).map_err(|_| NotAShare),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What one object's annotations say about how many restarts may be under way; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// [`MAX_CONCURRENT`], at least one: to stop all is [`super::policy::SUSPEND`].
    pub max_concurrent: Option<Share>,
    /// [`CANARY`]; none of them turns off what a Namespace or a flag asks for.
    pub canary: Option<Share>,
    /// [`BAKE_TIME`].
    pub bake_time: Option<Duration>,
    /// [`MAX_FAILURES`].
    pub max_failures: Option<Share>,
    /// [`ROLLOUT_TIMEOUT`].
    pub rollout_timeout: Option<Duration>,
    /// [`MIN_INTERVAL`].
    pub min_interval: Option<Duration>,
    /// [`WAVE`].
    pub wave: Option<i32>,
}

impl Limits {
    /// Reads the annotations, given as a look-up by key; `None`: they say nothing, as on most objects.
    pub fn parse<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Box<Self>> {
        let share = |key, otherwise| annotation(key).map(|text| text.parse().unwrap_or(otherwise));
        // A default may be longer, and counts then.
        let read = |key, parse: fn(&str) -> Result<Duration, DurationError>| {
            annotation(key).and_then(|text| parse(text.trim()).ok())
        };
        let duration = |key| read(key, parse_go_duration);
        let limits = Self {
            max_concurrent: share(MAX_CONCURRENT, Share::Count(1)).map(|share| match share {
                Share::Count(0) => Share::Count(1),
                share => share,
            }),
            canary: share(CANARY, Share::Count(1)),
            bake_time: duration(BAKE_TIME),
            max_failures: share(MAX_FAILURES, Share::Count(0)),
            // Of zero, every rollout would count as failed when it begins.
            rollout_timeout: read(ROLLOUT_TIMEOUT, parse_positive_go_duration),
            min_interval: duration(MIN_INTERVAL),
            wave: annotation(WAVE).and_then(|text| text.trim().parse().ok()),
        };
        (limits != Self::default()).then(|| Box::new(limits))
    }

    /// Whether restarts for a source depend on how others are doing, or those of a Namespace.
    pub const fn are_shared(&self) -> bool {
        self.max_concurrent.is_some() || self.canary.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(key: &'static str, value: &str) -> Limits {
        let limits = Limits::parse(|asked| (asked == key).then_some(value));
        limits.map(|limits| *limits).unwrap_or_default()
    }

    #[rstest]
    #[case("5", Ok(Share::Count(5)))]
    #[case(" 10% ", Ok(Share::Percent(10)))]
    #[case("100%", Ok(Share::Percent(100)))]
    #[case("101%", Err(NotAShare))]
    #[case("-1", Err(NotAShare))]
    #[case("1.5", Err(NotAShare))]
    #[case("many", Err(NotAShare))]
    #[case("", Err(NotAShare))]
    #[case("%", Err(NotAShare))]
    #[case("99999999999", Err(NotAShare))]
    fn shares_are_numbers_or_percentages(#[case] text: &str, #[case] share: Result<Share, NotAShare>) {
        assert_eq!(text.parse(), share);
    }

    #[rstest]
    #[case(Share::Count(3), 500, 3)]
    #[case(Share::Percent(10), 500, 50)]
    #[case(Share::Percent(5), 19, 0)]
    #[case(Share::Percent(100), 7, 7)]
    fn percentages_are_rounded_down(#[case] share: Share, #[case] all: usize, #[case] expected: usize) {
        assert_eq!(share.of(all), expected);
    }

    #[test]
    fn what_cannot_be_read_is_the_most_careful_value() {
        assert_eq!(of(MAX_CONCURRENT, "lots").max_concurrent, Some(Share::Count(1)));
        assert_eq!(of(MAX_CONCURRENT, "0").max_concurrent, Some(Share::Count(1)));
        assert_eq!(of(CANARY, "yes").canary, Some(Share::Count(1)));
        assert_eq!(of(MAX_FAILURES, "few").max_failures, Some(Share::Count(0)));
        assert_eq!(of(BAKE_TIME, "long"), Limits::default());
        assert_eq!(of(ROLLOUT_TIMEOUT, "0s"), Limits::default());
        assert_eq!(of(WAVE, "first"), Limits::default());
    }

    #[test]
    fn what_can_be_read_is_kept() {
        assert_eq!(of(CANARY, "0").canary, Some(Share::Count(0)));
        assert_eq!(of(BAKE_TIME, "2m").bake_time, Some(Duration::from_mins(2)));
        assert_eq!(
            of(MIN_INTERVAL, "30s").min_interval,
            Some(Duration::from_secs(30))
        );
        assert_eq!(of(WAVE, "-1").wave, Some(-1));
        assert_eq!(Limits::parse(|_| None), None);
    }
}
