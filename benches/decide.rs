//! How fast a decision is made: paid once for each ticket of the queue.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use reloader::{
    decide::{Options, decide},
    model::{
        AnnotationKeys, Container, Content, Digest, OptIn, Owed, PodTemplate, Restart, Source, SourceKey,
        SourceKind, SourceRef, Workload, WorkloadKey, WorkloadKind,
    },
};

/// A Deployment with so many containers, each of which takes its environment from each of so many ConfigMaps.
fn workload(containers: usize, sources: usize) -> Workload {
    let references: Vec<SourceRef> = (0..sources)
        .map(|number| SourceRef::new(SourceKind::ConfigMap, format!("source-{number}")))
        .collect();
    let container = |number| Container {
        name: format!("container-{number}").into(),
        references: references.clone(),
        ..Container::default()
    };
    let keys = AnnotationKeys::default();
    let auto = |key: &str| (key == keys.auto).then_some("true");
    Workload {
        key: WorkloadKey::new(WorkloadKind::Deployment, "shop", "web"),
        uid: "7f4c".into(),
        resource_version: 1,
        created_at: 0,
        pause: None,
        template_of: None,
        restart: Restart::default(),
        opt_in: OptIn::parse(&keys, auto, |_| None),
        template: PodTemplate {
            containers: (0..containers).map(container).collect(),
            ..PodTemplate::default()
        },
    }
}

fn owed(number: usize) -> Owed {
    Owed {
        source: Source {
            key: SourceKey::new(SourceKind::ConfigMap, "shop", format!("source-{number}")),
            uid: "a1b2".into(),
            resource_version: 2,
            modified_at: 1_790_000_000,
            digest: Digest::from_bytes([7; 20]),
            ignored: false,
            matched: false,
        },
        version: 1,
        content: Content::Present(Digest::from_bytes([7; 20])),
        only_if_marked: false,
        seen_at: 1_790_000_000,
        order: number as u64,
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    // An ordinary workload; one with sidecars and many sources that all changed together.
    for (containers, sources) in [(1, 1), (5, 20)] {
        let workload = workload(containers, sources);
        let owed: Vec<Owed> = (0..sources).map(owed).collect();
        let name = format!("{containers} containers, {sources} sources");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| decide(black_box(&workload), black_box(&owed), &Options::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
