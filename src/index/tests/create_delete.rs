//! Creations and deletions as changes: what counts as one, and for whom. [`super::model`] tells what follows from it.

use super::*;

const CREATE: Options = Options {
    every_namespace_counts: false,
    auto_reload_all: false,
    reload_on_create: true,
    reload_on_delete: false,
    trust_markers: false,
    longest_lag: Duration::ZERO,
};
const DELETE: Options = Options {
    reload_on_create: false,
    reload_on_delete: true,
    ..CREATE
};
const CONFIG_MAPS: Watched = Watched::Source(SourceKind::ConfigMap);
const DEPLOYMENTS: Watched = Watched::Workload(WorkloadKind::Deployment);
const LISTS_NAMES: (&str, &str) = ("configmap.reloader.stakater.com/reload", "app");
const LISTS_PATTERN: (&str, &str) = ("configmap.reloader.stakater.com/reload", "a[p]+");

fn settings() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

fn status(state: SourceState) -> SourceStatus {
    SourceStatus {
        state,
        owed: Vec::new(),
    }
}

fn present(content: u8) -> Content {
    Content::Present(digest(content))
}

impl Fixture {
    /// What the Deployment is to be brought to.
    fn targets(&self, name: &str) -> Vec<Content> {
        let pending = self.index.pending(&key(name));
        let owed = pending.into_iter().flat_map(|pending| pending.owed);
        owed.map(|owed| owed.content).collect()
    }
}

#[rstest]
#[case::uses_it(AUTO, true)]
#[case::lists_it(LISTS_NAMES, true)]
#[case::lists_a_pattern(LISTS_PATTERN, true)]
#[case::did_not_opt_in(("unrelated", "true"), false)]
fn a_workload_that_waits_for_a_source_is_restarted_when_it_comes(
    #[case] annotation: (&str, &str),
    #[case] waits: bool,
) {
    let mut fixture = Fixture::settled_with(CREATE);
    fixture.workload("web", annotation);
    let effect = fixture.source("app", 1);
    assert_eq!(effect.source, Some(SourceChange::Created));
    assert_eq!(effect.due, if waits { vec![key("web")] } else { vec![] });
    assert_eq!(
        fixture.targets("web"),
        if waits { vec![present(1)] } else { vec![] }
    );
}

#[rstest]
#[case::uses_it(AUTO, true)]
#[case::lists_it(LISTS_NAMES, true)]
#[case::lists_a_pattern(LISTS_PATTERN, true)]
#[case::did_not_opt_in(("unrelated", "true"), false)]
fn a_workload_that_opted_in_is_restarted_when_the_source_goes(
    #[case] annotation: (&str, &str),
    #[case] opted_in: bool,
) {
    let mut fixture = Fixture::settled_with(DELETE);
    fixture.source("app", 1);
    fixture.workload("web", annotation);
    let effect = fixture.source_gone("app");
    assert_eq!(effect.source, Some(SourceChange::Deleted));
    assert_eq!(effect.due, if opted_in { vec![key("web")] } else { vec![] });
    assert_eq!(
        fixture.targets("web"),
        if opted_in { vec![Content::Absent] } else { vec![] }
    );
    fixture.workload("another", ("unrelated", "true"));
    let kept = fixture.index.namespaces.get("team").unwrap().sources().len();
    assert_eq!(kept, usize::from(opted_in), "what nobody opted into is forgotten");
}

/// Quirk Q6 of upstream: the first namespace that was listed makes everything look new in the others.
#[test]
fn a_list_makes_nothing_look_new_in_another_namespace() {
    let of = |namespace: &str, watched| StreamId {
        watched,
        namespace: Some(namespace.into()),
    };
    let streams = ["fast", "slow"].map(|namespace| Watched::all().map(move |kind| of(namespace, kind)));
    let index = Index::new(CREATE, streams.into_iter().flatten());
    let fixture = Fixture::settled();
    let show = |stream: StreamId, event| index.apply(Observation::of(stream, event), fixture.now);
    let source_in = |namespace: &str| {
        let mut source = source("app", 1);
        source.key.namespace = namespace.into();
        show(of(namespace, CONFIG_MAPS), Event::SourceSeen(source))
    };
    for namespace in ["fast", "slow"] {
        let mut waiting = workload("web", AUTO, 1);
        waiting.key.namespace = namespace.into();
        show(of(namespace, DEPLOYMENTS), Event::WorkloadSeen(Box::new(waiting)));
    }
    show(of("fast", CONFIG_MAPS), Event::Listed);
    assert_eq!(source_in("slow").due, [], "it was there before");
    assert_eq!(source_in("fast").due.len(), 1);
}

/// Quirk Q5 of upstream: with one kind of source ignored, the creations and deletions of the other kind are never seen.
#[test]
fn one_kind_of_source_does_not_wait_for_another_that_is_not_watched() {
    let options = Options {
        reload_on_delete: true,
        ..CREATE
    };
    let streams = [CONFIG_MAPS, DEPLOYMENTS].map(|watched| StreamId {
        watched,
        namespace: None,
    });
    let mut fixture = Fixture {
        index: Index::new(options, streams),
        ..Fixture::settled()
    };
    fixture.list(CONFIG_MAPS, |_| {});
    fixture.list(DEPLOYMENTS, |fixture| {
        fixture.workload("web", AUTO);
    });
    assert_eq!(fixture.source("app", 1).due, [key("web")]);
    fixture.settle("web", 1);
    assert_eq!(fixture.source_gone("app").due, [key("web")]);
}

#[test]
fn a_workload_that_was_created_after_the_source_is_not_restarted_for_its_creation() {
    // The streams are independent: the Deployment may be seen before the ConfigMap that was created first.
    let fixture = Fixture::settled_with(CREATE);
    let mut young = workload("web", AUTO, 7);
    young.created_at = Some(UnixSeconds(1_790_000_000));
    fixture.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(young.clone())));
    let created = |version| Source {
        resource_version: version,
        ..source("app", 1)
    };
    assert_eq!(fixture.event(CONFIG_MAPS, Event::SourceSeen(created(6))).due, []);

    // Within one second the versions tell; later ones of the workload do not make it younger.
    let fixture = Fixture::settled_with(CREATE);
    fixture.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(young.clone())));
    young.resource_version = 9;
    fixture.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(young)));
    assert_eq!(
        fixture.event(CONFIG_MAPS, Event::SourceSeen(created(8))).due,
        [key("web")]
    );
}

#[test]
fn a_workload_that_starts_to_use_an_old_source_is_not_restarted() {
    let mut fixture = Fixture::settled_with(CREATE);
    fixture.source("app", 1);
    assert_eq!(fixture.workload("web", AUTO).due, []);
    assert_eq!(fixture.workload("late", ("unrelated", "")).due, []);
    assert_eq!(fixture.workload("late", AUTO).due, []);
}

/// Quirk Q20 of upstream: a deletion that only a new list shows is lost.
#[test]
fn a_relist_finds_what_came_and_what_went() {
    let options = Options {
        reload_on_delete: true,
        ..CREATE
    };
    let mut fixture = Fixture::settled_with(options);
    fixture.source("app", 1);
    fixture.workload("web", LISTS_NAMES);
    fixture.workload("other", ("configmap.reloader.stakater.com/reload", "other"));
    let mut came = Effect::default();
    let went = fixture.list(CONFIG_MAPS, |fixture| came = fixture.source("other", 1));
    assert_eq!(came.due, [key("other")]);
    assert_eq!(went.due, [key("web")]);
    assert_eq!(went.changed, [settings()]);
    assert_eq!(fixture.targets("web"), [Content::Absent]);
}

#[rstest]
#[case::created(CREATE, |fixture: &mut Fixture| drop(fixture.source("app", 1)))]
#[case::deleted(DELETE, |fixture: &mut Fixture| drop(fixture.source_gone("app")))]
fn a_workload_that_is_seen_only_later_owes_it_unless_it_is_younger(
    #[case] options: Options,
    #[case] event: fn(&mut Fixture),
) {
    let mut fixture = Fixture::with(options);
    fixture.list(CONFIG_MAPS, |fixture| {
        if options.reload_on_delete {
            fixture.source("app", 1);
        }
    });
    event(&mut fixture);
    let mut young = workload("young", AUTO, 1);
    young.created_at = Some(UnixSeconds(1_790_000_001));
    let due = |effect: Effect| effect.due;
    assert_eq!(
        due(fixture.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(young)))),
        []
    );
    assert_eq!(due(fixture.workload("web", AUTO)), [key("web")]);
}

#[test]
fn the_ledger_proves_what_came_while_nobody_ran() {
    for (state, sources_first) in [
        (Some(SourceState::Missing), true),
        (Some(SourceState::Missing), false),
        (None, true),
    ] {
        let mut fixture = Fixture::with(CREATE);
        let restore = |fixture: &Fixture| {
            if let Some(state) = state {
                fixture.index.restore(&settings(), &status(state), fixture.now);
            }
        };
        if !sources_first {
            restore(&fixture);
        }
        fixture.list(CONFIG_MAPS, |fixture| {
            fixture.source("app", 1);
        });
        fixture.list(DEPLOYMENTS, |fixture| {
            fixture.workload("web", AUTO);
        });
        if sources_first {
            restore(&fixture);
        }
        let owes = !fixture.targets("web").is_empty();
        assert_eq!(owes, state.is_some(), "{state:?}, sources first: {sources_first}");
    }
}

#[test]
fn what_a_workload_waits_for_is_written_down_once_it_is_known_to_be_missing() {
    let mut fixture = Fixture::with(CREATE);
    assert_eq!(fixture.workload("web", AUTO).touched, [settings()]);
    assert_eq!(
        fixture.index.source_status(&settings()),
        None,
        "it may be in the list"
    );
    assert_eq!(fixture.list(CONFIG_MAPS, |_| {}).touched, [settings()]);
    let missing = Some(status(SourceState::Missing));
    assert_eq!(fixture.index.source_status(&settings()), missing);
    assert_eq!(fixture.index.opted_sources(), [settings()]);
    fixture.event(DEPLOYMENTS, Event::WorkloadGone(key("web")));
    assert_eq!(fixture.index.source_status(&settings()), None);

    let mut without_flag = Fixture::settled();
    assert_eq!(without_flag.workload("web", AUTO).touched, []);
    assert_eq!(without_flag.index.source_status(&settings()), None);
}

#[test]
fn a_deletion_is_written_down_so_that_no_later_leader_takes_it_for_a_new_one() {
    let mut fixture = Fixture::settled_with(DELETE);
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source_gone("app");
    let mut status = fixture.index.source_status(&settings()).unwrap();
    assert_eq!(
        (status.state, status.owed.len()),
        (SourceState::Deleted(digest(1)), 1)
    );
    status.owed.clear();
    for listed in [true, false] {
        let mut next = Fixture::with(DELETE);
        if !listed {
            next.index.restore(&settings(), &status, next.now);
        }
        for watched in [CONFIG_MAPS, DEPLOYMENTS] {
            next.list(watched, |fixture| {
                if watched == DEPLOYMENTS {
                    fixture.workload("web", AUTO);
                }
            });
        }
        if listed {
            next.index.restore(&settings(), &status, next.now);
        }
        assert_eq!(next.targets("web"), [], "restored after the lists: {listed}");
    }
}

#[test]
fn a_source_of_a_kind_that_is_not_watched_is_not_taken_for_deleted() {
    let mut fixture = Fixture {
        index: Index::new(
            DELETE,
            [DEPLOYMENTS].map(|watched| StreamId {
                watched,
                namespace: None,
            }),
        ),
        ..Fixture::settled()
    };
    let was = status(SourceState::Present(digest(1)));
    fixture.index.restore(&settings(), &was, fixture.now);
    fixture.list(DEPLOYMENTS, |fixture| {
        fixture.workload("web", AUTO);
    });
    assert_eq!(fixture.targets("web"), []);
    assert_eq!(fixture.index.source_status(&settings()), Some(was));
}

#[test]
fn a_deletion_that_very_many_owe_is_owed_by_each() {
    let mut fixture = Fixture::settled_with(DELETE);
    fixture.source("app", 1);
    for number in 0..100 {
        fixture.workload(&format!("web-{number}"), AUTO);
    }
    fixture.source_gone("app");
    let status = fixture.index.source_status(&settings()).unwrap();
    assert_eq!(
        (status.state, status.owed.len()),
        (SourceState::Deleted(digest(1)), 100)
    );
}

#[test]
fn a_source_of_which_nothing_is_known_is_owed_only_if_markers_say_so() {
    let options = Options {
        trust_markers: true,
        ..CREATE
    };
    let tentative = |fixture: &Fixture| {
        let pending = fixture.index.pending(&key("web"));
        pending.map(|pending| {
            pending
                .owed
                .iter()
                .map(|owed| owed.proof == Proof::Change)
                .collect::<Vec<_>>()
        })
    };
    let start = || {
        let mut fixture = Fixture::with(options);
        fixture.list(CONFIG_MAPS, |fixture| {
            fixture.source("app", 1);
        });
        fixture.list(DEPLOYMENTS, |fixture| {
            fixture.workload("web", AUTO);
        });
        fixture
    };
    let mut fixture = start();
    assert_eq!(tentative(&fixture), Some(vec![true]));
    let adopted = status(SourceState::Present(digest(1)));
    assert_eq!(fixture.index.source_status(&settings()), Some(adopted.clone()));
    fixture.source("app", 2);
    assert_eq!(tentative(&fixture), Some(vec![false]), "this is a change");

    let fixture = start();
    fixture.index.restore(&settings(), &adopted, fixture.now);
    assert_eq!(tentative(&fixture), None, "the ledger knows better");
}

#[test]
fn a_deleted_source_that_is_forgotten_is_owed_no_more() {
    let mut fixture = Fixture::settled_with(DELETE);
    fixture.workload("web", ("configmap.reloader.stakater.com/reload", "version-.*"));
    for version in 0..1100 {
        fixture.source(&format!("version-{version}"), 1);
        fixture.source_gone(&format!("version-{version}"));
    }
    assert_eq!(fixture.targets("web").len(), 1024);
}

#[test]
fn the_memory_of_deleted_sources_is_bounded() {
    let mut fixture = Fixture::settled();
    fixture.workload("web", ("configmap.reloader.stakater.com/reload", "version-.*"));
    for version in 0..3000 {
        fixture.source(&format!("version-{version}"), 1);
        fixture.source_gone(&format!("version-{version}"));
    }
    let kept = fixture.index.namespaces.get("team").unwrap().sources().len();
    assert_eq!(kept, 1024);
}

#[test]
fn delete_and_recreate_counts_only_with_other_content() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    assert_eq!(fixture.source_gone("app").source, Some(SourceChange::Deleted));
    assert_eq!(fixture.source("app", 1).source, Some(SourceChange::Created));
    assert!(fixture.owed("web").is_empty());
    fixture.source_gone("app");
    assert_eq!(fixture.source("app", 2).due, [key("web")]);
}

/// Where workloads may not be watched, a Job that a restart has created anew is seen only after the next change: that it
/// is another object then must not hide that change.
#[rstest]
#[case::created_before(0, true)]
#[case::created_in_the_same_second(1, true)]
#[case::created_after(2, false)]
fn a_workload_created_anew_owes_the_deletions_that_came_after(#[case] created: i64, #[case] owes: bool) {
    let mut fixture = Fixture::settled_with(DELETE);
    fixture.workload("web", AUTO);
    fixture.source("app", 1);
    fixture.source_gone("app");
    let successor = Workload {
        uid: "another".into(),
        created_at: Some(fixture.now.unix.saturating_add(created - 1)),
        ..workload("web", AUTO, 9)
    };
    fixture.event(DEPLOYMENTS, Event::WorkloadSeen(Box::new(successor)));
    let expected = if owes { vec![Content::Absent] } else { vec![] };
    assert_eq!(fixture.targets("web"), expected);
}
