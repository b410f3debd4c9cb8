//! Workloads that use the pod template of another: a Rollout's `workloadRef` names a Deployment.

use std::time::Instant;

use crate::{
    index::{Effect, Index, Options, Seen},
    model::{
        AnnotationKeys, Container, Digest, OptIn, PodTemplate, Pods, Replacement, Restart, Rollout, Source,
        SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey, WorkloadKind,
    },
    watch::{Event, Observation, StreamId, Watched},
};

fn apply(index: &Index, watched: Watched, event: Event) -> Effect {
    let stream = StreamId {
        watched,
        namespace: None,
    };
    let now = Seen {
        at: Instant::now(),
        unix: UnixSeconds(1_790_000_000),
    };
    index.apply(Observation::of(stream, event), now)
}

fn see(index: &Index, workload: Workload) -> Effect {
    let watched = Watched::Workload(workload.key.kind);
    apply(index, watched, Event::WorkloadSeen(Box::new(workload)))
}

fn change(index: &Index, content: u8) -> Effect {
    let source = Source {
        key: SourceKey::new(SourceKind::ConfigMap, "team", "app"),
        uid: "1".into(),
        resource_version: content.into(),
        modified_at: Some(UnixSeconds(content.into())),
        rewritten: false,
        digest: Digest::from_bytes([content; 20]),
        ignored: false,
        matched: false,
        policy: None,
    };
    apply(
        index,
        Watched::Source(SourceKind::ConfigMap),
        Event::SourceSeen(source),
    )
}

fn workload(kind: WorkloadKind, uses: &[&str], version: u64) -> Workload {
    let auto = |key: &str| (kind == WorkloadKind::Rollout && key.ends_with("/auto")).then_some("true");
    let references = uses
        .iter()
        .map(|name| SourceRef::new(SourceKind::ConfigMap, *name));
    Workload {
        key: WorkloadKey::new(kind, "team", "web"),
        uid: "2".into(),
        resource_version: version,
        created_at: None,
        pause: None,
        opt_in: OptIn::parse(&AnnotationKeys::default(), auto, |_| None),
        template: PodTemplate {
            containers: vec![Container {
                name: "main".into(),
                references: references.collect(),
                ..Container::default()
            }],
            ..PodTemplate::default()
        },
        template_of: (kind == WorkloadKind::Rollout).then(|| "web".into()),
        restart: Restart::Template,
        replacement: Replacement::default(),
        generation: 1,
        pods: Pods::default(),
        rollout: Rollout::default(),
        written_by: None,
        policy: None,
        lacks_template: false,
    }
}

fn rollout() -> Workload {
    workload(WorkloadKind::Rollout, &[], 1)
}

fn deployment(uses: &[&str], version: u64) -> Workload {
    workload(WorkloadKind::Deployment, uses, version)
}

fn index() -> Index {
    Index::new(
        Options::default(),
        Watched::all().map(|watched| StreamId {
            watched,
            namespace: None,
        }),
    )
}

#[test]
fn a_rollout_owes_what_its_deployments_pods_use_whichever_is_seen_first() {
    for rollout_first in [true, false] {
        let index = index();
        change(&index, 1);
        let mut workloads = vec![deployment(&["app"], 1), rollout()];
        if rollout_first {
            workloads.reverse();
        }
        for workload in workloads {
            see(&index, workload);
        }
        assert_eq!(change(&index, 2).due, [rollout().key], "{rollout_first}");
    }
}

#[test]
fn a_change_before_the_deployment_was_seen_is_owed() {
    let index = index();
    change(&index, 1);
    see(&index, rollout());
    assert!(change(&index, 2).due.is_empty());
    assert_eq!(see(&index, deployment(&["app"], 1)).due, [rollout().key]);
}

#[test]
fn a_rollout_follows_its_deployments_template() {
    let index = index();
    change(&index, 1);
    see(&index, rollout());
    see(&index, deployment(&["other"], 1));
    assert!(change(&index, 2).due.is_empty());
    see(&index, deployment(&["app"], 2));
    assert_eq!(change(&index, 3).due, [rollout().key]);
    let key = deployment(&[], 0).key;
    apply(
        &index,
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadGone(key),
    );
    assert!(change(&index, 4).due.is_empty());
}

#[test]
fn a_rollout_that_is_gone_owes_nothing() {
    let index = index();
    change(&index, 1);
    see(&index, rollout());
    apply(
        &index,
        Watched::Workload(WorkloadKind::Rollout),
        Event::WorkloadGone(rollout().key),
    );
    see(&index, deployment(&["app"], 1));
    assert!(change(&index, 2).due.is_empty());
}

/// That its template becomes known says nothing of a patch whose answer was lost.
#[test]
fn what_a_rollout_owes_already_stays_when_its_deployment_is_seen() {
    let index = index();
    change(&index, 1);
    let listed = |key: &str| (key == "configmap.reloader.stakater.com/reload").then_some("app");
    let rollout = Workload {
        opt_in: OptIn::parse(&AnnotationKeys::default(), listed, |_| None),
        ..rollout()
    };
    see(&index, rollout.clone());
    assert_eq!(change(&index, 2).due.len(), 1);
    index.attempt(&rollout.key, [SourceRef::new(SourceKind::ConfigMap, "app")]);
    see(&index, deployment(&["app"], 1));
    change(&index, 1);
    assert!(index.pending(&rollout.key).is_some());
}
