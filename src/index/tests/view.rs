//! What users are shown.

use super::*;

#[test]
fn the_standing_of_a_workload_follows_its_debts() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    let standing = |fixture: &Fixture| {
        let standing = fixture.index.standing(&key("web"), vec![reference("app")]);
        standing.unwrap().sources.remove(0)
    };
    let present = |content| Some(Content::Present(digest(content)));
    let before = standing(&fixture);
    assert_eq!(before.content, present(1));
    assert!(before.debt.is_none());
    assert!(fixture.index.owing_in("team").is_empty());

    fixture.pass(5);
    fixture.source("app", 2);
    let owing = standing(&fixture);
    let debt = owing.debt.unwrap();
    assert_eq!(
        (owing.content, debt.running, debt.is_due),
        (present(2), present(1), true)
    );
    assert_eq!(debt.since, fixture.now.at);
    assert_eq!(fixture.index.owing_in("team"), [(key("web"), fixture.now.at)]);

    // After an attempt without an answer either is possible.
    fixture.index.attempt(&key("web"), [reference("app")]);
    assert_eq!(standing(&fixture).debt.unwrap().running, None);
    fixture.settle("web", 2);
    assert!(standing(&fixture).debt.is_none());
}

#[test]
fn what_was_not_listed_is_unknown_and_what_was_is_missing() {
    let app = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    assert_eq!(Fixture::starting().index.source_standing(&app).content, None);
    let mut fixture = Fixture::settled();
    assert_eq!(fixture.index.source_standing(&app).content, Some(Content::Absent));
    fixture.source("app", 1);
    fixture.source_gone("app");
    assert_eq!(fixture.index.source_standing(&app).content, Some(Content::Absent));
    assert!(fixture.index.standing(&key("web"), Vec::new()).is_none());
}

#[test]
fn users_and_totals_are_counted_by_namespace() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.source("other", 1);
    for name in ["one", "two"] {
        fixture.workload(name, AUTO);
    }
    fixture.workload("three", ("configmap.reloader.stakater.com/reload", "app,missing"));
    fixture.workload("four", ("reloader.stakater.com/auto", "false"));
    let tally = fixture.index.tally("team");
    assert_eq!((tally.workloads, tally.opted_in, tally.sources), (4, 3, 2));
    assert_eq!(fixture.index.namespaces(), ["team".into()]);
    assert_eq!(
        fixture.index.most_used_in("team", 5),
        [(reference("app"), 3), (reference("missing"), 1)]
    );
    assert_eq!(fixture.index.most_used_in("team", 1).len(), 1);
    assert_eq!(fixture.index.sources_in("team").len(), 2);
    assert_eq!(fixture.index.workloads_of("team").len(), 4);
    assert_eq!(fixture.index.tally("elsewhere"), Tally::default());
}
