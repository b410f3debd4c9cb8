//! Brings workloads up to date, one ticket at a time.
//!
//! Input: tickets of the queue. Output: patches, settled debts. I/O: through [`crate::patch`].
//!
//! A worker never acts on an event: it looks at what the workload owes *now*. A retry, a duplicate or a takeover
//! therefore ends in the same place as the first attempt.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::{Instrument, Span};

use super::{
    context::{Context, now},
    markers::Markers,
    report::{Restarted, kept_pods, log_skipped},
    resume::Resumer,
    round::Round,
    write::{FencedWriter, MAX_CONFLICTS, WriteError},
};
use crate::{
    admit::Admission,
    api_error::{ApiError, Class},
    decide::{Decision, Plan, SkipReason, Write},
    index::{Effect, Pending, Settled},
    model::{SourceKey, Workload, WorkloadKey},
    patch::{self, Applied, Recreated},
    queue::{self, Priority, Retry, Ticket},
    telemetry::RELOAD_SPAN_TARGET,
};

/// Sources that a span names at most.
const SOURCES_OF_SPAN: usize = 10;

/// One of several equal workers; clones share everything.
#[derive(Clone)]
pub struct Worker {
    context: Arc<Context>,
    writer: FencedWriter,
    markers: Arc<Markers>,
    resumer: Resumer,
    /// Takes the Jobs that were created anew.
    recreated: mpsc::UnboundedSender<WorkloadKey>,
}

/// How the write of a plan went.
enum Attempt {
    /// The round is over.
    Done(Round),
    /// The workload has changed since the decision.
    Conflict,
}

/// What a workload owes, once it was read.
enum Look {
    Pending(Box<Pending>),
    /// It owes nothing, or is none of Reloader's business any more.
    Nothing,
    /// The role does not let it be read.
    Forbidden,
}

impl Worker {
    /// A worker that writes through `writer`, and sends the Jobs that it recreates to `recreated`.
    pub fn new(
        context: Arc<Context>,
        writer: patch::Writer,
        recreated: mpsc::UnboundedSender<WorkloadKey>,
    ) -> Self {
        let writer = FencedWriter::new(writer, Arc::clone(&context));
        Self {
            markers: Arc::new(Markers::new(context.ledger().clone())),
            resumer: Resumer::new(Arc::clone(&context), writer.clone()),
            context,
            writer,
            recreated,
        }
    }

    /// The state that all workers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Finishes the recreations of Jobs that wait for finalizers or were interrupted, in these namespaces and with these
    /// fields. Never ends.
    pub async fn finish_recreations(self, namespaces: Option<Vec<String>>, fields: String) {
        let (recreated, mut receiver) = mpsc::unbounded_channel();
        let announce = async {
            while let Some(recreated) = receiver.recv().await {
                self.recreated_later(&recreated).await;
            }
        };
        tokio::join!(
            self.writer.recreator().run(namespaces, fields, recreated),
            announce
        );
    }

    /// A Job was created again, later than its ticket was done.
    async fn recreated_later(&self, recreated: &Recreated) {
        match recreated {
            // The span of the deletion ended when that was accepted.
            Recreated::Waited { plan, uid, took } => {
                self.finish_recreation(plan, uid, *took)
                    .instrument(span(plan, *took, 0))
                    .await;
            }
            // Its marker settles what it owed, once a watch or a list shows it.
            Recreated::LeftOver { job, uid } => {
                let _ = self.recreated.send(job.clone());
                self.context.reporter().job_recreated(job, uid);
            }
        }
    }

    /// The plan's Job is there again, `took` after its deletion was asked for.
    async fn finish_recreation(&self, plan: &Plan, uid: &str, took: Duration) {
        let (context, key) = (&self.context, &plan.workload);
        self.settle(plan).await;
        context
            .metrics()
            .reload_succeeded(key.kind, &key.namespace, took, took);
        Span::current().record("result", "success");
        context.reporter().restart_succeeded(key);
        // An error means that the intake is gone, which ends the process.
        let _ = self.recreated.send(key.clone());
        context
            .reporter()
            .restarted(plan, uid, took, Restarted::default());
    }

    /// Works until the queue is shut down; the ticket in hand is finished first.
    pub async fn run(self) {
        let metrics = self.context.metrics();
        while let Some(ticket) = self.context.queue().next().await {
            let key = ticket.key();
            let pending = self.context.index().pending(key);
            // What it owed may have been settled since it was queued: that is not counted.
            if pending.is_none() && !self.context.is_resume_due(key) {
                self.context.waits().end(key);
                self.context.give_back(key);
                ticket.done(queue::Outcome::Skipped);
                continue;
            }
            let begun = Instant::now();
            metrics.workload_taken(ticket.waited_since().elapsed());
            let mut round = match pending {
                Some(pending) => self.restart(&ticket, pending).await,
                None => Round::Skipped,
            };
            // Its rollout may have begun unseen: the place is kept until the next round has looked.
            if !(matches!(round, Round::Failed(_)) && self.context.gate().is_unclear(key)) {
                self.context.give_back(key);
            }
            // Nothing is left that had to wait.
            if matches!(round, Round::Written | Round::Skipped) {
                self.context.waits().end(key);
            }
            // A restart that is refused does not hold up the end of a pause. One that the API server did not answer does:
            // it would not answer the resume either.
            if matches!(
                round,
                Round::Written | Round::Skipped | Round::Deferred | Round::Failed(Retry::Rejected)
            ) && let Some(resumed) = self.resumer.resume(key).await
                && !matches!(round, Round::Failed(_))
            {
                round = resumed;
            }
            if matches!(round, Round::Failed(_)) {
                metrics.workload_requeued();
            }
            ticket.done(round.outcome());
            metrics.workload_done(round.result(), begun.elapsed());
        }
    }

    /// Decides and writes; on a conflict once more, on what the workload has become.
    async fn restart(&self, ticket: &Ticket, mut pending: Pending) -> Round {
        let key = ticket.key();
        let mut conflicts = 0;
        let mut has_looked = false;
        if self.context.gate().is_unclear(key) {
            match self.look(key).await {
                Ok(Look::Pending(now)) => pending = *now,
                Ok(Look::Nothing) => return Round::Skipped,
                Ok(Look::Forbidden) => {}
                Err(error) => return Round::failed(&error),
            }
        }
        loop {
            let mut plan = match self.context.decide(&pending) {
                // A patch rests on a resourceVersion, a skip on nothing: what the watch has shown may be outdated.
                Decision::Skip(_) if pending.is_uncertain && !std::mem::replace(&mut has_looked, true) => {
                    match self.look(key).await {
                        Ok(Look::Pending(now)) => pending = *now,
                        Ok(Look::Nothing) => return Round::Skipped,
                        Ok(Look::Forbidden) => {}
                        Err(error) => return Round::failed(&error),
                    }
                    continue;
                }
                Decision::Skip(reason) => {
                    self.skip(&pending, reason);
                    return Round::Skipped;
                }
                Decision::Patch(plan) => plan,
            };
            if let Admission::Wait(wait) = self.context.gate().claim(&pending) {
                self.context.defer(&pending, &wait);
                return Round::Deferred;
            }
            if conflicts >= MAX_CONFLICTS {
                // Another client writes faster than an answer takes, and the workload has to restart all the same.
                plan.resource_version = None;
            } else {
                // Only on the very state it was decided on: another client may have taken the pause over.
                plan.pause = self.context.pause_with_restart(&pending.workload);
            }
            let span = span(&plan, pending.since.elapsed(), ticket.attempt());
            match self.write(&pending, &plan).instrument(span).await {
                Attempt::Done(round) => return round,
                Attempt::Conflict => conflicts += 1,
            }
            // The watch may still be behind the write that caused the conflict.
            match self.look(key).await {
                Ok(Look::Pending(now)) => pending = *now,
                Ok(Look::Nothing) => return Round::Skipped,
                Ok(Look::Forbidden) => {
                    conflicts = MAX_CONFLICTS;
                    match self.context.index().pending(key) {
                        Some(now) => pending = now,
                        None => return Round::Skipped,
                    }
                }
                Err(error) => return Round::failed(&error),
            }
        }
    }

    /// Reads the workload, and what it owes then.
    async fn look(&self, key: &WorkloadKey) -> Result<Look, ApiError> {
        let look = self.read(key).await;
        // Of one that is gone, no more is to be learned.
        if look.as_ref().map_or_else(ApiError::is_not_found, |_| true) {
            self.context.gate().seen(key);
        }
        look
    }

    async fn read(&self, key: &WorkloadKey) -> Result<Look, ApiError> {
        match self.writer.read(key).await {
            Ok(Some(workload)) => {
                let effect = self.context.index().read(workload, now());
                // What it owes is in hand.
                self.context.enqueue(Effect {
                    due: Vec::new(),
                    ..effect
                });
            }
            // A Job that is not run again any more: the watch will show it.
            Ok(None) => return Ok(Look::Nothing),
            // A role that may not read: what the watch showed is all there is.
            Err(error) if error.class == Class::Rejected => return Ok(Look::Forbidden),
            Err(error) => return Err(error),
        }
        let pending = self.context.index().pending(key);
        Ok(pending.map_or(Look::Nothing, |pending| Look::Pending(Box::new(pending))))
    }

    /// Nothing is to be written for anything that is owed.
    fn skip(&self, pending: &Pending, reason: SkipReason) {
        let context = &self.context;
        let key = &pending.workload.key;
        let settled = pending
            .owed
            .iter()
            .map(|owed| (owed.source.key.reference(), owed.content));
        let still_owing = context
            .index()
            .settle(key, settled, Settled::WithoutRestart, now());
        for owed in &pending.owed {
            context.ledger().touch(owed.source.key.clone());
            context.metrics().change_skipped(reason.as_str());
            log_skipped(key, &owed.source.key, reason);
        }
        // A source that changed during the decision. Without anything owed, a further round would change nothing.
        if still_owing && !pending.owed.is_empty() {
            context.queue().add(key.clone(), Priority::High);
        }
        context.reporter().restart_succeeded(key);
        context.set_unmarked(key, false);
    }

    /// Writes the plan.
    async fn write(&self, pending: &Pending, plan: &Plan) -> Attempt {
        let key = &plan.workload;
        self.markers.before_write(plan).await;
        let begun = Instant::now();
        // From here on it is not known what the pods run with: the answer may be lost although the patch was applied.
        let attempted = || plan.settled.iter().map(|settled| settled.source.reference());
        self.context.index().attempt(key, attempted());
        self.touch(plan);
        self.context.ledger().not_while_stored().await;
        let (error, is_unclear) = match self.writer.write(plan).await {
            // The debt stays until the Job is gone, for the next leader as well.
            Ok(applied) if applied.is_waiting => return Attempt::Done(Round::Written),
            Ok(applied) => {
                self.restarted(pending, plan, &applied, begun).await;
                return Attempt::Done(Round::Written);
            }
            // Another replica may lead by now; if this one does after all, it tries again.
            Err(WriteError::Fenced) => {
                self.context.gate().answer_is_lost(key);
                return Attempt::Done(Round::Failed(Retry::Unavailable));
            }
            Err(WriteError::Dropped(dropped)) => {
                self.context.set_unmarked(key, true);
                (dropped.into(), false)
            }
            Err(WriteError::Api(error)) => {
                let is_unclear = !error.is_refusal();
                (error, is_unclear)
            }
        };
        // A Job is recreated in several steps: the refusal of one says nothing of those before.
        if error.is_refusal() && plan.write != Write::RecreateJob {
            self.context.index().refused(key, attempted());
            // What it runs with is known again.
            self.touch(plan);
        }
        if error.class == Class::Conflict && plan.resource_version.is_some() {
            tracing::debug!("{key} has changed: deciding again");
            Span::current().record("result", error.category());
            return Attempt::Conflict;
        }
        if error.is_not_found() && self.is_gone(&pending.workload).await {
            tracing::debug!("{key} is gone: nothing is left to restart");
            Span::current().record("result", error.category());
            return Attempt::Done(Round::Skipped);
        }
        self.failed(plan, &error, begun);
        if is_unclear && self.context.gate().answer_is_lost(key) {
            // Others wait for its place: one look says whether it has begun to roll. Where that fails as well, the next round
            // looks.
            let _ = self.look(key).await;
        }
        Attempt::Done(Round::failed(&error))
    }

    /// What the workload runs with has changed for the plan's sources: the ledger is to say so.
    fn touch(&self, plan: &Plan) {
        for settled in &plan.settled {
            self.context.ledger().touch(settled.source.clone());
        }
    }

    /// The plan was written: its debts are settled, and everything that follows from the restart follows.
    async fn restarted(&self, pending: &Pending, plan: &Plan, applied: &Applied, begun: Instant) {
        let context = &self.context;
        let key = &plan.workload;
        self.settle(plan).await;
        context.gate().restarted(pending, now().unix);
        // A wait that was wanted is none of the latency.
        let latency = context
            .waits()
            .released(key)
            .unwrap_or_else(|| pending.since.elapsed());
        context
            .metrics()
            .reload_succeeded(key.kind, &key.namespace, begun.elapsed(), latency);
        Span::current().record("result", "success");
        context.reporter().restart_succeeded(key);
        context.set_unmarked(key, false);
        if applied.dropped.is_some() {
            // Nothing else shows the next leader that this is done.
            context.ledger().flush().await;
        }
        if applied.successor.is_some() {
            // An error means that the intake is gone, which ends the process.
            let _ = self.recreated.send(key.clone());
        }
        let uid = applied.successor.as_ref().unwrap_or(&pending.workload.uid);
        let outcome = Restarted {
            kept: kept_pods(&pending.workload, plan.pause),
            dropped: applied.dropped.as_ref(),
        };
        context.reporter().restarted(plan, uid, latency, outcome);
        let sources: HashSet<&SourceKey> = plan.restarted_for().collect();
        let owed = pending.owed.iter();
        let restarted_for: Vec<_> = owed.filter(|owed| sources.contains(&owed.source.key)).collect();
        context.follow(key, uid, &restarted_for);
        context.pause_written(&pending.workload, plan);
    }

    /// The debts that the plan was written for are settled. A source that changed meanwhile leaves a new one.
    async fn settle(&self, plan: &Plan) {
        let (context, key) = (&self.context, &plan.workload);
        let settled = plan
            .settled
            .iter()
            .map(|settled| (settled.source.reference(), settled.content));
        if context.index().settle(key, settled, Settled::ByRestart, now()) {
            context.queue().add(key.clone(), Priority::High);
        }
        self.markers.after_write(plan).await;
    }

    /// The API server did not accept the plan.
    fn failed(&self, plan: &Plan, error: &ApiError, begun: Instant) {
        let metrics = self.context.metrics();
        let key = &plan.workload;
        metrics.reload_failed(key.kind, &key.namespace, begun.elapsed());
        metrics.failed(error.category());
        let span = Span::current();
        span.record("result", error.category());
        span.record("otel.status_code", "ERROR");
        self.context.reporter().restart_failed(plan, error);
    }

    /// Whether the API server does not know the workload any more. Where workloads may not be watched, nothing else would
    /// show that.
    async fn is_gone(&self, workload: &Workload) -> bool {
        let read = self.writer.read(&workload.key).await;
        let is_gone = read.is_err_and(|error| error.is_not_found());
        if is_gone {
            let effect = self.context.index().gone(&workload.key, &workload.uid);
            self.context.enqueue(effect);
        }
        is_gone
    }
}

/// One attempt of a restart that was owed for that long.
///
/// It has no link to a span of the change, because there is none: what is owed follows from the state of the source, which a
/// watch, a list or the ledger may have shown, and one restart settles any number of changes. `sources` and `owed_ms` take its
/// place: whose changes, and how long before the span the oldest of them was seen.
fn span(plan: &Plan, owed_for: Duration, attempt: u32) -> Span {
    let key = &plan.workload;
    let mut sources: Vec<_> = plan.marks.iter().map(|mark| &mark.source).collect();
    sources.sort();
    let shown = sources.iter().take(SOURCES_OF_SPAN);
    let names: Vec<String> = shown
        .map(|source| format!("{}/{}", source.kind, source.name))
        .collect();
    // i64 is the only integer that becomes a number in OpenTelemetry; others arrive as text.
    tracing::info_span!(
        target: RELOAD_SPAN_TARGET, "reload", otel.name = span_name(key, &sources),
        "k8s.namespace.name" = %key.namespace, workload.kind = %key.kind, workload.name = %key.name,
        sources = names.join(","), source.count = i64::try_from(sources.len()).unwrap_or(i64::MAX),
        owed_ms = i64::try_from(owed_for.as_millis()).unwrap_or(i64::MAX),
        attempt = i64::from(attempt), result = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// Which workload is restarted, and for what: the first of several sources in the order of their names.
fn span_name(workload: &WorkloadKey, sources: &[&SourceKey]) -> String {
    let of = sources.first().map_or_else(String::new, |source| {
        let more = match sources.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        format!(" for {} {}{more}", source.kind, source.name)
    });
    format!("restart {workload}{of}")
}
