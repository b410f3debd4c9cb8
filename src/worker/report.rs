//! What is said about restarts, pauses and annotations: log lines, Events, alerts.
//!
//! Input: outcomes. Output: lines, Events, alerts. I/O: hands them over; nothing here waits.
//!
//! Texts that upstream has, too, are upstream's to the byte.

mod deferred;
mod failures;
mod flapping;
mod kept;
mod mistake;
mod recent;
mod rollouts;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dashmap::{DashMap, DashSet};
use k8s_openapi::jiff::Timestamp;

use super::mistakes::{LeftOut, Said};
use crate::{
    api_error::ApiError,
    decide::{self, Plan, SkipReason},
    index::{PutBack, Seen},
    lease::Role,
    metrics::Metrics,
    model::{
        AnnotationKeys, Content, Source, SourceKey, SourceKind, Workload, WorkloadKey, WorkloadKind,
        go_duration::GoDuration,
        opt_in::LAST_RELOADED_FROM,
        pause::{Pause, Paused},
    },
    notify::Alerts,
    patch::events::{self, Notice, Recorder, Subject},
};
use failures::{Failure, Failures, Operation};
use flapping::{Flap, Flapping};
use recent::Recent;

pub(super) use kept::{Restarted, kept_pods};
pub use recent::Past;
pub(super) use rollouts::log_recovered;

/// How long after a restart its rollout may be under way, in seconds: Kubernetes' `progressDeadlineSeconds` by default.
const ROLLOUT_SECONDS: i64 = 600;
/// How often it is reported of one workload that its template is put back.
const PUT_BACK_EVERY: Duration = Duration::from_hours(1);
/// Bytes for the names of the sources of a restart in its Event, whose text has 1024.
const LONGEST_NAMES: usize = 600;

/// Reports each outcome once, wherever it is to be reported.
pub struct Reporter {
    recorder: Recorder,
    alerts: Alerts,
    metrics: Arc<Metrics>,
    keys: Arc<AnnotationKeys>,
    /// The last failures: each is reported from time to time, not once an attempt.
    failures: Arc<Failures>,
    /// Kinds of which an object without a pod template was reported.
    without_template: DashSet<WorkloadKind>,
    flapping: Mutex<Flapping>,
    /// By workload, when it was last reported that another client put its template back.
    put_back: DashMap<WorkloadKey, Instant>,
    /// By source, the version of the content whose halt was reported.
    halted: DashMap<SourceKey, u64>,
    /// What this replica wrote last.
    recent: Recent,
}

impl Reporter {
    /// A reporter that has reported nothing yet. `keys` are the annotations that it names.
    pub fn new(recorder: Recorder, alerts: Alerts, metrics: Arc<Metrics>, keys: Arc<AnnotationKeys>) -> Self {
        Self {
            recorder,
            alerts,
            metrics,
            keys,
            failures: Arc::default(),
            without_template: DashSet::new(),
            flapping: Mutex::new(Flapping::new()),
            put_back: DashMap::new(),
            halted: DashMap::new(),
            recent: Recent::default(),
        }
    }

    /// The last failure of the workload's restarts or, without one, of the end of its pause.
    pub(super) fn last_failure(&self, key: &WorkloadKey) -> Option<String> {
        self.failures.last(key)
    }

    /// Tells whether the API server refused a workload's last restart.
    pub(super) fn refused(&self) -> impl Fn(&WorkloadKey) -> bool + Send + Sync + use<> {
        let failures = Arc::clone(&self.failures);
        move |key| failures.is_refused(key)
    }

    /// The last restarts that were written, the latest first.
    pub(super) fn recent(&self) -> Vec<Past> {
        self.recent.all()
    }

    /// The workload is gone.
    pub(super) fn forget(&self, key: &WorkloadKey) {
        self.restart_succeeded(key);
        self.resume_succeeded(key);
        self.put_back.remove(key);
    }

    /// No restart is owed that failed: the next failure is reported, whatever it is.
    pub(super) fn restart_succeeded(&self, key: &WorkloadKey) {
        self.failures.succeeded(key, Operation::Restart);
    }

    /// The end of the pause was written: the next failure is reported, whatever it is.
    pub(super) fn resume_succeeded(&self, key: &WorkloadKey) {
        self.failures.succeeded(key, Operation::Resume);
    }

    /// The source has another content; workloads are restarted for that, unless it is taken back in time. Warns where it
    /// returns to earlier contents again and again.
    pub(super) fn source_changed(&self, source: &Source, content: Content, restarts: bool, now: Instant) {
        let flap = self
            .flapping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .changed(&source.key, content, restarts, now);
        let Some(Flap { returns, within }) = flap else {
            return;
        };
        let SourceKey {
            namespace,
            kind,
            name,
        } = &source.key;
        let message = format!(
            "The content of {kind} '{name}' in namespace '{namespace}' returned to an earlier one {returns} times within \
             {}, and workloads were restarted for it: two clients may overwrite each other's changes. Let one of them \
             manage it; until then, the annotation {}: \"true\" on it prevents restarts",
            GoDuration(Duration::from_secs(within.as_secs().max(1))),
            self.keys.ignore,
        );
        tracing::warn!(%namespace, %kind, %name, "{message}");
        self.metrics.source_flapped(*kind);
        self.recorder.record(Notice {
            about: Subject::Source(source.key.clone()),
            uid: source.uid.to_string().into(),
            related: None,
            once: None,
            source: *kind,
            severity: events::Severity::Warning,
            reason: "SourceFlaps",
            message,
        });
    }

    /// The plan restarted the workload, `latency` after its oldest change was seen. `uid` is that of the workload now.
    pub(super) fn restarted(&self, plan: &Plan, uid: &str, latency: Duration, outcome: Restarted<'_>) {
        let key = &plan.workload;
        let (severity, reason) = match outcome.dropped {
            None => (events::Severity::Normal, "Reloaded"),
            Some(_) => (events::Severity::Warning, "MarkerDropped"),
        };
        let note = outcome.note();
        self.recent
            .note(key, plan.restarted_for(), latency, Timestamp::now());
        if let Some(dropped) = outcome.dropped {
            tracing::warn!(
                namespace = %key.namespace, kind = %key.kind, name = %key.name,
                "{key} counts as restarted, because its pod template changed; {dropped}"
            );
        }
        let mut sources: Vec<&SourceKey> = plan.restarted_for().collect();
        // The same restart is the same Event, whose count rises.
        sources.sort_unstable();
        let namespace = &key.namespace;
        for source in &sources {
            let (name, type_name) = (&source.name, source.kind.type_name());
            tracing::info!(
                %namespace, kind = %key.kind, name = %key.name,
                sources = format_args!("{}/{name}", source.kind),
                strategy = plan.strategy.as_str(),
                latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
                "Changes detected in '{name}' of type '{type_name}' in namespace '{namespace}'; \
                 updated '{}' of type '{}' in namespace '{namespace}'",
                key.name,
                key.kind,
            );
            self.alerts.reloaded(source, key, &note);
        }
        let Some(first) = sources.first() else { return };
        let message = format!(
            "Changes detected in {} in namespace '{namespace}', Updated '{}' of type '{}' in namespace \
             '{namespace}'{note}",
            named(&sources),
            key.name,
            key.kind,
        );
        self.recorder.record(Notice {
            about: Subject::Workload(key.clone()),
            uid: uid.into(),
            related: Some((*first).clone()),
            once: None,
            source: first.kind,
            severity,
            reason,
            message,
        });
    }

    /// A recreation of the Job is complete that was left over, so that it is not known which source it was for. `uid` is that
    /// of the new Job.
    pub(super) fn job_recreated(&self, key: &WorkloadKey, uid: &str) {
        let message = format!(
            "Created Job '{}' in namespace '{}' again for a change of a source: that had waited for its finalizers, or had \
             been interrupted",
            key.name, key.namespace,
        );
        self.recorder.record(Notice {
            about: Subject::Workload(key.clone()),
            uid: uid.into(),
            related: None,
            once: None,
            source: SourceKind::ConfigMap,
            severity: events::Severity::Normal,
            reason: "Reloaded",
            message,
        });
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
        let failure = self.log_failure(key, Operation::Restart, error, &message);
        if matches!(failure, Failure::Unconfirmed | Failure::Repeated) {
            return;
        }
        if let Some(source) = plan.restarted_for().next() {
            if failure == Failure::New {
                self.alerts.failed(source, key, &error.message);
            }
            self.recorder.record(Notice {
                about: Subject::Workload(key.clone()),
                uid: plan.uid.clone(),
                related: Some(source.clone()),
                once: None,
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
        let failure = self.log_failure(key, Operation::Resume, error, &message);
        if matches!(failure, Failure::Unconfirmed | Failure::Repeated) {
            return;
        }
        self.recorder.record(Notice {
            about: Subject::Workload(key.clone()),
            uid: workload.uid.clone(),
            related: None,
            once: None,
            source: SourceKind::ConfigMap,
            severity: events::Severity::Warning,
            reason: "ResumeFail",
            message,
        });
    }

    /// The ledger has no line for the source, which the workload uses, nor for others of its namespace. Once a namespace.
    pub(super) fn left_out(&self, source: &SourceKey, workload: &Workload) {
        self.recorder.record(Notice {
            about: Subject::Workload(workload.key.clone()),
            uid: workload.uid.clone(),
            related: None,
            once: None,
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

    /// Mistakes in one annotation of an object: a line for each, one Event.
    pub(super) fn mistake(&self, said: &Said) {
        let Said { about, uid, findings } = said;
        let (namespace, kind, name) = (about.namespace(), about.kind(), about.name());
        for finding in findings {
            let reason = finding.mistake.reason();
            match mistake::line(about, &self.keys, finding) {
                (mistake::Severity::Error, text) => {
                    tracing::error!(%namespace, kind, %name, reason, "{text}");
                }
                (mistake::Severity::Warning, text) => {
                    tracing::warn!(%namespace, kind, %name, reason, "{text}");
                }
            }
            self.metrics.failed("invalid_annotation");
        }
        if let Some((first, further)) = findings.split_first() {
            self.recorder.record(Notice {
                about: about.clone(),
                uid: uid.clone(),
                related: None,
                once: Some(first.to_string().into()),
                source: mistake::source_of(about, &self.keys, first),
                severity: events::Severity::Warning,
                reason: "InvalidAnnotation",
                message: mistake::event(first, further.len()),
            });
        }
    }

    /// The workload has no pod template where there should be one: once for each kind, by the leader.
    pub(super) fn lacks_template(&self, workload: &Workload, role: Role) {
        if role == Role::Leader && self.without_template.insert(workload.key.kind) {
            self.no_pod_template(workload);
        }
    }

    /// An object of a kind that `--workload-kind` names has no pod template where the flag says, or a DeploymentConfig has
    /// none: once for each kind.
    fn no_pod_template(&self, workload: &Workload) {
        let WorkloadKey {
            kind,
            namespace,
            name,
        } = &workload.key;
        let message = if *kind == WorkloadKind::DeploymentConfig {
            format!(
                "{kind} '{name}' in namespace '{namespace}' has no pod template (spec.template with spec.containers), and is \
                 not restarted until it has one. Further objects like it are not reported"
            )
        } else {
            format!(
                "{kind} '{name}' in namespace '{namespace}' has no pod template where --workload-kind={}/{kind}:{} looks for one \
             (an object with spec.containers), and is never restarted: correct the path. Further objects like it are not \
             reported",
                kind.api_version(),
                kind.template_path().join("."),
            )
        };
        tracing::warn!(%namespace, %kind, %name, "{message}");
        self.recorder.record(Notice {
            about: Subject::Workload(workload.key.clone()),
            uid: workload.uid.clone(),
            related: None,
            once: None,
            source: SourceKind::ConfigMap,
            severity: events::Severity::Warning,
            reason: "NoPodTemplate",
            message,
        });
    }

    /// Another client put the pod template back after a restart: once an hour for each workload.
    pub(super) fn put_back(&self, put_back: &PutBack, now: Seen) {
        let PutBack {
            workload: key,
            uid,
            restarted_at,
            manager,
        } = put_back;
        let since = now.unix.0.saturating_sub(restarted_at.0);
        let is_repeated = self
            .put_back
            .get(key)
            .is_some_and(|before| now.at.duration_since(*before) < PUT_BACK_EVERY);
        if since > ROLLOUT_SECONDS || is_repeated {
            return;
        }
        self.put_back.insert(key.clone(), now.at);
        let WorkloadKey {
            kind,
            namespace,
            name,
        } = key;
        let named = manager.as_ref().map_or_else(String::new, |manager| {
            format!(" (by managedFields, '{manager}' was the last to write it)")
        });
        let message = format!(
            "Another client put back the pod template of {kind} '{name}' in namespace '{namespace}' within {} minutes after its \
             restart{named}: pods that were not replaced by then keep the old content. Let that client leave variables STAKATER_* and \
             the annotation {LAST_RELOADED_FROM} as they are; not reported again for an hour",
            ROLLOUT_SECONDS / 60,
        );
        tracing::warn!(%namespace, %kind, %name, "{message}");
        self.recorder.record(Notice {
            about: Subject::Workload(key.clone()),
            uid: uid.clone(),
            related: None,
            once: None,
            source: SourceKind::ConfigMap,
            severity: events::Severity::Warning,
            reason: "RestartReverted",
            message,
        });
    }

    fn log_failure(
        &self,
        key: &WorkloadKey,
        operation: Operation,
        error: &ApiError,
        message: &str,
    ) -> Failure {
        let WorkloadKey {
            namespace,
            kind,
            name,
        } = key;
        let category = error.category();
        let failure = self.failures.note(key, operation, error, Instant::now());
        match failure {
            Failure::Unconfirmed | Failure::Repeated => {
                tracing::debug!(%namespace, %kind, %name, category, err = %error, "{message}");
            }
            Failure::New => tracing::error!(
                %namespace, %kind, %name, category, err = %error,
                "{message}; retrying until it succeeds"
            ),
            Failure::Lasting => tracing::error!(
                %namespace, %kind, %name, category, err = %error,
                "{message}; it lasts; retrying until it succeeds"
            ),
        }
        failure
    }
}

/// The sources of one restart: of one, upstream's words.
fn named(sources: &[&SourceKey]) -> String {
    let mut text = String::new();
    for (number, source) in sources.iter().enumerate() {
        let next = format!("'{}' of type '{}'", source.name, source.kind.type_name());
        if number > 0 && text.len() + next.len() > LONGEST_NAMES {
            // Writing to a String cannot fail.
            let _ = write!(text, " and {} more", sources.len() - number);
            break;
        }
        text.push_str(if number > 0 { ", " } else { "" });
        text.push_str(&next);
    }
    text
}

/// More objects have mistakes than is said of within an hour.
pub(super) fn log_left_out(left_out: &LeftOut) {
    tracing::warn!("{}", mistake::left_out(left_out));
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
            tracing::info!(%namespace, kind = "Deployment", %name, "Pausing Deployment '{name}' in namespace '{namespace}' for {length}");
        }
        (Some(decide::PauseChange::End), _) => {
            tracing::info!(%namespace, kind = "Deployment", %name, "Successfully resumed deployment '{name}' in namespace '{namespace}'");
        }
        (None, Paused::ByOthers | Paused::ByReloader { .. }) => {
            tracing::info!(%namespace, kind = "Deployment", %name, "Deployment '{name}' in namespace '{namespace}' already paused");
        }
        (None, Paused::No) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_a_restart_are_named_as_far_as_there_is_room() {
        let keys: Vec<SourceKey> = (0..100)
            .map(|number| SourceKey::new(SourceKind::Secret, "team", format!("token-{number:0>60}")))
            .collect();
        let sources: Vec<&SourceKey> = keys.iter().collect();
        let one = SourceKey::new(SourceKind::ConfigMap, "team", "app");
        assert_eq!(named(&[&one]), "'app' of type 'CONFIGMAP'");
        let two = named(&[&one, &SourceKey::new(SourceKind::Secret, "team", "db")]);
        assert_eq!(two, "'app' of type 'CONFIGMAP', 'db' of type 'SECRET'");
        let many = named(&sources);
        assert!(
            many.len() < LONGEST_NAMES + 20 && many.ends_with(" more"),
            "{many}"
        );
    }
}
