//! Brings workloads up to date, one ticket at a time.
//!
//! Input: tickets of the queue. Output: patches, settled debts. I/O: through [`crate::patch`].
//!
//! A worker never acts on an event: it looks at what the workload owes *now*. A retry, a duplicate or a takeover
//! therefore ends in the same place as the first attempt.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    context::{Context, now},
    markers::Markers,
    report::{Restarted, kept_pods, log_skipped},
    resume::Resumer,
    round::Round,
    write::{FencedWriter, MAX_CONFLICTS, WriteError},
};
use crate::{
    api_error::{ApiError, Class},
    decide::{Decision, Plan, SkipReason, Write},
    index::{Effect, Pending, Settled},
    model::{Workload, WorkloadKey},
    patch::{self, Applied, Recreated},
    queue::{self, Priority, Retry, Ticket},
    telemetry::RELOAD_SPAN_TARGET,
};

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
        let context = &self.context;
        let (plan, uid, took) = match recreated {
            Recreated::Waited { plan, uid, took } => (plan, uid, took),
            // Its marker settles what it owed, once a watch or a list shows it.
            Recreated::LeftOver { job, uid } => {
                let _ = self.recreated.send(job.clone());
                context.reporter().job_recreated(job, uid);
                return;
            }
        };
        let key = &plan.workload;
        self.settle(plan).await;
        context
            .metrics()
            .reload_succeeded(key.kind, &key.namespace, *took, *took);
        context.reporter().restart_succeeded(key);
        // An error means that the intake is gone, which ends the process.
        let _ = self.recreated.send(key.clone());
        context
            .reporter()
            .restarted(plan, uid, *took, Restarted::default());
    }

    /// Works until the queue is shut down; the ticket in hand is finished first.
    pub async fn run(self) {
        let metrics = self.context.metrics();
        while let Some(ticket) = self.context.queue().next().await {
            let key = ticket.key();
            let pending = self.context.index().pending(key);
            // What it owed may have been settled since it was queued: that is not counted.
            if pending.is_none() && !self.context.is_resume_due(key) {
                ticket.done(queue::Outcome::Skipped);
                continue;
            }
            let begun = Instant::now();
            metrics.workload_taken(ticket.waited_since().elapsed());
            let mut round = match pending {
                Some(pending) => self.restart(&ticket, pending).await,
                None => Round::Skipped,
            };
            // A restart that is refused does not hold up the end of a pause. One that the API server did not answer does:
            // it would not answer the resume either.
            if matches!(
                round,
                Round::Written | Round::Skipped | Round::Failed(Retry::Rejected)
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
            // Where workloads may not be watched, this is the first time that their annotations are read.
            self.context.report_annotations(&pending.workload);
            if conflicts >= MAX_CONFLICTS {
                // Another client writes faster than an answer takes, and the workload has to restart all the same.
                plan.resource_version = None;
            } else {
                // Only on the very state it was decided on: another client may have taken the pause over.
                plan.pause = self.context.pause_with_restart(&pending.workload);
            }
            // i64 is the only integer that becomes a number in OpenTelemetry; others arrive as text.
            let span = tracing::info_span!(
                target: RELOAD_SPAN_TARGET, "reload",
                "k8s.namespace.name" = %key.namespace, workload.kind = %key.kind, workload.name = %key.name,
                source.count = i64::try_from(plan.marks.len()).unwrap_or(i64::MAX),
                attempt = i64::from(ticket.attempt()), result = tracing::field::Empty,
            );
            match self.write(&pending, &plan).instrument(span).await {
                Attempt::Done(round) => return round,
                Attempt::Conflict => conflicts += 1,
            }
            // The watch may still be behind the write that caused the conflict.
            match self.look(key).await {
                Ok(Look::Pending(now)) => pending = *now,
                Ok(Look::Nothing) => return Round::Skipped,
                Ok(Look::Forbidden) => conflicts = MAX_CONFLICTS,
                Err(error) => return Round::failed(&error),
            }
        }
    }

    /// Reads the workload, and what it owes then.
    async fn look(&self, key: &WorkloadKey) -> Result<Look, ApiError> {
        match self.writer.read(key).await {
            Ok(Some(workload)) => {
                let effect = self.context.index().read(workload);
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
        let error = match self.writer.write(plan).await {
            // The debt stays until the Job is gone, for the next leader as well.
            Ok(applied) if applied.is_waiting => return Attempt::Done(Round::Written),
            Ok(applied) => {
                self.restarted(pending, plan, &applied, begun).await;
                return Attempt::Done(Round::Written);
            }
            // Another replica may lead by now; if this one does after all, it tries again.
            Err(WriteError::Fenced) => return Attempt::Done(Round::Failed(Retry::Unavailable)),
            Err(WriteError::Dropped(dropped)) => {
                self.context.set_unmarked(key, true);
                dropped.into()
            }
            Err(WriteError::Api(error)) => error,
        };
        // A Job is recreated in several steps: the refusal of one says nothing of those before.
        if error.is_refusal() && plan.write != Write::RecreateJob {
            self.context.index().refused(key, attempted());
            // What it runs with is known again.
            self.touch(plan);
        }
        if error.class == Class::Conflict && plan.resource_version.is_some() {
            tracing::debug!("{key} has changed: deciding again");
            tracing::Span::current().record("result", error.category());
            return Attempt::Conflict;
        }
        if error.is_not_found() && self.is_gone(&pending.workload).await {
            tracing::debug!("{key} is gone: nothing is left to restart");
            tracing::Span::current().record("result", error.category());
            return Attempt::Done(Round::Skipped);
        }
        self.failed(plan, &error, begun);
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
        let latency = pending.since.elapsed();
        context
            .metrics()
            .reload_succeeded(key.kind, &key.namespace, begun.elapsed(), latency);
        tracing::Span::current().record("result", "success");
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
        tracing::Span::current().record("result", error.category());
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
