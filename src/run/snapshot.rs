//! What a scrape of `/metrics`, and `?verbose`, show of the controller's state.
//!
//! Input: queue, index, ledger, watches. Output: a [`Snapshot`] at each scrape, lines for `?verbose`. I/O: none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    admin::health::{CheckResult, Health},
    admit::Reason,
    diagnose::Mistake,
    index::{Horizon, Index},
    lease::{Leadership, Role},
    metrics::{Metrics, Snapshot},
    queue::Priority,
    telemetry::LostLines,
    watch::{StreamId, Watched},
    worker::Context,
};

/// Lets a scrape of `/metrics` see queue, index and watches as they are at that moment.
pub(super) fn report_state(
    metrics: &Metrics,
    context: &Context,
    health: &Health,
    lost_lines: LostLines,
    streams: &[StreamId],
) {
    // Not the context: it keeps the recorder of Events, whose task ends when no one has it any more.
    let (index, queue, ledger, health) = (
        Arc::clone(context.index()),
        context.queue().clone(),
        context.ledger().clone(),
        health.clone(),
    );
    let (leadership, misconfigured) = (context.leadership().clone(), context.misconfigured());
    let (lateness, deferred, stale) = (context.lateness(), context.deferred(), context.stale());
    let kinds: BTreeSet<Watched> = streams.iter().map(|stream| stream.watched).collect();
    metrics.read_snapshots_from(move || {
        let stats = queue.stats();
        let owing = index.owing();
        let pending = owing.iter().filter_map(|key| index.pending(key));
        let pending: Vec<_> = pending.map(|pending| (lateness(&pending), pending)).collect();
        let late = pending.iter().filter_map(|(late, _)| *late);
        let stale = stale(&pending);
        let now = tokio::time::Instant::now();
        let ready = health.ready(now);
        let synced = |watched: Watched| {
            let name = format!("watch-{}", watched.resource());
            ready
                .iter()
                .filter(|check| {
                    // One check for all namespaces, or one each.
                    check
                        .name
                        .strip_prefix(&name)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
                })
                .all(|check| matches!(check.outcome, CheckResult::Ok | CheckResult::Absent))
        };
        let misconfigured = misconfigured();
        Snapshot {
            queued: stats.depth(Priority::High),
            queued_low_priority: stats.depth(Priority::Low),
            pending_reloads: owing.len(),
            oldest_pending: late.max().unwrap_or_default(),
            deferred: by_reason(&deferred()),
            rollouts_in_progress: if leadership.is_leader() {
                index.in_progress(Horizon {
                    now: Timestamp::now().into(),
                    timeout: Duration::MAX,
                })
            } else {
                0
            },
            stale_workloads: stale
                .iter()
                .map(|stale| (stale.reason, stale.workloads))
                .collect(),
            staleness: stale.iter().map(|stale| (stale.reason, stale.age)).collect(),
            lost_log_lines: lost_lines.count(),
            left_out_of_ledger: ledger.left_out(),
            lease_transitions: leadership.counters().transitions,
            opted_in: opted_in(&index, &kinds),
            misconfigured_workloads: by_mistake(&misconfigured.workloads),
            misconfigured_sources: by_mistake(&misconfigured.sources),
            longest_running: stats.longest_running,
            unfinished_work: stats.unfinished,
            tracked_objects: kinds
                .iter()
                .map(|kind| (kind.kind(), index.count(*kind)))
                .collect(),
            watch_synced: kinds.iter().map(|kind| (kind.kind(), synced(*kind))).collect(),
        }
    });
}

/// Lets `?verbose` say, beside the checks, what an operator asks first.
pub(super) fn describe(health: &Health, context: &Context) {
    // Not the context, as above.
    let (index, leadership) = (Arc::clone(context.index()), context.leadership().clone());
    health.describe(move || details(&index, &leadership));
}

fn details(index: &Index, leadership: &Leadership) -> Vec<String> {
    let state = leadership.state();
    let state = state.borrow();
    let leader = state.holder.as_deref().unwrap_or("none is known");
    let role = match state.role {
        Role::Leader => "leads",
        _ => "stands by",
    };
    vec![
        format!("version {}", env!("CARGO_PKG_VERSION")),
        format!("this replica {role}; leader: {leader}"),
        format!("workloads that owe a restart: {}", index.owing().len()),
    ]
}

/// Every kind of workload that is watched, with how many of its workloads opt in.
fn opted_in(index: &Index, watched: &BTreeSet<Watched>) -> Vec<(&'static str, usize)> {
    let counts = index.opted_in();
    let kinds = watched.iter().filter_map(|watched| match watched {
        Watched::Workload(kind) => Some(*kind),
        _ => None,
    });
    kinds
        .map(|kind| (kind.as_str(), counts.get(&kind).copied().unwrap_or_default()))
        .collect()
}

/// Every reason for a deferral, with how many restarts wait for it.
fn by_reason(counts: &HashMap<&'static str, usize>) -> Vec<(&'static str, usize)> {
    let count = |reason| (reason, counts.get(reason).copied().unwrap_or_default());
    Reason::ALL.into_iter().map(count).collect()
}

/// Every mistake that there is, with how often it is made.
fn by_mistake(counts: &BTreeMap<&'static str, usize>) -> Vec<(&'static str, usize)> {
    let all = Mistake::REASONS.into_iter().chain([Mistake::MISSING]);
    all.map(|reason| (reason, counts.get(reason).copied().unwrap_or_default()))
        .collect()
}
