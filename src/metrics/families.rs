//! The metric families, grouped by the part of the controller that moves them, with their names and help texts.

use std::{borrow::Cow, hash::Hash};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use super::{buckets, unsuffixed::UnsuffixedCounters};

/// `N` labels whose values are fixed words.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];
/// `N` labels, some of whose values are read at run time.
pub(super) type OwnedLabels<const N: usize> = [(&'static str, Cow<'static, str>); N];
pub(super) type Counters<L> = Family<L, Counter>;
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Registers a metric and gives a handle to it. Counters get their `_total`, help texts their full stop, when they
/// are written.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn histograms<L: Clone + Hash + Eq>(constructor: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(constructor)
}

/// Restarts: what the workers do.
#[derive(Debug)]
pub(super) struct ReloadFamilies {
    pub(super) executed: Counters<Labels<1>>,
    pub(super) executed_by_namespace: Option<UnsuffixedCounters<OwnedLabels<2>>>,
    pub(super) reconcile: Counters<Labels<1>>,
    pub(super) reconcile_duration: Histograms<Labels<1>>,
    pub(super) action: Counters<Labels<2>>,
    pub(super) action_latency: Histograms<Labels<1>>,
    pub(super) latency: Histogram,
    pub(super) skipped: Counters<Labels<1>>,
    pub(super) errors: Counters<Labels<1>>,
    pub(super) fenced_writes: Counter,
    pub(super) notifications: Counters<Labels<2>>,
    pub(super) workloads_scanned: Counters<Labels<1>>,
    pub(super) workloads_matched: Counters<Labels<1>>,
}

impl ReloadFamilies {
    /// Both series of `success` exist from the start, as in upstream.
    pub(super) fn register(r: &mut Registry, count_by_namespace: bool) -> Self {
        let executed: Counters<Labels<1>> = add(
            r,
            "reloader_reload_executed",
            "Restarts written, by success",
            Family::default(),
        );
        for success in ["true", "false"] {
            drop(executed.get_or_create(&[("success", success)]));
        }
        let executed_by_namespace = count_by_namespace.then(|| {
            let help = "Restarts written, by success and namespace";
            add(
                r,
                "reloader_reload_executed_total_by_namespace",
                help,
                UnsuffixedCounters::default(),
            )
        });
        Self {
            executed,
            executed_by_namespace,
            reconcile: add(
                r,
                "reloader_reconcile",
                "Workloads examined, by result",
                Family::default(),
            ),
            reconcile_duration: add(
                r,
                "reloader_reconcile_duration_seconds",
                "Time to examine one workload and write its restart, by result",
                histograms(buckets::reconcile),
            ),
            action: add(
                r,
                "reloader_action",
                "Restarts written, by kind and result",
                Family::default(),
            ),
            action_latency: add(
                r,
                "reloader_action_latency_seconds",
                "Time from the start of a workload's examination to the end of its write",
                histograms(buckets::action),
            ),
            latency: add(
                r,
                "reloader_reload_latency_seconds",
                "Time from when a change was seen to when the restart was written, waits included",
                buckets::reload(),
            ),
            skipped: add(
                r,
                "reloader_skipped",
                "Changes that needed no write, by reason",
                Family::default(),
            ),
            errors: add(
                r,
                "reloader_errors",
                "Failures of any sort, by type",
                Family::default(),
            ),
            fenced_writes: add(
                r,
                "reloader_fenced_writes",
                "Writes not sent because this replica could no longer be sure to lead",
                Counter::default(),
            ),
            notifications: add(
                r,
                "reloader_notifications",
                "Alerts, webhook calls and dropped Events, by channel and result",
                Family::default(),
            ),
            workloads_scanned: add(
                r,
                "reloader_workloads_scanned",
                "Workloads considered for a change, by kind",
                Family::default(),
            ),
            workloads_matched: add(
                r,
                "reloader_workloads_matched",
                "Workloads restarted for a change, by kind",
                Family::default(),
            ),
        }
    }
}

/// Watch events: what comes in.
#[derive(Debug)]
pub(super) struct WatchFamilies {
    pub(super) received: Counters<Labels<2>>,
    pub(super) processed: Counters<Labels<3>>,
    pub(super) restarts: Counters<Labels<2>>,
}

impl WatchFamilies {
    pub(super) fn register(r: &mut Registry) -> Self {
        let received = "Watch events received, first lists included";
        Self {
            received: add(r, "reloader_events_received", received, Family::default()),
            processed: add(
                r,
                "reloader_events_processed",
                "Watch events processed",
                Family::default(),
            ),
            restarts: add(
                r,
                "reloader_watch_restarts",
                "Total number of watch restarts, by kind and reason",
                Family::default(),
            ),
        }
    }
}

/// The queue, under upstream's names and under those of client-go.
#[derive(Debug)]
pub(super) struct QueueFamilies {
    pub(super) adds: Counter,
    pub(super) latency: Histogram,
    pub(super) retries: Counter,
    pub(super) workqueue_adds: Counters<Labels<2>>,
    pub(super) workqueue_retries: Counters<Labels<2>>,
    pub(super) workqueue_queue_duration: Histograms<Labels<2>>,
    pub(super) workqueue_work_duration: Histograms<Labels<2>>,
}

impl QueueFamilies {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            adds: add(
                r,
                "reloader_workqueue_adds",
                "Workloads queued",
                Counter::default(),
            ),
            latency: add(
                r,
                "reloader_workqueue_latency_seconds",
                "Time a workload waited in the queue",
                buckets::queue(),
            ),
            retries: add(
                r,
                "reloader_retries",
                "Workloads queued again after a failure",
                Counter::default(),
            ),
            workqueue_adds: add(
                r,
                "workqueue_adds",
                "Total number of adds handled by workqueue",
                Family::default(),
            ),
            workqueue_retries: add(
                r,
                "workqueue_retries",
                "Total number of retries handled by workqueue",
                Family::default(),
            ),
            workqueue_queue_duration: add(
                r,
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested",
                histograms(buckets::workqueue),
            ),
            workqueue_work_duration: add(
                r,
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes",
                histograms(buckets::workqueue),
            ),
        }
    }
}

/// Requests to the API server, under client-go's names.
#[derive(Debug)]
pub(super) struct RestClientFamilies {
    pub(super) requests: Counters<OwnedLabels<3>>,
    pub(super) duration: Histograms<OwnedLabels<2>>,
}

impl RestClientFamilies {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            requests: add(
                r,
                "rest_client_requests",
                "Requests to the API server, by status code, method and host",
                Family::default(),
            ),
            duration: add(
                r,
                "rest_client_request_duration_seconds",
                "Time to the head of the API server's response, by verb and host",
                histograms(buckets::rest_client),
            ),
        }
    }
}

/// Leader election, under client-go's names.
#[derive(Debug, Default)]
pub(super) struct LeaseFamilies {
    pub(super) leader: Gauge,
    pub(super) slow_path: Counter,
}

impl LeaseFamilies {
    /// Not exposed where no Lease is used.
    pub(super) fn register(r: &mut Registry, lease_name: Option<String>) -> Self {
        let Some(name) = lease_name else {
            return Self::default();
        };
        let labels = std::iter::once((Cow::Borrowed("name"), Cow::Owned(name)));
        let r = r.sub_registry_with_labels(labels);
        Self {
            leader: add(
                r,
                "leader_election_master_status",
                "Whether this replica is master of the relevant lease, 0 indicates backup, 1 indicates master",
                Gauge::default(),
            ),
            slow_path: add(
                r,
                "leader_election_slowpath",
                "Renewals of the lease that had to read it first",
                Counter::default(),
            ),
        }
    }
}
