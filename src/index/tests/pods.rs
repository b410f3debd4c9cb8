//! What starts pods is seen on the workload: templates that others change, pods that come and go, pods that stay behind.

use super::*;
use crate::model::{Fingerprint, HeldBack, Pods, Replacement};

mod rollouts;
mod takeover;

const DEPLOYMENTS: Watched = Watched::Workload(WorkloadKind::Deployment);
const CONFIGMAPS: Watched = Watched::Source(SourceKind::ConfigMap);

impl Fixture {
    /// The source holds this from that resourceVersion on.
    fn holds_at(&self, version: u64, content: u8) -> Effect {
        let source = Source {
            resource_version: version,
            ..source("app", content)
        };
        self.event(CONFIGMAPS, Event::SourceSeen(source))
    }

    fn sees(&self, workload: Workload) -> Effect {
        self.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(workload)))
    }

    /// Everything is listed, the source holds 1, and `web` has its first template.
    fn running() -> Self {
        let fixture = Self::settled_with(Options {
            longest_lag: Duration::from_secs(30),
            ..Options::default()
        });
        fixture.holds_at(10, 1);
        fixture.sees(web(20, 1));
        fixture
    }

    fn proof(&self) -> Option<Proof> {
        let pending = self.index.pending(&key("web"))?;
        Some(pending.owed.first()?.proof)
    }
}

/// `web` at that resourceVersion, with its nth template.
fn web(version: u64, template: u64) -> Workload {
    let mut web = workload("web", AUTO, version);
    web.generation = i64::try_from(template).unwrap();
    web.template.fingerprint = Fingerprint::new(template);
    web
}

fn app() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

/// A Helm upgrade, `kubectl rollout restart`, another controller: one rollout is enough, whichever stream is faster.
#[rstest]
fn a_template_that_others_change_after_the_source_settles_what_is_owed(
    #[values(false, true)] workloads_first: bool,
) {
    let fixture = Fixture::running();
    if workloads_first {
        fixture.sees(web(31, 2));
        let effect = fixture.holds_at(30, 2);
        assert!(effect.due.is_empty());
        assert_eq!(effect.settled, [app()], "the ledger hears of it");
    } else {
        assert_eq!(fixture.holds_at(30, 2).due.len(), 1);
        let effect = fixture.sees(web(31, 2));
        assert_eq!(effect.settled, [app()], "the ledger hears of it");
    }
    assert_eq!(fixture.proof(), None);
    assert!(fixture.index.source_status(&app()).unwrap().owed.is_empty());
    // Whether its pods run with that already or not yet is not known.
    fixture.holds_at(40, 1);
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}

/// Another replica restarts it just after the source has changed once more: its pods run with that, and its marker has to
/// follow.
#[rstest]
#[case::of_the_present_content(3, UnixSeconds(60), None)]
#[case::of_the_content_before(2, UnixSeconds(60), Some(Proof::Restart))]
#[case::an_old_one_is_put_back(2, UnixSeconds(40), None)]
fn a_restart_of_another_replica_settles_what_its_marker_shows(
    #[case] marker: u8,
    #[case] written_at: UnixSeconds,
    #[case] expected: Option<Proof>,
    #[values(false, true)] workloads_first: bool,
) {
    let fixture = Fixture::running();
    let with_marker = |web: Workload, marker, written_at| {
        let mut web = web;
        web.template.containers[0].markers =
            vec![("STAKATER_APP_CONFIGMAP".into(), digest(marker).to_string().into())];
        web.template.written_at = Some(written_at);
        web
    };
    fixture.sees(with_marker(web(21, 2), 1, UnixSeconds(50)));
    fixture.holds_at(25, 2);
    let restarted = with_marker(web(31, 3), marker, written_at);
    if workloads_first {
        fixture.sees(restarted.clone());
        fixture.holds_at(30, 3);
    } else {
        fixture.holds_at(30, 3);
        fixture.sees(restarted.clone());
    }
    let pending = fixture.index.pending(&key("web")).map(|pending| pending.owed);
    let is_marked = marker == 3;
    assert_eq!(fixture.proof().filter(|_| !is_marked), expected, "{pending:?}");
    if is_marked && !workloads_first {
        assert_eq!(pending, None, "a standby has nothing left to do");
    }
}

/// Its pods never became ready: those of the template before are still there, and it is taken back.
#[rstest]
#[case::under_way(false, true)]
#[case::complete(true, false)]
fn a_template_that_is_taken_back_leaves_the_pods_that_it_did_not_replace(
    #[case] are_complete: bool,
    #[case] owes: bool,
    #[values(false, true)] workloads_first: bool,
) {
    let fixture = Fixture::running();
    if workloads_first {
        fixture.sees(web(31, 2));
    }
    fixture.holds_at(30, 2);
    if !workloads_first {
        fixture.sees(web(31, 2));
    }
    assert_eq!(fixture.proof(), None);
    let pods = Pods {
        counts: 1,
        are_complete,
        ..Pods::default()
    };
    fixture.sees(Workload { pods, ..web(32, 2) });
    let undone = Workload {
        generation: 3,
        pods,
        ..web(33, 1)
    };
    assert_eq!(fixture.sees(undone).due.len(), usize::from(owes));
    assert_eq!(fixture.proof(), owes.then_some(Proof::Restart));
}

/// The source changes while another client's rollout is under way, and that one is taken back: the pods that it did not
/// replace run with what they ran with.
#[rstest]
#[case::under_way(false, true)]
#[case::complete(true, false)]
fn pods_of_a_template_that_comes_back_run_with_what_they_ran_with(
    #[case] are_complete: bool,
    #[case] owes: bool,
    #[values(0, 1, 2)] source_seen: u8,
) {
    let fixture = Fixture::running();
    let steps = [(29, 2), (31, 1)];
    for (step, (version, template)) in steps.into_iter().enumerate() {
        if usize::from(source_seen) == step {
            fixture.holds_at(30, 2);
        }
        let pods = Pods {
            counts: 1,
            are_complete: are_complete && template == 2,
            ..Pods::default()
        };
        fixture.sees(Workload {
            pods,
            generation: [2, 3][step],
            ..web(version, template)
        });
    }
    if source_seen == 2 {
        fixture.holds_at(30, 2);
    }
    assert_eq!(fixture.proof(), owes.then_some(Proof::Restart));
}

/// A conflict reads the workload, or a list shows it: it had the second template in between.
#[test]
fn pods_of_a_template_that_was_never_seen_are_left_as_well() {
    let fixture = Fixture::running();
    fixture.index.read(web(32, 3), fixture.now);
    fixture.holds_at(40, 2);
    let undone = Workload {
        generation: 4,
        ..web(41, 2)
    };
    fixture.sees(undone);
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}

/// The stream of the sources is ahead: a pod of the new template has started with what came in between.
#[test]
fn a_pod_of_a_rollout_under_way_may_start_with_other_content_than_the_first() {
    let fixture = Fixture::running();
    for (version, content) in [(30, 3), (32, 1), (40, 3)] {
        fixture.holds_at(version, content);
    }
    fixture.sees(web(31, 2));
    assert_eq!(fixture.proof(), None, "a rollout with the present content");
    let pods = Pods {
        counts: 1,
        are_moving: true,
        are_complete: false,
    };
    fixture.sees(Workload { pods, ..web(33, 2) });
    assert_eq!(fixture.proof(), Some(Proof::Restart));
    let pods = Pods {
        counts: 2,
        are_moving: false,
        are_complete: true,
    };
    fixture.sees(Workload { pods, ..web(41, 2) });
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}

#[rstest]
fn a_template_that_others_change_before_the_source_settles_nothing(
    #[values(false, true)] workloads_first: bool,
    #[values(false, true)] forgotten: bool,
) {
    let mut fixture = Fixture::running();
    if workloads_first {
        fixture.sees(web(29, 2));
    }
    fixture.holds_at(30, 2);
    if forgotten {
        fixture.pass(60);
    }
    if !workloads_first {
        fixture.sees(web(29, 2));
    }
    assert!(fixture.proof().is_some());
}

/// Its pods have started with what the source held in between.
#[test]
fn a_template_seen_late_is_of_the_content_of_its_time() {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.holds_at(40, 1);
    assert_eq!(fixture.proof(), None, "back to what they run with");
    assert_eq!(fixture.sees(web(35, 2)).due.len(), 1);
    assert_eq!(fixture.proof(), Some(Proof::Nothing));
    assert!(fixture.sees(web(41, 3)).due.is_empty());
    assert_eq!(fixture.proof(), None);
}

#[rstest]
#[case::on_delete(Replacement::Partly(HeldBack::OnDelete))]
#[case::partition(Replacement::Partly(HeldBack::Partition))]
#[case::paused(Replacement::Partly(HeldBack::Paused))]
#[case::unknown(Replacement::Unknown)]
fn a_template_that_does_not_replace_all_pods_settles_nothing(#[case] replacement: Replacement) {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.sees(Workload {
        replacement,
        ..web(31, 2)
    });
    // Another leader may have written it: the marker tells.
    assert_eq!(fixture.proof(), Some(Proof::Restart));
    fixture.holds_at(40, 1);
    assert!(fixture.proof().is_some(), "a pod may have started");
}

/// In a list it may have become so at any time since it was seen before.
#[test]
fn a_template_that_is_read_settles_only_what_came_before_it_was_read_last() {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.index.read(web(31, 2), fixture.now);
    assert!(fixture.proof().is_some(), "before or after the source");
    fixture.index.read(web(32, 3), fixture.now);
    assert_eq!(fixture.proof(), None);
}

#[rstest]
#[case::another_spelling(1, 2, 31)]
#[case::no_event(2, 2, 20)]
#[case::another_field(2, 1, 31)]
fn not_every_other_template_is_a_rollout(
    #[case] generation: i64,
    #[case] template: u64,
    #[case] version: u64,
) {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.sees(Workload {
        generation,
        ..web(version, template)
    });
    assert_eq!(fixture.proof(), Some(Proof::Nothing));
}

/// A pod that starts while the source holds something else keeps it.
#[rstest]
#[case::pods_stand_still(Pods::default(), Pods::default(), None)]
#[case::one_came_meanwhile(Pods::default(), Pods { counts: 1, ..Pods::default() }, Some(Proof::Restart))]
#[case::some_were_starting(Pods { counts: 1, are_moving: true, are_complete: false }, Pods { counts: 1, are_moving: true, are_complete: false }, Some(Proof::Restart))]
fn a_content_that_comes_and_goes_is_owed_where_pods_may_have_started(
    #[case] before: Pods,
    #[case] meanwhile: Pods,
    #[case] expected: Option<Proof>,
) {
    let fixture = Fixture::running();
    fixture.sees(Workload {
        pods: before,
        ..web(21, 1)
    });
    fixture.holds_at(30, 2);
    fixture.sees(Workload {
        pods: meanwhile,
        ..web(31, 1)
    });
    fixture.holds_at(40, 1);
    assert_eq!(fixture.proof(), expected);
}

/// A new leader finds other content than the ledger has, and the time of a rollout that was taken back before it had
/// replaced all pods.
#[test]
fn a_template_that_came_back_is_no_rollout_that_was_missed() {
    let fixture = Fixture::settled();
    let undone_at = fixture.now.unix;
    let source = Source {
        resource_version: 15,
        modified_at: Some(undone_at.saturating_add(-1)),
        ..source("app", 2)
    };
    fixture.event(CONFIGMAPS, Event::SourceSeen(source));
    fixture.sees(web(20, 1));
    fixture.sees(web(31, 2));
    let mut back = web(32, 1);
    back.generation = 3;
    back.template.replaced_at = Some(undone_at);
    fixture.sees(back);
    let status = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    fixture.index.restores_from(undone_at.saturating_add(-60));
    fixture.index.restore(&app(), &status, fixture.now);
    assert!(fixture.proof().is_some());
}

/// The sources' stream is ahead: a rollout that settles is followed by another one, of which a pod may have started with what
/// the source held in between.
#[test]
fn a_rollout_after_one_that_settles_counts_by_its_own_time() {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.holds_at(40, 3);
    fixture.holds_at(50, 2);
    fixture.sees(web(31, 2));
    assert_eq!(fixture.proof(), None, "of the present content");
    fixture.index.read(
        Workload {
            pods: Pods {
                are_complete: true,
                ..Pods::default()
            },
            ..web(52, 3)
        },
        fixture.now,
    );
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}

/// The next leader has to know that not all of them run with what they ran with.
#[rstest]
#[case::stood_still(Pods::default(), 21, Some(digest(1)))]
#[case::one_came_before_the_source(Pods { counts: 1, ..Pods::default() }, 29, Some(digest(1)))]
#[case::one_came_after_it(Pods { counts: 1, ..Pods::default() }, 31, None)]
#[case::some_are_starting(Pods { are_moving: true, ..Pods::default() }, 29, None)]
fn the_ledger_has_no_content_of_pods_that_were_shown_before_their_source(
    #[case] pods: Pods,
    #[case] version: u64,
    #[case] expected: Option<Digest>,
) {
    let fixture = Fixture::running();
    fixture.sees(Workload {
        pods,
        ..web(version, 1)
    });
    fixture.holds_at(30, 2);
    let owed = fixture.index.source_status(&app()).unwrap().owed;
    let running: Vec<_> = owed.iter().map(|owed| owed.running).collect();
    assert_eq!(running, [expected.map(Content::Present)]);
}

#[rstest]
#[case::the_same_template(1, true)]
#[case::another_template(2, false)]
fn pods_that_stay_behind_run_with_what_they_ran_with(#[case] template: u64, #[case] owes: bool) {
    let fixture = Fixture::running();
    fixture.event(DEPLOYMENTS, Event::WorkloadReleased(key("web")));
    fixture.event(DEPLOYMENTS, Event::WorkloadGone(key("web")));
    fixture.holds_at(30, 2);
    let created = Workload {
        uid: "another".into(),
        created_at: Some(fixture.now.unix.saturating_add(60)),
        generation: 1,
        ..web(40, template)
    };
    assert_eq!(fixture.sees(created).due.len(), usize::from(owes));
    assert_eq!(fixture.proof(), owes.then_some(Proof::Nothing));
}

#[test]
fn what_was_owed_is_owed_by_pods_that_stay_behind() {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.event(DEPLOYMENTS, Event::WorkloadReleased(key("web")));
    let created = Workload {
        uid: "another".into(),
        created_at: Some(fixture.now.unix.saturating_add(60)),
        ..web(40, 1)
    };
    assert_eq!(fixture.sees(created).due.len(), 1);
    fixture.holds_at(50, 1);
    assert_eq!(fixture.proof(), None);
}

/// Where the deletion is no change, a workload from the time without the source has never had the content before.
#[rstest]
#[case::created_meanwhile(35, 0)]
#[case::created_before(25, 1)]
fn a_source_that_returns_concerns_those_that_had_it_before(#[case] created: u64, #[case] owed: usize) {
    let fixture = Fixture::running();
    fixture.event(
        CONFIGMAPS,
        Event::SourceGone {
            key: app(),
            version: 30,
        },
    );
    let young = Workload {
        uid: "young".into(),
        ..workload("young", AUTO, created)
    };
    fixture.sees(young);
    assert_eq!(fixture.holds_at(40, 2).due.len(), 1 + owed);
    assert_eq!(fixture.owed("young").len(), owed);
    assert_eq!(fixture.owed("web").len(), 1);
}

/// The ledger was written before both: they are not in it.
#[rstest]
#[case::rewritten_after_the_creation_of_both(5, true, true)]
#[case::in_the_same_second(3, true, false)]
#[case::never_rewritten(5, false, false)]
fn what_was_written_after_a_workload_began_while_nobody_ran_is_owed(
    #[case] modified: i64,
    #[case] rewritten: bool,
    #[case] owes: bool,
    #[values(1, 2, 3)] ledger_read: u8,
) {
    let mut fixture = Fixture::starting();
    let stored = fixture.now.unix;
    let take_over = |fixture: &Fixture| {
        fixture.index.restores_from(stored);
        fixture.check_unrecorded(stored);
    };
    let source = Source {
        modified_at: Some(stored.saturating_add(modified)),
        rewritten,
        resource_version: 40,
        ..source("app", 2)
    };
    let web = Workload {
        created_at: Some(stored.saturating_add(3)),
        ..web(30, 1)
    };
    fixture.pass(60);
    if ledger_read == 1 {
        take_over(&fixture);
    }
    fixture.event(CONFIGMAPS, Event::ListStarted);
    fixture.event(CONFIGMAPS, Event::SourceSeen(source));
    if ledger_read == 2 {
        take_over(&fixture);
    }
    fixture.event(DEPLOYMENTS, Event::ListStarted);
    fixture.sees(web);
    if ledger_read == 3 {
        take_over(&fixture);
    }
    assert_eq!(fixture.proof(), owes.then_some(Proof::Restart));
}

/// A standby has seen which of them the leader served.
#[test]
fn a_standby_knows_what_a_coarser_ledger_does_not() {
    let fixture = Fixture::running();
    fixture.holds_at(30, 2);
    fixture.sees(web(31, 2));
    fixture.holds_at(40, 1);
    assert_eq!(fixture.proof(), Some(Proof::Restart));
    let status = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    fixture.index.restore(&app(), &status, fixture.now);
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}

/// The annotation has room for one of the sources that the leader has restarted it for. The other one may have the same
/// name.
#[rstest]
fn a_standby_owes_nothing_after_a_restart_for_two_sources(
    #[values(false, true)] takes_over: bool,
    #[values((SourceKind::ConfigMap, "other"), (SourceKind::Secret, "app"))] other: (SourceKind, &str),
) {
    let fixture = Fixture::running();
    let (kind, name) = other;
    let other = SourceKey::new(kind, "team", name);
    let holds = |version: u64, content: u8| {
        let source = Source {
            key: other.clone(),
            resource_version: version,
            ..source(name, content)
        };
        fixture.event(Watched::Source(kind), Event::SourceSeen(source));
    };
    let of_both = |version: u64, template: u64| Workload {
        opt_in: OptIn::parse(
            &AnnotationKeys::default(),
            |key| match key {
                "configmap.reloader.stakater.com/reload" => Some("app,other"),
                "secret.reloader.stakater.com/reload" => Some("app"),
                _ => None,
            },
            |_| None,
        ),
        ..web(version, template)
    };
    holds(11, 1);
    fixture.sees(of_both(21, 1));
    fixture.holds_at(30, 2);
    holds(31, 3);
    assert_eq!(fixture.owed("web").len(), 2);
    let mut restarted = of_both(32, 2);
    let kind = kind.type_name();
    let text = format!(r#"{{"type":"{kind}","name":"{name}","hash":"{}"}}"#, digest(3));
    restarted.template.last_reloaded_from = Some(text.into());
    restarted.template.written_at = Some(UnixSeconds(60));
    fixture.sees(restarted);
    if takes_over {
        for (key, content) in [(app(), 2), (other, 3)] {
            let status = SourceStatus {
                state: SourceState::Present(digest(content)),
                owed: Vec::new(),
            };
            fixture.index.restore(&key, &status, fixture.now);
        }
    }
    assert_eq!(fixture.owed("web"), []);
}

/// A replica that starts lists what the source holds in between, and takes that for what the pods run with.
#[rstest]
fn what_the_ledger_says_is_added_to_what_a_new_replica_has_listed(#[values(false, true)] owed: bool) {
    let fixture = Fixture::settled();
    fixture.holds_at(30, 2);
    fixture.sees(web(20, 1));
    fixture.holds_at(40, 1);
    let web = OwedBy {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
        running: Some(Content::Present(digest(1))),
    };
    let status = SourceStatus {
        state: SourceState::Present(digest(if owed { 3 } else { 1 })),
        owed: Vec::from_iter(owed.then_some(web)),
    };
    fixture.index.restores_from(UnixSeconds(60));
    fixture.index.restore(&app(), &status, fixture.now);
    fixture.check_unrecorded(UnixSeconds(60));
    fixture.holds_at(50, 2);
    assert_eq!(fixture.proof(), Some(Proof::Restart), "its pods run with 1");
}
