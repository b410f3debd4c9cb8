//! What becomes of a pause, as a table; and that no pause is without an end.

use std::{num::NonZeroU64, time::Duration};

use k8s_openapi::jiff::{Timestamp, ToSpan};
use proptest::{prelude::*, strategy::Strategy as Values};
use rstest::rstest;

use super::{CLOCK_DIFFERENCE, PauseChange, Resume, resume, resuming, with_restart};
use crate::model::{OptIn, Pause, PodTemplate, Workload, WorkloadKey, WorkloadKind};

const NOW: &str = "2026-01-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn workload(kind: WorkloadKind, pause: Option<Pause>) -> Workload {
    Workload {
        key: WorkloadKey::new(kind, "team", "web"),
        uid: "uid".into(),
        resource_version: 7,
        template_of: None,
        restart: crate::model::Restart::default(),
        replacement: crate::model::Replacement::default(),
        generation: 1,
        pods: crate::model::Pods::default(),
        rollout: crate::model::Rollout::default(),
        written_by: None,
        policy: None,
        lacks_template: false,
        created_at: None,
        opt_in: OptIn::default(),
        pause: pause.map(Box::new),
        template: PodTemplate::default(),
    }
}

fn deployment(period: Option<&str>, paused_at: Option<&str>, paused: bool) -> Workload {
    let kind = WorkloadKind::Deployment;
    workload(kind, Pause::parse(kind, period, paused_at, paused))
}

/// The time of day as paused-at.
fn at(time: &str) -> String {
    format!("2026-01-01T{time}Z")
}

#[rstest]
#[case::nothing_said(deployment(None, None, false), Resume::Never, None)]
#[case::first_change(
    deployment(Some("5m"), None, false),
    Resume::Never,
    Some(PauseChange::Begin(now()))
)]
#[case::after_a_human_resumed(
    deployment(Some("5m"), Some(&at("11:59:00")), false), Resume::Never, Some(PauseChange::Begin(now())))]
#[case::zero(deployment(Some("0s"), None, false), Resume::Never, None)]
#[case::negative(deployment(Some("-5m"), None, false), Resume::Never, None)]
#[case::bad(deployment(Some("5"), None, false), Resume::Never, None)]
#[case::empty(deployment(Some(""), None, false), Resume::Never, None)]
#[case::by_a_human(deployment(Some("5m"), None, true), Resume::Never, None)]
#[case::by_a_human_without_period(deployment(None, None, true), Resume::Never, None)]
#[case::in_the_window(
    deployment(Some("5m"), Some(&at("11:58:00")), true), Resume::At(at("12:03:00").parse().unwrap()), None)]
#[case::at_its_end(deployment(Some("5m"), Some(&at("11:55:00")), true), Resume::Now, Some(PauseChange::End))]
#[case::long_after(
    deployment(Some("5m"), Some("2020-01-01T00:00:00Z"), true),
    Resume::Now,
    Some(PauseChange::End)
)]
#[case::unreadable_time(
    deployment(Some("5m"), Some("noon"), true),
    Resume::Now,
    Some(PauseChange::End)
)]
#[case::period_taken_away(deployment(None, Some(&at("11:58:00")), true), Resume::Now, Some(PauseChange::End))]
#[case::period_broken(deployment(Some("5x"), Some(&at("11:58:00")), true), Resume::Now, Some(PauseChange::End))]
#[case::period_now_zero(deployment(Some("0"), Some(&at("11:58:00")), true), Resume::Now, Some(PauseChange::End))]
#[case::period_now_shorter(deployment(Some("1m"), Some(&at("11:58:00")), true), Resume::Now, Some(PauseChange::End))]
#[case::another_clock(
    deployment(Some("5s"), Some(&at("12:00:50")), true), Resume::At(at("12:00:55").parse().unwrap()), None)]
#[case::far_in_the_future(deployment(Some("5m"), Some(&at("12:01:01")), true), Resume::Now, Some(PauseChange::End))]
fn a_deployment(#[case] workload: Workload, #[case] resumed: Resume, #[case] with: Option<PauseChange>) {
    assert_eq!(resume(&workload, now()), resumed);
    assert_eq!(with_restart(&workload, now()), with);
}

#[rstest]
#[case(WorkloadKind::StatefulSet)]
#[case(WorkloadKind::DaemonSet)]
fn other_kinds_are_never_paused(#[case] kind: WorkloadKind) {
    let workload = workload(kind, Pause::parse(kind, Some("5m"), None, false));
    assert_eq!(with_restart(&workload, now()), None);
    assert_eq!(resume(&workload, now()), Resume::Never);
}

#[test]
fn a_pause_lasts_no_shorter_than_its_period() {
    let begun = now() + 1.millisecond();
    let change = with_restart(&deployment(Some("2s"), None, false), begun);
    assert_eq!(change, Some(PauseChange::Begin(now() + 1.second())));
}

#[test]
fn resuming_rests_on_the_version_that_was_looked_at() {
    let plan = resuming(&deployment(Some("5m"), Some(NOW), true));
    assert_eq!(plan.pause, Some(PauseChange::End));
    assert_eq!(plan.resource_version, NonZeroU64::new(7));
    assert!(plan.marks.is_empty() && plan.settled.is_empty());
}

/// Any value of the period's annotation, or none.
fn periods() -> impl Values<Value = Option<String>> {
    prop_oneof![
        Just(None),
        "[-+]?[0-9]{0,6}(\\.[0-9])?(ms|s|m|h|d)?".prop_map(Some),
        Just(Some("2562047h".to_owned())),
    ]
}

proptest! {
    /// Whatever is written on it: once paused by us, it is resumed, and at the latest a period and a minute from now.
    #[test]
    fn no_pause_is_without_an_end(
        period in periods(),
        paused_at in prop_oneof!["[0-9T:Z-]{1,20}", (-4_000_000_000_i64..4_000_000_000)
            .prop_map(|seconds| now().checked_add(seconds.seconds()).unwrap().to_string())],
    ) {
        let paused = deployment(period.as_deref(), Some(&paused_at), true);
        let longest = paused.pause.as_ref().and_then(|pause| pause.length()).unwrap_or_default();
        match resume(&paused, now()) {
            Resume::Never => prop_assert!(false, "it would stay paused"),
            Resume::Now => {}
            Resume::At(end) => {
                let wait = Duration::try_from(end.duration_since(now())).unwrap();
                prop_assert!(wait <= longest + CLOCK_DIFFERENCE);
                prop_assert_eq!(resume(&paused, end), Resume::Now);
            }
        }
    }

    /// Every pause that a restart begins has an end to come, as read back from what the restart wrote.
    #[test]
    fn the_end_of_a_pause_follows_from_its_beginning(period in periods(), millisecond in 0_i64..10_000) {
        let now = now() + millisecond.milliseconds();
        let before = deployment(period.as_deref(), None, false);
        if let Some(PauseChange::Begin(since)) = with_restart(&before, now) {
            let after = deployment(period.as_deref(), Some(&since.to_string()), true);
            prop_assert!(matches!(resume(&after, now), Resume::At(end) if end > now));
            prop_assert_eq!(with_restart(&after, now), None);
        }
    }
}
