//! How fast the index takes in a change: one that nobody opted into, one that one workload or 500 did.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

use objects::{index, show_source, source, workload};

#[path = "objects/objects.rs"]
mod objects;

/// Sources in the namespace beside the one that changes.
const OTHERS: usize = 1_000;

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    for users in [0, 1, 500] {
        let sources = (0..OTHERS).map(|number| source(&format!("other-{number}"), 1));
        let workloads =
            (0..users).map(|number| workload(&format!("web-{number}"), 1, &["changing".to_owned()]));
        let index = index(sources.chain([source("changing", 1)]), workloads);
        let mut version = 1;
        group.bench_function(BenchmarkId::new("source changed, used by", users), |bencher| {
            let next = || {
                version += 1;
                source("changing", version)
            };
            bencher.iter_batched(next, |change| show_source(&index, change), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, changes);
criterion_main!(benches);
