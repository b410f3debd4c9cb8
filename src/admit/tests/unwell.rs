//! Workloads that are not well when they owe a restart.

use super::*;
use crate::admit::census::Tally;

const TIMEOUT: Duration = Duration::from_mins(10);

fn rollout(state: RolloutState, is_healthy: bool) -> Rollout {
    Rollout {
        state,
        is_healthy,
        has_pods: true,
        ..Rollout::default()
    }
}

pub(super) fn seat(key: &WorkloadKey, state: RolloutState, is_healthy: bool) -> Seat<'_> {
    Seat {
        key,
        owes: false,
        state,
        is_healthy,
        has_pods: true,
        healthy_since: is_healthy.then_some(UnixSeconds(0)),
        moved_at: Some(UnixSeconds(0)),
        wave: 0,
        is_reserved: false,
        was_sick: false,
        is_stuck: false,
    }
}

pub(super) fn key(name: &str) -> WorkloadKey {
    WorkloadKey::new(WorkloadKind::Deployment, "shop", name)
}

pub(super) fn rules(annotations: &[(&str, &str)]) -> Rules {
    let policy = policy(annotations).unwrap();
    Rules::of(policy.limits.as_deref(), None, &Limits::default())
}

/// The word for what a workload waits for that has been like this for so long; `now` if it need not.
pub(super) fn asked(
    rollout: Rollout,
    unmoved_for: Duration,
    rules: Rules,
    tally: &Tally,
    is_reserved: bool,
) -> &'static str {
    let workload = Workload {
        rollout,
        ..workload(&[])
    };
    let source = SourceRef::new(SourceKind::Secret, "token");
    let groups = [Group {
        source: &source,
        rules,
        tally,
        is_owed: true,
        is_released: false,
    }];
    let candidate = Candidate {
        unmoved_for,
        ..candidate(&workload)
    };
    let others = Others {
        groups: &groups,
        is_reserved,
        rollout_timeout: TIMEOUT,
        ..Others::default()
    };
    among(candidate, &others)
        .wait()
        .map_or("now", |wait| wait.reason.as_str())
}

/// A halt holds while nodes are drained: otherwise the bad content would reach one workload after the other.
#[rstest]
#[case::healthy(RolloutState::Steady, true, 3600, "halted")]
#[case::a_pod_is_missing(RolloutState::Steady, false, 60, "halted")]
#[case::pods_are_missing_for_long(RolloutState::Steady, false, 600, "now")]
#[case::failed(RolloutState::Failed, false, 1, "now")]
fn a_pod_that_is_missing_for_a_moment_passes_no_halt(
    #[case] state: RolloutState,
    #[case] is_healthy: bool,
    #[case] seconds: u64,
    #[case] expected: &str,
) {
    let failed = key("failed");
    let rules = rules(&[("reloader.stakater.com/canary", "1")]);
    let tally = Tally::of(
        [seat(&failed, RolloutState::Failed, false)],
        &rules,
        UnixSeconds(0),
    );
    let unmoved_for = Duration::from_secs(seconds);
    let found = asked(rollout(state, is_healthy), unmoved_for, rules, &tally, false);
    assert_eq!(found, expected);
}

/// What has stalled holds no place, and so brings none along.
#[rstest]
#[case::rolls(599, "now")]
#[case::has_stalled(600, "budget")]
fn a_rollout_that_has_stalled_needs_a_place(#[case] seconds: u64, #[case] expected: &str) {
    let rolling = key("rolling");
    let rules = rules(&[("reloader.stakater.com/max-concurrent-rollouts", "1")]);
    let seats = [seat(&rolling, RolloutState::Rolling, false)];
    let tally = Tally::of(seats, &rules, UnixSeconds(0));
    let unmoved_for = Duration::from_secs(seconds);
    let found = asked(
        rollout(RolloutState::Rolling, false),
        unmoved_for,
        rules,
        &tally,
        false,
    );
    assert_eq!(found, expected);
}

#[rstest]
fn the_place_that_it_has_is_its_own(
    #[values(RolloutState::Steady, RolloutState::Unobserved, RolloutState::Rolling)] state: RolloutState,
    #[values(0, 600)] seconds: u64,
) {
    let own = key("web");
    let rules = rules(&[("reloader.stakater.com/max-concurrent-rollouts", "1")]);
    let seats = [Seat {
        owes: true,
        is_reserved: true,
        ..seat(&own, state, false)
    }];
    let tally = Tally::of(seats, &rules, UnixSeconds(0));
    assert_eq!(tally.in_flight, 1);
    let unmoved_for = Duration::from_secs(seconds);
    assert_eq!(
        asked(rollout(state, false), unmoved_for, rules, &tally, true),
        "now"
    );
}

/// The next one begins when the canary has been healthy for the bake time, and not when its rollout has ended.
#[rstest]
#[case::bakes(true, 119, "canary")]
#[case::is_proved(true, 120, "now")]
#[case::lacks_pods_after_its_rollout(false, 599, "canary")]
#[case::lacks_them_for_long(false, 600, "halted")]
fn a_canary_is_on_trial_until_it_is_proved(
    #[case] is_healthy: bool,
    #[case] seconds: i64,
    #[case] expected: &str,
) {
    let (canary, other) = (key("canary"), key("web"));
    let rules = rules(&[
        ("reloader.stakater.com/canary", "1"),
        ("reloader.stakater.com/bake-time", "2m"),
    ]);
    let seats = [
        seat(&canary, RolloutState::Steady, is_healthy),
        Seat {
            owes: true,
            ..seat(&other, RolloutState::Steady, true)
        },
    ];
    let tally = Tally::of(seats, &rules, UnixSeconds(seconds));
    let well = rollout(RolloutState::Steady, true);
    assert_eq!(
        asked(well, Duration::from_hours(1), rules, &tally, false),
        expected
    );
}

/// Suspended, with a pod that does not get ready: nothing of the source ends that.
#[test]
fn a_wave_does_not_wait_for_what_is_stuck_and_lacks_pods() {
    let stuck = key("stuck");
    let rules = rules(&[("reloader.stakater.com/canary", "1")]);
    let seat = Seat {
        owes: true,
        is_stuck: true,
        ..seat(&stuck, RolloutState::Steady, false)
    };
    let tally = Tally::of([seat], &rules, UnixSeconds(0));
    assert_eq!(tally.lowest_unfinished, None);
    assert_eq!(tally.lowest_hopeful, None);
    let tally = Tally::of([Seat { owes: false, ..seat }], &rules, UnixSeconds(0));
    assert_eq!(tally.lowest_unfinished, Some(0), "a restarted one is waited for");
}

#[test]
fn a_halt_of_another_source_is_another_reason() {
    let halted = |name| {
        Reason::Halted(Halt {
            source: SourceRef::new(SourceKind::Secret, name),
            failed: 1,
            allowed: 0,
            names: Vec::new(),
            served: 1,
            concerned: 5,
        })
    };
    assert!(halted("token").differs(&halted("other")));
    assert!(!halted("token").differs(&halted("token")));
}
