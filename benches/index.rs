//! How fast the index takes in a change: one that no workload opted into, one that one workload or 500 did, and one
//! beside many or slow lists; and how fast such a list itself.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

use objects::{index, listing, show_source, source, workload};
use reloader::model::opt_in::SharedLists;

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

fn lists(criterion: &mut Criterion) {
    let patterns = |number: usize| -> String {
        let items: Vec<String> = (0..10).map(|item| format!("app-{number}-{item}-.*")).collect();
        items.join(",")
    };
    let slow: Vec<String> = (0..500)
        .map(|number| format!(".*{}b{number}", "a".repeat(120)))
        .collect();
    let mut group = criterion.benchmark_group("lists");
    group.measurement_time(Duration::from_secs(2)).sample_size(10);
    for (what, lists) in [
        ("300 of 10 patterns", (0..300).map(patterns).collect()),
        ("one of 60 KiB of patterns", vec![slow.join(",")]),
    ] {
        let names = (0..OTHERS).map(|number| source(&format!("{}{number}", "a".repeat(240)), 1));
        let shared = SharedLists::default();
        let workloads: Vec<_> = lists
            .iter()
            .enumerate()
            .map(|(number, list)| listing(&shared, &format!("web-{number}"), list))
            .collect();
        group.bench_function(BenchmarkId::new("1,000 long names, beside", what), |bencher| {
            bencher.iter(|| index(names.clone(), workloads.iter().cloned()));
        });
    }
    group.finish();
}

criterion_group!(benches, changes, lists);
criterion_main!(benches);
