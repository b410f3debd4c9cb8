//! Takes in what the watches show: updates the index and, on the leader, feeds the queue.
//!
//! Input: [`Observation`]s of all streams. Output: keys into the queue; states for `/ready`. I/O: none of its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Worker, announce::Announcer, now};
use crate::{
    admin::health::{Beat, Health, WatchCheck, WatchState},
    decide::{self, Decision, Outcome},
    index::{Settled, SourceChange},
    metrics::{EventResult, EventType},
    model::{SourceKind, WorkloadKey, WorkloadKind},
    watch::{Event, Failure, Lister, Observation, StreamId, Watched},
};

/// How often the loop shows that it lives while nothing happens.
const BEAT: Duration = Duration::from_secs(5);

/// How long the resumes of paused Deployments wait for the first lists of all sources, at most.
const SOURCES_KNOWN: Duration = Duration::from_secs(15);

/// How long a refusal (403) must last to be believed: an API server that has just started refuses everybody until it
/// knows its roles. Until then the controller is not ready.
const REFUSAL_LASTS: Duration = Duration::from_secs(2);

/// The one task that writes to the index from the watches.
pub struct Intake {
    worker: Worker,
    /// Tells the webhook: webhook mode.
    announcer: Option<Announcer>,
    lister: Lister,
    /// Streams of workloads that may be listed but not watched.
    unwatchable: BTreeSet<StreamId>,
    /// Streams of workloads that may be neither listed nor watched.
    unlistable: BTreeSet<StreamId>,
    /// This replica has been the leader before.
    led: bool,
    /// Streams of Deployments that may not be watched, as they were listed while another replica led: it may have
    /// paused some since.
    outdated: BTreeSet<StreamId>,
    /// Since when sources are waited for before anybody is resumed; `None`: not any more.
    waiting_since: Option<Instant>,
    checks: HashMap<StreamId, WatchCheck>,
    /// Told once the first list of namespaces has been taken in.
    selection_known: watch::Sender<bool>,
    /// Jobs that were created anew.
    recreated: mpsc::UnboundedReceiver<WorkloadKey>,
}

impl Intake {
    /// An intake for these streams, each with its own check in `health`. `selection_known` is told once it is known
    /// which namespaces count, where that takes a list of them. `recreated` is what the workers tell.
    pub fn new(
        worker: Worker,
        announcer: Option<Announcer>,
        streams: &[StreamId],
        lister: Lister,
        health: &Health,
        selection_known: watch::Sender<bool>,
        recreated: mpsc::UnboundedReceiver<WorkloadKey>,
    ) -> Self {
        let name = |stream: &StreamId| match &stream.namespace {
            Some(namespace) => format!("watch-{}-{namespace}", stream.watched.resource()),
            None => format!("watch-{}", stream.watched.resource()),
        };
        let checks = streams
            .iter()
            .map(|stream| (stream.clone(), health.watch(name(stream))));
        Self {
            worker,
            announcer,
            lister,
            unwatchable: BTreeSet::new(),
            unlistable: BTreeSet::new(),
            led: false,
            outdated: BTreeSet::new(),
            waiting_since: Some(Instant::now()),
            checks: checks.collect(),
            selection_known,
            recreated,
        }
    }

    /// Takes in observations until every stream has ended.
    pub async fn run(mut self, mut observations: mpsc::Receiver<Observation>, beat: Beat) {
        let mut election = self.worker.leadership.state();
        let mut elected = true;
        loop {
            beat.beat();
            self.catch_up_as_leader();
            self.let_resume();
            if let Some(announcer) = &mut self.announcer {
                announcer.follow();
            }
            tokio::select! {
                // Who leads is noted before the next observation is.
                biased;
                changed = election.changed(), if elected => elected = changed.is_ok(),
                due = self.worker.resumes.due() => due.iter().for_each(|key| self.worker.plan_resume(key)),
                Some(key) = self.recreated.recv() => self.look_at_successor(&key),
                observation = observations.recv() => match observation {
                    Some(observation) => self.take(observation),
                    None => return,
                },
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    fn take(&mut self, observation: Observation) {
        self.note_health(&observation);
        let list_refused = self.note_unwatchable(&observation);
        let stream = observation.stream.clone();
        self.tell_namespace(&observation.event);
        // Only webhook mode asks which source it was.
        let source = self.announcer.as_ref().and_then(|_| match &observation.event {
            Event::SourceSeen(source) => Some(source.key.clone()),
            Event::SourceGone(key) => Some(key.clone()),
            Event::PodStatusSeen(status) => Some(status.source()),
            _ => None,
        });
        let deleted_in = match &observation.event {
            Event::SourceGone(key) => Some(Arc::clone(&key.namespace)),
            _ => None,
        };
        let listed = matches!(observation.event, Event::Listed);
        let selection_is_known = listed && stream.watched == Watched::Namespace;
        let mut effect = self.worker.index.apply(observation, now());
        if selection_is_known {
            self.selection_known.send_replace(true);
        }
        if let Some(announcer) = &mut self.announcer {
            announcer.take(&stream, listed, source.as_ref(), &effect);
        }
        if let (Watched::Source(kind), Some(change)) = (stream.watched, effect.source) {
            if effect.unselected {
                self.count_unselected(kind, change);
            } else {
                self.count(kind, change);
            }
        }
        for workload in &effect.opted {
            self.worker.complain(workload);
        }
        if let Some(namespace) = deleted_in.filter(|name| self.worker.index.holds_workloads_only(name)) {
            // Every namespace has a ConfigMap with the cluster's certificate: this one is being deleted.
            self.list_first(&namespace);
        }
        let changed_in: BTreeSet<Arc<str>> = effect
            .changed
            .iter()
            .map(|source| Arc::clone(&source.namespace))
            .collect();
        for namespace in &changed_in {
            self.count_scanned(namespace);
            // Who is listed first is due when the list has come; other kinds do not wait for it.
            let listed = self.list_first(namespace);
            effect
                .due
                .retain(|key| key.namespace != *namespace || !listed.contains(&key.kind));
        }
        if list_refused {
            effect.due.extend(self.owing_in(&stream));
        }
        // Asked after the index has taken the change in: whoever becomes leader later finds it there.
        if self.worker.leadership.is_leader() {
            self.worker.enqueue(effect);
        } else {
            effect
                .due
                .iter()
                .chain(&effect.woken)
                .for_each(|key| self.review(key));
        }
    }

    /// Keeps which streams have to be listed because they may not be watched, and which may not even be listed: nobody
    /// waits for those. Returns whether a list that some may wait for has just been refused.
    fn note_unwatchable(&mut self, observation: &Observation) -> bool {
        let stream = &observation.stream;
        if !matches!(stream.watched, Watched::Workload(_)) {
            return false;
        }
        match &observation.event {
            Event::Failed(failure) if failure.only_watch && self.unlistable.contains(stream) => {
                // Both permissions went; listing may have come back by now.
                for namespace in self.worker.index.unsettled_namespaces() {
                    if stream.covers(&namespace) && self.worker.leadership.is_leader() {
                        self.lister.request(&namespace, [stream.clone()]);
                    }
                }
            }
            Event::Failed(failure) if failure.only_watch && self.unwatchable.insert(stream.clone()) => {
                tracing::warn!(
                    "Not allowed to watch {stream}: after each change the namespace of the source is listed \
                         instead. Grant the verb watch on them to make reloads faster and cheaper"
                );
                self.find_pauses();
            }
            Event::Failed(failure) if failure.denied && !failure.only_watch => {
                self.unlistable.insert(stream.clone());
                return self.unwatchable.remove(stream);
            }
            Event::NamespaceListed { .. } if self.unlistable.remove(stream) => {
                self.unwatchable.insert(stream.clone());
            }
            Event::Listed => {
                self.unlistable.remove(stream);
                if stream.watched == Watched::Workload(WorkloadKind::Deployment) {
                    if self.worker.leadership.is_leader() {
                        self.outdated.remove(stream);
                    } else {
                        self.outdated.insert(stream.clone());
                    }
                }
            }
            // Events of the watch itself: it is allowed now.
            Event::WorkloadSeen(_) | Event::WorkloadGone(_) if !self.worker.index.is_listing(stream) => {
                self.unwatchable.remove(stream);
                self.unlistable.remove(stream);
            }
            _ => {}
        }
        false
    }

    /// The workloads of that stream that owe a restart.
    fn owing_in(&self, stream: &StreamId) -> Vec<WorkloadKey> {
        let mut owing = self.worker.index.owing();
        owing.retain(|key| stream.watched == Watched::Workload(key.kind) && stream.covers(&key.namespace));
        owing
    }

    /// A list may have missed the Job between its deletion and its creation: then nobody seems to want its sources, and
    /// the ledger forgets them. Where no watch shows the new Job, it is listed.
    fn look_at_successor(&self, key: &WorkloadKey) {
        let shows = |stream: &&StreamId| {
            stream.watched == Watched::Workload(key.kind) && stream.covers(&key.namespace)
        };
        let streams: Vec<StreamId> = self.unwatchable.iter().filter(shows).cloned().collect();
        if !streams.is_empty() {
            self.lister.request(&key.namespace, streams);
        }
    }

    /// A standby that may not watch workloads knows them as they were when it started: once it leads, it lists those
    /// namespaces where something is owed.
    fn catch_up_as_leader(&mut self) {
        if !self.led && self.worker.leadership.is_leader() {
            self.led = true;
            for namespace in self.worker.index.unsettled_namespaces() {
                self.list_first(&namespace);
            }
            self.find_pauses();
        }
    }

    /// Deployments that the leader before has paused have to be known to be resumed: where they may not be watched,
    /// they are listed once more.
    fn find_pauses(&mut self) {
        if self.worker.leadership.is_leader() {
            for stream in self.outdated.intersection(&self.unwatchable) {
                self.lister.request_all(stream.clone());
            }
            self.outdated.retain(|stream| !self.unwatchable.contains(stream));
        }
    }

    /// Lets paused Deployments be resumed once every source is known that can be.
    fn let_resume(&mut self) {
        let known = |(stream, check): (&StreamId, &WatchCheck)| {
            matches!(stream.watched, Watched::Workload(_))
                || !matches!(check.state(), WatchState::Unsynced | WatchState::Failing { .. })
        };
        if let Some(since) = self.waiting_since
            && (since.elapsed() >= SOURCES_KNOWN || self.checks.iter().all(known))
        {
            self.waiting_since = None;
            self.worker.resumes.release();
        }
    }

    /// Asks for the workloads of a namespace where they may not be watched. Returns the kinds that are listed: who owes
    /// of those is due when the list has come.
    fn list_first(&self, namespace: &Arc<str>) -> Vec<WorkloadKind> {
        let covering: Vec<_> = self
            .unwatchable
            .iter()
            .filter(|stream| stream.covers(namespace))
            .collect();
        if !covering.is_empty() && self.worker.leadership.is_leader() {
            self.lister.request(namespace, covering.iter().copied().cloned());
        }
        let kind = |stream: &&StreamId| match stream.watched {
            Watched::Workload(kind) => Some(kind),
            Watched::Source(_) | Watched::Class | Watched::Namespace => None,
        };
        covering.iter().filter_map(kind).collect()
    }

    /// On a standby: drops what the leader has done meanwhile, as the workload's own markers show, so that a takeover
    /// finds only what is really left.
    fn review(&self, key: &WorkloadKey) {
        let Some(pending) = self.worker.index.pending(key) else {
            return;
        };
        let settled: Vec<_> = match decide::decide(&pending.workload, &pending.owed, &self.worker.options) {
            Decision::Skip(_) => pending
                .owed
                .iter()
                .map(|owed| (owed.source.key.reference(), owed.content))
                .collect(),
            Decision::Patch(plan) => plan
                .settled
                .iter()
                .filter(|one| matches!(one.outcome, Outcome::Skipped(_)))
                .map(|one| (one.source.reference(), one.content))
                .collect(),
        };
        self.worker.index.settle(key, settled, Settled::ByRestart, now());
    }

    /// Counts a namespace that comes or goes, and says so in upstream's words.
    fn tell_namespace(&self, event: &Event) {
        let event = match event {
            Event::NamespaceSeen(name) if self.worker.index.selects(name) => EventType::Update,
            Event::NamespaceSeen(name) => {
                tracing::info!("added namespace to be watched: {name}");
                EventType::Add
            }
            Event::NamespaceGone(name) => {
                tracing::info!("removed namespace from watch: {name}");
                EventType::Delete
            }
            _ => return,
        };
        self.worker.metrics.namespace_received(event);
    }

    /// As upstream: what happens in a namespace that is not selected is received and skipped.
    fn count_unselected(&self, kind: SourceKind, change: SourceChange) {
        self.worker.metrics.event_received(event_type(change), kind);
        if matches!(change, SourceChange::Updated | SourceChange::Unchanged) {
            self.worker.metrics.change_skipped("ignored_or_not_selected");
        }
    }

    fn count(&self, kind: SourceKind, change: SourceChange) {
        self.worker.metrics.event_received(event_type(change), kind);
        self.worker.metrics.event_processed(kind, EventResult::Success);
        if change == SourceChange::Unchanged {
            self.worker.metrics.change_skipped("no_data_change");
        }
    }

    fn count_scanned(&self, namespace: &str) {
        for (kind, count) in self.worker.index.workloads_in(namespace) {
            self.worker.metrics.workloads_scanned(kind, count as u64);
        }
    }

    fn note_health(&self, observation: &Observation) {
        let Some(check) = self.checks.get(&observation.stream) else {
            return;
        };
        let stream = &observation.stream;
        match (&observation.event, check.state()) {
            (Event::ListStarted | Event::NamespaceListed { .. }, _) | (Event::Listed, WatchState::Synced) => {
            }
            (Event::Failed(failure), before) => self.note_failure(stream, failure, check, &before),
            (Event::Listed, before) => {
                if matches!(before, WatchState::Unsynced | WatchState::NotInstalled) {
                    tracing::info!("created controller for: {}", stream.watched.resource());
                } else {
                    tracing::info!("Watching {stream} again");
                }
                check.set(WatchState::Synced);
            }
            // Events after a failure without a new list: the stream has resumed where it was.
            (_, WatchState::Failing { .. } | WatchState::Denied { .. } | WatchState::Refused { .. })
                if !self.worker.index.is_listing(stream) =>
            {
                tracing::info!("Watching {stream} again");
                check.set(WatchState::Synced);
            }
            _ => {}
        }
    }

    fn note_failure(&self, stream: &StreamId, failure: &Failure, check: &WatchCheck, before: &WatchState) {
        self.worker
            .metrics
            .watch_restarted(stream.watched.kind(), failure.category);
        let message = &failure.message;
        if failure.not_installed {
            if *before != WatchState::NotInstalled {
                tracing::info!(
                    "The cluster has no {}: their CustomResourceDefinition is not installed. They are watched \
                     within a minute of its installation",
                    stream.watched.resource(),
                );
            }
            check.set(WatchState::NotInstalled);
            return;
        }
        let lasts = match before {
            WatchState::Denied { .. } | WatchState::Refused { .. } => true,
            WatchState::Failing { since, .. } => since.elapsed() >= REFUSAL_LASTS,
            WatchState::Unsynced | WatchState::Synced | WatchState::NotInstalled => false,
        };
        if failure.denied && lasts && stream.watched == Watched::Namespace {
            if !matches!(before, WatchState::Refused { .. }) {
                tracing::error!(
                    "Not allowed to list and watch namespaces, so it is not known which ones --namespace-selector \
                     selects: {message}. Grant the verbs list and watch on them by a ClusterRole, or remove the flag; \
                     until then nothing is restarted that was not selected before"
                );
            }
            check.set(WatchState::Refused {
                reason: message.clone(),
            });
            return;
        }
        if failure.denied && lasts {
            // Whoever may be listed is not ignored, and has had a line of its own. That listing is refused, too, shows
            // when somebody waits for a list.
            let may_be_listed = failure.only_watch && matches!(stream.watched, Watched::Workload(_));
            let said = matches!(before, WatchState::Denied { .. }) && !self.unwatchable.contains(stream);
            if !may_be_listed && !said {
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

fn event_type(change: SourceChange) -> EventType {
    match change {
        SourceChange::Created => EventType::Add,
        SourceChange::Updated | SourceChange::Unchanged => EventType::Update,
        SourceChange::Deleted => EventType::Delete,
    }
}
