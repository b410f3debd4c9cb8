//! How fast the index takes in a change: one that nobody opted into, one that one workload or 500 did.

use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use reloader::{
    index::{Index, Options, Seen},
    model::{
        AnnotationKeys, Container, Digest, OptIn, PodTemplate, Restart, Source, SourceKey, SourceKind,
        SourceRef, Workload, WorkloadKey, WorkloadKind,
    },
    watch::{Event, Observation, StreamId, Watched},
};

/// Sources in the namespace beside the one that changes.
const OTHERS: usize = 1_000;

fn observation(watched: Watched, event: Event) -> Observation {
    let stream = StreamId {
        watched,
        namespace: None,
    };
    Observation { stream, event }
}

fn now() -> Seen {
    Seen {
        at: Instant::now(),
        unix: 1_790_000_000,
    }
}

fn source(name: &str, version: u64) -> Observation {
    let mut digest = [0; 20];
    digest[..8].copy_from_slice(&version.to_be_bytes());
    let source = Source {
        key: SourceKey::new(SourceKind::ConfigMap, "shop", name),
        uid: "a1b2".into(),
        resource_version: version,
        modified_at: 1_790_000_000,
        digest: Digest::from_bytes(digest),
        ignored: false,
        matched: false,
    };
    observation(Watched::Source(SourceKind::ConfigMap), Event::SourceSeen(source))
}

/// An opted-in Deployment that uses the ConfigMap `changing`.
fn workload(number: usize) -> Observation {
    let keys = AnnotationKeys::default();
    let auto = |key: &str| (key == keys.auto).then_some("true");
    let container = Container {
        name: "main".into(),
        references: vec![SourceRef::new(SourceKind::ConfigMap, "changing")],
        ..Container::default()
    };
    let workload = Workload {
        key: WorkloadKey::new(WorkloadKind::Deployment, "shop", format!("web-{number}")),
        uid: format!("7f4c-{number}").into(),
        resource_version: 1,
        created_at: 0,
        pause: None,
        template_of: None,
        restart: Restart::default(),
        opt_in: OptIn::parse(&keys, auto, |_| None),
        template: PodTemplate {
            containers: vec![container],
            ..PodTemplate::default()
        },
    };
    observation(
        Watched::Workload(WorkloadKind::Deployment),
        Event::WorkloadSeen(Box::new(workload)),
    )
}

/// An index that has listed everything.
fn filled(users: usize) -> Index {
    let streams = Watched::all().map(|watched| StreamId {
        watched,
        namespace: None,
    });
    let index = Index::new(Options::default(), streams);
    let listed = |watched| index.apply(observation(watched, Event::Listed), now());
    for watched in Watched::all() {
        index.apply(observation(watched, Event::ListStarted), now());
    }
    index.apply(source("changing", 1), now());
    for number in 0..OTHERS {
        index.apply(source(&format!("other-{number}"), 1), now());
    }
    for number in 0..users {
        index.apply(workload(number), now());
    }
    Watched::all().for_each(|watched| drop(listed(watched)));
    index
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    for users in [0, 1, 500] {
        let index = filled(users);
        let mut version = 1;
        group.bench_function(BenchmarkId::new("source changed, used by", users), |bencher| {
            let next = || {
                version += 1;
                source("changing", version)
            };
            bencher.iter_batched(next, |change| index.apply(change, now()), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, changes);
criterion_main!(benches);
