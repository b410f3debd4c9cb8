//! What is said about restarts, pauses and annotations: log lines, Events, alerts.
//!
//! Input: outcomes. Output: lines, Events, alerts. I/O: hands them over; nothing here waits.
//!
//! Texts that upstream has, too, are upstream's to the byte.

mod complaint;

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use crate::{
    api_error::ApiError,
    decide::{self, Plan, SkipReason},
    lease::Role,
    metrics::{Metrics, NotificationResult},
    model::{
        AnnotationKeys, SourceKey, SourceKind, Workload, WorkloadKey,
        go_duration::GoDuration,
        pause::{Pause, Paused},
    },
    notify::Alerts,
    patch::events::{self, Notice, Recorder},
};
use complaint::{Complaint, Severity, complaints};

/// Reports each outcome once, wherever it is to be reported.
pub struct Reporter {
    recorder: Recorder,
    alerts: Alerts,
    metrics: Arc<Metrics>,
    keys: Arc<AnnotationKeys>,
    /// By workload, the last failure: each is reported once, not once an attempt.
    reported: DashMap<WorkloadKey, Reported>,
    /// By workload, the mistakes that were reported: the watch and the takeover may both come across them.
    complaints: DashMap<WorkloadKey, Vec<Complaint>>,
}

impl Reporter {
    /// A reporter that has reported nothing yet. `keys` are the annotations that it names.
    pub fn new(recorder: Recorder, alerts: Alerts, metrics: Arc<Metrics>, keys: Arc<AnnotationKeys>) -> Self {
        Self {
            recorder,
            alerts,
            metrics,
            keys,
            reported: DashMap::new(),
            complaints: DashMap::new(),
        }
    }

    /// The workload is gone.
    pub(super) fn forget(&self, key: &WorkloadKey) {
        self.reported.remove(key);
        self.complaints.remove(key);
    }

    /// Nothing failed: the next failure is reported, whatever it is.
    pub(super) fn succeeded(&self, key: &WorkloadKey) {
        self.reported.remove(key);
    }

    /// The plan restarted the workload, `latency` after its oldest change was seen. `uid` is that of the workload now.
    pub(super) fn restarted(&self, plan: &Plan, uid: &str, latency: Duration) {
        let key = &plan.workload;
        for source in restarted_for(plan) {
            let (name, type_name, namespace) = (&source.name, source.kind.type_name(), &source.namespace);
            tracing::info!(
                latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
                "Changes detected in '{name}' of type '{type_name}' in namespace '{namespace}'; \
                 updated '{}' of type '{}' in namespace '{namespace}'",
                key.name,
                key.kind,
            );
            let message = format!(
                "Changes detected in '{name}' of type '{type_name}' in namespace '{namespace}', \
                 Updated '{}' of type '{}' in namespace '{namespace}'",
                key.name, key.kind,
            );
            self.record(Notice {
                workload: key.clone(),
                uid: uid.into(),
                source: source.kind,
                severity: events::Severity::Normal,
                reason: "Reloaded",
                message,
            });
            self.alerts.reloaded(source, key);
        }
    }

    /// The API server did not accept the restart.
    pub(super) fn restart_failed(&self, plan: &Plan, error: &ApiError) {
        let key = &plan.workload;
        let message = format!(
            "Update for '{}' of type '{}' in namespace '{}' failed with error {error}{}",
            key.name,
            key.kind,
            key.namespace,
            error.advice(),
        );
        if self.log_failure(key, error, &message) != Failure::New {
            return;
        }
        if let Some(source) = restarted_for(plan).next() {
            self.alerts.failed(source, key, &error.message);
            self.record(Notice {
                workload: key.clone(),
                uid: plan.uid.clone(),
                source: source.kind,
                severity: events::Severity::Warning,
                reason: "ReloadFail",
                message,
            });
        }
    }

    /// The API server did not accept the end of the pause.
    pub(super) fn resume_failed(&self, workload: &Workload, error: &ApiError) {
        let key = &workload.key;
        let message = format!(
            "Failed to resume deployment '{}' in namespace '{}': {error}{}",
            key.name,
            key.namespace,
            error.advice(),
        );
        if self.log_failure(key, error, &message) != Failure::New {
            return;
        }
        self.record(Notice {
            workload: key.clone(),
            uid: workload.uid.clone(),
            source: SourceKind::ConfigMap,
            severity: events::Severity::Warning,
            reason: "ResumeFail",
            message,
        });
    }

    /// The ledger has no line for the source, which the workload uses, nor for others of its namespace. Once a namespace.
    pub(super) fn left_out(&self, source: &SourceKey, workload: &Workload) {
        self.record(Notice {
            workload: workload.key.clone(),
            uid: workload.uid.clone(),
            source: source.kind,
            severity: events::Severity::Warning,
            reason: "LedgerFull",
            message: format!(
                "Namespace '{}' has more opted-in sources than Reloader keeps track of across restarts of its own: if '{}' of \
                 type '{}' or a further one changes while no replica of Reloader runs, nothing is restarted. Use fewer sources, \
                 or spread them over more namespaces",
                source.namespace,
                source.name,
                source.kind.type_name(),
            ),
        });
    }

    /// Names every mistake in the workload's annotations. The leader also writes an Event; other replicas log it at debug
    /// level only, since each of them would repeat it.
    pub(super) fn annotations(&self, workload: &Workload, role: Role) {
        let key = &workload.key;
        let complaints = complaints(workload, &self.keys.pause_period);
        if complaints.is_empty() {
            return;
        }
        if role != Role::Leader {
            for Complaint { message, .. } in complaints {
                tracing::debug!("{message}");
            }
            return;
        }
        if self.complaints.insert(key.clone(), complaints.clone()).as_ref() == Some(&complaints) {
            return;
        }
        for complaint in complaints {
            let Complaint {
                source,
                message,
                severity,
                is_first,
            } = complaint;
            match severity {
                Severity::Error => tracing::error!("{message}"),
                Severity::Warning => tracing::warn!("{message}"),
            }
            self.metrics.failed("invalid_annotation");
            if is_first {
                self.record(Notice {
                    workload: key.clone(),
                    uid: workload.uid.clone(),
                    source,
                    severity: events::Severity::Warning,
                    reason: "InvalidAnnotation",
                    message,
                });
            }
        }
    }

    fn log_failure(&self, key: &WorkloadKey, error: &ApiError, message: &str) -> Failure {
        let category = error.category();
        let before = self.reported.get(key).map(|reported| reported.clone());
        let (reported, failure) = Reported::after(before.as_ref(), error);
        self.reported.insert(key.clone(), reported);
        match failure {
            Failure::Unconfirmed | Failure::Repeated => tracing::debug!(category, "{message}"),
            Failure::New => tracing::error!(category, "{message}; retrying until it succeeds"),
        }
        failure
    }

    fn record(&self, notice: Notice) {
        if !self.recorder.record(notice) {
            self.metrics.notified("event", NotificationResult::Dropped);
        }
    }
}

/// Nothing had to be written for that source.
pub(super) fn log_skipped(key: &WorkloadKey, source: &SourceKey, reason: SkipReason) {
    tracing::debug!(
        reason = reason.as_str(),
        "No changes detected in '{}' of type '{}' in namespace '{}' for {} '{}'",
        source.name,
        source.kind.type_name(),
        key.namespace,
        key.kind,
        key.name,
    );
}

/// A write of the paused Deployment, or of one with a pause period, has done this to its pause.
pub(super) fn log_pause(key: &WorkloadKey, before: &Pause, change: Option<decide::PauseChange>) {
    let (name, namespace) = (&key.name, &key.namespace);
    match (change, before.paused) {
        (Some(decide::PauseChange::Begin(_)), _) => {
            let length = GoDuration(before.length().unwrap_or_default());
            tracing::info!("Pausing Deployment '{name}' in namespace '{namespace}' for {length}");
        }
        (Some(decide::PauseChange::End), _) => {
            tracing::info!("Successfully resumed deployment '{name}' in namespace '{namespace}'");
        }
        (None, Paused::ByOthers | Paused::ByReloader { .. }) => {
            tracing::info!("Deployment '{name}' in namespace '{namespace}' already paused");
        }
        (None, Paused::No) => {}
    }
}

/// How a failure compares with the workload's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It is another one, or the first.
    New,
    /// It is the first refusal for lack of a permission: not reported unless it repeats, since an API server that has just
    /// started refuses all requests until it knows its roles.
    Unconfirmed,
    /// It has been reported.
    Repeated,
}

/// The last failure of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reported {
    message: String,
    failure: Failure,
}

impl Reported {
    /// What is known after that error, and how it compares with what was known before.
    fn after(before: Option<&Self>, error: &ApiError) -> (Self, Failure) {
        let failure = match before.filter(|before| before.message == error.message) {
            None if error.is_missing_permission() => Failure::Unconfirmed,
            None => Failure::New,
            Some(before) if before.failure == Failure::Unconfirmed => Failure::New,
            Some(_) => Failure::Repeated,
        };
        let message = error.message.clone();
        (Self { message, failure }, failure)
    }
}

/// The sources whose change the plan's patch restarts the workload for.
fn restarted_for(plan: &Plan) -> impl Iterator<Item = &SourceKey> {
    let is_restarting = |outcome| {
        matches!(
            outcome,
            decide::SourceOutcome::Marked | decide::SourceOutcome::Superseded
        )
    };
    plan.settled
        .iter()
        .filter(move |settled| is_restarting(settled.outcome))
        .map(|settled| &settled.source)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    const NO_ROLE: &str = "deployments.apps \"web\" is forbidden: User \"a\" cannot patch resource \"deployments\" in API \
                           group \"apps\" in the namespace \"b\"";
    const QUOTA: &str = "exceeded quota: few";

    /// How each of the refusals in a row compares with the one before.
    fn refused(messages: &[&str]) -> Vec<Failure> {
        let mut known = None;
        let mut failures = Vec::new();
        for message in messages {
            let error = ApiError::from_status(&Status::failure(message, "Forbidden").with_code(403));
            let (reported, failure) = Reported::after(known.as_ref(), &error);
            known = Some(reported);
            failures.push(failure);
        }
        failures
    }

    #[test]
    fn a_missing_permission_is_reported_once_it_repeats() {
        use Failure::{New, Repeated, Unconfirmed};
        assert_eq!(
            refused(&[NO_ROLE, NO_ROLE, NO_ROLE]),
            [Unconfirmed, New, Repeated]
        );
        assert_eq!(refused(&[QUOTA, QUOTA]), [New, Repeated]);
        assert_eq!(
            refused(&[NO_ROLE, QUOTA, NO_ROLE]),
            [Unconfirmed, New, Unconfirmed]
        );
    }
}
