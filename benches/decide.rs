//! How fast a decision is made: paid once for each ticket of the queue.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use reloader::{
    decide::{Options, decide},
    model::{Content, Owed, UnixSeconds},
};

use objects::{source, workload};

#[path = "objects/objects.rs"]
mod objects;

fn owed(name: &str) -> Owed {
    let source = source(name, 7);
    Owed {
        content: Content::Present(source.digest),
        source,
        version: 1,
        look_alike: false,
        may_bring_back: false,
        proof: reloader::model::Proof::Restart,
        seen_at: UnixSeconds(1_790_000_000),
        order: 1,
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    // An ordinary workload; one with sidecars and many sources that all changed together.
    for (containers, sources) in [(1, 1), (5, 20)] {
        let names: Vec<String> = (0..sources).map(|number| format!("source-{number}")).collect();
        let workload = workload("web", containers, &names);
        let owed: Vec<Owed> = names.iter().map(|name| owed(name)).collect();
        let name = format!("{containers} containers, {sources} sources");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| decide(black_box(&workload), black_box(&owed), &Options::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
