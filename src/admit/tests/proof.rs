//! Who may be the canary of a content.

use super::{
    unwell::{asked, key, rules, seat},
    *,
};
use crate::admit::census::Tally;

/// What such a workload waits for, where one other member has this seat, or there is none.
fn beside(silent: Rollout, other: Option<Seat<'_>>) -> &'static str {
    let own = key("a-silent");
    let rules = rules(&[
        ("reloader.stakater.com/canary", "1"),
        ("reloader.stakater.com/bake-time", "2m"),
    ]);
    let seat_of_own = Seat {
        owes: true,
        has_pods: silent.has_pods,
        ..seat(&own, silent.state, silent.is_healthy)
    };
    let tally = Tally::of(std::iter::once(seat_of_own).chain(other), &rules, UnixSeconds(0));
    asked(silent, Duration::ZERO, rules, &tally, false)
}

/// Statement 18: workloads that show nothing are never the canary while another may be proved; alone they go.
#[rstest]
#[case::no_replicas(RolloutState::Steady, false)]
#[case::on_delete_or_paused(RolloutState::Held, true)]
#[case::opaque(RolloutState::Opaque, true)]
#[case::cron_job_or_job(RolloutState::Never, false)]
fn what_shows_nothing_is_no_canary(#[case] state: RolloutState, #[case] has_pods: bool) {
    let silent = Rollout {
        state,
        is_healthy: true,
        has_pods,
        ..Rollout::default()
    };
    let web = key("web");
    let well = seat(&web, RolloutState::Steady, true);
    let owing = Seat { owes: true, ..well };
    assert_eq!(beside(silent, Some(owing)), "canary", "the other may be proved");
    let admitted = Seat {
        is_reserved: true,
        ..owing
    };
    assert_eq!(beside(silent, Some(admitted)), "canary", "the other tries");
    let rolling = Seat {
        state: RolloutState::Rolling,
        is_healthy: false,
        ..well
    };
    assert_eq!(beside(silent, Some(rolling)), "canary", "the other rolls");
    assert_eq!(beside(silent, Some(well)), "canary", "the other bakes");

    assert_eq!(beside(silent, None), "now", "it is alone");
    let stuck = Seat {
        is_stuck: true,
        ..owing
    };
    assert_eq!(beside(silent, Some(stuck)), "now", "the other is suspended");
    let later = Seat { wave: 1, ..owing };
    assert_eq!(beside(silent, Some(later)), "now", "the other comes after it");
    let proved = Seat {
        healthy_since: Some(UnixSeconds(-120)),
        ..well
    };
    assert_eq!(beside(silent, Some(proved)), "now", "the other is proved");
    let silent_too = Seat {
        owes: true,
        has_pods,
        moved_at: Some(UnixSeconds(-3600)),
        ..seat(&web, state, true)
    };
    assert_eq!(
        beside(silent, Some(silent_too)),
        "now",
        "the other shows nothing either"
    );
}

/// One of a lower wave than the workload that is asked, and what that waits for.
fn behind(lower: Seat<'_>) -> &'static str {
    let own = key("web");
    let rules = rules(&[("reloader.stakater.com/max-concurrent-rollouts", "5")]);
    let owing = Seat {
        owes: true,
        ..seat(&own, RolloutState::Steady, true)
    };
    let tally = Tally::of([Seat { wave: -1, ..lower }, owing], &rules, UnixSeconds(0));
    let well = Rollout {
        is_healthy: true,
        has_pods: true,
        ..Rollout::default()
    };
    asked(well, Duration::ZERO, rules, &tally, false)
}

/// Statements 19, 20 and 21: a wave begins when the lower one is healthy, and waits for none that cannot go.
#[test]
fn a_wave_waits_for_those_before_it_that_can_go() {
    let first = key("first");
    let well = seat(&first, RolloutState::Steady, true);
    let owing = Seat { owes: true, ..well };
    assert_eq!(behind(owing), "wave", "its window may be closed");
    let rolling = Seat {
        state: RolloutState::Rolling,
        ..well
    };
    assert_eq!(behind(rolling), "wave");
    let unhealthy = Seat {
        is_healthy: false,
        healthy_since: None,
        moved_at: Some(UnixSeconds(-60)),
        ..well
    };
    assert_eq!(behind(unhealthy), "wave");
    assert_eq!(behind(well), "now");
    let suspended_or_refused = Seat {
        is_stuck: true,
        ..owing
    };
    assert_eq!(behind(suspended_or_refused), "now");
}

/// Statements 22 and 23: of two sources that are owed, each has its say, and a third has none.
#[test]
fn only_what_is_owed_halts_and_no_two_canaries_wait_for_each_other() {
    let (a, b) = (key("a"), key("b"));
    let limits = rules(&[("reloader.stakater.com/canary", "1")]);
    let workload = well();
    let sources = ["one", "two"].map(|name| SourceRef::new(SourceKind::Secret, name));
    let asked = |tallies: [&Tally; 2], owed: [bool; 2]| {
        let groups: Vec<_> = (0..2)
            .map(|number| Group {
                source: &sources[number],
                rules: limits,
                tally: tallies[number],
                is_owed: owed[number],
                is_released: false,
            })
            .collect();
        let candidate = candidate(&workload);
        let others = Others {
            groups: &groups,
            ..Others::default()
        };
        let wait = among(candidate, &others).wait();
        wait.map_or("now", |wait| wait.reason.as_str())
    };
    let owing = |key| Seat {
        owes: true,
        ..seat(key, RolloutState::Steady, true)
    };
    let tally = |seats: [Seat<'_>; 2]| Tally::of(seats, &limits, UnixSeconds(0));

    let both_owe = tally([owing(&a), owing(&b)]);
    assert_eq!(
        asked([&both_owe, &both_owe], [true, true]),
        "now",
        "either goes first"
    );
    let first_goes = tally([
        Seat {
            is_reserved: true,
            ..owing(&a)
        },
        owing(&b),
    ]);
    assert_eq!(asked([&first_goes, &first_goes], [true, true]), "canary");
    let first_is_well = tally([seat(&a, RolloutState::Steady, true), owing(&b)]);
    assert_eq!(asked([&first_is_well, &first_is_well], [true, true]), "now");

    let halted = tally([seat(&a, RolloutState::Failed, false), owing(&b)]);
    assert_eq!(asked([&both_owe, &halted], [true, true]), "halted");
    assert_eq!(asked([&both_owe, &halted], [true, false]), "now");
}
