//! What the cluster looks like now, and which workloads owe a restart for which sources.
//!
//! Input: [`Observation`]s. Output: [`Effect`]s, and [`Pending`] work of one workload. I/O: none; `now` is a parameter.
//!
//! ```text
//! streams ─► sources ──► Transition ──► workloads that it concerns ──► debts ──► Effect
//!            workloads                  (objects)                        ▲
//!            mounted (CSI)                        handover (the ledger) ─┘
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`change`] | the values that pass between the parts |
//! | [`sources`] | the sources of a namespace; decides what it means that one comes, changes, goes or returns |
//! | [`workloads`] | its workloads, and the reverse map from a source to those it may concern |
//! | [`course`], [`rollouts`] | how far their rollouts are |
//! | [`lists`] | what workloads list by names and patterns, and how much of that one namespace may have |
//! | [`objects`] | both, and which of them belong together |
//! | [`debts`] | what each workload owes, and what its pods are believed to run with |
//! | [`handover`] | what an earlier leader left, as far as it cannot be settled at once |
//! | [`mounted`] | what pods mount through the Secrets Store CSI driver, turned into sources |
//! | [`namespace`] | conducts the parts of one namespace |
//! | [`streams`], [`selection`] | how far each watch stream is trusted; which namespaces count |
//! | [`source_status`], [`view`] | what the ledger writes down of a source, what users are shown |
//! | [`listing`] | what workloads ask for and the cluster does not have |
//!
//! Pods can only use sources of their own namespace, so everything is kept by namespace, each behind its own lock.
//! Where namespaces are selected by their labels, what lives in the others is kept, and nothing there owes a restart.
//!
//! A source that is seen for the first time is adopted silently: the pods are taken to run with it, unless the ledger
//! says otherwise. Only content that differs from what was known before makes workloads owe a restart. With [`Options`],
//! creations and deletions are changes too: absence is a content like any other.
//!
//! Complete lists carry a generation. What the list did not show is gone when it ends, since no deletion is sent for it.

mod change;
mod course;
mod debts;
mod handover;
mod listing;
mod lists;
mod mounted;
mod namespace;
mod objects;
mod replaced;
mod rollouts;
mod selection;
mod source_status;
mod sources;
mod streams;
mod templates_left;
mod view;
mod workloads;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use dashmap::DashMap;

use crate::{
    model::{Content, Source, SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey},
    watch::{Event, Observation, StreamId, Watched},
};
use change::{Change, Observed};
pub use change::{Effect, Options, Pending, PutBack, RolloutChange, Seen, Settled, SourceChange};
use course::Everywhere;
pub use course::Horizon;
use handover::Unrecorded;
use namespace::{Lists, Namespace};
pub use rollouts::Member;
use selection::Selection;
pub use source_status::{OwedBy, SourceState, SourceStatus};
use sources::Novelty;
pub use streams::CATCHING_UP;
use streams::Streams;
pub use view::{Debt, SourceStanding, Standing, Tally};

/// The index. Written by the task that reads the watch streams and, after a patch, by the workers.
#[derive(Debug)]
pub struct Index {
    options: Options,
    namespaces: DashMap<Arc<str>, Namespace>,
    selection: Selection,
    streams: Mutex<Streams>,
    /// Numbers changes in the order in which they were seen.
    order: AtomicU64,
    /// How many rollouts are in progress.
    in_progress: Everywhere,
    /// An annotation was seen by which restarts depend on others.
    has_limits: AtomicBool,
    unrecorded: OnceLock<Unrecorded>,
    /// Until when the ledger is complete that is restored.
    recorded_until: OnceLock<UnixSeconds>,
}

impl Index {
    /// An empty index that expects these streams. With one of namespaces among them, only those that it shows count, unless
    /// [`Options::every_namespace_counts`].
    pub fn new(options: Options, expected: impl IntoIterator<Item = StreamId>) -> Self {
        let expected: Vec<StreamId> = expected.into_iter().collect();
        let are_shown = expected.iter().any(|stream| stream.watched == Watched::Namespace);
        let by_labels = are_shown && !options.every_namespace_counts;
        let streams = Mutex::new(Streams::new(expected));
        Self {
            options,
            namespaces: DashMap::new(),
            selection: Selection::new(by_labels),
            streams,
            order: AtomicU64::new(0),
            in_progress: Everywhere::default(),
            has_limits: AtomicBool::new(false),
            unrecorded: OnceLock::new(),
            recorded_until: OnceLock::new(),
        }
    }

    /// Takes in what a watch stream showed.
    pub fn apply(&self, observation: Observation, now: Seen) -> Effect {
        let Observation { stream, event, .. } = observation;
        let generation = self.streams().note(&stream, &event, now.at);
        match event {
            ref event if event.shows_no_kind(&stream) => self.sweep(&stream, generation, now),
            Event::ListStarted | Event::Failed(_) | Event::NotServed | Event::Resumed => Effect::default(),
            Event::Listed => self.sweep(&stream, generation, now),
            Event::SourceSeen(source) => {
                let has_limits = self.note_limits(source.policy.as_deref());
                let namespace = Arc::clone(&source.key.namespace);
                let novelty = if self.streams().has_listed(&stream) {
                    Novelty::Certain
                } else {
                    Novelty::Uncertain
                };
                let change = self.change(now);
                let horizon = self.horizon(&namespace, now);
                self.namespace(namespace, |inner| {
                    inner.note_limits(has_limits);
                    if let Some(horizon) = horizon {
                        inner.forget_changes_until(horizon);
                    }
                    Effect {
                        unselected: !inner.is_selected(),
                        ..inner.source_seen(source, generation, novelty, &change)
                    }
                })
            }
            Event::SourceGone { key, version } => {
                let change = self.change(now);
                self.existing(&key.namespace, |inner| Effect {
                    unselected: !inner.is_selected(),
                    ..inner.source_gone(&key.reference(), version, &change)
                })
            }
            Event::PodStatusSeen(status) => {
                let namespace = Arc::clone(&status.namespace);
                let change = self.change(now);
                let listing = self.is_listing(&stream);
                self.namespace(namespace, |inner| Effect {
                    unselected: !inner.is_selected(),
                    ..inner.status_seen(status, generation, listing, &change)
                })
            }
            Event::PodStatusGone { namespace, name } => {
                let change = self.change(now);
                self.existing(&namespace, |inner| Effect {
                    unselected: !inner.is_selected(),
                    ..inner.status_gone(&name, &change)
                })
            }
            Event::ClassSeen(class) => {
                let namespace = Arc::clone(&class.key.namespace);
                self.namespace(namespace, |inner| inner.class_seen(class, generation))
            }
            Event::ClassGone(key) => {
                self.existing(&key.namespace, |inner| inner.class_gone(&key.reference()))
            }
            Event::WorkloadSeen(workload) => {
                let has_limits = self.note_limits(workload.policy.as_deref());
                let namespace = Arc::clone(&workload.key.namespace);
                let horizon = self.horizon(&namespace, now);
                let observed = Observed {
                    is_event: !self.is_listing(&stream),
                    ..self.read_at(now)
                };
                self.namespace(namespace, |inner| {
                    inner.note_limits(has_limits);
                    if let Some(horizon) = horizon {
                        inner.all_workloads_known();
                        inner.forget_changes_until(horizon);
                    }
                    inner.workload_seen(*workload, Some(generation), observed)
                })
            }
            Event::NamespaceListed { namespace, workloads } => {
                self.namespace_listed(&stream, namespace, workloads, now)
            }
            Event::WorkloadGone(key) => self.existing(&key.namespace, |inner| inner.workload_gone(&key)),
            Event::WorkloadReleased(key) => {
                let change = self.next_change(now);
                self.existing(&key.namespace, |inner| inner.workload_released(&key, &change))
            }
            Event::NamespaceSeen { name, policy } => {
                self.selection.add(Arc::clone(&name), policy, generation);
                self.existing(&name, Namespace::select)
            }
            Event::NamespaceGone(name) => {
                let counted = self.selection.remove(&name);
                let deselect = || self.existing(&name, Namespace::deselect);
                counted.then(deselect).unwrap_or_default()
            }
        }
    }

    /// Whether what happens in that namespace counts.
    pub fn selects(&self, namespace: &str) -> bool {
        self.selection.contains(namespace)
    }

    /// Takes in a workload from the answer to a patch: the next decision must not rest on the state before it
    /// ([staleness](https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions)). Older than what
    /// is known, or of one that is gone meanwhile: ignored.
    pub fn written(&self, workload: Workload, now: Seen) -> Effect {
        let (key, version) = (workload.key.clone(), workload.resource_version);
        let effect = self.shown(workload, true, now); // As an event's, the version is that of the write.
        if let Some(mut inner) = self.namespaces.get_mut(&key.namespace) {
            inner.written(&key, version);
        }
        effect
    }

    /// As [`Self::written`], of a workload that was read.
    pub fn read(&self, workload: Workload, now: Seen) -> Effect {
        self.shown(workload, false, now)
    }

    fn shown(&self, workload: Workload, is_event: bool, now: Seen) -> Effect {
        let observed = Observed {
            is_event,
            ..self.read_at(now)
        };
        let namespace = Arc::clone(&workload.key.namespace);
        self.existing(&namespace, |inner| {
            match inner.workloads().get(&(&workload.key).into()) {
                // With another uid: recreated, and the watch lags; or this is an answer about the one before.
                Some(known)
                    if known.uid == workload.uid || known.resource_version < workload.resource_version =>
                {
                    inner.workload_seen(workload, None, observed)
                }
                _ => Effect::default(),
            }
        })
    }

    /// The API server has no such workload any more. One that was recreated meanwhile stays.
    pub fn gone(&self, key: &WorkloadKey, uid: &str) -> Effect {
        self.existing(&key.namespace, |inner| {
            let is_it = inner
                .workloads()
                .get(&key.into())
                .is_some_and(|known| *known.uid == *uid);
            if is_it {
                inner.workload_gone(key)
            } else {
                Effect::default()
            }
        })
    }

    /// The source as it was seen last, and what it holds now.
    pub fn source(&self, key: &SourceKey) -> Option<(Source, Content)> {
        let inner = self.namespaces.get(&key.namespace)?;
        let reference = key.reference();
        let source = inner.sources().get(&reference)?.clone();
        let is_present = inner.sources().present(&reference).is_some();
        let content = if is_present {
            Content::Present(source.digest)
        } else {
            Content::Absent
        };
        Some((source, content))
    }

    /// Whether nothing is left of the namespace but workloads: it may be gone, and they with it.
    pub fn holds_workloads_only(&self, namespace: &str) -> bool {
        let inner = self.namespaces.get(namespace);
        inner.is_some_and(|inner| {
            inner.sources().counts().iter().sum::<usize>() == 0 && !inner.workloads().is_empty()
        })
    }

    /// What the workload owes now; `None` when it owes nothing or is gone.
    pub fn pending(&self, key: &WorkloadKey) -> Option<Pending> {
        self.namespaces.get(&key.namespace)?.pending(key)
    }

    /// A patch for these sources is about to be sent, and its outcome may stay unknown: from here on the workload may
    /// run with either content, so a source that returns to its old content no longer cancels what is owed.
    pub fn attempt(&self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        if let Some(mut inner) = self.namespaces.get_mut(&key.namespace) {
            inner.attempt(key, sources);
        }
    }

    /// The API server has refused the patch for these sources that was sent last: the workload runs with what it ran with
    /// before.
    pub fn refused(&self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        if let Some(mut inner) = self.namespaces.get_mut(&key.namespace) {
            inner.changes();
            inner.refused(key, sources);
        }
    }

    /// The workload has been brought to these contents, or need not be. Returns whether it owes something still,
    /// because a source has moved on meanwhile.
    pub fn settle(
        &self,
        key: &WorkloadKey,
        settled: impl IntoIterator<Item = (SourceRef, Content)>,
        by: Settled,
        now: Seen,
    ) -> bool {
        let change = self.next_change(now);
        match self.namespaces.get_mut(&key.namespace) {
            Some(mut inner) => {
                inner.changes();
                inner.settle(key, settled, by, &change)
            }
            None => false,
        }
    }

    /// Every workload that owes a restart.
    pub fn owing(&self) -> Vec<WorkloadKey> {
        self.namespaces
            .iter()
            .flat_map(|entry| entry.value().owing())
            .collect()
    }

    /// What a later leader needs to know of the source; `None` where no workload opted into it.
    pub fn source_status(&self, source: &SourceKey) -> Option<SourceStatus> {
        let status = self
            .namespaces
            .get(&source.namespace)?
            .status(&source.reference())?;
        // What was not listed yet is not missing.
        let is_known = status.state != SourceState::Missing || self.has_listed(source);
        is_known.then_some(status)
    }

    /// Every source that is known or, with [`Options::reload_on_create`], waited for; whether a workload opted into it or not.
    pub fn known_sources(&self) -> Vec<SourceKey> {
        let mut sources = Vec::new();
        for inner in &self.namespaces {
            sources.extend(inner.sources().all().map(|source| source.key.clone()));
            sources.extend(inner.awaited_sources());
        }
        sources
    }

    /// A workload that opted into the source.
    pub fn user_of(&self, source: &SourceKey) -> Option<Arc<Workload>> {
        let inner = self.namespaces.get(&source.namespace)?;
        let source = inner.sources().get(&source.reference())?;
        let id = inner.workloads().concerned(source).into_iter().next()?;
        inner.workloads().get(&id).cloned()
    }

    /// What will be restored is complete until that time, by the API server's clock: a leader says so before it restores.
    pub fn restores_from(&self, complete_until: UnixSeconds) {
        self.recorded_until.get_or_init(|| complete_until);
    }

    /// Takes in what an earlier leader left: whatever differs from now is owed, whenever it changed.
    ///
    /// Returns whether the source's namespace counts; if not, nothing is taken in.
    pub fn restore(&self, source: &SourceKey, status: &SourceStatus, now: Seen) -> bool {
        if !self.selection.contains(&source.namespace) {
            return false;
        }
        // A class comes and goes with the pods that mount it.
        let is_class = source.kind == SourceKind::SecretProviderClass;
        let lists = Lists {
            recorded_until: self.recorded_until.get().copied(),
            source_listed: !is_class && self.has_listed(source),
            statuses_pending: self.streams().is_listing_statuses(&source.namespace),
        };
        let change = Change {
            inherited: true,
            ..self.change(now)
        };
        self.namespace(Arc::clone(&source.namespace), |inner| {
            inner.restore(source, status, lists, &change);
        });
        true
    }

    /// Restarts that Reloader wrote at that time (the API server's clock) or later may be missing in what
    /// [`Self::restore`] took in: of these workloads, markers count that show something else than the source is. A
    /// leader says so once, after it has restored everything, and then checks each workload that is returned.
    pub fn unrecorded_since(&self, since: UnixSeconds, now: Seen) -> Vec<WorkloadKey> {
        // Inherited: should this leader end before it has looked, the next one has to.
        let change = Change {
            tentative: true,
            inherited: true,
            ..self.next_change(now)
        };
        let unrecorded = *self.unrecorded.get_or_init(|| Unrecorded { since, change });
        let namespaces = self.namespaces.iter_mut();
        namespaces
            .flat_map(|mut inner| inner.begin_check(unrecorded))
            .collect()
    }

    /// Checks the markers of one workload that restarts may be missing of. Returns its sources: what is known of them now
    /// belongs into the ledger, which may lack what settled them as well.
    pub fn check_unrecorded(&self, key: &WorkloadKey) -> Vec<SourceKey> {
        self.existing(&key.namespace, |inner| Effect {
            touched: inner.check_unrecorded(key),
            ..Effect::default()
        })
        .touched
    }

    /// Whether a complete list of that stream is under way.
    pub fn is_listing(&self, stream: &StreamId) -> bool {
        self.streams().is_listing(stream)
    }

    /// The workload as the watch last showed it; `None` when it is gone.
    pub fn workload(&self, key: &WorkloadKey) -> Option<Arc<Workload>> {
        self.namespaces
            .get(&key.namespace)?
            .workloads()
            .get(&key.into())
            .cloned()
    }

    /// The namespaces in which a workload owes a restart, or may owe one without being known yet.
    pub fn unsettled_namespaces(&self) -> Vec<Arc<str>> {
        let unsettled = self
            .namespaces
            .iter()
            .filter(|entry| entry.value().is_unsettled());
        unsettled.map(|entry| Arc::clone(entry.key())).collect()
    }

    /// How many objects of that kind are tracked.
    pub fn count(&self, watched: Watched) -> usize {
        let sum = |count: &dyn Fn(&Namespace) -> usize| {
            self.namespaces.iter().map(|entry| count(entry.value())).sum()
        };
        match watched {
            Watched::Source(SourceKind::SecretProviderClass) => sum(&|inner| inner.mounted().statuses()),
            Watched::Class => sum(&|inner| inner.mounted().classes()),
            Watched::Source(kind) => sum(&|inner| inner.sources().counts()[kind as usize]),
            Watched::Workload(kind) => {
                sum(&|inner| inner.workloads().counts().get(&kind).copied().unwrap_or_default())
            }
            Watched::Namespace => self.selection.count(),
        }
    }

    /// Takes in the workloads of one kind and namespace; all workloads there that owe a restart are due now.
    fn namespace_listed(
        &self,
        stream: &StreamId,
        name: Arc<str>,
        workloads: Vec<Workload>,
        now: Seen,
    ) -> Effect {
        let Watched::Workload(kind) = stream.watched else {
            return Effect::default();
        };
        self.namespace(name, |inner| {
            let mut effect = inner.retain_workloads(kind, &workloads);
            for workload in workloads {
                inner.note_limits(self.note_limits(workload.policy.as_deref()));
                effect.merge(inner.workload_seen(workload, None, self.read_at(now)));
            }
            effect.due = inner.owing();
            effect
        })
    }

    /// Drops what the complete list did not show.
    fn sweep(&self, stream: &StreamId, generation: u32, now: Seen) -> Effect {
        let mut effect = Effect::default();
        let mut sweep = |inner: &mut Namespace| {
            inner.changes();
            effect.merge(match stream.watched {
                Watched::Source(SourceKind::SecretProviderClass) => {
                    inner.sweep_statuses(generation, &self.change(now))
                }
                Watched::Class => inner.sweep_classes(generation),
                Watched::Source(kind) => inner.sweep_sources(kind, generation, &self.change(now)),
                Watched::Workload(kind) => inner.sweep_workloads(kind, generation),
                Watched::Namespace => Effect::default(),
            });
        };
        if stream.watched == Watched::Namespace {
            for name in self.selection.sweep(generation) {
                effect.merge(self.existing(&name, Namespace::deselect));
            }
            return effect;
        }
        if let Some(namespace) = &stream.namespace {
            if let Some(mut inner) = self.namespaces.get_mut(namespace) {
                sweep(&mut inner);
            }
            self.namespaces.remove_if(namespace, |_, inner| inner.is_empty());
        } else {
            self.namespaces.iter_mut().for_each(|mut inner| sweep(&mut inner));
            self.namespaces.retain(|_, inner| !inner.is_empty());
        }
        effect
    }

    /// A change of a source, seen now. Workloads that no stream has shown yet, or not as they are, may owe it as well: it
    /// is remembered for them.
    fn change(&self, now: Seen) -> Change {
        Change {
            remember: true,
            ..self.next_change(now)
        }
    }

    /// Until when every change is known to have been seen by all whom it concerns; `None` while workloads may exist
    /// that no stream has shown.
    fn horizon(&self, namespace: &Arc<str>, now: Seen) -> Option<Instant> {
        let all_known = !self.streams().some_workloads_unknown(namespace, now.at);
        all_known
            .then(|| now.at.checked_sub(self.options.longest_lag))
            .flatten()
    }

    /// How a workload is seen that is read at this moment.
    fn read_at(&self, now: Seen) -> Observed {
        Observed {
            is_event: false,
            at: now.unix,
            order: self.order.load(Ordering::Relaxed),
        }
    }

    /// A change that comes after all before; certain, and no business of workloads that are not known yet.
    fn next_change(&self, now: Seen) -> Change {
        Change {
            seen: now,
            order: self.order.fetch_add(1, Ordering::Relaxed),
            remember: false,
            tentative: false,
            inherited: false,
        }
    }

    /// Whether the stream of that source has shown a complete list.
    fn has_listed(&self, source: &SourceKey) -> bool {
        self.streams().has_listed_sources(source.kind, &source.namespace)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace<T>(&self, name: Arc<str>, act: impl FnOnce(&mut Namespace) -> T) -> T {
        let key = Arc::clone(&name);
        let mut inner = self.namespaces.entry(name).or_insert_with(|| {
            let selected = self.selection.contains(&key);
            let unrecorded = self.unrecorded.get().copied();
            Namespace::new(key, self.options, selected, unrecorded, &self.in_progress)
        });
        inner.changes();
        act(&mut inner)
    }

    fn existing(&self, name: &Arc<str>, act: impl FnOnce(&mut Namespace) -> Effect) -> Effect {
        let Some(mut inner) = self.namespaces.get_mut(name) else {
            return Effect::default();
        };
        inner.changes();
        let effect = act(&mut inner);
        let empty = inner.is_empty();
        drop(inner);
        if empty {
            self.namespaces.remove_if(name, |_, inner| inner.is_empty());
        }
        effect
    }
}

#[cfg(test)]
mod tests;
