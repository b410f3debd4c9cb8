//! What the workers, the intake and the takeover share.
//!
//! Input: effects of observations, keys of workloads. Output: keys in the queue, times to resume at, lines of the
//! ledger. I/O: none of its own.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dashmap::DashSet;
use k8s_openapi::jiff::Timestamp;

use super::{
    begun::Begun,
    gate::Gate,
    mistakes::{Counts, Mistakes},
    outcomes::Outcomes,
    report::{Past, Reporter, log_pause},
    resumes::{Resumes, Scheduled},
    waits::Waits,
};
use crate::{
    admit::{Admission, Flags, Reason, Texts, Wait},
    decide::{self, Decision, PauseChange, Plan, pause::Resume},
    diagnose::Finding,
    index::{Effect, Index, Pending, RolloutChange, Seen},
    lease::{Leadership, Role},
    ledger::{Breaks, Ledger},
    metrics::Metrics,
    model::{SourceKey, SourceRef, UnixSeconds, Workload, WorkloadKey, pause::Paused},
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
    /// When restarts may begin.
    pub windows: Arc<Texts>,
    /// How many may be under way.
    pub limits: Flags,
    /// Logs, Events and alerts.
    pub reporter: Reporter,
}

/// The state of one replica, shared by all that changes it.
pub struct Context {
    parts: ContextParts,
    gate: Gate,
    resumes: Resumes,
    waits: Arc<Waits>,
    mistakes: Arc<Mistakes>,
    outcomes: Arc<Outcomes>,
    begun: Begun,
    /// Workloads whose last patch was stored without its marker.
    unmarked: DashSet<WorkloadKey>,
}

impl Context {
    /// A context in which no resume is scheduled yet.
    pub fn new(parts: ContextParts) -> Self {
        let waits: Arc<Waits> = Arc::default();
        let is_stuck = {
            let (waits, refused) = (Arc::clone(&waits), parts.reporter.refused());
            move |key: &WorkloadKey, source: &SourceRef| {
                let waits_for_another = waits.reason(key).is_some_and(|reason| reason.is_stuck(source));
                waits_for_another || refused(key)
            }
        };
        let (index, windows) = (Arc::clone(&parts.index), Arc::clone(&parts.windows));
        Self {
            gate: Gate::new(index, windows, parts.limits, Arc::new(is_stuck)),
            parts,
            resumes: Resumes::default(),
            waits,
            mistakes: Arc::default(),
            outcomes: Arc::default(),
            begun: Begun::default(),
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

    /// The last failure of the workload's restarts or, without one, of the end of its pause; `None` without any since the
    /// last success.
    pub fn last_failure(&self, key: &WorkloadKey) -> Option<String> {
        self.parts.reporter.last_failure(key)
    }

    /// The restarts that this replica wrote last, the latest first.
    pub fn recent_restarts(&self) -> Vec<Past> {
        self.parts.reporter.recent()
    }

    /// What is wrong with the workload's annotations: in words as far as they are kept, and the names of the others.
    pub fn findings(&self, key: &WorkloadKey) -> (Vec<Finding>, Vec<&'static str>) {
        self.mistakes.of(key)
    }

    /// When paused Deployments are to be resumed.
    pub(super) fn resumes(&self) -> &Resumes {
        &self.resumes
    }

    /// Which restarts are deferred.
    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Tells how many restarts are deferred, by the word for the reason. It does not keep the context.
    pub(crate) fn deferred(&self) -> impl Fn() -> HashMap<&'static str, usize> + Send + Sync + use<> {
        let waits = Arc::clone(&self.waits);
        move || waits.counts()
    }

    /// Tells how late the restart of a workload is; `None` while it waits on purpose. It does not keep the context.
    pub(crate) fn lateness(&self) -> impl Fn(&Pending) -> Option<Duration> + Send + Sync + use<> {
        let (gate, waits) = (self.gate.clone(), Arc::clone(&self.waits));
        move |pending| {
            let late = waits.lateness(&pending.workload.key, pending.since)?;
            (gate.admission(pending) == Admission::Now).then_some(late)
        }
    }

    /// What becomes of restarts.
    pub(super) fn outcomes(&self) -> &Arc<Outcomes> {
        &self.outcomes
    }

    /// Which changes are being rolled out under a limit.
    pub(super) const fn begun(&self) -> &Begun {
        &self.begun
    }

    /// Which objects have mistakes in their annotations.
    pub(super) fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }

    /// Tells how many objects of selected namespaces have which mistakes. It does not keep the context.
    pub(crate) fn misconfigured(&self) -> impl Fn() -> Counts + Send + Sync + use<> {
        let (mistakes, index) = (Arc::clone(&self.mistakes), Arc::clone(&self.parts.index));
        move || mistakes.counts(|namespace| index.selects(namespace))
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

    /// Whether workloads may restart.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The workload's restart has to wait.
    pub(super) fn defer(&self, pending: &Pending, wait: &Wait) {
        if !self.waits.wait(&pending.workload.key, wait) {
            return;
        }
        match &wait.reason {
            Reason::Halted(halt) => self.parts.reporter.halted(pending, halt),
            reason if reason.is_its_own() => self.parts.reporter.deferred(pending, wait),
            // That others go first is no news of each.
            reason => tracing::debug!("The restart of {} waits: {reason}", pending.workload.key),
        }
    }

    /// The round on the workload is over: it needs no place among the restarts in flight but the one that it is seen to take.
    pub(super) fn give_back(&self, key: &WorkloadKey) {
        if self.gate.give_back(key) {
            self.waits.rolled(&key.namespace);
        }
    }

    /// Looks at deferred restarts whenever one may have become possible. Never ends.
    pub async fn look_after_waits(self: Arc<Self>) {
        let mut breaks = Breaks::new();
        loop {
            for key in self.waits.due().await {
                self.look_at_wait(&key);
                breaks.take().await;
            }
        }
    }

    fn look_at_wait(&self, key: &WorkloadKey) {
        let Some(pending) = self.parts.index.pending(key) else {
            self.waits.end(key);
            return;
        };
        if let Decision::Patch(_) = self.decide(&pending)
            && let Admission::Wait(wait) = self.gate.claim(&pending)
        {
            self.defer(&pending, &wait);
        } else {
            self.waits.release(key);
            self.parts.queue.add(key.clone(), Priority::Low);
        }
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
        for RolloutChange { key, .. } in &effect.rollouts {
            self.look_at_rollout(key);
            self.waits.rolled(&key.namespace);
        }
        for put_back in &effect.put_back {
            self.parts.reporter.put_back(put_back, now());
        }
        for key in effect.gone {
            self.parts.queue.remove(&key);
            self.parts.reporter.forget(&key);
            self.waits.end(&key);
            self.gate.forget(&key);
            self.outcomes.forget(&key);
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

    /// Reports that the workload has no pod template, where it has none.
    pub(crate) fn report_template(&self, workload: &Workload) {
        if workload.lacks_template {
            self.parts.reporter.lacks_template(workload, self.role());
        }
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
