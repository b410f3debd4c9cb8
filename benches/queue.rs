//! How fast the queue takes a key in and hands it out, when it is short and when it is long.

use std::{cell::Cell, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures::executor::block_on;
use reloader::{
    model::{WorkloadKey, WorkloadKind},
    queue::{Outcome, Priority, Queue, Settings},
};

/// Keys are spread over so many namespaces.
const NAMESPACES: usize = 100;

fn key(number: usize) -> WorkloadKey {
    let namespace = format!("namespace-{}", number % NAMESPACES);
    WorkloadKey::new(WorkloadKind::Deployment, namespace, format!("web-{number}"))
}

/// A queue without window and limits: every key is due at once, so nothing waits for a clock.
fn filled(keys: usize) -> Queue {
    let queue = Queue::new(Settings {
        window: Duration::ZERO,
        namespace_rate: None,
        total_rate: None,
        ..Settings::default()
    });
    for number in 0..keys {
        queue.add(key(number), Priority::High);
    }
    queue
}

fn add_and_hand_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.measurement_time(Duration::from_secs(2)).sample_size(30);
    for waiting in [0, 100_000] {
        let queue = filled(waiting);
        let keys: Vec<WorkloadKey> = (waiting..waiting + 1_000).map(key).collect();
        let next = Cell::new(0);
        group.bench_function(BenchmarkId::new("add, next, done", waiting), |bencher| {
            bencher.iter(|| {
                // One in, one out: the length stays as it is.
                queue.add(keys[next.get()].clone(), Priority::High);
                next.set((next.get() + 1) % keys.len());
                if let Some(ticket) = block_on(queue.next()) {
                    ticket.done(Outcome::Settled);
                }
            });
        });
        group.bench_function(BenchmarkId::new("add what waits already", waiting), |bencher| {
            queue.add(keys[0].clone(), Priority::High);
            bencher.iter(|| queue.add(keys[0].clone(), Priority::High));
            queue.remove(&keys[0]);
        });
    }
    group.finish();
}

criterion_group!(benches, add_and_hand_out);
criterion_main!(benches);
