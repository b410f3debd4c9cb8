//! How fast the index takes in a change: one that no workload opted into, one that one workload or 500 did, and one
//! beside many or slow lists; and how fast such a list itself.

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

use objects::{index, listing, show_source, source, workload};
use reloader::model::{SourceKind, SourceRef, WorkloadKey, opt_in::SharedLists};

#[path = "objects/objects.rs"]
mod objects;

/// Workloads of the namespace that users ask about, each with a source of its own.
const MANY: usize = 10_000;
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

/// What users are shown: each look has the lock of the namespace meanwhile.
fn views(criterion: &mut Criterion) {
    let name = |number: usize| format!("web-{number}");
    let sources = (0..MANY).map(|number| source(&name(number), 1));
    let workloads = (0..MANY).map(|number| workload(&name(number), 1, &[name(number)]));
    let index = index(sources, workloads);
    let namespace = index.namespaces().remove(0);
    let key = index.workloads_of(&namespace).remove(0).key.clone();
    let mut group = criterion.benchmark_group("views");
    group.measurement_time(Duration::from_secs(2)).sample_size(20);
    group.bench_function("standing of one workload", |bencher| {
        bencher.iter(|| index.standing(&key, index_sources(&key)));
    });
    group.bench_function("workloads", |bencher| {
        bencher.iter(|| index.workloads_of(&namespace));
    });
    group.bench_function("sources", |bencher| bencher.iter(|| index.sources_in(&namespace)));
    group.bench_function("tally", |bencher| bencher.iter(|| index.tally(&namespace)));
    group.bench_function("most used", |bencher| {
        bencher.iter(|| index.most_used_in(&namespace, 20));
    });
    for number in 0..MANY {
        show_source(&index, source(&name(number), 2));
    }
    group.bench_function("owing, all of them", |bencher| {
        bencher.iter(|| index.owing_in(&namespace));
    });
    group.finish();
}

/// The source of the workload's name.
fn index_sources(key: &WorkloadKey) -> Vec<SourceRef> {
    vec![SourceRef::new(SourceKind::ConfigMap, Arc::clone(&key.name))]
}

criterion_group!(benches, changes, lists, views);
criterion_main!(benches);
