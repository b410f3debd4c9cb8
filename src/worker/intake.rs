//! Takes in what the watches show: updates the index and, on the leader, feeds the queue.
//!
//! Input: [`Observation`]s of all streams. Output: keys into the queue; states for `/ready`. I/O: none of its own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::now;
use crate::{
    admin::health::{Beat, Health, WatchCheck, WatchState},
    decide::{self, Decision, Outcome},
    index::{Effect, Index, SourceChange},
    lease::Leadership,
    ledger::Ledger,
    metrics::{EventResult, EventType, Metrics},
    model::{SourceKind, Workload, WorkloadKey, WorkloadKind},
    patch::events::{Notice, Recorder, Severity},
    queue::{Priority, Queue},
    watch::{Event, Failure, Observation, StreamId},
};

/// How often the loop shows that it lives while nothing happens.
const BEAT: Duration = Duration::from_secs(5);

/// The one task that writes to the index from the watches.
pub struct Intake {
    index: Arc<Index>,
    queue: Queue,
    leadership: Leadership,
    options: decide::Options,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    ledger: Ledger,
    checks: HashMap<StreamId, WatchCheck>,
}

impl Intake {
    /// An intake for these streams, each with its own check in `health`.
    pub fn new(worker: &super::Worker, streams: &[StreamId], health: &Health) -> Self {
        let name = |stream: &StreamId| match &stream.namespace {
            Some(namespace) => format!("watch-{}-{namespace}", stream.watched.resource()),
            None => format!("watch-{}", stream.watched.resource()),
        };
        Self {
            index: Arc::clone(&worker.index),
            queue: worker.queue.clone(),
            leadership: worker.leadership.clone(),
            options: worker.options,
            metrics: Arc::clone(&worker.metrics),
            recorder: worker.recorder.clone(),
            ledger: worker.ledger.clone(),
            checks: streams
                .iter()
                .map(|stream| (stream.clone(), health.watch(name(stream))))
                .collect(),
        }
    }

    /// Takes in observations until every stream has ended.
    pub async fn run(self, mut observations: mpsc::Receiver<Observation>, beat: Beat) {
        loop {
            beat.beat();
            match tokio::time::timeout(BEAT, observations.recv()).await {
                Ok(Some(observation)) => self.take(observation),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    fn take(&self, observation: Observation) {
        self.note_health(&observation);
        let about = match &observation.event {
            Event::SourceSeen(source) => Some(source.key.clone()),
            Event::SourceGone(key) => Some(key.clone()),
            _ => None,
        };
        let effect = self.index.apply(observation, now());
        if let (Some(source), Some(change)) = (&about, effect.source) {
            self.count(source.kind, &source.namespace, change);
        }
        if let Some(workload) = &effect.opted {
            self.complain(workload);
        }
        // Asked after the index has taken the change in: whoever becomes leader later finds it there.
        if self.leadership.is_leader() {
            self.enqueue(effect);
        } else {
            effect
                .due
                .iter()
                .chain(&effect.woken)
                .for_each(|key| self.review(key));
        }
    }

    fn enqueue(&self, effect: Effect) {
        for key in effect.due {
            self.metrics.workload_queued();
            self.queue.add(key, Priority::High);
        }
        for key in effect.woken {
            self.queue.wake(key);
        }
        for key in effect.gone {
            self.queue.remove(&key);
        }
        // A source whose content changed is settled later, by a worker: what is touched here is new to the ledger, or
        // nobody opts into it any more.
        for source in effect.touched {
            self.ledger.touch(source, true);
        }
    }

    /// On a standby: drops what the leader has done meanwhile, as the workload's own markers show, so that a takeover
    /// finds only what is really left.
    fn review(&self, key: &WorkloadKey) {
        let Some(pending) = self.index.pending(key) else {
            return;
        };
        let settled: Vec<_> = match decide::decide(&pending.workload, &pending.owed, &self.options) {
            Decision::Skip(_) => pending
                .owed
                .iter()
                .map(|owed| (owed.source.key.reference(), owed.source.digest))
                .collect(),
            Decision::Patch(plan) => plan
                .settled
                .iter()
                .filter(|one| matches!(one.outcome, Outcome::Skipped(_)))
                .map(|one| (one.source.reference(), one.digest))
                .collect(),
        };
        self.index.settle(key, settled, now());
    }

    fn count(&self, kind: SourceKind, namespace: &str, change: SourceChange) {
        let event = match change {
            SourceChange::Created => EventType::Add,
            SourceChange::Updated | SourceChange::Unchanged => EventType::Update,
            SourceChange::Deleted => EventType::Delete,
        };
        self.metrics.event_received(event, kind);
        self.metrics.event_processed(kind, EventResult::Success);
        match change {
            SourceChange::Unchanged => self.metrics.change_skipped("no_data_change"),
            SourceChange::Updated => {
                for (kind, count) in WorkloadKind::ALL
                    .into_iter()
                    .zip(self.index.workloads_in(namespace))
                {
                    self.metrics.workloads_scanned(kind, count as u64);
                }
            }
            SourceChange::Created | SourceChange::Deleted => {}
        }
    }

    /// Names every list item that is no valid pattern, once for each form of the annotations.
    fn complain(&self, workload: &Workload) {
        let key = &workload.key;
        for bad in workload.opt_in.bad_patterns() {
            let message = format!(
                "Skipping invalid reload annotation on {} '{}' in namespace '{}': \
                 invalid regex \"{}\" in reload annotation \"{}\": {}",
                key.kind, key.name, key.namespace, bad.item, bad.key, bad.error
            );
            tracing::error!("{message}");
            self.metrics.failed("invalid_annotation");
            if self.leadership.is_leader() {
                self.recorder.record(Notice {
                    workload: key.clone(),
                    uid: workload.uid.clone(),
                    source: SourceKind::ConfigMap,
                    severity: Severity::Warning,
                    reason: "InvalidAnnotation",
                    message,
                });
            }
        }
    }

    fn note_health(&self, observation: &Observation) {
        let Some(check) = self.checks.get(&observation.stream) else {
            return;
        };
        let stream = &observation.stream;
        match (&observation.event, check.state()) {
            (Event::ListStarted, _) => {}
            (Event::Failed(failure), before) => self.note_failure(stream, failure, check, &before),
            (Event::Listed, WatchState::Synced) => {}
            (Event::Listed, before) => {
                match before {
                    WatchState::Unsynced => {
                        tracing::info!("created controller for: {}", stream.watched.resource())
                    }
                    _ => tracing::info!("Watching {stream} again"),
                }
                check.set(WatchState::Synced);
            }
            // Events after a failure without a new list: the stream has resumed where it was.
            (_, WatchState::Failing { .. } | WatchState::Denied { .. }) if !self.is_listing(stream) => {
                tracing::info!("Watching {stream} again");
                check.set(WatchState::Synced);
            }
            _ => {}
        }
    }

    fn is_listing(&self, stream: &StreamId) -> bool {
        self.index.is_listing(stream)
    }

    fn note_failure(&self, stream: &StreamId, failure: &Failure, check: &WatchCheck, before: &WatchState) {
        self.metrics
            .watch_restarted(stream.watched.kind(), failure.category);
        let message = &failure.message;
        if failure.denied {
            if !matches!(before, WatchState::Denied { .. }) {
                tracing::error!(
                    "Not allowed to list and watch {stream}: {message}. Grant the verbs list and watch on them; \
                     until then they are ignored, and it is tried again"
                );
            }
            check.set(WatchState::Denied {
                reason: message.clone(),
            });
            return;
        }
        match before {
            WatchState::Failing { .. } => tracing::debug!("Watch of {stream} failed again: {message}"),
            WatchState::Unsynced => {
                tracing::warn!("Waiting for the API server: {stream} could not be listed: {message}");
            }
            _ => tracing::warn!("Watch of {stream} failed, trying again: {message}"),
        }
        check.set(WatchState::Failing {
            since: Instant::now(),
            reason: message.clone(),
        });
    }
}
