//! What limits make of a change, in words.

use super::*;
use crate::model::{Policy, RolloutState};

const CANARY: (&str, &str) = ("reloader.stakater.com/canary", "1");
const FIVE: (&str, &str) = ("reloader.stakater.com/max-concurrent-rollouts", "5");

/// Deployments whose pods are well.
fn webs(count: usize, annotations: &Value) -> Vec<Workload> {
    let webs = (0..count).map(|number| {
        let mut object = object(annotations, &json!({}));
        object["metadata"]["name"] = format!("web-{number:03}").into();
        let mut web = read(WorkloadKind::Deployment, &object);
        web.rollout.state = RolloutState::Steady;
        (web.rollout.is_healthy, web.rollout.has_pods) = (true, true);
        web
    });
    webs.collect()
}

fn simulated(of_source: &[(&str, &str)], workloads: &[Workload]) -> Simulation {
    let annotation = |key: &str| {
        let of_key = of_source.iter().find(|(other, _)| *other == key);
        of_key.map(|(_, value)| *value)
    };
    let facts = SourceFacts {
        policy: Policy::parse(annotation),
        ..present(config_map("app"), digest(1))
    };
    let now = at("2026-01-01T12:00:00Z");
    simulate("shop", &facts, workloads, &flags(false), &Scope::default(), now)
}

#[rstest]
#[case::nothing(
    &[], 3,
    "All are due at the same time and written as fast as requests go; the order among them is not fixed"
)]
#[case::canary_and_limit(
    &[CANARY, FIVE], 500,
    "1 of 500 restart at once, the others wait at first: 499 canary. 1 first (canary), then as many as are proved, at most 5 at \
     a time: 2 times 1, 2, 4, 98 times 5, 2; 103 rollouts one after the other. More than 0 that fail halt the others. Which \
     ones are first is not fixed"
)]
#[case::bake_time(
    &[CANARY, ("reloader.stakater.com/bake-time", "2m")], 2,
    "1 of 2 restart at once, the others wait at first: 1 canary. 1 first (canary), then as many as are proved (healthy for \
     2m0s): 2 times 1; 2 rollouts one after the other. More than 0 that fail halt the others. Which ones are first is not fixed"
)]
#[case::limit(
    &[FIVE], 7,
    "5 of 7 restart at once, the others wait at first: 2 budget. At most 5 at a time: 5, 2; 2 rollouts one after the other. More \
     than 0 that fail halt the others. Which ones are first is not fixed"
)]
#[case::suspended(
    &[("reloader.stakater.com/suspend", "true")], 2,
    "0 of 2 restart at once, the others wait at first: 2 suspended. These restarts and times do not reach: 2 suspended"
)]
fn the_order_says_how_it_grows(
    #[case] of_source: &[(&str, &str)],
    #[case] count: usize,
    #[case] expected: &str,
) {
    let simulation = simulated(of_source, &webs(count, &json!({ AUTO: "true" })));
    assert_eq!(simulation.order, expected);
}

#[test]
fn waves_and_windows_are_told_of_each_workload() {
    let wave = json!({ AUTO: "true", "reloader.stakater.com/rollout-wave": "-1" });
    let night = r#"[{"schedule": "0 22 * * *", "duration": "4h"}]"#;
    let window = json!({ AUTO: "true", "reloader.stakater.com/restart-window": night });
    let mut workloads = webs(3, &wave);
    workloads[1] = webs(2, &json!({ AUTO: "true" })).remove(1);
    workloads[2] = webs(3, &window).remove(2);
    let simulation = simulated(&[], &workloads);
    let rows: Vec<_> = simulation
        .restarts
        .iter()
        .map(|row| {
            let deferred = row.deferred.as_ref();
            (row.wave, deferred.map(|deferred| &*deferred.reason))
        })
        .collect();
    assert_eq!(rows, [(-1, None), (0, Some("wave")), (0, Some("window"))]);
    let opens = Some(at("2026-01-01T22:00:00Z"));
    assert_eq!(simulation.restarts[2].deferred.as_ref().unwrap().until, opens);
    let plan = simulation.plan.unwrap();
    assert_eq!(plan.rollouts.last().unwrap().from, opens);
    assert_eq!((plan.at_once, plan.waves.len()), (1, 2));
    assert!(
        simulation.order.contains(
            "Restarts that follow each other: 2 times 1, from 2026-01-01T22:00:00Z 1; 3 rollouts one after the other. Waves, the \
             lower first: -1 (workloads: 1), 0 (workloads: 2)"
        ),
        "{}",
        simulation.order
    );
}

/// Without a replica the answer says what it leaves out.
#[test]
fn objects_alone_do_not_tell_everything() {
    let webs = webs(1, &json!({ AUTO: "true" }));
    let unknown = |facts: &SourceFacts| {
        let now = at("2026-01-01T00:00:00Z");
        let simulation = simulate("shop", facts, &webs, &flags(false), &Scope::default(), now);
        simulation.plan.unwrap().unknown
    };
    let known = unknown(&present(config_map("app"), digest(1)));
    assert!(known.iter().any(|what| what.contains("flags")), "{known:?}");
    let forbidden = SourceFacts {
        ignored: Some(false),
        ..SourceFacts::unknown(config_map("app"))
    };
    assert_eq!(unknown(&forbidden).len(), known.len() + 1);
}
