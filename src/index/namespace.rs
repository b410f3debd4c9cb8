//! One namespace of the index: its sources, its workloads, and who wants to hear of which source.
//!
//! Input: sources and workloads. Output: [`Effect`]s. I/O: none.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{Change, Effect, Pending, Seen, SourceChange};
use crate::model::{
    Digest, Owed, Source, SourceKind, SourceRef, Verdict, Workload, WorkloadKey, WorkloadKind,
};

/// How many deleted sources a namespace remembers so that a recreated one with other content counts as a change.
/// Bounds tools that give every version of a ConfigMap a new name.
const DELETED_SOURCES_KEPT: usize = 1024;

/// A workload inside its namespace.
type LocalWorkload = (WorkloadKind, Arc<str>);

#[derive(Debug)]
pub(super) struct Namespace {
    auto_reload_all: bool,
    sources: HashMap<SourceRef, SourceSlot>,
    workloads: HashMap<LocalWorkload, WorkloadSlot>,
    /// The reverse index: workloads that a source of that name may concern, because they reference it or list its
    /// name. A superset; the verdict on the annotations is what counts.
    interested: HashMap<SourceRef, HashSet<LocalWorkload>>,
    /// Workloads whose lists hold patterns: few, so each source is held against all of them.
    with_patterns: HashSet<LocalWorkload>,
    /// Changes that workloads still unknown may owe: the content before, and when it changed.
    unclaimed: HashMap<SourceRef, (Digest, Change)>,
    /// Deleted sources in the order of their deletion.
    deleted: VecDeque<SourceRef>,
}

#[derive(Debug)]
struct SourceSlot {
    source: Source,
    /// `false`: deleted; its last content is kept because some workload opted into it.
    present: bool,
    generation: u32,
}

#[derive(Debug)]
struct WorkloadSlot {
    workload: Arc<Workload>,
    generation: u32,
    owed: HashMap<SourceRef, Debt>,
}

/// What is owed for one source.
#[derive(Clone, Copy, Debug)]
struct Debt {
    /// The content the workload runs with; `None` where it may be either, after a patch of unknown outcome.
    running: Option<Digest>,
    /// When the first change since then was seen.
    first: Seen,
    /// When the last change was seen.
    last_unix: i64,
    order: u64,
}

impl Debt {
    fn new(running: Option<Digest>, change: &Change) -> Self {
        Self {
            running,
            first: change.seen,
            last_unix: change.seen.unix,
            order: change.order,
        }
    }
}

impl Namespace {
    pub(super) fn new(auto_reload_all: bool) -> Self {
        Self {
            auto_reload_all,
            sources: HashMap::new(),
            workloads: HashMap::new(),
            interested: HashMap::new(),
            with_patterns: HashSet::new(),
            unclaimed: HashMap::new(),
            deleted: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.workloads.is_empty()
    }

    pub(super) fn source_seen(&mut self, source: Source, generation: u32, change: &Change) -> Effect {
        let reference = source.key.reference();
        let Some(slot) = self.sources.get_mut(&reference) else {
            self.sources.insert(
                reference,
                SourceSlot {
                    source,
                    present: true,
                    generation,
                },
            );
            return Effect {
                source: Some(SourceChange::Created),
                ..Effect::default()
            };
        };
        let before = slot.source.digest;
        let recreated = !slot.present;
        let now = source.digest;
        *slot = SourceSlot {
            source,
            present: true,
            generation,
        };
        if recreated {
            self.deleted.retain(|deleted| *deleted != reference);
        }
        if before == now {
            let seen = if recreated {
                SourceChange::Created
            } else {
                SourceChange::Unchanged
            };
            // Workloads may owe a change that was seen before the deletion.
            let due = if recreated {
                self.owing_for(&reference)
            } else {
                Vec::new()
            };
            return Effect {
                source: Some(seen),
                due,
                ..Effect::default()
            };
        }
        if change.remember {
            self.unclaimed
                .entry(reference.clone())
                .or_insert((before, *change))
                .1 = *change;
        }
        let due = self.owe(&reference, before, now, change);
        Effect {
            source: Some(SourceChange::Updated),
            due,
            ..Effect::default()
        }
    }

    pub(super) fn source_gone(&mut self, reference: &SourceRef) -> Effect {
        let Some(slot) = self.sources.get(reference).filter(|slot| slot.present) else {
            return Effect::default();
        };
        if self.concerned(&slot.source).is_empty() {
            self.sources.remove(reference);
            self.unclaimed.remove(reference);
        } else if let Some(slot) = self.sources.get_mut(reference) {
            slot.present = false;
            self.deleted.push_back(reference.clone());
            if self.deleted.len() > DELETED_SOURCES_KEPT
                && let Some(oldest) = self.deleted.pop_front()
            {
                self.sources.remove(&oldest);
            }
        }
        Effect {
            source: Some(SourceChange::Deleted),
            ..Effect::default()
        }
    }

    /// `generation` is `None` where the workload comes from the answer to a patch.
    pub(super) fn workload_seen(&mut self, workload: Workload, generation: Option<u32>) -> Effect {
        let id = local(&workload.key);
        let mut effect = Effect::default();
        let before = self.workloads.get_mut(&id);
        let known = before.is_some();
        if let Some(slot) = before {
            slot.generation = generation.unwrap_or(slot.generation);
            if slot.workload.uid == workload.uid && slot.workload.resource_version > workload.resource_version
            {
                return effect;
            }
            if slot.workload.uid != workload.uid {
                // Its pods are new and started with what the sources held then.
                slot.owed.clear();
            }
            if slot.workload.opt_in == workload.opt_in && slot.workload.template == workload.template {
                slot.workload = Arc::new(workload);
                return effect;
            }
        }
        let workload = Arc::new(workload);
        match self.workloads.get_mut(&id) {
            Some(slot) => {
                let before = std::mem::replace(&mut slot.workload, Arc::clone(&workload));
                if !slot.owed.is_empty() {
                    effect.woken.push(workload.key.clone());
                }
                if before.opt_in != workload.opt_in {
                    effect.opted = Some(Arc::clone(&workload));
                }
                self.unlink(&id, &before);
            }
            None => {
                let generation = generation.unwrap_or_default();
                let slot = WorkloadSlot {
                    workload: Arc::clone(&workload),
                    generation,
                    owed: HashMap::new(),
                };
                self.workloads.insert(id.clone(), slot);
                if !workload.opt_in.is_empty() {
                    effect.opted = Some(Arc::clone(&workload));
                }
            }
        }
        self.link(&id, &workload);
        if !known {
            effect.due.extend(self.claim(&id, &workload));
        }
        effect
    }

    pub(super) fn workload_gone(&mut self, key: &WorkloadKey) -> Effect {
        let id = local(key);
        let Some(slot) = self.workloads.remove(&id) else {
            return Effect::default();
        };
        self.unlink(&id, &slot.workload);
        Effect {
            gone: vec![key.clone()],
            ..Effect::default()
        }
    }

    pub(super) fn sweep_sources(&mut self, kind: SourceKind, generation: u32) {
        let unseen = |(reference, slot): (&SourceRef, &SourceSlot)| {
            (reference.kind == kind && slot.present && slot.generation != generation)
                .then(|| reference.clone())
        };
        let gone: Vec<SourceRef> = self.sources.iter().filter_map(unseen).collect();
        for reference in gone {
            self.source_gone(&reference);
        }
    }

    pub(super) fn sweep_workloads(&mut self, kind: WorkloadKind, generation: u32) -> Vec<WorkloadKey> {
        let unseen = |((of_kind, _), slot): (&LocalWorkload, &WorkloadSlot)| {
            (*of_kind == kind && slot.generation != generation).then(|| slot.workload.key.clone())
        };
        let gone: Vec<WorkloadKey> = self.workloads.iter().filter_map(unseen).collect();
        for key in &gone {
            self.workload_gone(key);
        }
        gone
    }

    pub(super) fn uid(&self, key: &WorkloadKey) -> Option<&str> {
        self.workloads.get(&local(key)).map(|slot| &*slot.workload.uid)
    }

    pub(super) fn pending(&self, key: &WorkloadKey) -> Option<Pending> {
        let slot = self.workloads.get(&local(key))?;
        let since = slot.owed.values().map(|debt| debt.first.at).min()?;
        let owed = slot.owed.iter().filter_map(|(reference, debt)| {
            let source = self
                .sources
                .get(reference)
                .filter(|slot| slot.present)?
                .source
                .clone();
            Some(Owed {
                source,
                seen_at: debt.last_unix,
                order: debt.order,
            })
        });
        Some(Pending {
            workload: Arc::clone(&slot.workload),
            owed: owed.collect(),
            since,
        })
    }

    pub(super) fn attempt(&mut self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        let Some(slot) = self.workloads.get_mut(&local(key)) else {
            return;
        };
        for reference in sources {
            if let Some(debt) = slot.owed.get_mut(&reference) {
                debt.running = None;
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        key: &WorkloadKey,
        settled: impl IntoIterator<Item = (SourceRef, Digest)>,
        change: &Change,
    ) -> bool {
        let Some(slot) = self.workloads.get_mut(&local(key)) else {
            return false;
        };
        for (reference, digest) in settled {
            match self.sources.get(&reference) {
                Some(source) if source.source.digest != digest => {
                    slot.owed
                        .entry(reference)
                        .or_insert_with(|| Debt::new(None, change))
                        .running = Some(digest);
                }
                _ => _ = slot.owed.remove(&reference),
            }
        }
        !slot.owed.is_empty()
    }

    pub(super) fn owing(&self) -> Vec<WorkloadKey> {
        let owing = self.workloads.values().filter(|slot| !slot.owed.is_empty());
        owing.map(|slot| slot.workload.key.clone()).collect()
    }

    pub(super) fn forget_changes(&mut self) {
        self.unclaimed.clear();
    }

    pub(super) fn workload_counts(&self) -> [usize; WorkloadKind::ALL.len()] {
        let mut counts = [0; WorkloadKind::ALL.len()];
        for (kind, _) in self.workloads.keys() {
            counts[*kind as usize] += 1;
        }
        counts
    }

    /// Sources that take up memory, deleted ones included.
    #[cfg(test)]
    pub(super) fn known_sources(&self) -> usize {
        self.sources.len()
    }

    pub(super) fn source_counts(&self) -> [usize; SourceKind::ALL.len()] {
        let mut counts = [0; SourceKind::ALL.len()];
        for (reference, slot) in &self.sources {
            counts[reference.kind as usize] += usize::from(slot.present);
        }
        counts
    }

    /// Notes the change against every workload it concerns; returns those that owe it.
    fn owe(
        &mut self,
        reference: &SourceRef,
        before: Digest,
        now: Digest,
        change: &Change,
    ) -> Vec<WorkloadKey> {
        let concerned = self
            .sources
            .get(reference)
            .map(|slot| self.concerned(&slot.source))
            .unwrap_or_default();
        let mut due = Vec::new();
        for id in concerned {
            let Some(slot) = self.workloads.get_mut(&id) else {
                continue;
            };
            let debt = slot
                .owed
                .entry(reference.clone())
                .or_insert_with(|| Debt::new(Some(before), change));
            debt.order = change.order;
            debt.last_unix = change.seen.unix;
            if debt.running == Some(now) {
                // Back to the content it runs with, before anything was sent.
                slot.owed.remove(reference);
            } else {
                due.push(slot.workload.key.clone());
            }
        }
        due
    }

    /// A workload seen for the first time owes the changes that came before it was seen, unless it is younger.
    fn claim(&mut self, id: &LocalWorkload, workload: &Workload) -> Option<WorkloadKey> {
        let owed: Vec<(SourceRef, Debt)> = self
            .unclaimed
            .iter()
            .filter(|(_, (_, change))| workload.created_at < change.seen.unix)
            .filter_map(|(reference, (before, change))| {
                let slot = self.sources.get(reference)?;
                let changed = slot.source.digest != *before && self.concerns(&slot.source, workload);
                changed.then(|| (reference.clone(), Debt::new(Some(*before), change)))
            })
            .collect();
        let slot = self.workloads.get_mut(id)?;
        slot.owed.extend(owed);
        (!slot.owed.is_empty()).then(|| workload.key.clone())
    }

    fn owing_for(&self, reference: &SourceRef) -> Vec<WorkloadKey> {
        let owing = self
            .workloads
            .values()
            .filter(|slot| slot.owed.contains_key(reference));
        owing.map(|slot| slot.workload.key.clone()).collect()
    }

    /// The workloads that opted into this source.
    fn concerned(&self, source: &Source) -> Vec<LocalWorkload> {
        let reference = source.key.reference();
        let by_name = self.interested.get(&reference).into_iter().flatten();
        let candidates = by_name.chain(self.with_patterns.iter().filter(|id| {
            self.interested
                .get(&reference)
                .is_none_or(|interested| !interested.contains(*id))
        }));
        let concerned = candidates.filter(|id| {
            self.workloads
                .get(*id)
                .is_some_and(|slot| self.concerns(source, &slot.workload))
        });
        concerned.cloned().collect()
    }

    fn concerns(&self, source: &Source, workload: &Workload) -> bool {
        match workload.opt_in.verdict(source, self.auto_reload_all) {
            Verdict::No(_) => false,
            Verdict::Named => true,
            Verdict::Auto => {
                let reference = source.key.reference();
                workload.template.references().any(|used| *used == reference)
            }
        }
    }

    fn link(&mut self, id: &LocalWorkload, workload: &Workload) {
        for reference in interests(workload, self.auto_reload_all) {
            self.interested.entry(reference).or_default().insert(id.clone());
        }
        if SourceKind::ALL
            .into_iter()
            .any(|kind| workload.opt_in.has_patterns(kind))
        {
            self.with_patterns.insert(id.clone());
        }
    }

    fn unlink(&mut self, id: &LocalWorkload, workload: &Workload) {
        for reference in interests(workload, self.auto_reload_all) {
            if let Some(interested) = self.interested.get_mut(&reference) {
                interested.remove(id);
                if interested.is_empty() {
                    self.interested.remove(&reference);
                }
            }
        }
        self.with_patterns.remove(id);
    }
}

/// The sources a workload may want to hear of: those it references and those it lists by their exact name.
fn interests(workload: &Workload, auto_reload_all: bool) -> Vec<SourceRef> {
    let opt_in = &workload.opt_in;
    let listed = SourceKind::ALL
        .into_iter()
        .flat_map(|kind| opt_in.names(kind).map(move |name| SourceRef::new(kind, name)));
    let used = workload
        .template
        .references()
        .filter(|reference| opt_in.wants_references(reference.kind, auto_reload_all))
        .cloned();
    listed.chain(used).collect()
}

fn local(key: &WorkloadKey) -> LocalWorkload {
    (key.kind, Arc::clone(&key.name))
}
