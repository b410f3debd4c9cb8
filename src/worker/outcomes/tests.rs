use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{
    model::{HeldBack, Pods, SourceKind, WorkloadKind},
    watch::workload::{Decoded, Reading, WorkloadObject},
};

fn workload() -> Workload {
    let object = json!({
        "metadata": {
            "name": "web", "namespace": "team", "uid": "uid",
            "annotations": { "reloader.stakater.com/auto": "true" },
        },
    });
    let object: WorkloadObject = serde_json::from_value(object).unwrap();
    let kind = WorkloadKind::Deployment;
    Reading::default().read(object.into_object(kind), kind).unwrap()
}

fn in_state(state: RolloutState, is_healthy: bool) -> Workload {
    Workload {
        rollout: Rollout {
            state,
            is_healthy,
            has_pods: true,
            completed_at: None,
            progress: 1,
        },
        ..workload()
    }
}

fn key() -> WorkloadKey {
    workload().key
}

fn sources(names: &[&str]) -> BTreeSet<SourceKey> {
    let keys = names
        .iter()
        .map(|name| SourceKey::new(SourceKind::ConfigMap, "team", *name));
    keys.collect()
}

fn restarted(name: &str, changed_at: i64, at: Instant) -> Restarted {
    Restarted {
        uid: "uid".into(),
        sources: sources(&[name]),
        changed_at: UnixSeconds(changed_at),
        at,
    }
}

/// One that has just been restarted, for a change of `app` at 100.
fn followed(at: Instant) -> Outcomes {
    let outcomes = Outcomes::default();
    outcomes.restarted(&key(), restarted("app", 100, at));
    outcomes
}

/// How many are stale for that reason, and for how long at 160, while the workload is as that.
fn stale(outcomes: &Outcomes, now: &Workload, why: Stale) -> (usize, u64) {
    let mut staleness = Staleness::default();
    outcomes.add_to(&mut staleness, |_| Some(Arc::new(now.clone())), |_| false);
    let (count, age) = staleness.of(why, UnixSeconds(160));
    (count, age.as_secs())
}

#[test]
fn a_restart_is_followed_until_its_pods_are_available() {
    let at = Instant::now();
    let outcomes = followed(at);
    let later = at + Duration::from_secs(30);
    for state in [RolloutState::Unobserved, RolloutState::Rolling] {
        assert_eq!(outcomes.look_at(&in_state(state, true), later), None);
        assert_eq!(stale(&outcomes, &in_state(state, true), Stale::Rolling), (1, 60));
    }
    let unhealthy = in_state(RolloutState::Steady, false);
    assert_eq!(outcomes.look_at(&unhealthy, later), None, "not available yet");
    let steady = in_state(RolloutState::Steady, true);
    let fresh = Outcome::Fresh(Duration::from_secs(30));
    assert_eq!(outcomes.look_at(&steady, later), Some(fresh));
    assert_eq!(outcomes.look_at(&steady, later), None, "once");
    assert!(outcomes.is_empty());
}

/// Where no watch shows its end, a list has to.
#[test]
fn a_rollout_is_asked_for_the_less_often_the_longer_it_takes() {
    let at = Instant::now();
    let outcomes = followed(at);
    let day = 24 * 3600;
    let asked: Vec<_> = (30..day)
        .step_by(30)
        .filter(|seconds| {
            let now = at + Duration::from_secs(*seconds);
            !outcomes.to_be_asked_for(now).is_empty()
        })
        .collect();
    assert_eq!(asked[..4], [30, 60, 90, 120]);
    assert!(asked.len() < 60, "{asked:?}");
    assert!(*asked.last().unwrap() > day - day / 6, "{asked:?}");

    let later = at + Duration::from_secs(2 * day);
    assert_eq!(outcomes.to_be_asked_for(later), [Arc::from("team")]);
    outcomes.look_at(&in_state(RolloutState::Steady, true), later);
    assert!(
        outcomes
            .to_be_asked_for(later + Duration::from_secs(day))
            .is_empty()
    );
}

#[test]
fn a_failure_is_told_once_and_its_end() {
    let at = Instant::now();
    let outcomes = followed(at);
    let failed = in_state(RolloutState::Failed, true);
    let expected = Outcome::Failed(Duration::from_secs(9), sources(&["app"]));
    assert_eq!(
        outcomes.look_at(&failed, at + Duration::from_secs(9)),
        Some(expected)
    );
    assert_eq!(outcomes.look_at(&failed, at), None);
    assert_eq!(outcomes.look_at(&in_state(RolloutState::Rolling, true), at), None);
    assert_eq!(outcomes.look_at(&failed, at), None, "of the same restart");
    assert_eq!(stale(&outcomes, &failed, Stale::Failed), (1, 60));
    let steady = in_state(RolloutState::Steady, true);
    assert_eq!(outcomes.look_at(&steady, at), Some(Outcome::Recovered));
    assert!(outcomes.is_empty());
}

#[test]
fn a_restart_of_what_is_not_healthy_yet_stays_as_stale_as_it_was() {
    let at = Instant::now();
    let outcomes = followed(at);
    let failed = in_state(RolloutState::Failed, true);
    assert!(outcomes.look_at(&failed, at).is_some());
    outcomes.restarted(&key(), restarted("db", 150, at));
    assert_eq!(
        stale(&outcomes, &in_state(RolloutState::Rolling, true), Stale::Rolling),
        (1, 60)
    );
    let Some(Outcome::Failed(_, named)) = outcomes.look_at(&failed, at) else {
        panic!("it fails again");
    };
    assert_eq!(named, sources(&["app", "db"]));
    assert!(
        outcomes
            .look_at(&in_state(RolloutState::Steady, true), at)
            .is_some()
    );
    outcomes.restarted(&key(), restarted("db", 150, at));
    assert_eq!(
        stale(&outcomes, &in_state(RolloutState::Rolling, true), Stale::Rolling),
        (1, 10)
    );
}

fn held(replacement: HeldBack, are_complete: bool) -> Workload {
    Workload {
        replacement: Replacement::Partly(replacement),
        pods: Pods {
            are_complete,
            ..Pods::default()
        },
        ..in_state(RolloutState::Held, true)
    }
}

#[rstest]
#[case::on_delete(HeldBack::OnDelete)]
#[case::partition(HeldBack::Partition)]
#[case::paused(HeldBack::Paused)]
#[case::no_trigger(HeldBack::NoTrigger)]
fn pods_that_are_kept_are_stale_until_they_are_replaced(#[case] by: HeldBack) {
    let at = Instant::now();
    let outcomes = followed(at);
    assert_eq!(outcomes.look_at(&held(by, false), at), None);
    assert_eq!(stale(&outcomes, &held(by, false), Stale::TemplateOnly), (1, 60));
    assert_eq!(
        outcomes.look_at(&held(by, true), at),
        Some(Outcome::Fresh(Duration::ZERO))
    );
}

#[test]
fn a_pause_of_ours_is_on_purpose() {
    let paused = in_state(RolloutState::Paused, true);
    assert_eq!(
        stale(&followed(Instant::now()), &paused, Stale::Deferred),
        (1, 60)
    );
}

#[test]
fn a_step_of_a_rollout_is_a_part_of_it() {
    let between_steps = in_state(RolloutState::Held, true);
    assert_eq!(
        stale(&followed(Instant::now()), &between_steps, Stale::Rolling),
        (1, 60)
    );
}

#[rstest]
#[case::opaque(in_state(RolloutState::Opaque, true))]
#[case::a_job(in_state(RolloutState::Never, true))]
#[case::opted_out(Workload { rollout: Rollout::default(), ..workload() })]
#[case::template_of_another(Workload { template_of: Some("web".into()), ..in_state(RolloutState::Steady, true) })]
#[case::recreated(Workload { uid: "other".into(), ..in_state(RolloutState::Failed, true) })]
fn what_nothing_tells_of_is_not_followed(#[case] now: Workload) {
    let at = Instant::now();
    let outcomes = followed(at);
    assert_eq!(outcomes.look_at(&now, at), None);
    assert!(outcomes.is_empty());
    let outcomes = followed(at);
    for why in Stale::ALL {
        assert_eq!(stale(&outcomes, &now, why), (0, 0));
    }
    assert!(outcomes.is_empty());
}

#[test]
fn without_pods_there_is_no_rollout() {
    let at = Instant::now();
    let outcomes = followed(at);
    let mut none = in_state(RolloutState::Steady, true);
    none.rollout.has_pods = false;
    assert_eq!(outcomes.look_at(&none, at), None);
    assert!(outcomes.is_empty());
}

#[test]
fn what_is_gone_is_forgotten_and_what_owes_again_is_counted_as_such() {
    let at = Instant::now();
    let outcomes = followed(at);
    let rolling = Arc::new(in_state(RolloutState::Rolling, true));
    let mut staleness = Staleness::default();
    outcomes.add_to(&mut staleness, |_| Some(Arc::clone(&rolling)), |_| true);
    assert_eq!(staleness, Staleness::default());
    outcomes.add_to(&mut staleness, |_| None, |_| false);
    assert!(outcomes.is_empty());
    let outcomes = followed(at);
    outcomes.forget(&key());
    assert!(outcomes.is_empty());
}

#[test]
fn the_stalest_counts() {
    let mut staleness = Staleness::default();
    for since in [130, 100, 120] {
        staleness.add(Stale::Pending, UnixSeconds(since));
    }
    let (count, age) = staleness.of(Stale::Pending, UnixSeconds(160));
    assert_eq!((count, age.as_secs()), (3, 60));
    let (_, age) = staleness.of(Stale::Pending, UnixSeconds(90));
    assert_eq!(age, Duration::ZERO, "by another clock");
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let at = Instant::now();
    let outcomes = Outcomes::default();
    for number in 0..MOST_SOURCES + 9 {
        outcomes.restarted(&key(), restarted(&number.to_string(), 100, at));
    }
    let failed = in_state(RolloutState::Failed, true);
    let Some(Outcome::Failed(_, named)) = outcomes.look_at(&failed, at) else {
        panic!("it fails");
    };
    assert_eq!(named.len(), MOST_SOURCES);
}

proptest! {
    /// Each restart ends at most once as fresh or failed, and nothing is kept of what is healthy.
    #[test]
    fn no_outcome_is_told_twice(seen in prop::collection::vec((0..RolloutState::ALL.len(), any::<bool>()), 1..20)) {
        let at = Instant::now();
        let outcomes = followed(at);
        let (mut failed, mut ended) = (0, 0);
        for (state, is_healthy) in seen {
            match outcomes.look_at(&in_state(RolloutState::ALL[state], is_healthy), at) {
                Some(Outcome::Failed(..)) => failed += 1,
                Some(Outcome::Fresh(_)) => {
                    prop_assert_eq!(failed, 0);
                    ended += 1;
                }
                Some(Outcome::Recovered) => {
                    prop_assert_eq!(failed, 1);
                    ended += 1;
                }
                None => {}
            }
        }
        prop_assert!(failed <= 1 && ended <= 1);
        prop_assert!(ended == 0 || outcomes.is_empty());
    }
}
