//! Restarts that wait cost nothing: no request, no log line, for a virtual day.
//!
//! I/O: none outside the simulation.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use simulation::{
    oracle::History,
    plan::{Act, Plan, Policies, Setting, Timed, WorkloadSetting},
    world,
};
use tracing::{Event, Level, Subscriber, field::Visit};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

/// Of these `WAITING` use the source that is suspended, and one the other.
const WAITING: usize = 300;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Counts what replicas log at the level of a release, and keeps the last lines.
#[derive(Clone, Default)]
struct Lines(Arc<(AtomicUsize, Mutex<String>)>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text<'a>(&'a mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, " {field}={value:?}");
            }
        }
        let metadata = event.metadata();
        if *metadata.level() <= Level::INFO && metadata.target().starts_with("reloader") {
            self.0.0.fetch_add(1, Ordering::Relaxed);
            let mut text = self.0.1.lock().unwrap();
            text.push('\n');
            event.record(&mut Text(&mut text));
        }
    }
}

/// Both sources change; after so long the second changes once more.
fn wait_for(wait_ms: u64) -> History {
    let user = |source| WorkloadSetting {
        plural: "deployments".to_owned(),
        sources: vec![source],
        auto: true,
        replicas: 1,
    };
    let suspended = BTreeMap::from([("suspend".to_owned(), "true".to_owned())]);
    let write = |at_ms, source, content| Timed {
        at_ms,
        act: Act::Write { source, content },
    };
    let plan = Plan {
        seed: 1,
        setting: Setting {
            replicas: 1,
            fronts: 1,
            streams_lists: true,
            sources: 2,
            workloads: (0..WAITING).map(|_| user(0)).chain([user(1)]).collect(),
            strategy: "env-vars".to_owned(),
            window_ms: 1000,
            fast_permille: vec![0],
            pod_start_ms: 200,
            policies: Some(Policies {
                sources: vec![suspended, BTreeMap::new()],
                workloads: vec![BTreeMap::new(); WAITING + 1],
                flags: Vec::new(),
                deadline_s: 600,
            }),
        },
        acts: vec![write(0, 0, 1), write(0, 1, 1), write(wait_ms, 1, 2)],
    };
    world::play(&plan, None).unwrap()
}

/// How often the leader asked for what. Left out is what goes by the clock: watches end, the Lease is renewed, and whether kinds
/// of other projects are there is looked up. An Event that follows another one soon is a PATCH, later it is a POST.
fn requests(history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in &history.calls {
        let goes_by_clock = call.verb == "WATCH"
            || call.path.contains("/leases/")
            || call.path == "/apis/apps.openshift.io/v1";
        let request = match call.path.split_once("/events") {
            Some(_) => "events".to_owned(),
            None => format!("{} {}", call.verb, call.path),
        };
        if !goes_by_clock {
            *counts.entry(request).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn a_day_of_waiting_asks_for_nothing_and_says_nothing() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let of = |wait_ms| {
        let history = wait_for(wait_ms);
        let said = std::mem::take(&mut *lines.0.1.lock().unwrap());
        (
            requests(&history),
            lines.0.0.swap(0, Ordering::Relaxed),
            said,
            history,
        )
    };
    let (few, few_lines, said_at_first, _) = of(10 * MINUTE);
    let (many, many_lines, said, history) = of(DAY);
    assert_eq!(few, many, "requests by path");
    assert_eq!(few_lines, many_lines, "{said_at_first}\n--- a day ---\n{said}");
    let restarts = |number| {
        let name = format!("w{number}");
        let restarts = history.commits.iter().filter(|commit| {
            commit.name == name && commit.caller.starts_with("reloader") && commit.resource == "deployments"
        });
        restarts.count()
    };
    assert_eq!((0..WAITING).map(restarts).sum::<usize>(), 0, "they wait");
    assert_eq!(restarts(WAITING), 2, "who need not wait does not");
}
