//! The metric families, grouped by the part of the controller that moves them, with their names and help texts.

use std::{borrow::Cow, hash::Hash, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use super::buckets;
use crate::model::SourceKind;

/// `N` labels whose values are fixed words.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];
/// `N` labels, some of whose values are read at run time.
pub(super) type OwnedLabels<const N: usize> = [(&'static str, Cow<'static, str>); N];
/// The labels `name` and `controller` of the `workqueue_` metrics: there is one queue.
pub(super) const QUEUE: Labels<2> = [("name", "reloader"), ("controller", "reloader")];

pub(super) type Counters<L> = Family<L, Counter>;
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The one counter of upstream whose name does not end in `_total`.
///
/// The library puts that suffix behind the name of every counter, so this one is registered as a gauge, whose name it
/// leaves alone; `Metrics::encode` corrects the type.
pub(super) const EXECUTED_BY_NAMESPACE: &str = "reloader_reload_executed_total_by_namespace";

/// Registers a metric and gives a handle to it. Counters get their `_total`, help texts their full stop, when they
/// are written.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a counter, a gauge or a family of them.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    register(registry, name, help, M::default())
}

fn histograms<L: Clone + Hash + Eq>(constructor: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(constructor)
}

/// Restarts: what the workers do.
#[derive(Debug)]
pub(super) struct ReloadFamilies {
    pub(super) executed: Counters<Labels<1>>,
    pub(super) executed_by_namespace: Option<Family<OwnedLabels<2>, Gauge>>,
    pub(super) reconcile: Counters<Labels<1>>,
    pub(super) reconcile_duration: Histograms<Labels<1>>,
    pub(super) action: Counters<Labels<2>>,
    pub(super) action_latency: Histograms<Labels<1>>,
    pub(super) latency: Histogram,
    pub(super) rollout_duration: Histograms<Labels<2>>,
    pub(super) skipped: Counters<Labels<1>>,
    pub(super) errors: Counters<Labels<1>>,
    pub(super) flapping_sources: Counters<Labels<1>>,
    pub(super) fenced_writes: Counter,
    pub(super) takeover: Gauge<f64, AtomicU64>,
    pub(super) notifications: Counters<Labels<2>>,
    pub(super) workloads_scanned: Counters<Labels<1>>,
    pub(super) workloads_matched: Counters<Labels<1>>,
}

impl ReloadFamilies {
    /// Both series of `success` exist from the start, as in upstream. So do those whose first increment may be the only one:
    /// the increase of a series that begins with it is 0.
    pub(super) fn register(r: &mut Registry, count_by_namespace: bool) -> Self {
        let executed: Counters<Labels<1>> = add(
            r,
            "reloader_reload_executed",
            "Total number of workload restarts written, by success",
        );
        for success in ["true", "false"] {
            drop(executed.get_or_create(&[("success", success)]));
        }
        let flapping_sources: Counters<Labels<1>> = add(
            r,
            "reloader_flapping_sources",
            "Total number of warnings about sources that return to earlier contents, by kind of source",
        );
        for kind in SourceKind::ALL {
            drop(flapping_sources.get_or_create(&[("resource_type", kind.resource())]));
        }
        let notifications: Counters<Labels<2>> = add(
            r,
            "reloader_notifications",
            "Total number of alerts, webhook calls and Events, by channel and result",
        );
        for channel in ["alert", "event", "webhook"] {
            for result in ["dropped", "error"] {
                drop(notifications.get_or_create(&[("channel", channel), ("result", result)]));
            }
        }
        let executed_by_namespace = count_by_namespace.then(|| {
            let help = "Total number of workload restarts written, by success and namespace";
            add(r, EXECUTED_BY_NAMESPACE, help)
        });
        Self {
            executed,
            executed_by_namespace,
            reconcile: add(
                r,
                "reloader_reconcile",
                "Total number of workload reconciliations, by result",
            ),
            reconcile_duration: register(
                r,
                "reloader_reconcile_duration_seconds",
                "Time to reconcile one workload in seconds, by result",
                histograms(buckets::reconcile),
            ),
            action: add(
                r,
                "reloader_action",
                "Total number of workload restarts written, by kind and result",
            ),
            action_latency: register(
                r,
                "reloader_action_latency_seconds",
                "Time from the start of a reconciliation to the end of its write in seconds",
                histograms(buckets::action),
            ),
            latency: register(
                r,
                "reloader_reload_latency_seconds",
                "Time from when a change is seen to when the restart is written in seconds, waits included",
                buckets::reload(),
            ),
            rollout_duration: register(
                r,
                "reloader_rollout_duration_seconds",
                "Time from a restart to the end of its rollout in seconds, by kind and result",
                histograms(buckets::rollout),
            ),
            skipped: add(
                r,
                "reloader_skipped",
                "Total number of changes that needed no write, by reason",
            ),
            errors: add(r, "reloader_errors", "Total number of errors, by type"),
            fenced_writes: add(
                r,
                "reloader_fenced_writes",
                "Total number of writes not sent because this replica might no longer lead",
            ),
            takeover: add(
                r,
                "reloader_takeover_seconds",
                "Time from when this replica became the leader to its first restart at the earliest in seconds, 0 where it \
                 has not led",
            ),
            flapping_sources,
            notifications,
            workloads_scanned: add(
                r,
                "reloader_workloads_scanned",
                "Total number of workloads considered for a change, by kind",
            ),
            workloads_matched: add(
                r,
                "reloader_workloads_matched",
                "Total number of workloads restarted for a change, by kind",
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
        Self {
            received: add(
                r,
                "reloader_events_received",
                "Total number of watch events received, including initial lists",
            ),
            processed: add(
                r,
                "reloader_events_processed",
                "Total number of watch events processed, by result",
            ),
            restarts: add(
                r,
                "reloader_watch_restarts",
                "Total number of watch restarts, by kind and reason",
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
            adds: add(r, "reloader_workqueue_adds", "Total number of workloads queued"),
            latency: register(
                r,
                "reloader_workqueue_latency_seconds",
                "Time a workload waits in the queue in seconds",
                buckets::queue(),
            ),
            retries: add(
                r,
                "reloader_retries",
                "Total number of workloads queued again after a failure",
            ),
            workqueue_adds: add(r, "workqueue_adds", "Total number of adds handled by workqueue"),
            workqueue_retries: add(
                r,
                "workqueue_retries",
                "Total number of retries handled by workqueue",
            ),
            workqueue_queue_duration: register(
                r,
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested",
                histograms(buckets::workqueue),
            ),
            workqueue_work_duration: register(
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
                "Number of HTTP requests, partitioned by status code, method, and host",
            ),
            duration: register(
                r,
                "rest_client_request_duration_seconds",
                "Request latency in seconds, up to the response headers. Broken down by verb, and host",
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
            ),
            slow_path: add(
                r,
                "leader_election_slowpath",
                "Total number of lease renewals that needed an extra read",
            ),
        }
    }
}
