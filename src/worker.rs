//! Takes workloads from the queue and brings them up to date; feeds the queue from what the watches show.
//!
//! Input: tickets of the queue ([`Worker`]), observations of the watches ([`intake`]). Output: patches, settled debts.
//! I/O: through [`patch`](crate::patch).
//!
//! A worker never acts on an event: it looks at what the workload owes *now*. A retry, a duplicate or a takeover
//! therefore ends in the same place as the first attempt.

pub mod announce;
pub mod intake;
mod pause;
mod resumes;

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use dashmap::DashMap;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::{
    api_error::{ApiError, Class},
    decide::{self, Decision, Plan, SkipReason, Strategy},
    index::{Effect, Index, Pending, Seen, Settled},
    lease::Leadership,
    ledger::Ledger,
    metrics::{Metrics, NotificationResult, ReconcileResult},
    model::{SourceKey, SourceKind, UnixSeconds, Workload, WorkloadKey, opt_in::BadPattern},
    notify::Alerts,
    patch::{
        Writer,
        events::{Notice, Recorder, Severity},
    },
    queue::{Outcome, Priority, Queue, Retry, Ticket},
    telemetry::RELOAD_SPAN_TARGET,
};
pub use resumes::Resumes;

/// Above so many entries those that are no longer needed are dropped.
const REMEMBERED: usize = 1024;

/// So many conflicts in a row are met with another decision each; then the patch goes out whatever the workload has
/// become. Somebody writes to it faster than an answer takes, and it must be restarted all the same.
const CONFLICTS: u32 = 4;

/// The moment now, on both clocks.
pub(crate) fn now() -> Seen {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Seen {
        at: Instant::now(),
        unix: UnixSeconds(i64::try_from(unix).unwrap_or(i64::MAX)),
    }
}

/// One of several equal workers; clones share everything.
#[derive(Clone)]
pub struct Worker {
    /// What is owed.
    pub index: Arc<Index>,
    /// Where tickets come from.
    pub queue: Queue,
    /// Whether writing is allowed at this instant.
    pub leadership: Leadership,
    /// Sends patches.
    pub writer: Writer,
    /// Writes Events.
    pub recorder: Recorder,
    /// Tells a chat system.
    pub alerts: Alerts,
    /// Is told what is settled.
    pub ledger: Ledger,
    /// Workloads whose last marker the next one would overwrite before the ledger has the restart it stands for: the
    /// ledger's number up to which it has to be written. Only used by the annotations strategy.
    pub unflushed: Arc<DashMap<WorkloadKey, u64>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How to decide.
    pub options: decide::Options,
    /// The last failure reported for a workload: each is reported once, not once an attempt.
    pub reported: Arc<DashMap<WorkloadKey, String>>,
    /// What has been said about a workload's annotations: it may come up from the watch and at the takeover.
    pub complaints: Arc<DashMap<WorkloadKey, Vec<Complaint>>>,
    /// When paused Deployments are to be resumed.
    pub resumes: Resumes,
    /// Is told which Jobs were created anew.
    pub recreated: mpsc::UnboundedSender<WorkloadKey>,
}

/// A mistake in a workload's annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The kind of source it is about.
    source: SourceKind,
    /// What is wrong, and where.
    message: String,
    /// Logged as an error, as upstream does; otherwise as a warning.
    is_error: bool,
    /// The first about its annotation. Only that becomes an Event: a list of a hundred bad items is one mistake.
    is_first: bool,
}

impl Worker {
    /// Works until the queue is shut down; the ticket in hand is finished first.
    pub async fn run(self) {
        while let Some(ticket) = self.queue.next().await {
            let key = ticket.key();
            let pending = self.index.pending(key);
            if pending.is_none() && !self.is_to_be_resumed(key) {
                ticket.done(Outcome::Settled);
                continue;
            }
            let begun = Instant::now();
            self.metrics.workload_taken(ticket.waited_since().elapsed());
            let (mut result, mut outcome) = match pending {
                Some(pending) => self.look_at(&ticket, pending).await,
                None => (ReconcileResult::Skipped, Outcome::Settled),
            };
            // A restart that is refused does not hold up the end of a pause.
            if matches!(outcome, Outcome::Settled | Outcome::Retry(Retry::Rejected))
                && let Some(resumed) = self.resume(key).await
                && outcome == Outcome::Settled
            {
                (result, outcome) = resumed;
            }
            if outcome != Outcome::Settled {
                self.metrics.workload_requeued();
            }
            ticket.done(outcome);
            self.metrics.workload_done(result, begun.elapsed());
        }
    }

    /// Decides and writes; where somebody else wrote to the workload meanwhile, once more on what it has become.
    async fn look_at(&self, ticket: &Ticket, mut pending: Pending) -> (ReconcileResult, Outcome) {
        let key = ticket.key();
        let mut conflicts = 0;
        loop {
            let mut plan = match decide::decide(&pending.workload, &pending.owed, &self.options) {
                Decision::Skip(reason) => {
                    self.skip(&pending, reason);
                    break;
                }
                Decision::Patch(plan) => plan,
            };
            // Where workloads may not be watched, nobody has looked at its annotations yet.
            self.complain(&pending.workload);
            if conflicts >= CONFLICTS {
                plan.resource_version = None;
            } else {
                // Only on the very state it was decided on: the pause may be somebody else's by now.
                plan.pause = decide::pause::with_restart(&pending.workload, Timestamp::now());
            }
            // i64 is the only integer that becomes a number in OpenTelemetry; others arrive as text.
            let span = tracing::info_span!(
                target: RELOAD_SPAN_TARGET, "reload",
                "k8s.namespace.name" = %key.namespace, workload.kind = %key.kind, workload.name = %key.name,
                source.count = i64::try_from(plan.marks.len()).unwrap_or(i64::MAX),
                attempt = i64::from(ticket.attempt()), result = tracing::field::Empty,
            );
            if let Some(done) = self.reload(&pending, &plan).instrument(span).await {
                return done;
            }
            conflicts += 1;
            match self.writer.read(key).await {
                Ok(Some(workload)) => _ = self.index.written(workload),
                // A Job that is not run again any more: the watch will say so.
                Ok(None) => break,
                // A role that may not read: what the watch showed is all there is.
                Err(error) if error.class == Class::Rejected => conflicts = CONFLICTS,
                Err(error) => return (ReconcileResult::Error, Outcome::Retry(retry(&error))),
            }
            match self.index.pending(key) {
                Some(now) => pending = now,
                None => break,
            }
        }
        (ReconcileResult::Skipped, Outcome::Settled)
    }

    /// Nothing is to be written for anything that is owed.
    fn skip(&self, pending: &Pending, reason: SkipReason) {
        let key = &pending.workload.key;
        let settled = pending
            .owed
            .iter()
            .map(|owed| (owed.source.key.reference(), owed.content));
        let still_owing = self.index.settle(key, settled, Settled::WithoutRestart, now());
        for owed in &pending.owed {
            self.ledger.touch(owed.source.key.clone(), false);
            self.metrics.change_skipped(reason.as_str());
            tracing::debug!(
                reason = reason.as_str(),
                "No changes detected in '{}' of type '{}' in namespace '{}' for {} '{}'",
                owed.source.key.name,
                owed.source.key.kind.type_name(),
                key.namespace,
                key.kind,
                key.name,
            );
        }
        if still_owing && !pending.owed.is_empty() {
            self.queue.add(key.clone(), Priority::High);
        }
        self.reported.remove(key);
    }

    /// Writes the plan. `None`: the workload is not any more what the plan rests on.
    async fn reload(&self, pending: &Pending, plan: &Plan) -> Option<(ReconcileResult, Outcome)> {
        let key = &plan.workload;
        self.write_down_what_the_patch_hides(plan).await;
        let begun = Instant::now();
        self.index.attempt(
            key,
            plan.settled
                .iter()
                .map(|settlement| settlement.source.reference()),
        );
        // Fencing: another replica may lead from the deadline on.
        let Some(answer) = self.leadership.fence(self.writer.apply(plan)).await else {
            self.metrics.write_fenced();
            return Some((ReconcileResult::Error, Outcome::Retry(Retry::Unavailable)));
        };
        let done = match answer {
            Ok(applied) => {
                if let Some(stored) = applied.stored {
                    self.index.written(stored);
                }
                let settled = plan
                    .settled
                    .iter()
                    .map(|one| (one.source.reference(), one.content));
                if self.index.settle(key, settled, Settled::ByRestart, now()) {
                    self.queue.add(key.clone(), Priority::High);
                }
                self.write_down(plan).await;
                let took = pending.since.elapsed();
                self.metrics
                    .reload_succeeded(key.kind, &key.namespace, begun.elapsed(), took);
                tracing::Span::current().record("result", "success");
                self.reported.remove(key);
                if applied.successor.is_some() {
                    // An error means that the intake is gone, which ends the process.
                    let _ = self.recreated.send(key.clone());
                }
                let uid = applied.successor.as_ref().unwrap_or(&pending.workload.uid);
                self.tell_success(plan, uid, took);
                self.tell_pause(&pending.workload, plan);
                (ReconcileResult::Success, Outcome::Settled)
            }
            Err(error) if error.class == Class::Conflict && plan.resource_version.is_some() => {
                tracing::debug!("{key} has changed meanwhile: deciding again");
                tracing::Span::current().record("result", error.category());
                return None;
            }
            Err(error) if error.is_not_found() && self.is_gone(&pending.workload).await => {
                tracing::debug!("{key} is gone: nothing is owed any more");
                tracing::Span::current().record("result", error.category());
                (ReconcileResult::Skipped, Outcome::Settled)
            }
            Err(error) => {
                self.metrics
                    .reload_failed(key.kind, &key.namespace, begun.elapsed());
                self.metrics.failed(error.category());
                tracing::Span::current().record("result", error.category());
                self.tell_failure(plan, &error);
                (ReconcileResult::Error, Outcome::Retry(retry(&error)))
            }
        };
        Some(done)
    }

    /// The annotations strategy keeps one marker: the one before must be in the ledger before it is overwritten, or a
    /// new leader would find neither and restart the workload again.
    async fn write_down_what_the_patch_hides(&self, plan: &Plan) {
        if plan.strategy == Strategy::Annotations
            && let Some((_, number)) = self.unflushed.remove(&plan.workload)
            && !self.ledger.is_written(number)
        {
            self.ledger.flush().await;
        }
    }

    /// Lets follow what the index has made of an observation.
    pub(crate) fn enqueue(&self, effect: Effect) {
        for key in effect.due {
            self.metrics.workload_queued();
            self.queue.add(key, Priority::High);
        }
        for key in effect.woken {
            self.queue.wake(key);
        }
        for key in &effect.pauses {
            self.plan_resume(key);
        }
        for key in effect.gone {
            self.queue.remove(&key);
            self.reported.remove(&key);
            self.complaints.remove(&key);
            self.plan_resume(&key);
        }
        // A source whose content changed is settled later, by a worker: what is touched here is new to the ledger, or
        // nobody opts into it any more.
        for source in effect.touched {
            self.ledger.touch(source, true);
        }
    }

    /// Whether the API server knows the workload no more. Where workloads may not be watched, nobody else will tell.
    async fn is_gone(&self, workload: &Workload) -> bool {
        let read = self.writer.read(&workload.key).await;
        let is_gone = read.is_err_and(|error| error.is_not_found());
        if is_gone {
            self.enqueue(self.index.gone(&workload.key, &workload.uid));
        }
        is_gone
    }

    /// Hands an Event over to be written.
    fn tell(&self, notice: Notice) {
        if !self.recorder.record(notice) {
            self.metrics.notified("event", NotificationResult::Dropped);
        }
    }

    /// Tells the ledger what the patch has settled.
    async fn write_down(&self, plan: &Plan) {
        let touched = plan
            .settled
            .iter()
            .map(|one| self.ledger.touch(one.source.clone(), false))
            .max();
        if !plan.write.leaves_marker() {
            self.ledger.flush().await;
            return;
        }
        if plan.strategy != Strategy::Annotations {
            return;
        }
        if plan
            .settled
            .iter()
            .any(|one| one.outcome == decide::Outcome::Superseded)
        {
            // Several sources, one marker: only the ledger can tell that the others are settled too.
            self.ledger.flush().await;
        } else if let Some(number) = touched {
            self.unflushed.insert(plan.workload.clone(), number);
            if self.unflushed.len() > REMEMBERED {
                self.unflushed
                    .retain(|_, number| !self.ledger.is_written(*number));
            }
        }
    }

    fn tell_success(&self, plan: &Plan, uid: &str, took: std::time::Duration) {
        let key = &plan.workload;
        for source in restarted_for(plan) {
            let (name, type_name, namespace) = (&source.name, source.kind.type_name(), &source.namespace);
            tracing::info!(
                latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
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
            self.record(key, uid, source, Severity::Normal, "Reloaded", message);
            self.alerts.reloaded(source, key);
        }
    }

    /// Logs a failure, and returns whether it is another one than the workload had last.
    fn is_news(&self, key: &WorkloadKey, error: &ApiError, message: &str) -> bool {
        let category = error.category();
        let known = self.reported.insert(key.clone(), error.message.clone());
        if known.as_deref() == Some(error.message.as_str()) {
            tracing::debug!(category, "{message}");
            return false;
        }
        tracing::error!(category, "{message}; it is tried again until it succeeds");
        true
    }

    /// Tells about a failure once, and again only when it is another one.
    fn tell_failure(&self, plan: &Plan, error: &ApiError) {
        let key = &plan.workload;
        let message = format!(
            "Update for '{}' of type '{}' in namespace '{}' failed with error {error}{}",
            key.name,
            key.kind,
            key.namespace,
            error.advice(),
        );
        if !self.is_news(key, error, &message) {
            return;
        }
        if let Some(source) = restarted_for(plan).next() {
            self.alerts.failed(source, key, &error.message);
            self.record(key, &plan.uid, source, Severity::Warning, "ReloadFail", message);
        }
    }

    /// Names every mistake in the workload's annotations: list items that are no valid patterns, a bad pause period. The
    /// leader also says so in an Event; without leading it is only said at debug level, since every standby would
    /// repeat it.
    pub(crate) fn complain(&self, workload: &Workload) {
        let key = &workload.key;
        let mut annotation = None;
        let bad_patterns = workload.opt_in.bad_patterns().map(|bad| {
            let is_first = annotation.replace(&bad.key) != Some(&bad.key);
            bad_pattern(key, bad, is_first)
        });
        let complaints: Vec<Complaint> = bad_patterns.chain(self.pause_complaint(workload)).collect();
        let leads = self.leadership.is_leader();
        if complaints.is_empty()
            || leads && self.complaints.insert(key.clone(), complaints.clone()).as_ref() == Some(&complaints)
        {
            return;
        }
        for Complaint {
            source,
            message,
            is_error,
            is_first,
        } in complaints
        {
            match (leads, is_error) {
                (false, _) => {
                    tracing::debug!("{message}");
                    continue;
                }
                (true, true) => tracing::error!("{message}"),
                (true, false) => tracing::warn!("{message}"),
            }
            self.metrics.failed("invalid_annotation");
            if !is_first {
                continue;
            }
            self.tell(Notice {
                workload: key.clone(),
                uid: workload.uid.clone(),
                source,
                severity: Severity::Warning,
                reason: "InvalidAnnotation",
                message,
            });
        }
    }

    fn record(
        &self,
        workload: &WorkloadKey,
        uid: &str,
        source: &SourceKey,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        self.tell(Notice {
            workload: workload.clone(),
            uid: uid.into(),
            source: source.kind,
            severity,
            reason,
            message,
        });
    }
}

fn bad_pattern(key: &WorkloadKey, bad: &BadPattern, is_first: bool) -> Complaint {
    let BadPattern {
        kind,
        key: annotation,
        item,
        error,
    } = bad;
    let message = format!(
        "Skipping invalid reload annotation on {} '{}' in namespace '{}': \
         invalid regex \"{item}\" in reload annotation \"{annotation}\": {error}",
        key.kind, key.name, key.namespace,
    );
    Complaint {
        source: *kind,
        message,
        is_error: true,
        is_first,
    }
}

/// The sources whose change the plan's patch restarts the workload for.
fn restarted_for(plan: &Plan) -> impl Iterator<Item = &SourceKey> {
    let restarting = |outcome| matches!(outcome, decide::Outcome::Marked | decide::Outcome::Superseded);
    plan.settled
        .iter()
        .filter(move |one| restarting(one.outcome))
        .map(|one| &one.source)
}

fn retry(error: &ApiError) -> Retry {
    match error.class {
        // A conflict or a missing object means that the watch is behind: it will have caught up in a moment.
        Class::Unavailable | Class::Conflict | Class::Exists | Class::NotFound => Retry::Unavailable,
        Class::Throttled(wish) => Retry::After(wish),
        Class::Rejected => Retry::Rejected,
    }
}
