//! Changes between contents whose digests print alike.

use super::*;

fn holding(pairs: &[(&str, &str)]) -> Source {
    Source {
        digest: Digest::of_config_map(pairs.iter().copied(), []),
        ..source("app", 1)
    }
}

fn one() -> Source {
    holding(&[("a", "1;b=2")])
}

fn two() -> Source {
    holding(&[("a", "1"), ("b", "2")])
}

impl Fixture {
    fn holds(&mut self, source: Source) -> Effect {
        self.event(Watched::Source(SourceKind::ConfigMap), Event::SourceSeen(source))
    }

    /// Whether the Deployment owes, and whether its marker cannot tell.
    fn look_alike(&self) -> Option<bool> {
        let pending = self.index.pending(&key("web"))?;
        pending.owed.first().map(|owed| owed.look_alike)
    }

    fn attempt(&self) {
        self.index.attempt(&key("web"), [reference("app")]);
    }
}

fn changed() -> Fixture {
    let mut fixture = Fixture::settled();
    fixture.holds(one());
    fixture.workload("web", AUTO);
    fixture.holds(two());
    fixture
}

#[test]
fn it_is_a_change_that_no_marker_shows() {
    assert_eq!(changed().look_alike(), Some(true));
    let mut back = changed();
    back.holds(one());
    assert_eq!(back.look_alike(), None, "nothing was sent");
}

#[test]
fn an_attempt_of_unknown_outcome_makes_the_marker_no_better() {
    let mut fixture = changed();
    fixture.attempt();
    assert_eq!(fixture.look_alike(), Some(true));
    fixture.holds(one());
    assert_eq!(fixture.look_alike(), Some(true));
}

#[test]
fn a_look_alike_of_what_may_have_arrived_is_one_too() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 7);
    fixture.workload("web", AUTO);
    fixture.holds(one());
    assert_eq!(fixture.look_alike(), Some(false));
    fixture.attempt();
    fixture.holds(two());
    assert_eq!(fixture.look_alike(), Some(true));
}

#[test]
fn a_look_alike_of_what_ran_before_the_attempt_is_one_too() {
    let mut fixture = Fixture::settled();
    fixture.holds(one());
    fixture.workload("web", AUTO);
    fixture.source("app", 7);
    fixture.attempt();
    fixture.holds(two());
    assert_eq!(fixture.look_alike(), Some(true));
}

#[test]
fn the_next_leader_knows_it_too() {
    for attempted in [false, true] {
        let fixture = changed();
        if attempted {
            fixture.attempt();
        }
        let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
        let status = fixture.index.source_status(&settings).unwrap();
        let mut next = Fixture::settled();
        next.holds(two());
        next.workload("web", AUTO);
        next.index.restore(&settings, &status, next.now);
        assert_eq!(next.look_alike(), Some(true), "attempted: {attempted}");
    }
}

#[test]
fn what_changed_while_nobody_ran_is_found() {
    let mut before = Fixture::settled();
    before.holds(one());
    before.workload("web", AUTO);
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    let status = before.index.source_status(&settings).unwrap();
    let mut next = Fixture::settled();
    next.holds(two());
    next.workload("web", AUTO);
    next.index.restore(&settings, &status, next.now);
    assert_eq!(next.look_alike(), Some(true));
}
