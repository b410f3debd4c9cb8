//! Values that are read at each scrape: lengths, ages, states.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::families::QUEUE;

/// The state of the controller at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Queued workloads whose sources have just changed.
    pub queued: usize,
    /// Queued workloads found by comparing at start or takeover: the others go first.
    pub queued_low_priority: usize,
    /// Workloads that owe a restart, queued or not: on a standby, what it would have to do.
    pub pending_reloads: usize,
    /// Since when the oldest of those restarts is owed, as far as this replica has seen; zero without one.
    pub oldest_pending: Duration,
    /// Restarts that wait on purpose, by the word for the reason; of the leader only.
    pub deferred: Vec<(&'static str, usize)>,
    /// Rollouts of workloads that opt in, whatever they are for; of the leader only.
    pub rollouts_in_progress: usize,
    /// Workloads whose pods run with an earlier configuration, by the word for the reason; of the leader only.
    pub stale_workloads: Vec<(&'static str, usize)>,
    /// The age of the oldest change that is not in healthy pods yet, by the same words; zero without one.
    pub staleness: Vec<(&'static str, Duration)>,
    /// Log lines dropped so far.
    pub lost_log_lines: u64,
    /// Sources that the ledger leaves out because their namespace has too many.
    pub left_out_of_ledger: usize,
    /// How often the Lease was seen to get another holder, the first one included.
    pub lease_transitions: u64,
    /// Workloads that opt in, by kind.
    pub opted_in: Vec<(&'static str, usize)>,
    /// Workloads with a mistake in their annotations, by the name of the mistake.
    pub misconfigured_workloads: Vec<(&'static str, usize)>,
    /// Sources with one.
    pub misconfigured_sources: Vec<(&'static str, usize)>,
    /// Age of the oldest work in progress.
    pub longest_running: Duration,
    /// The sum of the ages of all work in progress.
    pub unfinished_work: Duration,
    /// Objects kept in memory, by kind (`ConfigMap`, `Deployment`, …).
    pub tracked_objects: Vec<(&'static str, usize)>,
    /// Whether the watch of a kind is in sync with the cluster.
    pub watch_synced: Vec<(&'static str, bool)>,
}

type Source = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Where snapshots come from, once that is known.
#[derive(Clone, Default)]
pub(super) struct SnapshotSource(Arc<OnceLock<Source>>);

impl SnapshotSource {
    pub(super) fn set(&self, source: Source) {
        // The first source stays: a second one would mean two controllers in one process.
        let _ = self.0.set(source);
    }
}

impl fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotSource")
    }
}

impl Collector for SnapshotSource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(source) = self.0.get() else { return Ok(()) };
        let Snapshot {
            queued,
            queued_low_priority,
            pending_reloads,
            oldest_pending,
            deferred,
            rollouts_in_progress,
            stale_workloads,
            staleness,
            lost_log_lines,
            left_out_of_ledger,
            lease_transitions,
            opted_in,
            misconfigured_workloads,
            misconfigured_sources,
            longest_running,
            unfinished_work,
            tracked_objects,
            watch_synced,
        } = source();
        let help = "Total number of log lines dropped because stderr was not read.";
        let lost =
            encoder.encode_descriptor("reloader_log_lines_dropped", help, None, MetricType::Counter)?;
        ConstCounter::new(lost_log_lines).encode(lost)?;
        let help = "Total number of times that the Lease was seen to get another holder.";
        let transitions =
            encoder.encode_descriptor("reloader_lease_transitions", help, None, MetricType::Counter)?;
        ConstCounter::new(lease_transitions).encode(transitions)?;
        let mut out = Gauges(&mut encoder);
        let [name, controller] = QUEUE;

        out.plain(
            "reloader_workqueue_depth",
            "Number of workloads in the queue.",
            queued + queued_low_priority,
        )?;
        // controller-runtime's priorities: 0 for changes, -100 for what a start finds.
        out.family(
            "workqueue_depth",
            "Current depth of workqueue by workqueue and priority.",
            [
                ([name, controller, ("priority", "0")], queued),
                ([name, controller, ("priority", "-100")], queued_low_priority),
            ],
        )?;
        out.family(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has been done that is in progress and hasn't been observed by work_duration.",
            [(QUEUE, unfinished_work.as_secs_f64())],
        )?;
        out.family(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running.",
            [(QUEUE, longest_running.as_secs_f64())],
        )?;
        out.plain(
            "reloader_pending_reloads",
            "Number of workloads that owe a restart.",
            pending_reloads,
        )?;
        out.plain(
            "reloader_oldest_pending_reload_seconds",
            "Age of the oldest change that a workload owes a restart for in seconds, 0 without one.",
            oldest_pending.as_secs_f64(),
        )?;
        out.freshness(deferred, rollouts_in_progress, stale_workloads, staleness)?;
        out.plain(
            "reloader_ledger_sources_left_out",
            "Number of sources that the ledger leaves out because their namespace has too many.",
            left_out_of_ledger,
        )?;
        out.family(
            "reloader_opted_in_workloads",
            "Number of workloads that opt in, by kind.",
            by("kind", opted_in),
        )?;
        out.family(
            "reloader_misconfigured_workloads",
            "Number of workloads with a mistake in their annotations, by mistake.",
            by("reason", misconfigured_workloads),
        )?;
        out.family(
            "reloader_misconfigured_sources",
            "Number of ConfigMaps, Secrets and SecretProviderClasses with a mistake in their annotations, by mistake.",
            by("reason", misconfigured_sources),
        )?;
        out.family(
            "reloader_tracked_objects",
            "Number of objects kept in memory, by kind.",
            by("kind", tracked_objects),
        )?;
        out.family(
            "reloader_watch_synced",
            "Whether the watch of a kind is in sync with the cluster, 0 indicates not, 1 indicates in sync.",
            watch_synced
                .into_iter()
                .map(|(kind, synced)| ([("kind", kind)], usize::from(synced))),
        )
    }
}

/// A series for each value of that label.
fn by(
    label: &'static str,
    counts: Vec<(&'static str, usize)>,
) -> impl Iterator<Item = ([(&'static str, &'static str); 1], usize)> {
    counts
        .into_iter()
        .map(move |(value, count)| ([(label, value)], count))
}

/// Writes gauges with all their series.
pub(super) struct Gauges<'a, 'b>(pub(super) &'a mut DescriptorEncoder<'b>);

impl Gauges<'_, '_> {
    /// What waits, what is on its way, and what is not in the pods yet.
    fn freshness(
        &mut self,
        deferred: Vec<(&'static str, usize)>,
        rollouts_in_progress: usize,
        stale_workloads: Vec<(&'static str, usize)>,
        staleness: Vec<(&'static str, Duration)>,
    ) -> Result<(), fmt::Error> {
        self.family(
            "reloader_deferred_reloads",
            "Number of restarts that wait because an annotation or a flag says so, by reason.",
            by("reason", deferred),
        )?;
        self.plain(
            "reloader_rollouts_in_progress",
            "Number of workloads that opt in whose rollout is in progress, whatever it is for.",
            rollouts_in_progress,
        )?;
        self.family(
            "reloader_stale_workloads",
            "Number of workloads whose pods do not all run with the present configuration, by reason.",
            by("reason", stale_workloads),
        )?;
        self.family(
            "reloader_staleness_seconds",
            "Age of the oldest change that is not in healthy pods yet in seconds, by reason, 0 without one.",
            staleness
                .into_iter()
                .map(|(reason, age)| ([("reason", reason)], age.as_secs_f64())),
        )
    }

    /// One gauge without labels.
    pub(super) fn plain<V>(&mut self, name: &str, help: &str, value: V) -> Result<(), fmt::Error>
    where
        ConstGauge<V>: EncodeMetric,
    {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// One gauge with a series for each label set.
    pub(super) fn family<L, V>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, V)>,
    ) -> Result<(), fmt::Error>
    where
        L: EncodeLabelSet,
        V: EncodeGaugeValue,
    {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
