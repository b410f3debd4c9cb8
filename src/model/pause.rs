//! What a workload's annotations say about pausing: the period, and whether Reloader has paused it.
//!
//! Input: two annotations and `spec.paused`. Output: [`Pause`]. I/O: none.
//!
//! Kubernetes does not roll out a Deployment while `spec.paused` is true. A Deployment with a pause period is paused by
//! its first change and resumed when the period is over, so that all changes in between are one rollout. Everything
//! about a pause is on the Deployment itself, so that the next leader can end it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    WorkloadKind,
    go_duration::{DurationError, parse_go_duration},
};

/// Longest part of an invalid period kept for logging, in characters.
const LONGEST_BAD_PERIOD: usize = 64;

/// A workload's settings and state of pausing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long each pause lasts; `None` without the annotation. Zero means not to pause: upstream pauses and resumes at
    /// once then, and for negative durations.
    pub period: Option<Result<Duration, BadPeriod>>,
    /// Whether it is paused, and by which client.
    pub paused: Paused,
}

/// Whether a Deployment is paused, and by which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// It is not paused. Other kinds never are.
    No,
    /// Another client paused it: there is no paused-at annotation. Reloader never resumes it.
    ByOthers,
    /// Reloader paused it.
    ByReloader {
        /// Since when; `None` where the annotation is no RFC 3339 time.
        since: Option<Timestamp>,
    },
}

/// A pause period that is not a Go duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPeriod {
    /// The annotation's value, cut after 64 characters.
    pub text: Box<str>,
    /// What is wrong with it.
    pub error: DurationError,
}

impl Pause {
    /// Parses the two annotations and `spec.paused` of a workload of that kind. `None` if there is no pause to begin or
    /// to end.
    pub fn parse(
        kind: WorkloadKind,
        period: Option<&str>,
        paused_at: Option<&str>,
        paused: bool,
    ) -> Option<Self> {
        // An empty time counts as none, as in upstream.
        let paused_at = paused_at.filter(|text| !text.is_empty());
        let paused = match paused_at {
            _ if !paused || kind != WorkloadKind::Deployment => Paused::No,
            None => Paused::ByOthers,
            Some(text) => Paused::ByReloader {
                since: text.parse().ok(),
            },
        };
        let ours = matches!(paused, Paused::ByReloader { .. });
        (period.is_some() || ours).then(|| Self {
            period: period.map(parse_period),
            paused,
        })
    }

    /// Whether Reloader paused it and so must resume it.
    pub const fn is_ours(&self) -> bool {
        matches!(self.paused, Paused::ByReloader { .. })
    }

    /// The period, if it is valid and not zero.
    pub fn length(&self) -> Option<Duration> {
        let period = self.period.as_ref()?.as_ref().ok()?;
        (!period.is_zero()).then_some(*period)
    }
}

fn parse_period(text: &str) -> Result<Duration, BadPeriod> {
    match parse_go_duration(text) {
        Err(DurationError::Negative) => Ok(Duration::ZERO),
        Err(error) => Err(BadPeriod {
            text: text.chars().take(LONGEST_BAD_PERIOD).collect(),
            error,
        }),
        Ok(period) => Ok(period),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const AT: &str = "2026-01-01T00:00:00Z";

    fn deployment(period: Option<&str>, paused_at: Option<&str>, paused: bool) -> Option<Pause> {
        Pause::parse(WorkloadKind::Deployment, period, paused_at, paused)
    }

    #[rstest]
    #[case::plain(None, None, false, None)]
    #[case::paused_by_another(None, None, true, None)]
    #[case::resumed_by_another(None, Some(AT), false, None)]
    #[case::paused_by_us(None, Some(AT), true, Some(Paused::ByReloader { since: AT.parse().ok() }))]
    #[case::no_time(None, Some("yesterday"), true, Some(Paused::ByReloader { since: None }))]
    #[case::empty_time(Some("5m"), Some(""), true, Some(Paused::ByOthers))]
    #[case::with_a_period(Some("5m"), None, false, Some(Paused::No))]
    #[case::stale_time(Some("5m"), Some(AT), false, Some(Paused::No))]
    #[case::gos_local_time(Some("5m"), Some("2026-01-01T01:00:00+01:00"), true,
        Some(Paused::ByReloader { since: AT.parse().ok() }))]
    fn who_paused_it(
        #[case] period: Option<&str>,
        #[case] paused_at: Option<&str>,
        #[case] paused: bool,
        #[case] expected: Option<Paused>,
    ) {
        let read = deployment(period, paused_at, paused);
        assert_eq!(read.map(|pause| pause.paused), expected);
    }

    #[rstest]
    #[case("5m", Some(300))]
    #[case("1h0.5s", Some(3600))]
    #[case("0", None)]
    #[case("0s", None)]
    #[case("-1m", None)]
    #[case("", None)]
    #[case("5", None)]
    #[case("1d", None)]
    fn how_long(#[case] text: &str, #[case] seconds: Option<u64>) {
        let pause = deployment(Some(text), None, false).unwrap();
        assert_eq!(pause.length().map(|length| length.as_secs()), seconds);
    }

    #[rstest]
    #[case("", DurationError::NotADuration)]
    #[case("5", DurationError::MissingUnit)]
    #[case("-1d", DurationError::UnknownUnit("d".to_owned()))]
    fn bad_periods_are_kept_for_the_report(#[case] text: &str, #[case] error: DurationError) {
        let period = deployment(Some(text), None, false).unwrap().period.unwrap();
        let text = text.into();
        assert_eq!(period, Err(BadPeriod { text, error }));
    }

    #[test]
    fn other_kinds_cannot_be_paused() {
        let read = Pause::parse(WorkloadKind::StatefulSet, Some("5m"), Some(AT), true).unwrap();
        assert_eq!(read.paused, Paused::No);
    }

    proptest! {
        /// Up to the 256 KiB that annotations may have: little is kept of what is no period.
        #[test]
        fn no_annotation_makes_it_panic_or_grow(
            text in "[-+.0-9hms\u{b5}]{0,9}|\\PC{0,9}", times in prop::sample::select(&[1_usize, 100, 20_000][..]),
        ) {
            let text = text.repeat(times);
            let pause = deployment(Some(&text), Some(&text), true).unwrap();
            let kept = format!("{pause:?}").len();
            prop_assert!(kept < 2048, "{} bytes", kept);
            prop_assert!(pause.length().is_none_or(|length| i64::try_from(length.as_nanos()).is_ok()));
        }
    }
}
