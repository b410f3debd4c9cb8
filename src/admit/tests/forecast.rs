//! How a change that has not happened would reach its workloads.

use super::*;
use crate::{
    admit::forecast::{Actor, Concerned, Forecast, Play, Round, Scene},
    model::limits::Share,
};

const CANARY: (&str, &str) = ("reloader.stakater.com/canary", "1");
const FIVE: (&str, &str) = ("reloader.stakater.com/max-concurrent-rollouts", "5");
const NIGHT: &str = r#"[{"schedule": "0 22 * * *", "duration": "4h"}]"#;

fn rollout(state: RolloutState) -> Rollout {
    Rollout {
        state,
        is_healthy: state == RolloutState::Steady,
        has_pods: true,
        ..Rollout::default()
    }
}

fn web(number: usize, annotations: &[(&str, &str)]) -> Workload {
    let mut web = workload(annotations);
    web.key.name = format!("web-{number:03}").into();
    web.rollout = rollout(RolloutState::Steady);
    web
}

fn webs(count: usize) -> Vec<Workload> {
    (0..count).map(|number| web(number, &[])).collect()
}

/// What a change of the Secret `token` meets.
#[derive(Default)]
struct World {
    token: Option<Box<Policy>>,
    namespace: Option<Box<Policy>>,
    flags: Flags,
    budgets: [Budget; 2],
}

impl World {
    fn token(annotations: &[(&str, &str)]) -> Self {
        Self {
            token: policy(annotations),
            ..Self::default()
        }
    }

    fn play(&self, workloads: &[Workload]) -> Forecast {
        let name: Arc<str> = "token".into();
        let texts = Texts::default();
        let scene = Scene {
            sources: vec![Concerned {
                reference: SourceRef::new(SourceKind::Secret, "token"),
                changed: ChangedSource {
                    kind: SourceKind::Secret,
                    name: &name,
                    policy: self.token.as_deref(),
                    changed_at: None,
                },
            }],
            actors: workloads
                .iter()
                .map(|workload| Actor::of_object(workload, at(NOW).into()))
                .collect(),
            restarting: workloads.len(),
            namespace: self.namespace.as_deref(),
            texts: &texts,
            flags: &self.flags,
            in_namespace: self.budgets[0],
            in_all: self.budgets[1],
        };
        let mut play = Play::new(scene, at(NOW));
        while play.advance(1000) {}
        play.finish()
    }
}

fn sizes(forecast: &Forecast) -> Vec<usize> {
    forecast.rounds.iter().map(|round| round.restarts).collect()
}

/// The words for what each waits for at first.
fn words(forecast: &Forecast) -> Vec<&'static str> {
    let first = forecast.first.iter();
    first
        .map(|wait| wait.as_ref().map_or("now", |wait| wait.reason.as_str()))
        .collect()
}

#[test]
fn without_limits_all_restart_at_once() {
    let forecast = World::default().play(&webs(3));
    assert_eq!((words(&forecast), sizes(&forecast)), (vec!["now"; 3], vec![3]));
}

#[rstest]
#[case::canary(&[CANARY], vec![1, 1, 2, 4, 8, 4])]
#[case::limit(&[FIVE], vec![5, 5, 5, 5])]
#[case::both(&[CANARY, FIVE], vec![1, 1, 2, 4, 5, 5, 2])]
fn twenty_workloads_follow_each_other(#[case] annotations: &[(&str, &str)], #[case] expected: Vec<usize>) {
    let forecast = World::token(annotations).play(&webs(20));
    assert_eq!(sizes(&forecast), expected);
    assert!(forecast.stay.is_empty() && !forecast.is_cut);
}

/// The rounds of `growth`, which asks by itself.
#[test]
fn five_hundred_take_as_many_rounds_as_when_they_are_asked_one_by_one() {
    assert_eq!(World::token(&[CANARY]).play(&webs(500)).rounds.len(), 10);
    let tenth = ("reloader.stakater.com/max-concurrent-rollouts", "10%");
    assert_eq!(World::token(&[CANARY, tenth]).play(&webs(500)).rounds.len(), 16);
}

#[test]
fn the_first_says_what_the_others_wait_for() {
    let forecast = World::token(&[CANARY]).play(&webs(3));
    assert_eq!(words(&forecast), ["now", "canary", "canary"]);
    let reason = forecast.first[2].as_ref().unwrap().reason.to_string();
    assert!(
        reason.contains("1 of 1 in progress (Deployment web-000), 0 healthy, 0 of 3 have it"),
        "{reason}"
    );
    let forecast = World::token(&[FIVE]).play(&webs(6));
    assert_eq!(words(&forecast)[4..], ["now", "budget"]);
}

#[test]
fn waves_follow_each_other() {
    let wave = |number, wave| web(number, &[("reloader.stakater.com/rollout-wave", wave)]);
    let workloads = [wave(0, "1"), wave(1, "0"), wave(2, "-1"), wave(3, "-1")];
    let forecast = World::default().play(&workloads);
    assert_eq!(words(&forecast), ["wave", "wave", "now", "now"]);
    assert_eq!(sizes(&forecast), [2, 1, 1]);
}

#[test]
fn a_suspended_workload_of_a_lower_wave_is_not_waited_for() {
    let lower = web(
        0,
        &[("reloader.stakater.com/rollout-wave", "-1"), (SUSPEND, "true")],
    );
    let forecast = World::default().play(&[lower, web(1, &[])]);
    assert_eq!(words(&forecast), ["suspended", "now"]);
    assert_eq!(
        (sizes(&forecast), forecast.stay),
        (vec![1], [("suspended", 1)].into())
    );
}

#[test]
fn what_waits_for_a_time_follows_when_it_has_come() {
    let mut workloads = webs(3);
    for number in 3..5 {
        workloads.push(web(number, &[(RESTART_WINDOW, NIGHT)]));
    }
    workloads.push(web(5, &[(RESTART_WINDOW, "manual")]));
    let forecast = World::token(&[CANARY]).play(&workloads);
    assert_eq!(
        words(&forecast),
        ["now", "canary", "canary", "window", "window", "window"]
    );
    let round = |restarts, from: Option<&str>| Round {
        from: from.map(at),
        restarts,
    };
    assert_eq!(
        forecast.rounds,
        [
            round(1, None),
            round(1, None),
            round(1, None),
            round(2, Some("2026-01-01T22:00:00Z"))
        ]
    );
    assert_eq!(forecast.stay, [("window", 1)].into());
}

#[test]
fn a_release_is_of_what_has_changed_and_not_of_what_will() {
    let forecast = World::token(&[(SUSPEND, "true"), (REQUESTED_AT, NOW)]).play(&webs(1));
    assert_eq!(words(&forecast), ["suspended"]);
    let released = web(0, &[(RESTART_WINDOW, "manual"), (REQUESTED_AT, NOW)]);
    assert_eq!(words(&World::default().play(&[released])), ["window"]);
}

#[test]
fn a_short_while_after_a_restart_it_rests() {
    let mut rested = web(0, &[("reloader.stakater.com/min-restart-interval", "90s")]);
    rested.template.written_at = Some(at(CHANGED).into());
    let forecast = World::default().play(&[rested]);
    assert_eq!(words(&forecast), ["interval"]);
    assert_eq!(forecast.rounds[0].from, Some(at("2026-01-01T12:01:30Z")));
}

/// What rolls already takes the change along, and what is in progress elsewhere takes places first.
#[test]
fn what_is_in_progress_counts() {
    let mut workloads = webs(3);
    workloads[2].rollout = rollout(RolloutState::Rolling);
    let world = World {
        budgets: [
            Budget {
                in_flight: 1,
                limit: Some(2),
            },
            Budget {
                in_flight: 4,
                limit: Some(5),
            },
        ],
        ..World::default()
    };
    let limited = World {
        flags: Flags {
            per_namespace: Some(2),
            in_all: Some(5),
            ..Flags::default()
        },
        ..world
    };
    let forecast = limited.play(&workloads);
    assert_eq!(words(&forecast), ["now", "budget", "now"]);
    assert_eq!(sizes(&forecast), [2, 1]);
}

/// Those that can show nothing follow, where one can.
#[test]
fn a_workload_without_pods_is_no_canary() {
    let mut workloads = webs(2);
    workloads[0].rollout.has_pods = false;
    let forecast = World::token(&[CANARY]).play(&workloads);
    assert_eq!(words(&forecast), ["canary", "now"]);
    assert_eq!(sizes(&forecast), [1, 1]);
}

#[test]
fn limits_of_the_namespace_and_of_flags_count() {
    let world = World {
        namespace: policy(&[CANARY]),
        ..World::default()
    };
    assert_eq!(sizes(&world.play(&webs(4))), [1, 1, 2]);
    let limits = Limits {
        max_concurrent: Some(Share::Count(2)),
        ..Limits::default()
    };
    let world = World {
        flags: Flags {
            limits,
            ..Flags::default()
        },
        ..World::default()
    };
    assert_eq!(sizes(&world.play(&webs(4))), [2, 2]);
}

/// Another source has halted: who owes for it as well waits, and the others go on.
#[test]
fn a_halt_of_another_source_holds_those_back_that_owe_for_it() {
    let (token, other): (Arc<str>, Arc<str>) = ("token".into(), "other".into());
    let limits = policy(&[CANARY]);
    let mut workloads = webs(3);
    workloads[2].rollout = rollout(RolloutState::Failed);
    let changed = |name, policy| ChangedSource {
        kind: SourceKind::Secret,
        name,
        policy,
        changed_at: None,
    };
    let actor = |number: usize, concerned_by: &[usize], owes: &[usize]| Actor {
        concerned_by: concerned_by.to_vec(),
        owes: owes.to_vec(),
        ..Actor::of_object(&workloads[number], at(NOW).into())
    };
    let (texts, flags) = (Texts::default(), Flags::default());
    let scene = Scene {
        sources: vec![
            Concerned {
                reference: SourceRef::new(SourceKind::Secret, "token"),
                changed: changed(&token, None),
            },
            Concerned {
                reference: SourceRef::new(SourceKind::Secret, "other"),
                changed: changed(&other, limits.as_deref()),
            },
        ],
        // The last one has failed with the other's content.
        actors: vec![
            actor(0, &[0, 1], &[0, 1]),
            actor(1, &[0], &[0]),
            actor(2, &[1], &[]),
        ],
        restarting: 2,
        namespace: None,
        texts: &texts,
        flags: &flags,
        in_namespace: Budget::default(),
        in_all: Budget::default(),
    };
    let mut play = Play::new(scene, at(NOW));
    while play.advance(1) {}
    let forecast = play.finish();
    assert_eq!(words(&forecast), ["halted", "now"]);
    assert_eq!(
        (sizes(&forecast), forecast.stay),
        (vec![1], [("halted", 1)].into())
    );
}
