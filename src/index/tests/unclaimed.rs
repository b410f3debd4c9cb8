//! Streams that lag behind each other: a workload that is shown, or opts in, after a source's change which it is older
//! than.

use super::*;

const DEPLOYMENTS: Watched = Watched::Workload(WorkloadKind::Deployment);
const LAG: u32 = 305;
const NOT: (&str, &str) = ("unrelated", "true");

fn fixture() -> Fixture {
    Fixture::settled_with(Options {
        longest_lag: Duration::from_secs(LAG.into()),
        ..Options::default()
    })
}

impl Fixture {
    /// The ConfigMap `app` has this content since that resourceVersion.
    fn changed_at(&mut self, content: u8, version: u64) -> Effect {
        let source = Source {
            resource_version: version,
            modified_at: Some(self.now.unix),
            ..source("app", content)
        };
        self.event(Watched::Source(SourceKind::ConfigMap), Event::SourceSeen(source))
    }

    fn web(&self, annotation: (&str, &str), version: u64) -> Workload {
        Workload {
            created_at: Some(self.now.unix),
            ..workload("web", annotation, version)
        }
    }

    /// A watch shows the Deployment `web`.
    fn shown(&self, annotation: (&str, &str), version: u64) -> Effect {
        let web = self.web(annotation, version);
        self.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(web)))
    }

    /// Its namespace is listed.
    fn listed(&self, annotation: (&str, &str), version: u64) -> Effect {
        let listed = Event::NamespaceListed {
            namespace: "team".into(),
            workloads: vec![self.web(annotation, version)],
        };
        self.event(DEPLOYMENTS, listed)
    }
}

#[rstest]
#[case::created_before_the_change(15, true)]
#[case::created_after_the_change(25, false)]
fn a_workload_that_is_shown_late_owes_what_changed_since_its_creation(
    #[case] version: u64,
    #[case] owes: bool,
) {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    fixture.pass(60);
    fixture.changed_at(2, 20);
    let effect = fixture.shown(AUTO, version);
    assert_eq!(effect.due.len(), usize::from(owes));
    assert_eq!(fixture.owed("web").len(), usize::from(owes));
}

#[test]
fn what_it_runs_with_is_what_the_source_held_at_its_creation() {
    let returned = |version: u64| {
        let mut fixture = fixture();
        fixture.changed_at(1, 10);
        fixture.changed_at(2, 20);
        fixture.changed_at(1, 30);
        fixture.shown(AUTO, version);
        !fixture.owed("web").is_empty()
    };
    assert_eq!([15, 25, 35].map(returned), [false, true, false]);
}

#[test]
fn older_than_all_changes_that_are_told_apart_it_may_run_with_anything() {
    let mut fixture = fixture();
    for version in 1..=30 {
        fixture.changed_at(u8::try_from(version % 2).unwrap(), version * 10);
    }
    fixture.shown(AUTO, 15);
    assert_eq!(fixture.owed("web").len(), 1);
}

#[test]
fn after_the_longest_lag_every_workload_has_been_shown() {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    fixture.changed_at(2, 20);
    fixture.pass(LAG);
    fixture.workload("another", NOT);
    assert!(fixture.index.unsettled_namespaces().is_empty());
    fixture.shown(AUTO, 15);
    assert!(fixture.owed("web").is_empty());
}

#[rstest]
#[case::before_the_change(15, true)]
#[case::after_the_change(25, false)]
fn a_workload_whose_annotation_is_shown_late_owes_what_changed_since(
    #[case] version: u64,
    #[case] owes: bool,
) {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    fixture.shown(NOT, 11);
    fixture.changed_at(2, 20);
    assert!(fixture.owed("web").is_empty());
    let effect = fixture.shown(AUTO, version);
    assert_eq!(effect.due.len(), usize::from(owes));
    fixture.settle("web", 2);
    assert_eq!(fixture.shown(AUTO, 26).due, [], "once");
}

/// Where workloads may not be watched, they are listed after each change.
#[test]
fn a_workload_that_has_opted_in_since_it_was_listed_owes_the_change_it_is_listed_for() {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    fixture.listed(NOT, 11);
    fixture.changed_at(2, 20);
    assert_eq!(fixture.listed(AUTO, 15).due, [key("web")]);
}

#[test]
fn a_change_that_it_was_listed_for_before_it_opted_in_is_over() {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    fixture.listed(NOT, 11);
    fixture.changed_at(2, 20);
    assert_eq!(fixture.listed(NOT, 11).due, []);
    assert_eq!(fixture.listed(AUTO, 25).due, []);
    assert!(fixture.owed("web").is_empty());
}

/// Its pods are new, whatever else has changed with the references.
#[test]
fn a_workload_that_was_given_other_references_after_the_change_owes_nothing() {
    let mut fixture = fixture();
    fixture.changed_at(1, 10);
    let mut web = fixture.web(AUTO, 11);
    web.template.containers[0].references.clear();
    let listed = |web: &Workload| Event::NamespaceListed {
        namespace: "team".into(),
        workloads: vec![web.clone()],
    };
    fixture.event(DEPLOYMENTS, listed(&web));
    fixture.changed_at(2, 20);
    assert_eq!(fixture.listed(AUTO, 25).due, []);
}
