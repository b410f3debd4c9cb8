//! What the workers, the intake and the takeover share.
//!
//! Input: effects of observations, keys of workloads. Output: keys in the queue, times to resume at, lines of the
//! ledger. I/O: none of its own.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use dashmap::DashSet;
use k8s_openapi::jiff::Timestamp;

use super::{
    report::{Reporter, log_pause},
    resumes::{Resumes, Scheduled},
};
use crate::{
    decide::{self, Decision, PauseChange, Plan, pause::Resume},
    index::{Effect, Index, Pending, Seen},
    lease::{Leadership, Role},
    ledger::Ledger,
    metrics::Metrics,
    model::{SourceKey, UnixSeconds, Workload, WorkloadKey, pause::Paused},
    queue::{Priority, Queue},
};

/// The present moment, on both clocks.
pub(crate) fn now() -> Seen {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Seen {
        at: Instant::now(),
        unix: UnixSeconds(i64::try_from(unix).unwrap_or(i64::MAX)),
    }
}

/// What a [`Context`] is made of.
pub struct ContextParts {
    /// What every workload owes.
    pub index: Arc<Index>,
    /// Which workloads are due.
    pub queue: Queue,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// What the next leader will know.
    pub ledger: Ledger,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How to decide.
    pub options: decide::Options,
    /// Logs, Events and alerts.
    pub reporter: Reporter,
}

/// The state of one replica, shared by all that changes it.
pub struct Context {
    parts: ContextParts,
    resumes: Resumes,
    /// Workloads whose last patch was stored without its marker.
    unmarked: DashSet<WorkloadKey>,
}

impl Context {
    /// A context in which no resume is scheduled yet.
    pub fn new(parts: ContextParts) -> Self {
        Self {
            parts,
            resumes: Resumes::default(),
            unmarked: DashSet::new(),
        }
    }

    /// What every workload owes.
    pub fn index(&self) -> &Arc<Index> {
        &self.parts.index
    }

    /// Which workloads are due.
    pub fn queue(&self) -> &Queue {
        &self.parts.queue
    }

    /// Whether this replica leads.
    pub fn leadership(&self) -> &Leadership {
        &self.parts.leadership
    }

    /// What the next leader will know.
    pub fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    /// The counters and gauges.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Logs, Events and alerts.
    pub(super) fn reporter(&self) -> &Reporter {
        &self.parts.reporter
    }

    /// When paused Deployments are to be resumed.
    pub(super) fn resumes(&self) -> &Resumes {
        &self.resumes
    }

    /// Whether this replica leads; any state but leading counts as standing by.
    pub(super) fn role(&self) -> Role {
        if self.parts.leadership.is_leader() {
            Role::Leader
        } else {
            Role::Standby
        }
    }

    /// What the workload's next write is.
    pub(super) fn decide(&self, pending: &Pending) -> Decision {
        decide::decide(&pending.workload, &pending.owed, &self.parts.options)
    }

    /// Acts on what the index made of an observation: queues what is due, forgets what is gone. For the leader.
    pub(super) fn enqueue(&self, effect: Effect) {
        for key in effect.due {
            self.parts.metrics.workload_queued();
            self.parts.queue.add(key, Priority::High);
        }
        for key in effect.woken {
            self.parts.queue.wake(key);
        }
        for key in &effect.pauses {
            self.schedule_resume(key);
        }
        for put_back in &effect.put_back {
            self.parts.reporter.put_back(put_back, now());
        }
        for key in effect.gone {
            self.parts.queue.remove(&key);
            self.parts.reporter.forget(&key);
            self.unmarked.remove(&key);
            self.schedule_resume(&key);
        }
        // A source whose content changed is settled later, by a worker. What is touched here is new to the ledger, or no
        // workload opts into it any more.
        for source in effect.touched {
            self.parts.ledger.touch_new(source);
        }
        for source in effect.settled {
            self.parts.ledger.touch(source);
        }
    }

    /// As [`Self::enqueue`], of an answer about the workload that a worker has in hand: others may use its template, and
    /// sources may be settled by what it is now.
    pub(super) fn enqueue_beside(&self, mut effect: Effect, workload: &WorkloadKey) {
        effect.due.retain(|due| due != workload);
        effect.woken.retain(|woken| woken != workload);
        self.enqueue(effect);
    }

    /// Reports the mistakes in the workload's annotations: only the leader does so in public.
    pub(crate) fn report_annotations(&self, workload: &Workload) {
        self.parts.reporter.annotations(workload, self.role());
    }

    /// Reports sources that return to earlier contents again and again.
    pub(super) fn report_changes(&self, effect: &Effect) {
        let restarts = !effect.due.is_empty();
        for key in &effect.changed {
            if let Some((source, content)) = self.parts.index.source(key) {
                self.parts
                    .reporter
                    .source_changed(&source, content, restarts, Instant::now());
            }
        }
    }

    /// Reports that the ledger has no line for the source, nor for others of its namespace.
    pub(crate) fn report_left_out(&self, source: &SourceKey) {
        if let Some(workload) = self.parts.index.user_of(source) {
            self.parts.reporter.left_out(source, &workload);
        }
    }

    /// Notes when the workload is to be resumed; queues it if that is now.
    pub(crate) fn schedule_resume(&self, key: &WorkloadKey) {
        if self.resumes.schedule(key, || self.resume_time(key)) == Scheduled::DueNow {
            self.parts.queue.wake(key.clone());
        }
    }

    /// Notes whether the workload's last patch was stored without its marker.
    pub(super) fn set_unmarked(&self, key: &WorkloadKey, unmarked: bool) {
        if unmarked {
            self.unmarked.insert(key.clone());
        } else {
            self.unmarked.remove(key);
        }
    }

    /// What a restart of the workload does to its pause. None begins where the last patch lost its marker: each retry would
    /// pause it once more.
    pub(super) fn pause_with_restart(&self, workload: &Workload) -> Option<PauseChange> {
        let change = decide::pause::with_restart(workload, Timestamp::now());
        change.filter(|change| *change == PauseChange::End || !self.unmarked.contains(&workload.key))
    }

    /// Whether the workload is to be resumed now.
    pub(super) fn is_resume_due(&self, key: &WorkloadKey) -> bool {
        self.resume_time(key) == Resume::Now
    }

    /// Reports what a successful write did to the workload's pause, and schedules its end.
    pub(super) fn pause_written(&self, before: &Workload, plan: &Plan) {
        if let Some(pause) = &before.pause
            && (plan.pause.is_some() || pause.paused != Paused::No)
        {
            log_pause(&before.key, pause, plan.pause);
            self.schedule_resume(&before.key);
        }
    }

    fn resume_time(&self, key: &WorkloadKey) -> Resume {
        self.parts.index.workload(key).map_or(Resume::Never, |workload| {
            decide::pause::resume(&workload, Timestamp::now())
        })
    }
}
