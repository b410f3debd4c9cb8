//! How far rollouts are, as the index keeps it.

use proptest::prelude::*;

use super::*;
use crate::model::{Policy, RolloutState};

/// A Deployment that opts in, with that rollout.
fn rolling(name: &str, version: u64, state: RolloutState, is_healthy: bool) -> Workload {
    Workload {
        rollout: Rollout {
            state,
            is_healthy,
            has_pods: true,
            ..Rollout::default()
        },
        ..workload(name, AUTO, version)
    }
}

impl Fixture {
    fn shows(&mut self, name: &str, state: RolloutState, is_healthy: bool) -> Effect {
        self.version += 1;
        self.shows_workload(rolling(name, self.version, state, is_healthy))
    }

    fn shows_workload(&self, workload: Workload) -> Effect {
        let event = Event::WorkloadSeen(Box::new(workload));
        self.event(Watched::Workload(WorkloadKind::Deployment), event)
    }

    /// Now, where ten minutes may pass without progress.
    fn horizon(&self) -> Horizon {
        Horizon {
            now: self.now.unix,
            timeout: Duration::from_mins(10),
        }
    }

    fn member(&self, name: &str) -> Member {
        let members = self.index.members(&app());
        let mut members = members.into_iter();
        members.find(|member| *member.workload.key.name == *name).unwrap()
    }
}

fn app() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

#[test]
fn a_change_of_the_rollout_is_told_once_and_not_at_first_sight() {
    let mut fixture = Fixture::settled();
    assert_eq!(fixture.shows("web", RolloutState::Steady, true).rollouts, []);
    let change = |from, to, is_healthy| RolloutChange {
        key: key("web"),
        uid: "uid".into(),
        from,
        to,
        is_healthy,
    };
    let effect = fixture.shows("web", RolloutState::Rolling, true);
    assert_eq!(
        effect.rollouts,
        [change(RolloutState::Steady, RolloutState::Rolling, true)]
    );
    assert_eq!(fixture.shows("web", RolloutState::Rolling, true).rollouts, []);
    let effect = fixture.shows("web", RolloutState::Rolling, false);
    assert_eq!(
        effect.rollouts,
        [change(RolloutState::Rolling, RolloutState::Rolling, false)]
    );
}

#[test]
fn nothing_is_told_of_a_workload_that_opts_into_nothing() {
    let mut fixture = Fixture::settled();
    for state in [RolloutState::Steady, RolloutState::Rolling] {
        fixture.version += 1;
        let rollout = rolling("web", 1, state, true).rollout;
        let effect = fixture.shows_workload(Workload {
            rollout,
            ..workload("web", ("unrelated", ""), fixture.version)
        });
        assert_eq!(effect.rollouts, []);
    }
    assert_eq!(fixture.index.in_progress(fixture.horizon()), 0);
}

#[test]
fn members_are_those_that_opted_into_the_source_even_after_it_was_deleted() {
    let mut fixture = Fixture::settled_with(Options {
        reload_on_delete: true,
        ..Options::default()
    });
    fixture.source("app", 1);
    fixture.shows("web", RolloutState::Steady, true);
    fixture.shows("api", RolloutState::Rolling, false);
    fixture.workload("other", ("unrelated", ""));
    let names = |fixture: &Fixture| -> BTreeSet<String> {
        let members = fixture.index.members(&app());
        members
            .iter()
            .map(|member| member.workload.key.name.to_string())
            .collect()
    };
    let both = BTreeSet::from(["api".to_owned(), "web".to_owned()]);
    assert_eq!(names(&fixture), both);
    assert!(!fixture.member("web").owes);
    fixture.source("app", 2);
    assert!(fixture.member("web").owes);
    fixture.settle("web", 2);
    assert!(!fixture.member("web").owes);
    assert!(fixture.member("api").owes);
    fixture.source_gone("app");
    assert_eq!(names(&fixture), both);
    assert!(fixture.member("web").owes, "the deletion");
    assert!(
        fixture
            .index
            .members(&SourceKey::new(SourceKind::Secret, "team", "app"))
            .is_empty()
    );
}

#[test]
fn a_deletion_that_counts_for_nothing_is_not_owed() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.shows("web", RolloutState::Steady, true);
    fixture.source("app", 2);
    fixture.source_gone("app");
    assert!(!fixture.member("web").owes);
}

#[test]
fn the_sources_of_a_workload_come_with_their_annotations() {
    let mut fixture = Fixture::settled();
    let policy = Policy::parse(|key| (key == "reloader.stakater.com/suspend").then_some("true"));
    fixture.event(
        Watched::Source(SourceKind::ConfigMap),
        Event::SourceSeen(Source {
            policy: policy.clone(),
            ..source("app", 1)
        }),
    );
    fixture.source("unused", 1);
    fixture.shows("web", RolloutState::Steady, true);
    let sources = fixture.index.sources_concerning(&key("web"));
    let sources: Vec<_> = sources
        .into_iter()
        .map(|source| (source.key, source.policy))
        .collect();
    assert_eq!(sources, [(app(), policy)]);
    assert!(fixture.index.sources_concerning(&key("gone")).is_empty());
}

#[test]
fn what_a_patch_answered_is_in_progress_at_once() {
    let mut fixture = Fixture::settled();
    fixture.shows("web", RolloutState::Steady, true);
    fixture.pass(10);
    let stored = rolling("web", 9, RolloutState::Unobserved, true);
    let effect = fixture.index.written(stored, fixture.now);
    assert_eq!(effect.rollouts.len(), 1);
    assert_eq!(fixture.index.in_progress_in("team", fixture.horizon()), 1);
    fixture.source("app", 1);
    assert_eq!(fixture.member("web").moved_at, Some(fixture.now.unix));
}

/// Nothing shows how far it is: it counts for a minute after each restart, by the time that the object has of it.
#[test]
fn a_workload_that_tells_nothing_counts_for_a_minute() {
    let mut fixture = Fixture::settled();
    fixture.shows("web", RolloutState::Opaque, true);
    assert_eq!(fixture.index.in_progress_in("team", fixture.horizon()), 0);
    fixture.pass(3600);
    let mut restarted = rolling("web", 9, RolloutState::Opaque, true);
    restarted.template.written_at = Some(fixture.now.unix);
    fixture.shows_workload(restarted);
    assert_eq!(fixture.index.in_progress_in("team", fixture.horizon()), 1);
    fixture.pass(59);
    assert_eq!(fixture.index.in_progress(fixture.horizon()), 1);
    fixture.pass(1);
    assert_eq!(fixture.index.in_progress(fixture.horizon()), 0);
}

#[test]
fn a_rollout_without_progress_counts_until_its_time_is_over_and_a_paused_one_until_the_pause_is() {
    let mut fixture = Fixture::settled();
    fixture.shows("web", RolloutState::Rolling, true);
    fixture.shows("api", RolloutState::Paused, true);
    fixture.pass(599);
    assert_eq!(fixture.index.in_progress_in("team", fixture.horizon()), 2);
    fixture.pass(1);
    assert_eq!(fixture.index.in_progress_in("team", fixture.horizon()), 1);
    assert!(fixture.index.is_in_progress(&key("api"), fixture.horizon()));
    assert!(!fixture.index.is_in_progress(&key("web"), fixture.horizon()));
}

#[derive(Clone, Debug)]
enum Step {
    Shows {
        namespace: usize,
        name: usize,
        uid: u8,
        state: RolloutState,
        opts_in: bool,
    },
    /// So many seconds.
    Passes(u32),
    Goes {
        namespace: usize,
        name: usize,
    },
    Select(usize),
    Deselect(usize),
    /// A complete list that shows none of the workloads.
    ListsNothing,
}

const NAMESPACES: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 3] = ["x", "y", "z"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_usize, 0..3_usize, 0..2_u8, 0..RolloutState::ALL.len(), any::<bool>()).prop_map(
            |(namespace, name, uid, state, opts_in)| {
                let state = RolloutState::ALL[state];
                Step::Shows { namespace, name, uid, state, opts_in }
            }
        ),
        3 => prop_oneof![Just(1), Just(30), Just(599)].prop_map(Step::Passes),
        3 => (0..3_usize, 0..3_usize).prop_map(|(namespace, name)| Step::Goes { namespace, name }),
        3 => (0..3_usize).prop_map(Step::Select),
        2 => (0..3_usize).prop_map(Step::Deselect),
        1 => Just(Step::ListsNothing),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn those_in_progress_are_counted_exactly(steps in steps(), by_labels in any::<bool>()) {
        let watched = Watched::Workload(WorkloadKind::Deployment);
        let all = || Watched::all().chain(by_labels.then_some(Watched::Namespace));
        let mut fixture = Fixture::starting();
        fixture.index = Index::new(
            Options::default(),
            all().map(|watched| StreamId { watched, namespace: None }),
        );
        for watched in all() {
            fixture.list(watched, |_| {});
        }
        for step in steps {
            fixture.pass(1);
            fixture.version += 1;
            _ = match step {
                Step::Passes(seconds) => {
                    fixture.pass(seconds);
                    Effect::default()
                }
                Step::Shows { namespace, name, uid, state, opts_in } => {
                    let annotation = if opts_in { AUTO } else { ("unrelated", "") };
                    let mut shown = Workload {
                        key: WorkloadKey::new(WorkloadKind::Deployment, NAMESPACES[namespace], NAMES[name]),
                        uid: uid.to_string().into(),
                        rollout: rolling("any", 1, state, true).rollout,
                        ..workload("any", annotation, fixture.version)
                    };
                    shown.template.written_at = (uid > 0).then_some(fixture.now.unix);
                    fixture.shows_workload(shown)
                }
                Step::Goes { namespace, name } => {
                    let key = WorkloadKey::new(WorkloadKind::Deployment, NAMESPACES[namespace], NAMES[name]);
                    fixture.event(watched, Event::WorkloadGone(key))
                }
                Step::Select(namespace) if by_labels => fixture.event(
                    Watched::Namespace,
                    Event::NamespaceSeen { name: NAMESPACES[namespace].into(), policy: None },
                ),
                Step::Deselect(namespace) if by_labels => {
                    fixture.event(Watched::Namespace, Event::NamespaceGone(NAMESPACES[namespace].into()))
                }
                Step::Select(_) | Step::Deselect(_) => Effect::default(),
                Step::ListsNothing => fixture.list(watched, |_| {}),
            };
            let horizon = fixture.horizon();
            let recount = |namespace: &str| {
                let workloads = fixture.index.workloads_of(namespace);
                let counted = workloads.iter().filter(|workload| {
                    fixture.index.selects(namespace)
                        && !workload.opt_in.is_empty()
                        && fixture.index.unmoved_for(&workload.key, horizon.now).is_some_and(|unmoved_for| {
                            workload.rollout.state.takes_a_place(unmoved_for, horizon.timeout)
                        })
                });
                counted.count()
            };
            for namespace in NAMESPACES {
                prop_assert_eq!(fixture.index.in_progress_in(namespace, horizon), recount(namespace));
                let workloads = fixture.index.workloads_of(namespace);
                let opted_in = workloads.iter().filter(|workload| !workload.opt_in.is_empty()).count();
                let expected = if fixture.index.selects(namespace) { opted_in } else { 0 };
                prop_assert_eq!(fixture.index.tally(namespace).opted_in, expected);
            }
            let sum: usize = NAMESPACES.into_iter().map(recount).sum();
            prop_assert_eq!(fixture.index.in_progress(horizon), sum);
        }
    }
}

#[test]
fn limits_are_of_the_namespace_that_asks_for_them() {
    let fixture = Fixture::settled();
    assert!(!fixture.index.has_limits_in("team"));
    let wave = |key: &str| (key == crate::model::limits::WAVE).then_some("1");
    let mut workload = rolling("web", 1, RolloutState::Steady, true);
    workload.policy = Policy::parse(wave);
    workload.key.namespace = "other".into();
    fixture.shows_workload(workload.clone());
    assert!(fixture.index.has_limits_in("other"));
    assert!(!fixture.index.has_limits_in("team"));
    // Where workloads may not be watched, lists show it.
    workload.key.namespace = "team".into();
    let listed = Event::NamespaceListed {
        namespace: "team".into(),
        workloads: vec![workload],
    };
    fixture.event(Watched::Workload(WorkloadKind::Deployment), listed);
    assert!(fixture.index.has_limits_in("team"));
}
