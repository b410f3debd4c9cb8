//! Restarts that an earlier leader did not come to write down.

use super::*;
use crate::model::Fingerprint;

const LEDGER_WRITTEN: UnixSeconds = UnixSeconds(1_790_000_000);

fn settings() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

/// What the ledger has: it holds 1, and nobody owes anything.
fn settled() -> SourceStatus {
    SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    }
}

impl Fixture {
    /// A Deployment that Reloader last wrote then.
    fn written(&mut self, name: &str, at: Option<UnixSeconds>) -> Effect {
        self.version += 1;
        let mut workload = workload(name, AUTO, self.version);
        workload.template.written_at = at;
        self.event(
            Watched::Workload(WorkloadKind::Deployment),
            Event::WorkloadSeen(Box::new(workload)),
        )
    }

    fn take_over(&self) {
        self.index.restore(&settings(), &settled(), self.now);
        self.check_unrecorded(LEDGER_WRITTEN);
    }

    /// Whether only a marker makes it due; `None`: it owes nothing.
    fn only_if_marked(&self, name: &str) -> Option<bool> {
        let pending = self.index.pending(&key(name))?;
        pending.owed.first().map(|owed| owed.proof == Proof::Unrecorded)
    }
}

#[rstest]
#[case::before(Some(LEDGER_WRITTEN.saturating_add(-1)), None)]
#[case::in_the_same_second(Some(LEDGER_WRITTEN), Some(true))]
#[case::after(Some(LEDGER_WRITTEN.saturating_add(3)), Some(true))]
#[case::never(None, None)]
fn the_markers_of_what_was_written_after_the_ledger_count(
    #[case] written_at: Option<UnixSeconds>,
    #[case] expected: Option<bool>,
    #[values(0, 1, 2)] known_first: u8,
) {
    let mut fixture = Fixture::starting();
    match known_first {
        0 => {
            fixture.source("app", 1);
            fixture.written("web", written_at);
            fixture.take_over();
        }
        1 => {
            fixture.source("app", 1);
            fixture.take_over();
            let effect = fixture.written("web", written_at);
            assert_eq!(effect.due.is_empty(), expected.is_none());
        }
        _ => {
            fixture.written("web", written_at);
            fixture.take_over();
            let effect = fixture.source("app", 1);
            assert_eq!(effect.due.is_empty(), expected.is_none());
        }
    }
    assert_eq!(fixture.only_if_marked("web"), expected);
}

#[test]
fn a_change_that_is_known_stays_one() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 2);
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(1)));
    fixture.take_over();
    assert_eq!(fixture.only_if_marked("web"), Some(false));
}

#[test]
fn a_later_change_makes_it_certain() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(1)));
    fixture.take_over();
    fixture.source("app", 2);
    assert_eq!(fixture.only_if_marked("web"), Some(false));
}

/// What this leader has written itself is no news, however old a marker on it may be.
#[test]
fn nothing_is_doubted_once_all_is_known() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(-1)));
    fixture.take_over();
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(60)));
    fixture.source_gone("app");
    fixture.source("app", 1);
    fixture.written("new", Some(LEDGER_WRITTEN.saturating_add(61)));
    assert_eq!(fixture.only_if_marked("web"), None);
    assert_eq!(fixture.only_if_marked("new"), None);
}

/// The first lists of a large namespace take a while, and what was found changed is restarted meanwhile.
#[test]
fn a_restart_for_another_source_is_no_change_of_what_only_a_marker_makes_due() {
    let fixture = Fixture::settled();
    let source = Source {
        resource_version: 5,
        ..source("app", 1)
    };
    fixture.event(Watched::Source(SourceKind::ConfigMap), Event::SourceSeen(source));
    let web = |version: u64, template: u64, written_at| {
        let mut web = workload("web", AUTO, version);
        web.generation = i64::try_from(template).unwrap();
        web.template.fingerprint = Fingerprint::new(template);
        web.template.written_at = Some(written_at);
        web
    };
    let sees = |fixture: &Fixture, web: Workload| {
        fixture.event(
            Watched::Workload(WorkloadKind::Deployment),
            Event::WorkloadSeen(Box::new(web)),
        );
    };
    sees(&fixture, web(10, 1, LEDGER_WRITTEN));
    fixture.take_over();
    assert_eq!(fixture.only_if_marked("web"), Some(true));
    let mut restarted = web(20, 2, LEDGER_WRITTEN.saturating_add(5));
    restarted.template.containers[0].markers =
        vec![("STAKATER_OTHER_CONFIGMAP".into(), digest(7).to_string().into())];
    sees(&fixture, restarted);
    assert_eq!(fixture.only_if_marked("web"), Some(true));
}

#[test]
fn once_looked_at_it_is_settled() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(1)));
    fixture.take_over();
    fixture.settle("web", 1);
    fixture.written("web", Some(LEDGER_WRITTEN.saturating_add(2)));
    assert_eq!(fixture.only_if_marked("web"), None);
}

#[test]
fn what_the_ledger_says_takes_nothing_away_from_what_a_standby_has_watched() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    fixture.index.restore(
        &settings,
        &SourceStatus {
            state: SourceState::Present(digest(2)),
            owed: Vec::new(),
        },
        fixture.now,
    );
    let pending = fixture.index.pending(&key("web")).unwrap();
    assert!(pending.is_uncertain, "the leader before may have seen to it");
    assert_eq!(pending.owed[0].proof, Proof::Restart);
    let left = OwedBy {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
        running: None,
    };
    fixture.index.restore(
        &settings,
        &SourceStatus {
            state: SourceState::Present(digest(2)),
            owed: vec![left],
        },
        fixture.now,
    );
    assert_eq!(
        fixture.owed("web").len(),
        1,
        "the leader before has not got round to it"
    );
}

/// Somebody else's rollout after the ledger was stored, in whichever order the three are read. The source is as it was
/// then, and the ledger has the workload as owing; or it was written since.
#[rstest]
#[case::after_it(3, false)]
#[case::in_the_same_second(0, true)]
fn a_rollout_after_the_ledger_was_stored_settles_what_it_says_is_owed(
    #[case] seconds: i64,
    #[case] owes: bool,
    #[values(false, true)] written_since: bool,
    #[values([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])] order: [u8; 3],
) {
    let mut fixture = Fixture::starting();
    let stored = fixture.now.unix;
    let source = Source {
        modified_at: Some(stored.saturating_add(if written_since { 1 } else { -60 })),
        ..source("app", 2)
    };
    let mut web = workload("web", AUTO, 9);
    web.created_at = Some(stored.saturating_add(-90));
    web.template.replaced_at = Some(stored.saturating_add(seconds));
    let owed = OwedBy {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
        running: Some(Content::Present(digest(1))),
    };
    let status = SourceStatus {
        state: SourceState::Present(digest(if written_since { 1 } else { 2 })),
        owed: Vec::from_iter((!written_since).then_some(owed)),
    };
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    for step in order {
        match step {
            0 => {
                let shown = Event::SourceSeen(source.clone());
                fixture.event(Watched::Source(SourceKind::ConfigMap), shown);
            }
            1 => {
                let shown = Event::WorkloadSeen(Box::new(web.clone()));
                fixture.event(Watched::Workload(WorkloadKind::Deployment), shown);
            }
            _ => {
                fixture.index.restores_from(stored);
                fixture.index.restore(&settings, &status, fixture.now);
                fixture.check_unrecorded(stored);
            }
        }
    }
    fixture.pass(1);
    assert_eq!(!fixture.owed("web").is_empty(), owes);
}

/// As after its deletion: the next leader would take it that the new one still owes what the old one did.
#[test]
fn the_ledger_hears_of_a_workload_that_is_listed_as_another_of_its_name() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let app = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    assert_eq!(fixture.index.source_status(&app).unwrap().owed.len(), 1);
    let recreated = Workload {
        uid: "another".into(),
        created_at: Some(UnixSeconds(i64::MAX)),
        ..workload("web", AUTO, 100)
    };
    let effect = fixture.event(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadSeen(Box::new(recreated)),
    );
    assert!(fixture.index.source_status(&app).unwrap().owed.is_empty());
    assert!(effect.touched.contains(&app) || effect.settled.contains(&app));
}

/// This leader's watches were dead while the leader before restarted the workload for 2, and died before it wrote that down;
/// the source is back to 1. The workload's watch is the first to come back, or the source's, or the source's was not dead.
#[rstest]
#[case::source_last(&[20, 40], true)]
#[case::source_first(&[40, 20], true)]
#[case::the_source_is_as_it_was(&[20], false)]
#[case::the_source_was_touched_before(&[0, 20], false)]
fn a_restart_that_a_dead_watch_shows_late_is_checked(
    #[values(false, true)] by_annotation: bool,
    #[case] shown: &[i64],
    #[case] owes: bool,
) {
    let mut fixture = Fixture::settled();
    let holds = |fixture: &Fixture, at: i64| {
        // It was deleted and created meanwhile, or a list shows it: an event would prove that nothing was in between.
        let uid = if at < 40 { "before" } else { "since" };
        let source = Source {
            uid: uid.into(),
            modified_at: Some(LEDGER_WRITTEN.saturating_add(at)),
            resource_version: u64::try_from(1000 + at).unwrap(),
            ..source("app", 1)
        };
        fixture.event(Watched::Source(SourceKind::ConfigMap), Event::SourceSeen(source))
    };
    holds(&fixture, -60);
    let web = |version: u64| Workload {
        generation: i64::try_from(version).unwrap(),
        ..workload("web", AUTO, version)
    };
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(deployments, Event::WorkloadSeen(Box::new(web(900))));
    fixture.take_over();
    assert_eq!(fixture.only_if_marked("web"), None);
    let mut restarted = web(901);
    restarted.template.written_at = Some(LEDGER_WRITTEN.saturating_add(20));
    if by_annotation {
        let text = format!(r#"{{"type":"CONFIGMAP","name":"app","hash":"{}"}}"#, digest(2));
        restarted.template.last_reloaded_from = Some(text.into());
    } else {
        let marker = ("STAKATER_APP_CONFIGMAP".into(), digest(2).to_string().into());
        restarted.template.containers[0].markers.push(marker);
    }
    let mut due = Vec::new();
    for at in shown {
        due.extend(match at {
            20 => {
                fixture
                    .event(deployments, Event::WorkloadSeen(Box::new(restarted.clone())))
                    .due
            }
            at => holds(&fixture, *at).due,
        });
    }
    assert_eq!(fixture.only_if_marked("web"), owes.then_some(true));
    assert_eq!(due, Vec::from_iter(owes.then(|| key("web"))));
    fixture.pass(400);
    // Whatever it waits for, the source's watch shows it sooner or later.
    holds(&fixture, 41);
    assert_eq!(fixture.only_if_marked("web"), Some(true));
}

/// Its own restarts, and those whose content the source has been seen to hold, are no news.
#[test]
fn a_restart_for_what_the_source_holds_is_no_news() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.take_over();
    let mut restarted = workload("web", AUTO, fixture.version + 1);
    restarted.template.written_at = Some(LEDGER_WRITTEN.saturating_add(20));
    let marker = ("STAKATER_APP_CONFIGMAP".into(), digest(1).to_string().into());
    restarted.template.containers[0].markers.push(marker);
    fixture.event(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadSeen(Box::new(restarted)),
    );
    fixture.source("app", 1);
    assert_eq!(fixture.only_if_marked("web"), None);
}
