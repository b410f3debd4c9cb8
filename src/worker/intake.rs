//! Takes in what the watches show: updates the index and, on the leader, feeds the queue.
//!
//! Input: [`Observation`]s of all streams. Output: keys into the queue; states for `/ready`. I/O: none of its own.

mod affected;
mod counts;
mod health;
mod lists;
mod outage;
mod permissions;
mod sign;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    announce::{Announcer, Subject},
    context::{Context, now},
};
use crate::{
    admin::health::{Beat, Health, WatchCheck, WatchState},
    decide::{self, Decision},
    index::Settled,
    model::WorkloadKey,
    watch::{Event, Lister, Observation, StreamId, Watched},
};
use affected::Affected;
use health::{Before, Level, Next, Status};
use lists::Lists;
use outage::{News, Outages};
use permissions::Consequence;
use sign::Sign;

/// How often the loop shows that it lives while nothing happens.
const BEAT: Duration = Duration::from_secs(5);

/// How often namespaces with deferred restarts or rollouts are listed where workloads may not be watched.
const LIST_WAITING: Duration = Duration::from_secs(30);

/// How long the resumes of paused Deployments wait for the first lists of all sources, at most.
const SOURCES_KNOWN: Duration = Duration::from_secs(15);

/// What an [`Intake`] is made of.
pub struct IntakeParts {
    /// The state that observations change.
    pub context: Arc<Context>,
    /// Posts changes: webhook mode.
    pub announcer: Option<Announcer>,
    /// Lists what may not be watched.
    pub lister: Lister,
    /// Set once the first list of namespaces is in the index.
    pub selection_known: watch::Sender<bool>,
    /// The Jobs that workers have created anew.
    pub recreated: mpsc::UnboundedReceiver<WorkloadKey>,
}

/// The one task that writes to the index from the watches.
pub struct Intake {
    context: Arc<Context>,
    announcer: Option<Announcer>,
    selection_known: watch::Sender<bool>,
    recreated: mpsc::UnboundedReceiver<WorkloadKey>,
    checks: HashMap<StreamId, WatchCheck>,
    /// Since when each request of a stream has been refused.
    refused_since: HashMap<StreamId, Instant>,
    outages: Outages,
    lists: Lists,
    /// Since when resumes wait for sources; `None`: not any more.
    resumes_wait_since: Option<Instant>,
    /// When these were last listed.
    waits_listed_at: Instant,
    /// Every stream was listed once, or cannot be, and that is logged.
    has_said_synced: bool,
}

impl Intake {
    /// An intake for these streams, each with its own check in `health`.
    pub fn new(parts: IntakeParts, streams: &[StreamId], health: &Health) -> Self {
        let IntakeParts {
            context,
            announcer,
            lister,
            selection_known,
            recreated,
        } = parts;
        let name = |stream: &StreamId| match &stream.namespace {
            Some(namespace) => format!("watch-{}-{namespace}", stream.watched.resource()),
            None => format!("watch-{}", stream.watched.resource()),
        };
        let checks = streams
            .iter()
            .map(|stream| (stream.clone(), health.watch(name(stream))));
        Self {
            lists: Lists::new(Arc::clone(&context), lister),
            context,
            announcer,
            selection_known,
            recreated,
            checks: checks.collect(),
            refused_since: HashMap::new(),
            outages: Outages::default(),
            resumes_wait_since: Some(Instant::now()),
            waits_listed_at: Instant::now(),
            has_said_synced: false,
        }
    }

    /// Takes in observations until every stream has ended.
    pub async fn run(mut self, mut observations: mpsc::Receiver<Observation>, beat: Beat) {
        let context = Arc::clone(&self.context);
        let mut election = context.leadership().state();
        let mut elected = true;
        loop {
            beat.beat();
            self.lists.follow_election();
            self.list_what_waits();
            self.release_resumes();
            if let Some(announcer) = &mut self.announcer {
                announcer.follow();
            }
            tokio::select! {
                // A change of leaders is noted before the next observation is.
                biased;
                changed = election.changed(), if elected => elected = changed.is_ok(),
                due = context.resumes().due() => due.iter().for_each(|key| context.schedule_resume(key)),
                Some(key) = self.recreated.recv() => self.lists.request_recreated(&key),
                observation = observations.recv() => match observation {
                    Some(observation) => self.take(observation),
                    None => return,
                },
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    /// Where workloads may not be watched, only a list shows that a deferred one need not wait any more, and what became of
    /// one that was restarted.
    fn list_what_waits(&mut self) {
        if self.waits_listed_at.elapsed() < LIST_WAITING {
            return;
        }
        let now = Instant::now();
        self.waits_listed_at = now;
        let mut namespaces: BTreeSet<_> = self.context.waits().namespaces().into_iter().collect();
        namespaces.extend(self.context.outcomes().to_be_asked_for(now.into_std()));
        for namespace in namespaces {
            self.lists.request(&namespace);
        }
    }

    fn take(&mut self, mut observation: Observation) {
        let context = Arc::clone(&self.context);
        let index = context.index();
        let stream = observation.stream.clone();
        // What the observation says about its stream. Health first: it goes by what was allowed before.
        let mut consequence = Consequence::Nothing;
        let sign = Sign::of(&observation.event, || index.is_listing(&stream));
        let is_sign = sign.is_some();
        if let Some(sign) = sign {
            self.note_health(&stream, sign);
            consequence = self.lists.note(&stream, sign);
        }
        counts::namespace(&context, &observation.event);
        let found = std::mem::take(&mut observation.found);
        // In webhook mode no annotation means anything.
        if self.announcer.is_none() {
            context.mistakes().observed(&stream, &observation.event, found);
        }
        let affected = Affected::of(&observation.event);
        // What it says about its object. The index takes the observation, so whatever is asked later is kept here.
        let subject = self.announcer.is_some().then(|| Subject::of(&observation.event));
        let deleted_in = match &observation.event {
            Event::SourceGone { key, .. } => Some(Arc::clone(&key.namespace)),
            _ => None,
        };
        // Without the right to read them, what they say about restarts is not obeyed. A selector is.
        let is_denied = |check: &WatchCheck| matches!(check.state(), WatchState::Denied { .. });
        let selection_is_known = stream.watched == Watched::Namespace
            && (matches!(observation.event, Event::Listed)
                || self.checks.get(&stream).is_some_and(is_denied));
        let mut effect = index.apply(observation, now());
        affected.tell(context.waits());
        if is_sign {
            self.say_synced();
        }
        if selection_is_known {
            self.selection_known.send_replace(true);
        }
        if let (Some(announcer), Some(subject)) = (&mut self.announcer, &subject) {
            announcer.take(&stream, subject, &effect);
        }
        if let (Watched::Source(kind), Some(change)) = (stream.watched, effect.source) {
            if effect.unselected {
                counts::unselected(context.metrics(), kind, change);
            } else {
                counts::selected(context.metrics(), kind, change);
            }
        }
        for workload in &effect.opted {
            context.report_template(workload);
        }
        if context.leadership().is_leader() {
            context.report_changes(&effect);
        }
        // Every namespace has a ConfigMap with the cluster's certificate: one that has none is being deleted.
        if let Some(namespace) = deleted_in.filter(|name| index.holds_workloads_only(name)) {
            self.lists.request(&namespace);
        }
        let changed_in: BTreeSet<Arc<str>> = effect
            .changed
            .iter()
            .map(|source| Arc::clone(&source.namespace))
            .collect();
        for namespace in &changed_in {
            counts::scanned(&context, namespace);
            // Kinds that are listed first are due when the list has come; other kinds do not wait for it.
            let listed = self.lists.request(namespace);
            effect
                .due
                .retain(|key| key.namespace != *namespace || !listed.contains(&key.kind));
        }
        // The list that they wait for will not come.
        if consequence == Consequence::ListRefused {
            effect.due.extend(self.lists.owing_in(&stream));
        }
        // Asked after the index has taken the change in: a replica that becomes leader later finds it there.
        if context.leadership().is_leader() {
            context.enqueue(effect);
        } else {
            effect
                .due
                .iter()
                .chain(&effect.woken)
                .for_each(|key| self.review(key));
        }
    }

    fn note_health(&mut self, stream: &StreamId, sign: Sign<'_>) {
        let Some(check) = self.checks.get(stream) else {
            return;
        };
        let reason = match sign {
            Sign::Failed(failure) => {
                self.context
                    .metrics()
                    .watch_restarted(stream.watched.kind(), failure.category);
                failure.message.clone()
            }
            _ => String::new(),
        };
        let state = check.state();
        let before = Before {
            status: Status::of(&state),
            refused_for: self
                .refused_since
                .get(stream)
                .map_or(Duration::ZERO, Instant::elapsed),
            access: self.lists.access(stream),
            selects: self.context.index().selects_by_labels(),
        };
        match sign {
            Sign::Failed(failure) if failure.denied => {
                self.refused_since
                    .entry(stream.clone())
                    .or_insert_with(Instant::now);
            }
            Sign::NamespaceListed => {}
            _ => _ = self.refused_since.remove(stream),
        }
        let Some(Next { status, line }) = health::next(stream.watched, before, sign) else {
            return;
        };
        let code = match sign {
            Sign::Failed(failure) => failure.code,
            _ => None,
        };
        let news = match (before.status, status) {
            (Status::Failing, Status::Failing) => News::Known,
            (_, Status::Failing) => self.outages.failed(stream, code),
            _ => self.outages.recovered(stream),
        };
        if let Some(line) = line {
            log(line.level(news), &line.text(stream, &reason, news));
        }
        check.set(match status {
            Status::Unsynced => WatchState::Unsynced,
            Status::Synced => WatchState::Synced,
            Status::Failing => WatchState::Failing {
                since: Instant::now(),
                reason,
            },
            Status::Denied => WatchState::Denied { reason },
            Status::NotInstalled => WatchState::NotInstalled,
            Status::Refused => WatchState::Refused { reason },
        });
    }

    /// Resumes of paused Deployments begin once every source is known that can be.
    fn release_resumes(&mut self) {
        let is_known = |(stream, check): (&StreamId, &WatchCheck)| {
            matches!(stream.watched, Watched::Workload(_))
                || !matches!(check.state(), WatchState::Unsynced | WatchState::Failing { .. })
        };
        if let Some(since) = self.resumes_wait_since
            && (since.elapsed() >= SOURCES_KNOWN || self.checks.iter().all(is_known))
        {
            self.resumes_wait_since = None;
            self.context.resumes().release();
        }
    }

    /// Says once what is watched, when that is known.
    fn say_synced(&mut self) {
        let is_known =
            |check: &WatchCheck| !matches!(check.state(), WatchState::Unsynced | WatchState::Failing { .. });
        if !self.has_said_synced && self.checks.values().all(is_known) {
            self.has_said_synced = true;
            let is_listed = |check: &WatchCheck| check.state() == WatchState::Synced;
            let listed = self.checks.iter().filter(|(_, check)| is_listed(check));
            let watched: BTreeSet<Watched> = listed.map(|(stream, _)| stream.watched).collect();
            tracing::info!("Synced: {}", counts::watched(self.context.index(), &watched));
        }
    }

    /// On a standby: settles what the leader has done meanwhile, as the workload's own markers show, so that a takeover
    /// finds only what is really left.
    fn review(&self, key: &WorkloadKey) {
        let Some(pending) = self.context.index().pending(key) else {
            return;
        };
        let settled: Vec<_> = match self.context.decide(&pending) {
            Decision::Skip(_) => pending
                .owed
                .iter()
                .map(|owed| (owed.source.key.reference(), owed.content))
                .collect(),
            Decision::Patch(plan) => plan
                .settled
                .iter()
                .filter(|settled| matches!(settled.outcome, decide::SourceOutcome::Skipped(_)))
                .map(|settled| (settled.source.reference(), settled.content))
                .collect(),
        };
        let index = self.context.index();
        index.settle(key, settled, Settled::ByRestart, now());
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
