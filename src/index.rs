//! What the cluster looks like now, and which workloads owe a restart for which sources.
//!
//! Input: [`Observation`]s. Output: [`Effect`]s, and [`Pending`] work of one workload. I/O: none; `now` is given.
//!
//! ```text
//! source changed ──► interested workloads ──► each owes a restart for it ──► settled by the patch that carried it
//! ```
//!
//! Pods can only use sources of their own namespace, so everything is kept by namespace, each behind its own lock.
//! Where namespaces are selected by their labels, what lives in the others is kept and nobody there owes anything.
//! A source that is seen for the first time is adopted silently: only a digest that differs from the one known before
//! makes somebody owe something. That includes a source that was deleted and created again with other content. With
//! [`Options`], creations and deletions are changes too.

mod content;
mod debt;
mod doubt;
mod follow;
mod mounted;
mod namespace;
mod selection;
mod sources;
mod standing;
mod streams;
mod unclaimed;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;

use crate::{
    model::{
        Content, Owed, SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey, WorkloadKind,
    },
    watch::{Event, Observation, StreamId, Watched},
};
use doubt::Unrecorded;
use namespace::Namespace;
use selection::Selection;
pub use standing::{OwedBy, SourceState, Standing};
pub use streams::CATCHING_UP;
use streams::Streams;
use unclaimed::Sight;

/// The moment at which something was seen, on both clocks that matter.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// For measuring how long a reload took.
    pub at: Instant,
    /// For markers.
    pub unix: UnixSeconds,
}

/// The settings that change what is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Options {
    /// Workloads without annotations are opted in (`--auto-reload-all`).
    pub auto_reload_all: bool,
    /// The creation of a source is a change (`--reload-on-create`).
    pub reload_on_create: bool,
    /// The deletion of a source is a change (`--reload-on-delete`).
    pub reload_on_delete: bool,
    /// A source of which neither this process nor the ledger knows anything may have changed: markers that show
    /// something else tell (`--sync-after-restart` with `--reload-on-create`).
    pub trust_markers: bool,
    /// How long after a change of a source the watch of workloads may still show them as they were before: until a
    /// connection that died without a word is given up, and what it missed has been sent.
    pub longest_lag: Duration,
}

/// What an observation led to.
#[derive(Debug, Default)]
pub struct Effect {
    /// Workloads that owe a restart because of it.
    pub due: Vec<WorkloadKey>,
    /// Workloads that owed a restart before and have changed themselves: worth another attempt at once.
    pub woken: Vec<WorkloadKey>,
    /// Workloads that Reloader has paused, or had: when they are to be resumed may be another time now. None in a
    /// namespace that is not selected: another Reloader may look after them.
    pub pauses: Vec<WorkloadKey>,
    /// Workloads that are gone, or owe nothing any more because their namespace is not selected any more.
    pub gone: Vec<WorkloadKey>,
    /// What happened to the source, where the observation was about one.
    pub source: Option<SourceChange>,
    /// Sources whose change workloads may owe a restart for, those included that no stream has shown yet.
    pub changed: Vec<SourceKey>,
    /// Sources whose [`Standing`] may be another now.
    pub touched: Vec<SourceKey>,
    /// Workloads of which what they say about reloads or pauses is new, differs from before or counts from now on.
    pub opted: Vec<Arc<Workload>>,
    /// The object's namespace is not selected: whatever happened to it, nobody owes anything.
    pub unselected: bool,
}

impl Effect {
    fn of(change: SourceChange) -> Self {
        Self {
            source: Some(change),
            ..Self::default()
        }
    }

    /// Adds what another object's observation led to; which object it was about is not kept.
    fn merge(&mut self, other: Self) {
        self.due.extend(other.due);
        self.woken.extend(other.woken);
        self.pauses.extend(other.pauses);
        self.gone.extend(other.gone);
        self.touched.extend(other.touched);
        self.changed.extend(other.changed);
    }
}

/// How a workload was brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was restarted, or its markers show that it was.
    ByRestart,
    /// Nothing had to be written.
    WithoutRestart,
}

/// What happened to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// Seen for the first time, or again after its deletion.
    Created,
    /// Its content differs from before.
    Updated,
    /// Seen again with the same content.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// What one workload owes.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The workload as the watch last showed it.
    pub workload: Arc<Workload>,
    /// The sources it owes a restart for, as they are now. A source that does not exist is among them only with
    /// [`Options::reload_on_delete`].
    pub owed: Vec<Owed>,
    /// When the oldest of the changes was seen.
    pub since: Instant,
}

/// The index. Written by the task that reads the watch streams and, after a patch, by the workers.
#[derive(Debug)]
pub struct Index {
    options: Options,
    namespaces: DashMap<Arc<str>, Namespace>,
    selection: Selection,
    streams: Mutex<Streams>,
    /// Numbers changes in the order in which they were seen.
    order: AtomicU64,
    unrecorded: OnceLock<Unrecorded>,
}

impl Index {
    /// An empty index that expects these streams. With one of namespaces among them, only those that it shows count.
    pub fn new(options: Options, expected: impl IntoIterator<Item = StreamId>) -> Self {
        let expected: Vec<StreamId> = expected.into_iter().collect();
        let by_labels = expected.iter().any(|stream| stream.watched == Watched::Namespace);
        let streams = Mutex::new(Streams::new(expected));
        Self {
            options,
            namespaces: DashMap::new(),
            selection: Selection::new(by_labels),
            streams,
            order: AtomicU64::new(0),
            unrecorded: OnceLock::new(),
        }
    }

    /// Takes in what a watch stream showed.
    pub fn apply(&self, observation: Observation, now: Seen) -> Effect {
        let Observation { stream, event } = observation;
        let generation = self.streams().note(&stream, &event, now.at);
        match event {
            // A kind that is not installed has no objects.
            Event::Failed(failure)
                if failure.not_installed && matches!(stream.watched, Watched::Workload(_)) =>
            {
                self.sweep(&stream, generation, now)
            }
            Event::ListStarted | Event::Failed(_) | Event::Resumed => Effect::default(),
            Event::Listed => self.sweep(&stream, generation, now),
            Event::SourceSeen(source) => {
                let namespace = Arc::clone(&source.key.namespace);
                let listed = self.streams().has_listed(&stream);
                let change = self.change(now);
                let horizon = self.horizon(&namespace, now);
                self.namespace(namespace, |inner| {
                    if let Some(horizon) = horizon {
                        inner.forget_changes_until(horizon);
                    }
                    Effect {
                        unselected: !inner.selected,
                        ..inner.source_seen(source, generation, listed, &change)
                    }
                })
            }
            Event::SourceGone(key) => {
                let change = self.change(now);
                self.existing(&key.namespace, |inner| Effect {
                    unselected: !inner.selected,
                    ..inner.source_gone(&key.reference(), &change)
                })
            }
            Event::PodStatusSeen(status) => {
                let namespace = Arc::clone(&status.namespace);
                let change = self.change(now);
                let listing = self.is_listing(&stream);
                self.namespace(namespace, |inner| {
                    inner.status_seen(status, generation, listing, &change)
                })
            }
            Event::PodStatusGone { namespace, name } => {
                let change = self.change(now);
                self.existing(&namespace, |inner| inner.status_gone(&namespace, &name, &change))
            }
            Event::ClassSeen(class) => {
                let namespace = Arc::clone(&class.key.namespace);
                self.namespace(namespace, |inner| inner.class_seen(class, generation))
            }
            Event::ClassGone(key) => {
                self.existing(&key.namespace, |inner| inner.class_gone(&key.reference()))
            }
            Event::WorkloadSeen(workload) => {
                let namespace = Arc::clone(&workload.key.namespace);
                let horizon = self.horizon(&namespace, now);
                let sight = Sight {
                    is_event: !self.is_listing(&stream),
                    ..self.read_now()
                };
                self.namespace(namespace, |inner| {
                    if let Some(horizon) = horizon {
                        inner.all_is_known();
                        inner.forget_changes_until(horizon);
                    }
                    inner.workload_seen(*workload, Some(generation), sight)
                })
            }
            Event::NamespaceListed { namespace, workloads } => {
                self.namespace_listed(&stream, namespace, workloads)
            }
            Event::WorkloadGone(key) => self.existing(&key.namespace, |inner| inner.workload_gone(&key)),
            Event::NamespaceSeen(name) => {
                self.selection.add(Arc::clone(&name), generation);
                self.existing(&name, |inner| {
                    let mut effect = inner.select();
                    effect.touched.extend(inner.awaited_in(&name));
                    effect
                })
            }
            Event::NamespaceGone(name) => {
                self.selection.remove(&name);
                self.existing(&name, Namespace::deselect)
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
    pub fn written(&self, workload: Workload) -> Effect {
        let namespace = Arc::clone(&workload.key.namespace);
        self.existing(&namespace, |inner| match inner.workload(&workload.key) {
            // Recreated, and the watch has not told yet; or it has, and this is an answer about the one before.
            Some(known)
                if known.uid == workload.uid || known.resource_version < workload.resource_version =>
            {
                inner.workload_seen(workload, None, self.read_now())
            }
            _ => Effect::default(),
        })
    }

    /// The API server has no such workload any more. One that was recreated meanwhile stays.
    pub fn gone(&self, key: &WorkloadKey, uid: &str) -> Effect {
        self.existing(&key.namespace, |inner| {
            let is_it = inner.workload(key).is_some_and(|known| *known.uid == *uid);
            if is_it {
                inner.workload_gone(key)
            } else {
                Effect::default()
            }
        })
    }

    /// Whether nothing is left of the namespace but workloads: it may be gone, and they with it.
    pub fn holds_workloads_only(&self, namespace: &str) -> bool {
        let inner = self.namespaces.get(namespace);
        inner.is_some_and(|inner| {
            inner.source_counts().iter().sum::<usize>() == 0 && !inner.workloads.is_empty()
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
            Some(mut inner) => inner.settle(key, settled, by, &change),
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
    pub fn standing(&self, source: &SourceKey) -> Option<Standing> {
        let standing = self
            .namespaces
            .get(&source.namespace)?
            .standing(&source.reference())?;
        // What was not listed yet is not missing.
        let known = standing.state != SourceState::Missing || self.has_listed(source);
        known.then_some(standing)
    }

    /// Every source that some workload opted into or, with [`Options::reload_on_create`], waits for.
    pub fn opted_sources(&self) -> Vec<SourceKey> {
        let of = |name: &Arc<str>, inner: &Namespace| {
            let opted = inner.opted_sources().into_iter();
            opted.chain(inner.awaited_in(name)).collect::<Vec<_>>()
        };
        self.namespaces
            .iter()
            .flat_map(|entry| of(entry.key(), entry.value()))
            .collect()
    }

    /// Takes in what an earlier leader left: whatever differs from now is owed, whenever it changed. What this
    /// replica noted itself as a standby gives way to it.
    ///
    /// Returns whether the source's namespace counts; if not, nothing is taken in.
    pub fn restore(&self, source: &SourceKey, standing: &Standing, now: Seen) -> bool {
        if !self.selection.contains(&source.namespace) {
            return false;
        }
        // A class comes and goes with the pods that mount it.
        let listed = source.kind != SourceKind::SecretProviderClass && self.has_listed(source);
        let change = self.change(now);
        let listing = self.streams().is_listing_statuses(&source.namespace);
        self.namespace(Arc::clone(&source.namespace), |inner| {
            inner.restore(source, standing, (listed, listing), &change);
        });
        true
    }

    /// Restarts that Reloader wrote at that time (the API server's clock) or later may be missing in what
    /// [`Self::restore`] took in: of these workloads, markers count that show something else than the source is. A
    /// leader says so once, after it has restored everything.
    pub fn unrecorded_since(&self, since: UnixSeconds, now: Seen) {
        let change = Change {
            tentative: true,
            ..self.next_change(now)
        };
        let unrecorded = *self.unrecorded.get_or_init(|| Unrecorded { since, change });
        for mut inner in self.namespaces.iter_mut() {
            inner.doubt(unrecorded);
        }
    }

    /// Whether a complete list of that stream is under way.
    pub fn is_listing(&self, stream: &StreamId) -> bool {
        self.streams().is_listing(stream)
    }

    /// The workload as the watch last showed it; `None` when it is gone.
    pub fn workload(&self, key: &WorkloadKey) -> Option<Arc<Workload>> {
        self.namespaces.get(&key.namespace)?.workload(key)
    }

    /// Every workload of a selected namespace that Reloader has paused.
    pub fn paused(&self) -> Vec<WorkloadKey> {
        self.namespaces
            .iter()
            .flat_map(|entry| entry.value().paused())
            .collect()
    }

    /// Every workload that may have a mistake in its annotations: a list or a pause period.
    pub fn workloads_to_check(&self) -> Vec<Arc<Workload>> {
        self.namespaces
            .iter()
            .flat_map(|entry| entry.value().workloads_to_check())
            .collect()
    }

    /// The namespaces in which somebody owes a restart, or may owe one without being known yet.
    pub fn unsettled_namespaces(&self) -> Vec<Arc<str>> {
        let unsettled = self
            .namespaces
            .iter()
            .filter(|entry| entry.value().is_unsettled());
        unsettled.map(|entry| Arc::clone(entry.key())).collect()
    }

    /// How many workloads live in the namespace, of each kind of which there is any.
    pub fn workloads_in(&self, namespace: &str) -> BTreeMap<WorkloadKind, usize> {
        self.namespaces
            .get(namespace)
            .map(|inner| inner.workload_counts())
            .unwrap_or_default()
    }

    /// How many objects of that kind are tracked.
    pub fn count(&self, watched: Watched) -> usize {
        let sum = |count: &dyn Fn(&Namespace) -> usize| {
            self.namespaces.iter().map(|entry| count(entry.value())).sum()
        };
        match watched {
            Watched::Source(SourceKind::SecretProviderClass) => sum(&|inner| inner.mounted.statuses()),
            Watched::Class => sum(&|inner| inner.mounted.classes()),
            Watched::Source(kind) => sum(&|inner| inner.source_counts()[kind as usize]),
            Watched::Workload(kind) => {
                sum(&|inner| inner.workload_counts().get(&kind).copied().unwrap_or_default())
            }
            Watched::Namespace => self.selection.count(),
        }
    }

    /// Takes in the workloads of one kind and namespace; everybody there who owes is due now.
    fn namespace_listed(&self, stream: &StreamId, name: Arc<str>, workloads: Vec<Workload>) -> Effect {
        let Watched::Workload(kind) = stream.watched else {
            return Effect::default();
        };
        self.namespace(name, |inner| {
            let mut effect = inner.retain_workloads(kind, &workloads);
            for workload in workloads {
                effect.merge(inner.workload_seen(workload, None, self.read_now()));
            }
            effect.due = inner.owing();
            effect
        })
    }

    /// Drops what the complete list did not show.
    fn sweep(&self, stream: &StreamId, generation: u32, now: Seen) -> Effect {
        let mut effect = Effect::default();
        let mut sweep = |name: &Arc<str>, inner: &mut Namespace| match stream.watched {
            Watched::Source(SourceKind::SecretProviderClass) => {
                let change = self.change(now);
                effect.merge(inner.sweep_statuses(name, generation, &change));
            }
            Watched::Class => effect.merge(inner.sweep_classes(generation)),
            Watched::Source(kind) => {
                effect.merge(inner.sweep_sources(kind, generation, &self.change(now)));
                let awaited = inner.awaited_in(name).into_iter();
                effect.touched.extend(awaited.filter(|one| one.kind == kind));
            }
            Watched::Workload(kind) => {
                for gone in inner.sweep_workloads(kind, generation) {
                    effect.merge(gone);
                }
            }
            Watched::Namespace => {}
        };
        if stream.watched == Watched::Namespace {
            for name in self.selection.sweep(generation) {
                effect.merge(self.existing(&name, Namespace::deselect));
            }
            return effect;
        }
        match &stream.namespace {
            Some(namespace) => {
                if let Some(mut inner) = self.namespaces.get_mut(namespace) {
                    sweep(namespace, &mut inner);
                }
            }
            None => self.namespaces.iter_mut().for_each(|mut entry| {
                let (name, inner) = entry.pair_mut();
                sweep(name, inner);
            }),
        }
        self.namespaces.retain(|_, inner| !inner.is_empty());
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
    fn horizon(&self, namespace: &str, now: Seen) -> Option<Instant> {
        let all_known = !self.streams().some_workloads_unknown(namespace, now.at);
        all_known
            .then(|| now.at.checked_sub(self.options.longest_lag))
            .flatten()
    }

    /// How a workload is seen that is read at this moment.
    fn read_now(&self) -> Sight {
        Sight {
            is_event: false,
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
        }
    }

    /// Whether the stream of that source has shown a complete list.
    fn has_listed(&self, source: &SourceKey) -> bool {
        self.streams().has_listed_sources(source.kind, &source.namespace)
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace<T>(&self, name: Arc<str>, act: impl FnOnce(&mut Namespace) -> T) -> T {
        let key = Arc::clone(&name);
        let mut inner = self.namespaces.entry(name).or_insert_with(|| {
            let selected = self.selection.contains(&key);
            Namespace::new(self.options, selected, self.unrecorded.get().copied())
        });
        act(&mut inner)
    }

    fn existing(&self, name: &Arc<str>, act: impl FnOnce(&mut Namespace) -> Effect) -> Effect {
        let Some(mut inner) = self.namespaces.get_mut(name) else {
            return Effect::default();
        };
        let effect = act(&mut inner);
        let empty = inner.is_empty();
        drop(inner);
        if empty {
            self.namespaces.remove_if(name, |_, inner| inner.is_empty());
        }
        effect
    }
}

/// A change as it is noted against sources and workloads.
#[derive(Clone, Copy, Debug)]
struct Change {
    seen: Seen,
    order: u64,
    /// Workloads that are seen later may owe it too.
    remember: bool,
    /// It may not have happened: see [`Options::trust_markers`].
    tentative: bool,
}

#[cfg(test)]
mod tests;
