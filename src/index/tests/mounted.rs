//! Classes of the Secrets Store CSI driver: what their pods show, and what follows for the workloads that mount them.

use std::time::{Duration, Instant};

use rstest::rstest;

use crate::{
    index::{Effect, Index, Options, Seen, SourceChange, SourceState, SourceStatus},
    model::{
        AnnotationKeys, ClassAnnotations, Container, Digest, OptIn, PodStatus, PodTemplate, SourceKey,
        SourceKind, UnixSeconds, Volume, Workload, WorkloadKey, WorkloadKind,
    },
    watch::{Event, Observation, StreamId, Watched},
};

const STATUSES: Watched = Watched::Source(SourceKind::SecretProviderClass);
const START: UnixSeconds = UnixSeconds(1_790_000_000);

/// An index that watches everything everywhere, and a Deployment `web` that mounts the class `vault`.
struct Fixture {
    index: Index,
    now: Seen,
    version: u64,
}

impl Fixture {
    /// Nothing is listed yet.
    fn starting() -> Self {
        let streams = Watched::all().chain(Watched::CSI).map(|watched| StreamId {
            watched,
            namespace: None,
        });
        let now = Seen {
            at: Instant::now(),
            unix: START,
        };
        Self {
            index: Index::new(Options::default(), streams),
            now,
            version: 0,
        }
    }

    /// Everything is listed, and these pods show the first content.
    fn with_pods(pods: &[&str]) -> Self {
        let mut fixture = Self::starting();
        for watched in Watched::all().chain([Watched::Class]) {
            fixture.list(watched, |_| {});
        }
        fixture.workload("web", UnixSeconds(0));
        fixture.list(STATUSES, |fixture| {
            for pod in pods {
                fixture.status(pod, 1, false);
            }
        });
        fixture.now.at += Duration::from_mins(1);
        fixture
    }

    fn event(&self, watched: Watched, event: Event) -> Effect {
        let stream = StreamId {
            watched,
            namespace: None,
        };
        self.index.apply(Observation::of(stream, event), self.now)
    }

    fn list(&mut self, watched: Watched, seen: impl FnOnce(&mut Self)) -> Effect {
        self.event(watched, Event::ListStarted);
        seen(self);
        self.event(watched, Event::Listed)
    }

    fn workload(&mut self, name: &str, created_at: UnixSeconds) {
        let annotation = |key: &str| (key == "reloader.stakater.com/auto").then_some("true");
        let template = PodTemplate {
            containers: vec![Container {
                mounts: vec!["store".into()],
                ..Container::default()
            }],
            volumes: vec![Volume {
                name: "store".into(),
                sources: vec![key().reference()],
            }],
            ..PodTemplate::default()
        };
        let workload = Workload {
            key: WorkloadKey::new(WorkloadKind::Deployment, "team", name),
            uid: "uid".into(),
            resource_version: 1,
            template_of: None,
            restart: crate::model::Restart::default(),
            replacement: crate::model::Replacement::default(),
            generation: 1,
            pods: crate::model::Pods::default(),
            rollout: crate::model::Rollout::default(),
            written_by: None,
            policy: None,
            lacks_template: false,
            created_at: Some(created_at),
            opt_in: OptIn::parse(&AnnotationKeys::default(), annotation, |_| None),
            pause: None,
            template,
        };
        let deployments = Watched::Workload(WorkloadKind::Deployment);
        self.event(deployments, Event::WorkloadSeen(Box::new(workload)));
    }

    /// The pod shows that content of the class.
    fn status(&mut self, pod: &str, content: u8, rewritten: bool) -> Effect {
        self.status_of(pod, "uid", content, rewritten)
    }

    fn status_of(&mut self, pod: &str, uid: &str, content: u8, rewritten: bool) -> Effect {
        self.version += 1;
        let status = PodStatus {
            namespace: "team".into(),
            name: pod.into(),
            uid: uid.into(),
            class: "vault".into(),
            digest: digest(content),
            resource_version: self.version,
            modified_at: Some(self.now.unix),
            rewritten,
        };
        self.event(STATUSES, Event::PodStatusSeen(status))
    }

    fn gone(&self, pod: &str) -> Effect {
        let (namespace, name) = ("team".into(), pod.into());
        self.event(STATUSES, Event::PodStatusGone { namespace, name })
    }

    fn class(&self, ignored: bool, matched: bool) -> Effect {
        let key = key();
        let class = ClassAnnotations {
            key,
            ignored,
            matched,
        };
        self.event(Watched::Class, Event::ClassSeen(class))
    }

    fn restore(&self, content: u8) {
        let status = SourceStatus {
            state: SourceState::Present(digest(content)),
            owed: Vec::new(),
        };
        self.index.restore(&key(), &status, self.now);
    }

    /// The digests that the Deployment owes a restart for.
    fn owed(&self) -> Vec<Digest> {
        let web = WorkloadKey::new(WorkloadKind::Deployment, "team", "web");
        let pending = self.index.pending(&web);
        let owed = pending.into_iter().flat_map(|pending| pending.owed);
        owed.map(|owed| owed.source.digest).collect()
    }

    fn settled(&self) -> Option<Digest> {
        self.index.source_status(&key()).map(|status| match status.state {
            SourceState::Present(digest) | SourceState::Deleted(digest) => digest,
            SourceState::Missing => unreachable!("a class is never waited for"),
        })
    }
}

fn key() -> SourceKey {
    SourceKey::new(SourceKind::SecretProviderClass, "team", "vault")
}

fn digest(content: u8) -> Digest {
    Digest::from_bytes([content; 20])
}

#[test]
fn a_rotation_over_many_pods_is_owed_once() {
    let pods: Vec<String> = (0..100).map(|pod| format!("pod-{pod}")).collect();
    let names: Vec<&str> = pods.iter().map(String::as_str).collect();
    let mut fixture = Fixture::with_pods(&names);
    let mut changes = Vec::new();
    for pod in names {
        let effect = fixture.status(pod, 2, true);
        changes.push((effect.source, effect.due.len()));
    }
    assert_eq!(changes[0], (Some(SourceChange::Updated), 1));
    assert!(
        changes[1..]
            .iter()
            .all(|change| *change == (Some(SourceChange::Unchanged), 0))
    );
    assert_eq!(fixture.owed(), [digest(2)]);
}

#[test]
fn a_first_list_is_adopted_whatever_its_order() {
    let mut fixture = Fixture::with_pods(&[]);
    let effect = fixture.list(STATUSES, |fixture| {
        fixture.version = 10;
        fixture.status("new", 2, true);
        fixture.version = 0;
        fixture.status("old", 1, false);
    });
    assert!(effect.due.is_empty() && effect.changed.is_empty());
    assert_eq!(effect.touched, [key()]);
    assert_eq!(fixture.settled(), Some(digest(2)));
}

#[test]
fn statuses_that_come_and_go_restart_nothing() {
    let mut fixture = Fixture::with_pods(&["a"]);
    assert_eq!(fixture.status("b", 2, false).source, Some(SourceChange::Created));
    let gone = fixture.gone("a");
    assert_eq!((gone.source, gone.due.len()), (Some(SourceChange::Deleted), 0));
    assert!(fixture.gone("unknown").source.is_none());
    assert!(fixture.owed().is_empty());
}

#[test]
fn a_status_of_the_same_name_may_belong_to_a_new_pod() {
    let mut fixture = Fixture::with_pods(&["web-0", "web-1"]);
    for pod in ["web-0", "web-1"] {
        assert!(fixture.status_of(pod, "another", 2, false).due.is_empty());
    }
    assert!(fixture.owed().is_empty());
    let rotated = fixture.status_of("web-0", "another", 3, true);
    assert_eq!(rotated.source, Some(SourceChange::Updated));
    assert_eq!(fixture.owed(), [digest(3)]);
}

#[rstest]
#[case::the_same_content(1)]
#[case::another_content(2)]
fn scaling_to_zero_and_back_restarts_nothing(#[case] content: u8) {
    let mut fixture = Fixture::with_pods(&["a", "b"]);
    fixture.gone("a");
    fixture.gone("b");
    assert_eq!(fixture.settled(), Some(digest(1)), "remembered");
    assert!(fixture.status("c", content, false).due.is_empty());
    assert!(fixture.owed().is_empty());
    fixture.status("c", 3, true);
    assert_eq!(fixture.owed(), [digest(3)], "and the next rotation is a change");
}

#[test]
fn a_class_that_nobody_opted_into_is_forgotten_with_its_last_pod() {
    let mut fixture = Fixture::starting();
    for watched in Watched::all().chain(Watched::CSI) {
        fixture.list(watched, |_| {});
    }
    fixture.status("a", 1, false);
    assert_eq!(fixture.index.count(STATUSES), 1);
    fixture.gone("a");
    assert_eq!(fixture.index.count(STATUSES), 0);
    assert!(fixture.index.namespaces.is_empty());
}

#[test]
fn what_happens_in_a_namespace_that_is_not_selected_is_owed_by_nobody() {
    let mut fixture = Fixture::with_pods(&[]);
    let namespaces = Watched::Namespace;
    let streams = Watched::all().chain(Watched::CSI).chain([namespaces]);
    fixture.index = Index::new(
        Options::default(),
        streams.map(|watched| StreamId {
            watched,
            namespace: None,
        }),
    );
    for watched in Watched::all().chain(Watched::CSI).chain([namespaces]) {
        fixture.list(watched, |_| {});
    }
    fixture.workload("web", UnixSeconds(0));
    fixture.status("a", 1, false);
    let rotated = fixture.status("a", 2, true);
    assert!(rotated.unselected && rotated.due.is_empty());
    fixture.event(
        namespaces,
        Event::NamespaceSeen {
            name: "team".into(),
            policy: None,
        },
    );
    assert!(fixture.owed().is_empty());
    let rotated = fixture.status("a", 3, true);
    assert!(!rotated.unselected);
    assert_eq!(fixture.owed(), [digest(3)]);
    fixture.event(namespaces, Event::NamespaceGone("team".into()));
    assert!(fixture.owed().is_empty() && fixture.gone("a").unselected);
}

#[test]
fn the_annotations_of_the_class_count() {
    let mut fixture = Fixture::with_pods(&["a"]);
    fixture.class(true, false);
    assert!(fixture.status("a", 2, true).due.is_empty());
    fixture.event(Watched::Class, Event::ClassGone(key()));
    assert_eq!(fixture.status("a", 3, true).due.len(), 1);
    fixture.class(true, false);
    fixture.list(Watched::Class, |_| {});
    assert_eq!(fixture.status("a", 4, true).due.len(), 1, "swept by the list");
    assert_eq!(fixture.index.count(Watched::Class), 0);
}

#[test]
fn what_happened_in_a_gap_comes_to_light_with_the_list() {
    let mut fixture = Fixture::with_pods(&["a", "b"]);
    let effect = fixture.list(STATUSES, |fixture| {
        // Both pods are gone, and their successor has been rotated.
        fixture.status("c", 2, true);
    });
    assert_eq!(effect.changed, [key()]);
    assert_eq!(effect.due.len(), 1);
    assert_eq!(fixture.owed(), [digest(2)]);
    assert_eq!(fixture.index.count(STATUSES), 1);
}

/// The ledger may be read before the lists are complete, and after.
#[rstest]
#[case::nothing_changed(1, false, None)]
#[case::rotated_meanwhile(2, true, Some(2))]
#[case::pods_started_with_something_newer(2, false, None)]
fn after_a_restart_the_ledger_tells_what_is_owed(
    #[case] content: u8,
    #[case] rewritten: bool,
    #[case] owed: Option<u8>,
    #[values(true, false)] ledger_first: bool,
) {
    let mut fixture = Fixture::starting();
    if ledger_first {
        fixture.restore(1);
    }
    for watched in Watched::all().chain([Watched::Class]) {
        fixture.list(watched, |fixture| {
            if watched == Watched::Workload(WorkloadKind::Deployment) {
                fixture.workload("web", UnixSeconds(0));
            }
        });
    }
    fixture.list(STATUSES, |fixture| {
        fixture.status("a", content, rewritten);
    });
    if !ledger_first {
        fixture.restore(1);
    }
    assert_eq!(fixture.owed(), owed.map(digest).into_iter().collect::<Vec<_>>());
    assert_eq!(fixture.settled(), Some(digest(owed.unwrap_or(1))));
    fixture.now.at += Duration::from_mins(1);
    fixture.status("a", 3, true);
    assert_eq!(fixture.owed(), [digest(3)]);
}

/// Its pods have started with the content that the rotation brought to older ones.
#[rstest]
fn a_workload_that_is_younger_than_the_rotation_owes_nothing(#[values(true, false)] ledger_first: bool) {
    let mut fixture = Fixture::starting();
    if ledger_first {
        fixture.restore(1);
    }
    for watched in Watched::all().chain([Watched::Class]) {
        fixture.list(watched, |fixture| {
            if watched == Watched::Workload(WorkloadKind::Deployment) {
                fixture.workload("web", START.saturating_add(60));
            }
        });
    }
    fixture.list(STATUSES, |fixture| {
        fixture.status("a", 2, true);
    });
    if !ledger_first {
        fixture.restore(1);
    }
    assert!(fixture.owed().is_empty());
}

#[test]
fn the_ledger_hears_of_a_class_that_concerns_others_now() {
    let fixture = Fixture::with_pods(&["a"]);
    assert_eq!(fixture.class(false, false).touched, []);
    assert_eq!(fixture.class(true, false).touched, [key()]);
    assert_eq!(fixture.settled(), None);
    assert_eq!(fixture.class(true, false).touched, []);
    let gone = fixture.event(Watched::Class, Event::ClassGone(key()));
    assert_eq!(
        (gone.touched.as_slice(), fixture.settled()),
        (&[key()][..], Some(digest(1)))
    );
}
