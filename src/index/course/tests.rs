use super::*;
use crate::{
    index::tests::{AUTO, workload},
    model::{Fingerprint, Rollout},
};

fn web(state: RolloutState, is_healthy: bool, completed_at: Option<i64>) -> Workload {
    Workload {
        rollout: Rollout {
            state,
            is_healthy,
            has_pods: true,
            completed_at: completed_at.map(UnixSeconds),
            progress: 0,
        },
        ..workload("web", AUTO, 1)
    }
}

/// The course of a workload that is seen at these times.
fn after(seen: &[(i64, Workload)]) -> (i64, Option<i64>) {
    let ((at, first), rest) = seen.split_first().unwrap();
    let mut course = Course::new(first, UnixSeconds(*at));
    let mut before = first;
    for (at, now) in rest {
        course = course.next(before, now, UnixSeconds(*at));
        before = now;
    }
    let UnixSeconds(progressed_at) = course.progressed_at;
    let since = course.healthy_since.map(|UnixSeconds(since)| since);
    (progressed_at, since)
}

fn steady(completed_at: Option<i64>) -> Workload {
    web(RolloutState::Steady, true, completed_at)
}

fn unhealthy(completed_at: Option<i64>) -> Workload {
    web(RolloutState::Steady, false, completed_at)
}

fn rolling() -> Workload {
    web(RolloutState::Rolling, true, None)
}

#[test]
fn what_the_status_says_counts_until_it_is_contradicted() {
    assert_eq!(after(&[(100, steady(Some(50)))]), (100, Some(50)));
    assert_eq!(after(&[(100, steady(None))]), (100, Some(100)), "first seen so");
    let again = [
        (100, steady(Some(50))),
        (110, unhealthy(Some(50))),
        (120, steady(Some(50))),
    ];
    assert_eq!(after(&again[..2]).1, None);
    assert_eq!(after(&again).1, Some(120), "unhealthy in between");
    assert_eq!(after(&[(100, steady(None)), (110, steady(None))]).1, Some(100));
}

#[test]
fn a_rollout_begins_it_anew() {
    let rolled = [
        (100, steady(Some(50))),
        (110, rolling()),
        (130, steady(Some(125))),
    ];
    assert_eq!(after(&rolled[..2]), (110, None));
    assert_eq!(after(&rolled), (130, Some(125)));
    assert_eq!(
        after(&[(100, steady(Some(50))), (130, steady(Some(125)))]).1,
        Some(125),
        "unseen"
    );
    let stateful = [(100, steady(None)), (110, rolling()), (130, steady(None))];
    assert_eq!(after(&stateful).1, Some(130));
}

#[test]
fn another_template_or_object_is_not_proven_by_the_one_before() {
    let mut other = steady(None);
    other.template.fingerprint = Fingerprint::new(2);
    let mut first = steady(None);
    first.template.fingerprint = Fingerprint::new(1);
    assert_eq!(after(&[(100, first.clone()), (130, other)]).1, Some(130));
    let recreated = Workload {
        uid: "other".into(),
        ..first.clone()
    };
    assert_eq!(after(&[(100, first), (130, recreated)]), (130, Some(130)));
}

#[test]
fn only_a_steady_workload_is_healthy() {
    for state in [
        RolloutState::Unobserved,
        RolloutState::Rolling,
        RolloutState::Failed,
        RolloutState::Paused,
        RolloutState::Held,
        RolloutState::Opaque,
        RolloutState::Never,
    ] {
        assert_eq!(after(&[(100, web(state, true, Some(50)))]).1, None, "{state:?}");
    }
}

#[test]
fn progress_is_a_change_of_state_or_of_what_the_status_says() {
    let mut further = rolling();
    further.rollout.progress = 1;
    let seen = [
        (100, rolling()),
        (110, rolling()),
        (120, further.clone()),
        (130, further),
    ];
    assert_eq!(after(&seen[..2]).0, 100);
    assert_eq!(after(&seen[..3]).0, 120);
    assert_eq!(after(&seen).0, 120);
    let failed = [(100, rolling()), (110, web(RolloutState::Failed, true, None))];
    assert_eq!(after(&failed).0, 110);
}
