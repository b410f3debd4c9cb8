//! What pods are believed to run with, and how certain that is: a debt ends without a write only where it is certain.

use super::*;

/// When the ledger was last written.
const STORED: UnixSeconds = UnixSeconds(1_790_000_000);

impl Fixture {
    /// The ledger has it that the source held 1, and that `web` owed a restart and ran with it, if `owed`. The source holds
    /// 2 now, which is known `before` the ledger is read or after; `web` was last written by Reloader at that time.
    fn inherited(written_at: Option<UnixSeconds>, owed: bool, before: bool) -> Self {
        let mut fixture = if before { Self::settled() } else { Self::starting() };
        if before {
            fixture.source("app", 2);
        }
        fixture.version += 1;
        let mut web = workload("web", AUTO, fixture.version);
        web.template.written_at = written_at;
        fixture.event(
            Watched::Workload(WorkloadKind::Deployment),
            Event::WorkloadSeen(Box::new(web)),
        );
        let web = OwedBy {
            kind: WorkloadKind::Deployment,
            name: "web".into(),
            running: Some(Content::Present(digest(1))),
        };
        let status = SourceStatus {
            state: SourceState::Present(digest(1)),
            owed: Vec::from_iter(owed.then_some(web)),
        };
        fixture.index.restore(&settings(), &status, fixture.now);
        fixture.check_unrecorded(STORED);
        if !before {
            fixture.source("app", 2);
        }
        fixture
    }

    /// `web` runs with 1, and the source holds 2.
    fn owing() -> Self {
        let mut fixture = Self::settled();
        fixture.source("app", 1);
        fixture.workload("web", AUTO);
        fixture.source("app", 2);
        fixture
    }

    /// Whether only a marker makes it due; `None`: it owes nothing.
    fn due_by_marker(&self) -> Option<bool> {
        let pending = self.index.pending(&key("web"))?;
        Some(pending.owed.first()?.proof == Proof::Unrecorded)
    }
}

fn settings() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

#[rstest]
#[case::restarted_since_the_ledger_was_written(Some(STORED.saturating_add(3)), Some(true))]
#[case::in_the_same_second(Some(STORED), Some(true))]
#[case::not_restarted_since(Some(STORED.saturating_add(-1)), None)]
#[case::never_restarted(None, None)]
fn what_the_ledger_says_of_a_workload_restarted_since_is_verified(
    #[case] written_at: Option<UnixSeconds>,
    #[case] expected: Option<bool>,
    #[values(false, true)] owed: bool,
    #[values(false, true)] known_before: bool,
    #[values(false, true)] recreated: bool,
) {
    let mut fixture = Fixture::inherited(written_at, owed, known_before);
    assert_eq!(fixture.due_by_marker(), Some(false));
    if recreated {
        fixture.source_gone("app");
    }
    let effect = fixture.source("app", 1);
    assert_eq!(fixture.due_by_marker(), expected);
    assert_eq!(effect.due.len(), usize::from(expected.is_some()));
}

/// A leader that ends before it has looked at the marker leaves it to the next one, which cannot know how old it is.
#[rstest]
fn what_is_not_verified_yet_is_written_down_as_owed(
    #[values(false, true)] owed: bool,
    #[values(false, true)] known_before: bool,
) {
    let mut fixture = Fixture::inherited(Some(STORED), owed, known_before);
    fixture.source("app", 1);
    let status = fixture.index.source_status(&settings()).unwrap();
    assert_eq!(status.owed.len(), 1);
    assert_eq!(status.owed[0].running, None);
    fixture.index.settle(
        &key("web"),
        [(reference("app"), Content::Present(digest(1)))],
        Settled::WithoutRestart,
        fixture.now,
    );
    assert_eq!(fixture.due_by_marker(), None);
    let status = fixture.index.source_status(&settings()).unwrap();
    assert!(status.owed.is_empty());
}

#[test]
fn a_refused_patch_leaves_the_pods_as_they_are() {
    let mut fixture = Fixture::owing();
    fixture.index.attempt(&key("web"), [reference("app")]);
    fixture.index.refused(&key("web"), [reference("app")]);
    fixture.source("app", 1);
    assert_eq!(fixture.due_by_marker(), None);
}

#[test]
fn a_refusal_says_nothing_of_an_earlier_patch_without_an_answer() {
    let mut fixture = Fixture::owing();
    for answered in [false, true] {
        fixture.index.attempt(&key("web"), [reference("app")]);
        if answered {
            fixture.index.refused(&key("web"), [reference("app")]);
        }
    }
    fixture.source("app", 1);
    assert_eq!(fixture.due_by_marker(), Some(false));
}

#[test]
fn a_source_that_changes_after_a_refusal_is_owed_as_before() {
    let mut fixture = Fixture::owing();
    fixture.index.attempt(&key("web"), [reference("app")]);
    fixture.index.refused(&key("web"), [reference("app")]);
    fixture.source("app", 3);
    assert_eq!(fixture.due_by_marker(), Some(false));
    fixture.source("app", 1);
    assert_eq!(fixture.due_by_marker(), None);
}

#[test]
fn a_source_that_returns_while_a_patch_is_refused_restarts_nothing() {
    let mut fixture = Fixture::owing();
    fixture.index.attempt(&key("web"), [reference("app")]);
    fixture.source("app", 1);
    assert_eq!(fixture.due_by_marker(), Some(false));
    fixture.index.refused(&key("web"), [reference("app")]);
    assert_eq!(fixture.due_by_marker(), None);
}

/// A write that only removes keys leaves no time: the source looks as old as before.
#[rstest]
#[case::created_before_the_ledger_was_stored(-10, true)]
#[case::created_since(10, false)]
fn content_other_than_the_ledgers_is_newer_than_workloads_that_the_ledger_may_know(
    #[case] created: i64,
    #[case] owes: bool,
    #[values(false, true)] known_before: bool,
) {
    let mut fixture = if known_before {
        Fixture::settled()
    } else {
        Fixture::starting()
    };
    let removed = Source {
        modified_at: Some(STORED.saturating_add(-60)),
        resource_version: 5,
        ..source("app", 2)
    };
    let see = |fixture: &Fixture| {
        let shown = Event::SourceSeen(removed.clone());
        fixture.event(Watched::Source(SourceKind::ConfigMap), shown);
    };
    if known_before {
        see(&fixture);
    }
    let web = Workload {
        created_at: Some(STORED.saturating_add(created)),
        ..workload("web", AUTO, 9)
    };
    fixture.event(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadSeen(Box::new(web)),
    );
    let status = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    fixture.index.restores_from(STORED);
    fixture.index.restore(&settings(), &status, fixture.now);
    fixture.check_unrecorded(STORED);
    if !known_before {
        see(&fixture);
    }
    fixture.pass(1);
    assert_eq!(!fixture.owed("web").is_empty(), owes);
}
