//! What answers of the API server tell before the watch does.

use super::*;

#[test]
fn an_older_state_of_a_workload_never_replaces_a_newer_one() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture
        .index
        .written(workload("web", ("unrelated", ""), 9), fixture.now);
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(
        deployments,
        Event::WorkloadSeen(Box::new(workload("web", AUTO, 5))),
    );
    assert!(fixture.source("app", 2).due.is_empty(), "version 9 opted out");
    fixture.event(
        deployments,
        Event::WorkloadSeen(Box::new(workload("web", AUTO, 10))),
    );
    assert_eq!(fixture.source("app", 3).due, [key("web")]);
}

#[test]
fn the_answer_to_a_patch_does_not_bring_a_deleted_workload_back() {
    let mut fixture = Fixture::settled();
    fixture.workload("web", AUTO);
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(deployments, Event::WorkloadGone(key("web")));
    fixture.index.written(workload("web", AUTO, 9), fixture.now);
    assert_eq!(fixture.index.count(deployments), 0);
}

/// Its pods are new, whatever it owed before.
#[test]
fn an_answer_may_be_about_a_workload_that_was_recreated() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let recreated = Workload {
        uid: "another".into(),
        created_at: Some(UnixSeconds(i64::MAX)),
        ..workload("web", AUTO, 9)
    };
    fixture.index.written(recreated, fixture.now);
    assert!(fixture.owed("web").is_empty());
    assert_eq!(*fixture.index.workload(&key("web")).unwrap().uid, *"another");

    fixture.index.written(workload("web", AUTO, 8), fixture.now);
    assert_eq!(
        *fixture.index.workload(&key("web")).unwrap().uid,
        *"another",
        "the one before"
    );
}

#[test]
fn only_the_workload_that_was_asked_for_is_gone() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    assert!(fixture.index.gone(&key("web"), "another").gone.is_empty());
    assert_eq!(fixture.owed("web").len(), 1);
    assert_eq!(fixture.index.gone(&key("web"), "uid").gone, [key("web")]);
    assert!(fixture.owed("web").is_empty());
}
