//! What the index tells about Deployments that Reloader has paused.

use super::*;
use crate::model::Pause;

/// `web` with what it says about being paused.
pub(super) fn pausing(
    period: Option<&str>,
    paused_at: Option<&str>,
    paused: bool,
    version: u64,
) -> Box<Workload> {
    let pause = Pause::parse(WorkloadKind::Deployment, period, paused_at, paused);
    Box::new(Workload {
        pause: pause.map(Box::new),
        ..workload("web", AUTO, version)
    })
}

fn seen(fixture: &Fixture, workload: Box<Workload>) -> Effect {
    let watched = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(watched, Event::WorkloadSeen(workload))
}

#[test]
fn every_change_of_a_pause_is_worth_a_look() {
    let fixture = Fixture::settled();
    let see = |workload| {
        let effect = seen(&fixture, workload);
        (effect.pauses, !effect.opted.is_empty())
    };
    let (at, web) = (Some("2026-01-01T00:00:00Z"), vec![key("web")]);
    assert_eq!(see(pausing(Some("5m"), None, false, 1)), (vec![], true));
    assert_eq!(
        see(pausing(Some("5m"), at, true, 2)),
        (web.clone(), true),
        "paused"
    );
    assert_eq!(
        see(pausing(Some("5m"), at, true, 3)),
        (vec![], false),
        "unchanged"
    );
    assert_eq!(
        see(pausing(Some("1m"), at, true, 4)),
        (web.clone(), true),
        "another period"
    );
    assert_eq!(see(pausing(None, at, true, 5)), (web.clone(), true), "no period");
    assert_eq!(
        see(pausing(None, None, true, 6)),
        (web, true),
        "somebody else's now"
    );
    assert_eq!(see(pausing(None, None, false, 7)), (vec![], false));
}

#[test]
fn who_is_paused_is_known_from_the_first_sight_on() {
    let fixture = Fixture::settled();
    let paused = pausing(Some("5m"), Some("2026-01-01T00:00:00Z"), true, 1);
    let effect = seen(&fixture, paused);
    assert_eq!(effect.pauses, [key("web")]);
    assert_eq!(fixture.index.paused(), [key("web")]);
    fixture.event(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadGone(key("web")),
    );
    assert!(fixture.index.paused().is_empty());
}
