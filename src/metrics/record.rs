//! What can happen, one method each.

use std::{borrow::Cow, time::Duration};

use super::{Metrics, families::QUEUE};
use crate::model::{SourceKind, WorkloadKind};

/// What happened to a watched object: the label `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It is new, or part of the first list.
    Add,
    /// It changed, or was listed again.
    Update,
    /// It is gone.
    Delete,
}

impl EventType {
    const fn label(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// How the processing of a watch event ended: the label `result` of `reloader_events_processed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// It is in the index.
    Success,
    /// It could not be read, or did not matter.
    Dropped,
}

/// How one round of a worker ended: the label `result` of `reloader_reconcile_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// What had to be written is written.
    Success,
    /// It failed and is retried.
    Error,
    /// There was nothing to write.
    Skipped,
}

impl ReconcileResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// How the rollout after a restart ended: the label `result` of `reloader_rollout_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutResult {
    /// All pods have the new template and are available.
    Fresh,
    /// It was given up.
    Failed,
}

impl RolloutResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Failed => "failed",
        }
    }
}

/// What became of an alert, a webhook call or an Event: the label `result` of `reloader_notifications_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationResult {
    /// The receiver took it.
    Success,
    /// It was abandoned.
    Error,
    /// Too many waited, so it was never sent.
    Dropped,
    /// One that says the same and more was sent instead.
    Replaced,
}

impl NotificationResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Dropped => "dropped",
            Self::Replaced => "replaced",
        }
    }
}

impl Metrics {
    /// A watch showed a change of a source.
    pub fn event_received(&self, event: EventType, source: SourceKind) {
        let labels = [
            ("event_type", event.label()),
            ("resource_type", source.resource()),
        ];
        self.watch.received.get_or_create(&labels).inc();
    }

    /// A watch showed a namespace that is selected, or no longer is.
    pub fn namespace_received(&self, event: EventType) {
        let labels = [("event_type", event.label()), ("resource_type", "namespaces")];
        self.watch.received.get_or_create(&labels).inc();
    }

    /// That change has been processed. `event_type` is always `unknown`, as in upstream.
    pub fn event_processed(&self, source: SourceKind, result: EventResult) {
        let result = match result {
            EventResult::Success => "success",
            EventResult::Dropped => "dropped",
        };
        let labels = [
            ("event_type", "unknown"),
            ("resource_type", source.resource()),
            ("result", result),
        ];
        self.watch.processed.get_or_create(&labels).inc();
    }

    /// A workload was put into the queue for the first time, not again.
    pub fn workload_queued(&self) {
        self.queue.adds.inc();
        self.queue.workqueue_adds.get_or_create(&QUEUE).inc();
    }

    /// A worker took a workload that had been `waiting` in the queue.
    pub fn workload_taken(&self, waiting: Duration) {
        self.queue.latency.observe(waiting.as_secs_f64());
        self.queue
            .workqueue_queue_duration
            .get_or_create(&QUEUE)
            .observe(waiting.as_secs_f64());
    }

    /// A worker is done with a workload after `took`, however it ended.
    pub fn workload_done(&self, result: ReconcileResult, took: Duration) {
        let labels = [("result", result.label())];
        self.reload.reconcile.get_or_create(&labels).inc();
        self.reload
            .reconcile_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        self.queue
            .workqueue_work_duration
            .get_or_create(&QUEUE)
            .observe(took.as_secs_f64());
    }

    /// A workload goes back into the queue after a failure.
    pub fn workload_requeued(&self) {
        self.queue.retries.inc();
        self.queue.workqueue_retries.get_or_create(&QUEUE).inc();
    }

    /// `count` workloads of that kind were considered for a change.
    pub fn workloads_scanned(&self, kind: WorkloadKind, count: u64) {
        self.reload
            .workloads_scanned
            .get_or_create(&[("kind", kind.as_str())])
            .inc_by(count);
    }

    /// A change needed no write. Upstream's reasons are `no_data_change`, `strategy_not_updated` and
    /// `ignored_or_not_selected`.
    pub fn change_skipped(&self, reason: &'static str) {
        self.reload.skipped.get_or_create(&[("reason", reason)]).inc();
    }

    /// A source returned to earlier contents again and again.
    pub fn source_flapped(&self, kind: SourceKind) {
        let labels = [("resource_type", kind.resource())];
        self.reload.flapping_sources.get_or_create(&labels).inc();
    }

    /// Something failed; `category` is the error's own fixed word. Upstream's word for a failed restart is
    /// `handler_error`.
    pub fn failed(&self, category: &'static str) {
        self.reload.errors.get_or_create(&[("type", category)]).inc();
    }

    /// A restart was written: `action` after its examination began, `since_change` after the change was seen.
    pub fn reload_succeeded(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        action: Duration,
        since_change: Duration,
    ) {
        self.reload_attempted(kind, namespace, "true", "success", action);
        self.reload
            .workloads_matched
            .get_or_create(&[("kind", kind.as_str())])
            .inc();
        self.reload.latency.observe(since_change.as_secs_f64());
    }

    /// A restart was not accepted, or it is not known whether it was, `action` after its examination began.
    pub fn reload_failed(&self, kind: WorkloadKind, namespace: &str, action: Duration) {
        self.reload_attempted(kind, namespace, "false", "error", action);
    }

    fn reload_attempted(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        success: &'static str,
        result: &'static str,
        action: Duration,
    ) {
        let workload_kind = ("workload_kind", kind.as_str());
        self.reload.executed.get_or_create(&[("success", success)]).inc();
        if let Some(by_namespace) = &self.reload.executed_by_namespace {
            let namespace = ("namespace", Cow::Owned(namespace.to_owned()));
            by_namespace
                .get_or_create(&[("success", Cow::Borrowed(success)), namespace])
                .inc();
        }
        self.reload
            .action
            .get_or_create(&[workload_kind, ("result", result)])
            .inc();
        self.reload
            .action_latency
            .get_or_create(&[workload_kind])
            .observe(action.as_secs_f64());
    }

    /// The rollout of a workload of that kind ended `after` its restart.
    pub fn rollout_ended(&self, kind: WorkloadKind, result: RolloutResult, after: Duration) {
        let labels = [("workload_kind", kind.as_str()), ("result", result.label())];
        self.reload
            .rollout_duration
            .get_or_create(&labels)
            .observe(after.as_secs_f64());
    }

    /// A write was not sent, because another replica might hold the Lease by now.
    pub fn write_fenced(&self) {
        self.reload.fenced_writes.inc();
    }

    /// An alert, a webhook call or an Event came to an end; `channel` is `alert`, `webhook` or `event`.
    pub fn notified(&self, channel: &'static str, result: NotificationResult) {
        let labels = [("channel", channel), ("result", result.label())];
        self.reload.notifications.get_or_create(&labels).inc();
    }

    /// A watch on `kind` (`ConfigMap`, `Deployment`, …) restarts.
    pub fn watch_restarted(&self, kind: &'static str, reason: &'static str) {
        self.watch
            .restarts
            .get_or_create(&[("kind", kind), ("reason", reason)])
            .inc();
    }

    /// This replica leads from now on.
    pub fn leadership_gained(&self) {
        self.lease.leader.set(1);
    }

    /// This replica leads no longer.
    pub fn leadership_lost(&self) {
        self.lease.leader.set(0);
    }

    /// This replica leads, and its workers begin `took` after it became the leader.
    pub fn took_over(&self, took: Duration) {
        self.reload.takeover.set(took.as_secs_f64());
    }

    /// The Lease had to be read before it could be renewed.
    pub fn lease_slow_path_taken(&self) {
        self.lease.slow_path.inc();
    }

    /// The API server answered with `code`, or `<error>` where no answer came.
    pub(super) fn request_finished(&self, code: String, method: &str, host: &str, took: Duration) {
        let method = Cow::from(method.to_owned());
        let host = Cow::from(host.to_owned());
        let labels = [
            ("code", Cow::from(code)),
            ("method", method.clone()),
            ("host", host.clone()),
        ];
        self.rest_client.requests.get_or_create(&labels).inc();
        let labels = [("verb", method), ("host", host)];
        self.rest_client
            .duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}
