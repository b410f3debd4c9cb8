//! Pauses of Deployments: resumes them when their time has come, and says what is wrong with a pause period.
//!
//! Input: workloads of the index. Output: patches that resume; log lines and Events. I/O: through
//! [`patch`](crate::patch).
//!
//! A pause is begun by the restart's own patch ([`decide::pause::with_restart`]). To be resumed is one more thing that a
//! workload owes: the ticket that finds it due does it, so that retries, fairness and fencing are those of restarts.

use k8s_openapi::jiff::Timestamp;

use super::{CONFLICTS, Complaint, Worker, retry};
use crate::{
    api_error::{ApiError, Class},
    decide::{
        self, Plan,
        pause::{Change, Resume},
    },
    metrics::ReconcileResult,
    model::{SourceKind, Workload, WorkloadKey, WorkloadKind, go_duration::GoDuration, pause::Paused},
    patch::events::{Notice, Severity},
    queue::{Outcome, Retry},
};

impl Worker {
    /// Notes when the workload is to be resumed; queues it if that is now.
    pub(crate) fn plan_resume(&self, key: &WorkloadKey) {
        if self.resumes.note(key, || self.resume_time(key)) {
            self.queue.wake(key.clone());
        }
    }

    /// Whether the workload is to be resumed now.
    pub(super) fn is_to_be_resumed(&self, key: &WorkloadKey) -> bool {
        self.resume_time(key) == Resume::Now
    }

    fn resume_time(&self, key: &WorkloadKey) -> Resume {
        self.index.workload(key).map_or(Resume::Never, |workload| {
            decide::pause::resume(&workload, Timestamp::now())
        })
    }

    /// Resumes the workload if its time has come; `None`: it has not.
    ///
    /// Only ever on the very state that says so: whoever resumed it or took the pause over meanwhile is respected.
    pub(super) async fn resume(&self, key: &WorkloadKey) -> Option<(ReconcileResult, Outcome)> {
        for _ in 0..CONFLICTS {
            let workload = self.index.workload(key)?;
            match decide::pause::resume(&workload, Timestamp::now()) {
                Resume::Never => return None,
                Resume::At(_) => {
                    self.plan_resume(key);
                    return None;
                }
                Resume::Now => {}
            }
            let plan = decide::pause::resuming(&workload);
            let Some(answer) = self.leadership.fence(self.writer.apply(&plan)).await else {
                self.metrics.write_fenced();
                return Some((ReconcileResult::Error, Outcome::Retry(Retry::Unavailable)));
            };
            let conflict = match answer {
                Ok(applied) => {
                    if let Some(stored) = applied.stored {
                        self.index.written(stored);
                    }
                    self.reported.remove(key);
                    self.tell_pause(&workload, &plan);
                    return Some((ReconcileResult::Success, Outcome::Settled));
                }
                Err(error) if error.class == Class::Conflict => self.writer.read(key).await,
                Err(error) => Err(error),
            };
            match conflict {
                // Another object of that name: the one that was paused is gone.
                Ok(Some(stored)) if stored.uid == workload.uid => _ = self.index.written(stored),
                Ok(_) => return None,
                Err(error) if error.class == Class::NotFound => return None,
                Err(error) => {
                    self.metrics.failed(error.category());
                    self.tell_resume_failure(&workload, &error);
                    return Some((ReconcileResult::Error, Outcome::Retry(retry(&error))));
                }
            }
        }
        Some((ReconcileResult::Error, Outcome::Retry(Retry::Unavailable)))
    }

    /// Says what a successful patch has done to the workload's pause, and notes when it is to be resumed.
    pub(super) fn tell_pause(&self, before: &Workload, plan: &Plan) {
        let Some(pause) = &before.pause else {
            return;
        };
        let (name, namespace) = (&before.key.name, &before.key.namespace);
        match (plan.pause, pause.paused) {
            (Some(Change::Begin(_)), _) => {
                let length = GoDuration(pause.length().unwrap_or_default());
                tracing::info!("Pausing Deployment '{name}' in namespace '{namespace}' for {length}");
            }
            (Some(Change::End), _) => {
                tracing::info!("Successfully resumed deployment '{name}' in namespace '{namespace}'");
            }
            (None, Paused::ByOthers | Paused::ByReloader { .. }) => {
                tracing::info!("Deployment '{name}' in namespace '{namespace}' already paused");
            }
            (None, Paused::No) => return,
        }
        self.plan_resume(&before.key);
    }

    /// Tells about a failed resume once, and again only when it is another failure.
    fn tell_resume_failure(&self, workload: &Workload, error: &ApiError) {
        let key = &workload.key;
        let message = format!(
            "Failed to resume deployment '{}' in namespace '{}': {error}{}",
            key.name,
            key.namespace,
            error.advice(),
        );
        if !self.is_news(key, error, &message) {
            return;
        }
        self.tell(Notice {
            workload: key.clone(),
            uid: workload.uid.clone(),
            source: SourceKind::ConfigMap,
            severity: Severity::Warning,
            reason: "ResumeFail",
            message,
        });
    }

    /// What is wrong with the workload's pause period.
    pub(super) fn pause_complaint(&self, workload: &Workload) -> Option<Complaint> {
        let annotation = self.writer.pause_period_key();
        let key = &workload.key;
        let period = workload.pause.as_ref()?.period.as_ref()?;
        let message = match period {
            _ if key.kind != WorkloadKind::Deployment => format!(
                "Annotation '{annotation}' only applicable for deployments: {} '{}' in namespace '{}' is reloaded \
                 without a pause",
                key.kind, key.name, key.namespace,
            ),
            Ok(_) => return None,
            Err(bad) => format!(
                "Failed to parse pause interval value '{}' of annotation '{annotation}' on {} '{}' in namespace '{}': \
                 {}. Until that is corrected it is reloaded without a pause",
                bad.text, key.kind, key.name, key.namespace, bad.error,
            ),
        };
        Some(Complaint {
            source: SourceKind::ConfigMap,
            message,
            is_error: false,
            is_first: true,
        })
    }
}
