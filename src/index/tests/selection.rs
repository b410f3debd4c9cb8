//! Namespaces that are selected by their labels, and those that are not.

use super::*;

const NAMESPACES: Watched = Watched::Namespace;

impl Fixture {
    /// Everything is listed; no namespace has the labels.
    fn selecting() -> Self {
        let mut fixture = Self::starting();
        let streams = Watched::all().chain([NAMESPACES]).map(|watched| StreamId {
            watched,
            namespace: None,
        });
        fixture.index = Index::new(Options::default(), streams);
        for watched in Watched::all().chain([NAMESPACES]) {
            fixture.list(watched, |_| {});
        }
        fixture.pass(60);
        fixture
    }

    fn select(&self) -> Effect {
        self.event(
            NAMESPACES,
            Event::NamespaceSeen {
                name: "team".into(),
                policy: None,
            },
        )
    }

    fn deselect(&self) -> Effect {
        self.event(NAMESPACES, Event::NamespaceGone("team".into()))
    }

    fn status(&self) -> Option<Digest> {
        let key = SourceKey::new(SourceKind::ConfigMap, "team", "app");
        match self.index.source_status(&key)?.state {
            SourceState::Present(digest) => Some(digest),
            other => panic!("{other:?}"),
        }
    }

    fn assert_nothing_is_owed(&self) {
        assert!(self.index.owing().is_empty());
        assert!(self.index.pending(&key("web")).is_none());
        assert!(self.index.unsettled_namespaces().is_empty());
    }
}

#[test]
fn nobody_owes_anything_where_the_labels_are_missing() {
    let mut fixture = Fixture::selecting();
    fixture.source("app", 1);
    let effect = fixture.workload("web", ("configmap.reloader.stakater.com/reload", "app,bad["));
    assert!(effect.touched.is_empty() && effect.opted.is_empty(), "{effect:?}");
    let effect = fixture.source("app", 2);
    assert_eq!(
        (effect.source, effect.unselected),
        (Some(SourceChange::Updated), true)
    );
    assert!(effect.due.is_empty());
    fixture.source_gone("app");
    fixture.source("app", 3);
    fixture.assert_nothing_is_owed();
    assert_eq!(fixture.status(), None);
    assert!(fixture.index.opted_sources().is_empty());
    assert!(fixture.index.workloads_to_check().is_empty());
}

#[test]
fn what_changes_after_the_labels_came_counts_and_nothing_before() {
    let mut fixture = Fixture::selecting();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let effect = fixture.select();
    assert_eq!(effect.touched.len(), 1, "the ledger hears of it");
    assert_eq!(fixture.status(), Some(digest(2)));
    fixture.assert_nothing_is_owed();
    assert_eq!(fixture.source("app", 3).due, [key("web")]);
    assert_eq!(fixture.owed("web"), [("app".to_owned(), digest(3))]);
}

#[test]
fn mistakes_in_annotations_are_told_once_they_count() {
    let mut fixture = Fixture::selecting();
    fixture.workload("web", ("configmap.reloader.stakater.com/reload", "bad["));
    assert_eq!(fixture.select().opted.len(), 1);
    assert!(fixture.select().opted.is_empty());
}

#[test]
fn losing_the_labels_cancels_what_is_owed() {
    let mut fixture = Fixture::selecting();
    fixture.select();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let effect = fixture.deselect();
    assert_eq!(effect.gone, [key("web")]);
    assert_eq!(
        (effect.touched.len(), fixture.status()),
        (1, None),
        "the ledger forgets it"
    );
    fixture.assert_nothing_is_owed();
    // A patch that was under way ends now: it must not leave a debt behind.
    fixture.source("app", 3);
    assert!(!fixture.settle("web", 2));
    fixture.assert_nothing_is_owed();
    fixture.select();
    fixture.assert_nothing_is_owed();
}

/// Deleted while it counts, it would be remembered; what happened without the labels is not.
#[test]
fn a_source_recreated_without_the_labels_is_adopted() {
    let mut fixture = Fixture::selecting();
    fixture.select();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source_gone("app");
    fixture.deselect();
    fixture.select();
    assert_eq!(fixture.source("app", 2).source, Some(SourceChange::Created));
    fixture.assert_nothing_is_owed();
}

#[test]
fn a_list_of_namespaces_ends_the_selection_of_those_it_does_not_show() {
    let mut fixture = Fixture::selecting();
    fixture.select();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let effect = fixture.list(NAMESPACES, |fixture| {
        assert!(fixture.index.selects("team"), "until the list is complete");
    });
    assert_eq!(effect.gone, [key("web")]);
    assert!(!fixture.index.selects("team"));
    assert_eq!(fixture.index.count(NAMESPACES), 0);
    fixture.list(NAMESPACES, |fixture| _ = fixture.select());
    assert!(fixture.index.selects("team"));
    assert_eq!(fixture.index.count(NAMESPACES), 1);
}

/// A workload that is seen later than a change made without the labels does not owe it.
#[test]
fn changes_without_the_labels_are_not_remembered_for_workloads_still_unknown() {
    let mut fixture = Fixture::selecting();
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(deployments, Event::ListStarted);
    fixture.source("app", 1);
    fixture.source("app", 2);
    fixture.select();
    assert!(fixture.workload("web", AUTO).due.is_empty());
    fixture.assert_nothing_is_owed();
}

#[test]
fn what_an_earlier_leader_left_counts_only_with_the_labels() {
    let mut fixture = Fixture::selecting();
    fixture.source("app", 2);
    fixture.workload("web", AUTO);
    let source = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    let status = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    assert!(!fixture.index.restore(&source, &status, fixture.now));
    fixture.select();
    fixture.assert_nothing_is_owed();
    assert!(fixture.index.restore(&source, &status, fixture.now));
    assert_eq!(fixture.owed("web"), [("app".to_owned(), digest(2))]);
}

#[test]
fn without_a_selector_every_namespace_counts() {
    assert!(Fixture::settled().index.selects("anywhere"));
}

#[test]
fn a_pause_where_the_labels_are_missing_is_another_reloaders() {
    let fixture = Fixture::selecting();
    let paused = pauses::pausing(Some("5m"), Some("2026-01-01T00:00:00Z"), true, 1);
    let effect = fixture.event(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadSeen(paused),
    );
    assert!(effect.pauses.is_empty() && effect.opted.is_empty());
    assert!(fixture.index.paused().is_empty());
    assert_eq!(fixture.select().pauses, [key("web")]);
    assert_eq!(fixture.index.paused(), [key("web")]);
}
