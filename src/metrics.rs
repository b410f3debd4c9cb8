//! What is counted and measured, under the names that dashboards and alerts for Stakater Reloader, controller-runtime
//! and client-go already know.
//!
//! Input: calls named after what happened. Output: the text of `/metrics`. I/O: reads `/proc/self` when scraped.
//!
//! Label values are fixed words, kinds, HTTP codes and, where asked for, namespaces; never the name of an object.

mod buckets;
mod process;
mod record;
pub mod rest_client;
mod snapshot;
#[cfg(test)]
mod tests;
mod unsuffixed;

use std::{borrow::Cow, fmt};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};

use process::ProcessCollector;
use snapshot::SnapshotSource;
use unsuffixed::UnsuffixedCounters;

pub use record::{EventResult, EventType, ReconcileResult};
pub use snapshot::Snapshot;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The value of the labels `name` and `controller` of the `workqueue_` metrics: there is one queue.
const QUEUE: Labels<2> = [("name", "reloader"), ("controller", "reloader")];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type OwnedLabels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Which metrics exist beyond the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Count reloads per namespace as well: two series more for each namespace that sees a reload.
    pub count_by_namespace: bool,
    /// The name of the Lease; none: no `leader_election_` metrics.
    pub lease_name: Option<String>,
}

/// Every metric; shared by all parts of the process. What can be recorded is in `record.rs`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    snapshot: SnapshotSource,

    reload_executed: Counters<Labels<1>>,
    reload_executed_by_namespace: Option<UnsuffixedCounters<OwnedLabels<2>>>,
    reconcile: Counters<Labels<1>>,
    reconcile_duration: Histograms<Labels<1>>,
    action: Counters<Labels<2>>,
    action_latency: Histograms<Labels<1>>,
    reload_latency: Histogram,
    skipped: Counters<Labels<1>>,
    errors: Counters<Labels<1>>,
    retries: Counter,
    events_received: Counters<Labels<2>>,
    events_processed: Counters<Labels<3>>,
    workloads_scanned: Counters<Labels<1>>,
    workloads_matched: Counters<Labels<1>>,
    fenced_writes: Counter,
    watch_restarts: Counters<Labels<2>>,

    queue_adds: Counter,
    queue_latency: Histogram,
    workqueue_adds: Counters<Labels<2>>,
    workqueue_retries: Counters<Labels<2>>,
    workqueue_queue_duration: Histograms<Labels<2>>,
    workqueue_work_duration: Histograms<Labels<2>>,

    leader: Gauge,
    lease_slow_path: Counter,

    rest_requests: Counters<OwnedLabels<3>>,
    rest_duration: Histograms<OwnedLabels<2>>,
}

impl Metrics {
    /// All metrics at zero. The series of `success` exist from the start, as in upstream; others with labels appear
    /// when they first move.
    pub fn new(options: MetricsOptions) -> Self {
        let MetricsOptions {
            count_by_namespace,
            lease_name,
        } = options;
        let mut registry = Registry::default();
        let r = &mut registry;
        let reload_executed: Counters<Labels<1>> = add(
            r,
            "reloader_reload_executed",
            "Restarts written, by success",
            Family::default(),
        );
        for success in ["true", "false"] {
            drop(reload_executed.get_or_create(&[("success", success)]));
        }
        let reload_executed_by_namespace = count_by_namespace.then(|| {
            let help = "Restarts written, by success and namespace";
            add(
                r,
                "reloader_reload_executed_total_by_namespace",
                help,
                UnsuffixedCounters::default(),
            )
        });
        let (leader, lease_slow_path) = lease_metrics(r, lease_name);
        let snapshot = SnapshotSource::default();
        r.register_collector(Box::new(snapshot.clone()));
        r.register_collector(Box::new(ProcessCollector::new()));
        r.register(
            "reloader_build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            reload_executed,
            reload_executed_by_namespace,
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
            reload_latency: add(
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
            errors: add(r, "reloader_errors", "Failures, by type", Family::default()),
            retries: add(
                r,
                "reloader_retries",
                "Workloads queued again after a failure",
                Counter::default(),
            ),
            events_received: add(
                r,
                "reloader_events_received",
                "Watch events received, first lists included",
                Family::default(),
            ),
            events_processed: add(
                r,
                "reloader_events_processed",
                "Watch events processed",
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
            fenced_writes: add(
                r,
                "reloader_fenced_writes",
                "Writes not sent because this replica could no longer be sure to lead",
                Counter::default(),
            ),
            watch_restarts: add(
                r,
                "reloader_watch_restarts",
                "Watches begun again, by kind and reason",
                Family::default(),
            ),
            queue_adds: add(
                r,
                "reloader_workqueue_adds",
                "Workloads queued",
                Counter::default(),
            ),
            queue_latency: add(
                r,
                "reloader_workqueue_latency_seconds",
                "Time a workload waited in the queue",
                buckets::queue(),
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
            leader,
            lease_slow_path,
            rest_requests: add(
                r,
                "rest_client_requests",
                "Requests to the API server, by status code, method and host",
                Family::default(),
            ),
            rest_duration: add(
                r,
                "rest_client_request_duration_seconds",
                "Time to the head of the API server's response, by verb and host",
                histograms(buckets::rest_client),
            ),
            snapshot,
            registry,
        }
    }

    /// Says where the values that are only read when scraped come from. Without it, or before it, they are absent; a
    /// second call changes nothing.
    pub fn read_snapshots_from(&self, source: impl Fn() -> Snapshot + Send + Sync + 'static) {
        self.snapshot.set(Box::new(source));
    }

    /// The whole exposition, as [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// A metric cannot be written as text, which would be a mistake in this module.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut buffer = String::new();
        text::encode(&mut buffer, &self.registry)?;
        Ok(buffer)
    }
}

/// Registers a metric and gives a handle to it. Counters get their `_total` when they are written.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn histograms<L: Clone + std::hash::Hash + Eq>(constructor: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(constructor)
}

/// client-go's leader election metrics; not exposed where no Lease is used.
fn lease_metrics(registry: &mut Registry, lease_name: Option<String>) -> (Gauge, Counter) {
    let (leader, slow_path) = (Gauge::default(), Counter::default());
    if let Some(name) = lease_name {
        let labels = std::iter::once((Cow::Borrowed("name"), Cow::Owned(name)));
        let labelled = registry.sub_registry_with_labels(labels);
        labelled.register(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master",
            leader.clone(),
        );
        labelled.register(
            "leader_election_slowpath",
            "Total number of slow path exercised in renewing leader leases",
            slow_path.clone(),
        );
    }
    (leader, slow_path)
}
