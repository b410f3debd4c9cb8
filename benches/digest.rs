//! How fast a ConfigMap or Secret becomes a digest: paid for every object of the initial list and every change.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reloader::model::digest::Canonical;

fn canonical_form(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digest");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    // A small ConfigMap, a configuration file, a Helm release record.
    for (keys, size) in [(3, 40), (10, 1_024), (1, 256 * 1_024)] {
        let value = vec![b'x'; size];
        let names: Vec<String> = (0..keys).map(|number| format!("key-{number}")).collect();
        group.throughput(Throughput::Bytes((keys * size) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{keys}x{size}")), |bencher| {
            bencher.iter(|| {
                let mut canonical = Canonical::new();
                for name in &names {
                    canonical.push_text(name, black_box(&value));
                }
                canonical.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, canonical_form);
criterion_main!(benches);
