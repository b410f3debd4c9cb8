//! Made-up sources and workloads, as the watches show them. I/O: none.

use std::time::Instant;

use reloader::{
    index::{Index, Options, Seen},
    model::{
        AnnotationKeys, Container, Digest, OptIn, PodTemplate, Pods, Replacement, Restart, Rollout, Source,
        SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey, WorkloadKind,
        opt_in::SharedLists,
    },
    watch::{Event, Observation, StreamId, Watched},
};

/// A ConfigMap of the namespace `shop`, whose content the number stands for.
pub fn source(name: &str, content: u64) -> Source {
    let mut digest = [0; 20];
    digest[..8].copy_from_slice(&content.to_be_bytes());
    Source {
        key: SourceKey::new(SourceKind::ConfigMap, "shop", name),
        uid: "d3b07384-d9a0-4c3b-9f57-2f6d1c2e8a11".into(),
        resource_version: content,
        modified_at: Some(UnixSeconds(1_790_000_000)),
        rewritten: false,
        digest: Digest::from_bytes(digest),
        ignored: false,
        matched: false,
        policy: None,
    }
}

/// A Deployment that opted in, with so many containers, each of which takes its environment from all these ConfigMaps.
pub fn workload(name: &str, containers: usize, sources: &[String]) -> Workload {
    let references: Vec<SourceRef> = sources
        .iter()
        .map(|source| SourceRef::new(SourceKind::ConfigMap, source.as_str()))
        .collect();
    let container = |number| Container {
        name: format!("container-{number}").into(),
        references: references.clone(),
        ..Container::default()
    };
    let keys = AnnotationKeys::default();
    let auto = |key: &str| (key == keys.auto).then_some("true");
    Workload {
        key: WorkloadKey::new(WorkloadKind::Deployment, "shop", name),
        uid: "7f4c2b10-6a5e-4d3c-8b2a-1f0e9d8c7b6a".into(),
        resource_version: 1,
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
        opt_in: OptIn::parse(&keys, auto, |_| None),
        template: PodTemplate {
            containers: (0..containers).map(container).collect(),
            ..PodTemplate::default()
        },
    }
}

/// A Deployment that lists ConfigMaps by these names and patterns.
#[allow(dead_code, reason = "not every bench has lists")]
pub fn listing(lists: &SharedLists, name: &str, list: &str) -> Workload {
    let keys = AnnotationKeys::default();
    let get = |key: &str| (key == keys.configmap.reload).then_some(list);
    Workload {
        opt_in: OptIn::parse_shared(lists, &keys, get, |_| None),
        ..workload(name, 1, &[])
    }
}

/// The index hears of the source.
#[allow(dead_code, reason = "not every bench has an index")]
pub fn show_source(index: &Index, source: Source) {
    show(
        index,
        Watched::Source(SourceKind::ConfigMap),
        Event::SourceSeen(source),
    );
}

/// An index of everything everywhere that has listed all these.
#[allow(dead_code, reason = "not every bench has an index")]
pub fn index(
    sources: impl IntoIterator<Item = Source>,
    workloads: impl IntoIterator<Item = Workload>,
) -> Index {
    let streams = Watched::all().map(|watched| StreamId {
        watched,
        namespace: None,
    });
    let index = Index::new(Options::default(), streams);
    for watched in Watched::all() {
        show(&index, watched, Event::ListStarted);
    }
    for source in sources {
        show_source(&index, source);
    }
    for workload in workloads {
        let workload = Event::WorkloadSeen(Box::new(workload));
        show(&index, Watched::Workload(WorkloadKind::Deployment), workload);
    }
    for watched in Watched::all() {
        show(&index, watched, Event::Listed);
    }
    index
}

fn show(index: &Index, watched: Watched, event: Event) {
    let stream = StreamId {
        watched,
        namespace: None,
    };
    let now = Seen {
        at: Instant::now(),
        unix: UnixSeconds(1_790_000_000),
    };
    index.apply(Observation::of(stream, event), now);
}
