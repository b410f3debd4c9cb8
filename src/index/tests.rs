mod answers;
mod beliefs;
mod create_delete;
mod followers;
mod handover;
mod listed;
mod look_alikes;
mod model;
mod mounted;
mod oracle;
mod oracle_standby;
mod pauses;
mod pods;
mod put_back;
mod rollouts;
mod selection;
mod unclaimed;
mod view;
mod worker;

use std::{collections::BTreeSet, time::Duration};

use rstest::rstest;

use super::*;
use crate::{
    model::{
        AnnotationKeys, Container, Digest, OptIn, PodTemplate, Pods, Proof, Replacement, Restart, Rollout,
        Source, SourceKind, WorkloadKind,
    },
    watch::Failure,
};

/// An index that watches everything everywhere, and the clock of its observations.
struct Fixture {
    index: Index,
    now: Seen,
    version: u64,
}

impl Fixture {
    /// As a leader does after it has restored everything.
    fn check_unrecorded(&self, since: UnixSeconds) {
        for workload in self.index.unrecorded_since(since, self.now) {
            self.index.check_unrecorded(&workload);
        }
    }

    /// Everything is listed, and long enough ago that no workload can be unknown.
    fn settled() -> Self {
        Self::settled_with(Options::default())
    }

    /// Nothing is listed yet.
    fn starting() -> Self {
        Self::with(Options::default())
    }

    fn settled_with(options: Options) -> Self {
        let mut fixture = Self::with(options);
        for watched in Watched::all() {
            fixture.list(watched, |_| {});
        }
        fixture.pass(60);
        fixture
    }

    fn with(options: Options) -> Self {
        let streams = Watched::all().map(|watched| StreamId {
            watched,
            namespace: None,
        });
        let now = Seen {
            at: Instant::now(),
            unix: UnixSeconds(1_790_000_000),
        };
        Self {
            index: Index::new(options, streams),
            now,
            version: 0,
        }
    }

    fn pass(&mut self, seconds: u32) {
        self.now.at += Duration::from_secs(seconds.into());
        self.now.unix = self.now.unix.saturating_add(seconds.into());
    }

    fn event(&self, watched: Watched, event: Event) -> Effect {
        self.index.apply(
            Observation::of(
                StreamId {
                    watched,
                    namespace: None,
                },
                event,
            ),
            self.now,
        )
    }

    fn list(&mut self, watched: Watched, seen: impl FnOnce(&mut Self)) -> Effect {
        self.event(watched, Event::ListStarted);
        seen(self);
        self.event(watched, Event::Listed)
    }

    /// The ConfigMap exists with a content that this byte stands for.
    fn source(&mut self, name: &str, content: u8) -> Effect {
        self.event(
            Watched::Source(SourceKind::ConfigMap),
            Event::SourceSeen(source(name, content)),
        )
    }

    fn source_gone(&mut self, name: &str) -> Effect {
        let key = SourceKey::new(SourceKind::ConfigMap, "team", name);
        self.event(
            Watched::Source(SourceKind::ConfigMap),
            Event::SourceGone { key, version: 0 },
        )
    }

    /// The Deployment exists, uses the ConfigMap `app` and carries this annotation.
    fn workload(&mut self, name: &str, annotation: (&str, &str)) -> Effect {
        self.version += 1;
        let workload = workload(name, annotation, self.version);
        self.event(
            Watched::Workload(WorkloadKind::Deployment),
            Event::WorkloadSeen(Box::new(workload)),
        )
    }

    /// What the Deployment owes: names and digests.
    fn owed(&self, name: &str) -> Vec<(String, Digest)> {
        let pending = self.index.pending(&key(name));
        let owed = pending.into_iter().flat_map(|pending| pending.owed);
        owed.map(|owed| (owed.source.key.name.to_string(), owed.source.digest))
            .collect()
    }

    fn settle(&self, name: &str, content: u8) -> bool {
        self.index.settle(
            &key(name),
            [(reference("app"), Content::Present(digest(content)))],
            Settled::ByRestart,
            self.now,
        )
    }
}

pub(super) const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");

fn key(name: &str) -> WorkloadKey {
    WorkloadKey::new(WorkloadKind::Deployment, "team", name)
}

fn reference(name: &str) -> SourceRef {
    SourceRef::new(SourceKind::ConfigMap, name)
}

fn digest(content: u8) -> Digest {
    format!("{content:02x}").repeat(20).parse().unwrap()
}

fn source(name: &str, content: u8) -> Source {
    Source {
        key: SourceKey::new(SourceKind::ConfigMap, "team", name),
        uid: "uid".into(),
        resource_version: u64::MAX,
        modified_at: Some(UnixSeconds(1_790_000_000)),
        rewritten: false,
        digest: digest(content),
        ignored: false,
        matched: false,
        policy: None,
    }
}

pub(super) fn workload(name: &str, (annotation, value): (&str, &str), version: u64) -> Workload {
    let container = Container {
        name: "main".into(),
        references: vec![reference("app")],
        ..Container::default()
    };
    Workload {
        key: key(name),
        uid: "uid".into(),
        resource_version: version,
        created_at: None,
        pause: None,
        template_of: None,
        restart: Restart::default(),
        replacement: Replacement::default(),
        generation: 1,
        pods: Pods::default(),
        rollout: Rollout::default(),
        written_by: None,
        policy: None,
        lacks_template: false,
        opt_in: OptIn::parse(
            &AnnotationKeys::default(),
            |key| (key == annotation).then_some(value),
            |_| None,
        ),
        template: PodTemplate {
            containers: vec![container],
            ..PodTemplate::default()
        },
    }
}

#[rstest]
#[case::auto(AUTO, true)]
#[case::by_name(("configmap.reloader.stakater.com/reload", "app"), true)]
#[case::by_pattern(("configmap.reloader.stakater.com/reload", "other,a[p]+"), true)]
#[case::another_name(("configmap.reloader.stakater.com/reload", "other"), false)]
#[case::another_kind(("secret.reloader.stakater.com/auto", "true"), false)]
#[case::search_without_match(("reloader.stakater.com/search", "true"), false)]
#[case::nothing(("unrelated", "true"), false)]
fn a_changed_source_is_owed_by_who_opted_in(#[case] annotation: (&str, &str), #[case] owes: bool) {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", annotation);
    let effect = fixture.source("app", 2);
    assert_eq!(effect.source, Some(SourceChange::Updated));
    assert_eq!(effect.due, if owes { vec![key("web")] } else { vec![] });
    assert_eq!(fixture.owed("web").is_empty(), !owes);
}

#[test]
fn a_source_seen_for_the_first_time_is_adopted() {
    let mut fixture = Fixture::settled();
    fixture.workload("web", AUTO);
    assert_eq!(fixture.source("app", 1).source, Some(SourceChange::Created));
    assert_eq!(fixture.source("app", 1).source, Some(SourceChange::Unchanged));
    assert!(fixture.owed("web").is_empty());
}

#[test]
fn a_patch_settles_what_it_carried_and_nothing_newer() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    fixture.source("app", 3);
    assert_eq!(
        fixture.owed("web"),
        [("app".to_owned(), digest(3))],
        "several changes are one debt"
    );
    assert!(fixture.settle("web", 2), "the source has moved on meanwhile");
    assert!(!fixture.settle("web", 3));
    assert!(fixture.owed("web").is_empty());
}

#[test]
fn a_source_that_returns_to_its_old_content_is_owed_no_more() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    assert!(fixture.source("app", 1).due.is_empty());
    assert!(fixture.owed("web").is_empty());
}

#[test]
fn after_an_attempt_of_unknown_outcome_the_old_content_is_owed_too() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    fixture.index.attempt(&key("web"), [reference("app")]);
    assert_eq!(fixture.source("app", 1).due, [key("web")]);
    assert_eq!(fixture.owed("web"), [("app".to_owned(), digest(1))]);
}

#[test]
fn a_patch_that_ends_after_the_source_returned_is_undone() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    fixture.source("app", 1);
    assert!(
        fixture.settle("web", 2),
        "the workload runs with 2, the source is 1"
    );
    assert_eq!(fixture.owed("web"), [("app".to_owned(), digest(1))]);
}

#[test]
fn a_source_deleted_while_it_is_owed_is_owed_again_when_it_returns() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    fixture.source_gone("app");
    assert!(
        fixture.owed("web").is_empty(),
        "there is nothing to bring the workload to"
    );
    assert!(fixture.index.owing().is_empty(), "and nobody waits for that");
    assert_eq!(fixture.source("app", 2).due, [key("web")]);
    assert_eq!(fixture.owed("web"), [("app".to_owned(), digest(2))]);
}

#[test]
fn a_relist_that_does_not_show_an_object_deletes_it() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.source("other", 1);
    fixture.workload("web", AUTO);
    fixture.workload("old", AUTO);
    let configmaps = Watched::Source(SourceKind::ConfigMap);
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.list(configmaps, |fixture| {
        fixture.source("app", 2);
    });
    let effect = fixture.list(deployments, |fixture| {
        fixture.workload("web", AUTO);
    });
    assert_eq!(effect.gone, [key("old")]);
    assert_eq!(
        (fixture.index.count(configmaps), fixture.index.count(deployments)),
        (1, 1)
    );
    assert_eq!(
        fixture.owed("web").len(),
        1,
        "a change found by the relist is a change"
    );
}

/// Where workloads may not be watched, one that was recreated is seen only after the next change.
#[rstest]
#[case::after_the_change(i64::MAX, 0)]
#[case::before_the_change(1, 1)]
fn a_recreated_workload_owes_what_changed_since(#[case] created_at: i64, #[case] owed: usize) {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    let mut recreated = workload("web", AUTO, 9);
    recreated.uid = "another".into();
    recreated.created_at = Some(UnixSeconds(created_at));
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(deployments, Event::WorkloadSeen(Box::new(recreated)));
    assert_eq!(fixture.owed("web").len(), owed);
}

#[test]
fn an_owing_workload_that_changes_is_worth_another_attempt() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.source("app", 2);
    assert!(
        fixture.workload("web", AUTO).woken.is_empty(),
        "only its status or version changed"
    );
    let mut written = workload("web", AUTO, 100);
    written.template.written_at = Some(UnixSeconds(1_790_000_001));
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    let effect = fixture.event(deployments, Event::WorkloadSeen(Box::new(written)));
    assert!(effect.woken.is_empty(), "only a write of Reloader's own");
    fixture.version = 200;
    let listed = ("configmap.reloader.stakater.com/reload", "app");
    assert_eq!(fixture.workload("web", listed).woken, [key("web")]);
}

#[test]
fn a_change_seen_before_its_workload_is_owed_when_the_workload_appears() {
    let mut fixture = Fixture::starting();
    fixture.list(Watched::Source(SourceKind::ConfigMap), |fixture| {
        fixture.source("app", 1);
    });
    fixture.source("app", 2);
    let effect = {
        let deployments = Watched::Workload(WorkloadKind::Deployment);
        fixture.event(deployments, Event::ListStarted);
        let effect = fixture.workload("web", AUTO);
        fixture.event(deployments, Event::Listed);
        effect
    };
    assert_eq!(effect.due, [key("web")]);
}

#[test]
fn a_workload_younger_than_the_change_does_not_owe_it() {
    let mut fixture = Fixture::starting();
    fixture.source("app", 1);
    fixture.source("app", 2);
    let mut young = workload("web", AUTO, 1);
    young.created_at = Some(UnixSeconds(1_790_000_001));
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    assert!(
        fixture
            .event(deployments, Event::WorkloadSeen(Box::new(young)))
            .due
            .is_empty()
    );
}

fn refused() -> Event {
    Event::Failed(Failure {
        category: "list",
        denied: true,
        only_watch: false,
        code: None,
        retry_after: Duration::ZERO,
        not_installed: false,
        message: "forbidden".to_owned(),
    })
}

#[test]
fn a_kind_that_is_not_served_hides_no_workloads() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    let kind = Watched::Workload(WorkloadKind::DeploymentConfig);
    fixture.event(kind, refused());
    fixture.event(kind, Event::NotServed);
    fixture.pass(600);
    fixture.source("app", 2);
    fixture.pass(600);
    assert!(fixture.workload("late", AUTO).due.is_empty());
}

#[test]
fn changes_seen_while_a_workload_watch_was_cut_are_owed_after_it_returns() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture.event(deployments, refused());
    fixture.pass(600);
    fixture.source("app", 2);
    fixture.pass(600);
    assert_eq!(fixture.workload("web", AUTO).due, [key("web")]);
    fixture.pass(60);
    assert!(
        fixture.workload("late", AUTO).due.is_empty(),
        "the watch has caught up long ago"
    );
}

#[test]
fn namespaces_do_not_mix_and_empty_ones_are_dropped() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    let mut elsewhere = source("app", 1);
    elsewhere.key.namespace = "elsewhere".into();
    let configmaps = Watched::Source(SourceKind::ConfigMap);
    fixture.event(configmaps, Event::SourceSeen(elsewhere.clone()));
    elsewhere.digest = digest(2);
    let key = elsewhere.key.clone();
    assert!(
        fixture
            .event(configmaps, Event::SourceSeen(elsewhere))
            .due
            .is_empty()
    );
    fixture.event(configmaps, Event::SourceGone { key, version: 0 });
    assert_eq!(fixture.index.namespaces.len(), 1);
}

#[test]
fn what_the_ledger_says_is_compared_whichever_stream_comes_first() {
    let status = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    for sources_first in [true, false] {
        let mut fixture = Fixture::starting();
        fixture.index.restore(&settings, &status, fixture.now);
        let deployments = Watched::Workload(WorkloadKind::Deployment);
        let seen = |fixture: &mut Fixture| {
            let mut young = workload("young", AUTO, 1);
            young.created_at = Some(UnixSeconds(1_790_000_001));
            fixture.event(deployments, Event::WorkloadSeen(Box::new(young)));
            fixture.workload("old", AUTO);
        };
        if sources_first {
            fixture.source("app", 2);
            seen(&mut fixture);
        } else {
            seen(&mut fixture);
            fixture.source("app", 2);
        }
        assert_eq!(fixture.owed("old").len(), 1, "sources first: {sources_first}");
        assert!(fixture.owed("young").is_empty(), "sources first: {sources_first}");
    }
}

#[test]
fn the_standing_of_a_source_is_what_restores_it() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.workload("api", AUTO);
    fixture.source("app", 2);
    fixture.settle("api", 2);
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    let status = fixture.index.source_status(&settings).unwrap();
    assert_eq!(
        (status.state, status.owed.len()),
        (SourceState::Present(digest(2)), 1)
    );

    let mut next = Fixture::settled();
    next.source("app", 2);
    next.workload("web", AUTO);
    next.workload("api", AUTO);
    next.index.restore(&settings, &status, next.now);
    assert_eq!((next.owed("web").len(), next.owed("api").len()), (1, 0));
}

#[test]
fn of_very_many_workloads_each_that_owes_is_named() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    for number in 0..1000 {
        fixture.workload(&format!("web-{number}"), AUTO);
    }
    fixture.source("app", 2);
    fixture.settle("web-7", 2);
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    let status = fixture.index.source_status(&settings).unwrap();
    assert_eq!(status.state, SourceState::Present(digest(2)));
    assert_eq!(status.owed.len(), 999);
    let runs_with_before = |owed: &OwedBy| owed.running == Some(Content::Present(digest(1)));
    assert!(status.owed.iter().all(runs_with_before));
    assert!(status.owed.iter().all(|owed| *owed.name != *"web-7"));
}

#[test]
fn a_source_nobody_opted_into_has_no_standing() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
    assert_eq!(fixture.index.source_status(&settings), None);
    assert_eq!(
        fixture.workload("web", AUTO).touched,
        std::slice::from_ref(&settings)
    );
    assert_eq!(fixture.index.opted_sources(), std::slice::from_ref(&settings));
    assert_eq!(
        fixture.workload("web", ("unrelated", "")).touched,
        std::slice::from_ref(&settings)
    );
    assert_eq!(fixture.index.source_status(&settings), None);
}

#[test]
fn a_listed_namespace_replaces_what_was_known_of_it() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    fixture.workload("old", AUTO);
    fixture.source("app", 2);
    let listed = Event::NamespaceListed {
        namespace: "team".into(),
        workloads: vec![workload("web", AUTO, 9), workload("new", AUTO, 9)],
    };
    let effect = fixture.event(Watched::Workload(WorkloadKind::Deployment), listed);
    assert_eq!(effect.gone, [key("old")]);
    let due: BTreeSet<&str> = effect.due.iter().map(|key| &*key.name).collect();
    assert_eq!(
        due,
        BTreeSet::from(["new", "web"]),
        "both are older than the change"
    );
    assert_eq!(
        fixture.index.count(Watched::Workload(WorkloadKind::Deployment)),
        2
    );
}

#[test]
fn a_restart_itself_is_no_news_for_the_ledger() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    fixture.workload("web", AUTO);
    let mut restarted = workload("web", AUTO, 9);
    restarted.template.containers[0].markers = vec![("STAKATER_APP_CONFIGMAP".into(), "digest".into())];
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    let effect = fixture.event(deployments, Event::WorkloadSeen(Box::new(restarted)));
    assert!(effect.touched.is_empty());
    assert_eq!(fixture.source("app", 2).due, [key("web")]);
}
