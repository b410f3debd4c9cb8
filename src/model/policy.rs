//! What the annotations of a workload, a source or a Namespace say about when restarts may happen.
//!
//! Input: annotations. Output: [`Policy`]. I/O: none.
//!
//! No flag renames these annotations. Only what is written is kept here. What follows from it for one restart, at one time, is decided by `admit`.

use jiff::Timestamp;

use super::{go_values::parse_go_bool, limits::Limits};

/// On a workload, a source or a Namespace, a Go boolean: no restart while it is true.
pub const SUSPEND: &str = "reloader.stakater.com/suspend";

/// On a workload or a Namespace: when restarts may begin.
pub const RESTART_WINDOW: &str = "reloader.stakater.com/restart-window";

/// On a workload or a source, an RFC 3339 time: what changed until then need not wait for a window.
pub const REQUESTED_AT: &str = "reloader.stakater.com/requested-at";

/// The longest text of [`RESTART_WINDOW`], in bytes: sixteen windows with a description take a quarter of it. A longer one is
/// invalid.
pub const LONGEST_WINDOW: usize = 16 * 1024;

/// What one object's annotations say about when restarts may happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// [`SUSPEND`] is set, and says anything but false: who writes `yes` does not want restarts.
    pub suspended: bool,
    /// The text of [`RESTART_WINDOW`], of a longer one as much as shows that it is too long.
    pub window: Option<Box<str>>,
    /// [`REQUESTED_AT`]; `None` also for what is no RFC 3339 time.
    pub requested_at: Option<Timestamp>,
    /// How many restarts may be under way; `None` on most objects.
    pub limits: Option<Box<Limits>>,
}

impl Policy {
    /// Reads the annotations, given as a look-up by key; `None`: they say nothing, as on most objects.
    pub fn parse<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Box<Self>> {
        let suspended = annotation(SUSPEND).is_some_and(|text| parse_go_bool(text) != Some(false));
        let policy = Self {
            suspended,
            window: annotation(RESTART_WINDOW).map(|text| {
                let kept = text.ceil_char_boundary(LONGEST_WINDOW + 1);
                text[..kept].into()
            }),
            requested_at: annotation(REQUESTED_AT).and_then(|text| text.trim().parse().ok()),
            limits: Limits::parse(&annotation),
        };
        (policy != Self::default()).then(|| Box::new(policy))
    }

    /// How many restarts may be under way, by an object that may say nothing.
    pub fn limits_of(policy: Option<&Self>) -> Option<&Limits> {
        policy?.limits.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(key: &'static str, value: &str) -> Option<Policy> {
        Policy::parse(|asked| (asked == key).then_some(value)).map(|policy| *policy)
    }

    #[rstest]
    #[case("true", true)]
    #[case("1", true)]
    #[case("false", false)]
    #[case("F", false)]
    #[case("yes", true)]
    #[case("", true)]
    fn what_is_no_boolean_suspends(#[case] text: &str, #[case] suspended: bool) {
        let policy = of(SUSPEND, text);
        assert_eq!(policy.is_some_and(|policy| policy.suspended), suspended);
    }

    #[rstest]
    #[case("2026-11-29T10:00:00Z", Some(1_795_946_400))]
    #[case("2026-11-29T11:00:00+01:00", Some(1_795_946_400))]
    #[case("2026-11-29", None)]
    #[case("now", None)]
    #[case("", None)]
    fn a_time_is_asked_for_in_full(#[case] text: &str, #[case] seconds: Option<i64>) {
        let at = of(REQUESTED_AT, text).and_then(|policy| policy.requested_at);
        assert_eq!(at.map(Timestamp::as_second), seconds);
    }

    #[test]
    fn little_is_kept_of_a_long_text() {
        let long = "\u{e9}".repeat(100_000);
        let window = of(RESTART_WINDOW, &long).unwrap().window.unwrap();
        assert!(window.len() > LONGEST_WINDOW, "too long stays too long");
        assert!(window.len() < LONGEST_WINDOW + 8);
    }

    #[test]
    fn other_annotations_say_nothing() {
        assert_eq!(of("reloader.stakater.com/auto", "true"), None);
        assert_eq!(Policy::parse(|_| None), None);
    }
}
