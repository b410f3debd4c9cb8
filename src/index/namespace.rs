//! One namespace of the index: its workloads, and who wants to hear of which source.
//!
//! Input: workloads. Output: [`Effect`]s. I/O: none.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    Effect, Options,
    debt::Debt,
    doubt::Unrecorded,
    mounted::Mounted,
    sources::SourceSlot,
    unclaimed::{Sight, Unclaimed},
};
use crate::model::{Content, Source, SourceKind, SourceRef, Verdict, Workload, WorkloadKey, WorkloadKind};

/// A workload inside its namespace.
pub(super) type LocalWorkload = (WorkloadKind, Arc<str>);

#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) options: Options,
    /// Not so: no source concerns any workload here.
    pub(super) selected: bool,
    /// Boxed, because a hash table holds room for up to twice as many as there are.
    pub(super) sources: HashMap<SourceRef, Box<SourceSlot>>,
    pub(super) workloads: HashMap<LocalWorkload, WorkloadSlot>,
    /// What the pods mount through the Secrets Store CSI driver: where sources of that kind come from.
    pub(super) mounted: Mounted,
    /// The reverse index: workloads that a source of that name may concern, because they reference it or list its
    /// name. A superset; the verdict on the annotations is what counts.
    pub(super) interested: HashMap<SourceRef, HashSet<LocalWorkload>>,
    /// Workloads whose lists hold patterns: few, so each source is held against all of them.
    with_patterns: HashSet<LocalWorkload>,
    /// Workloads that use the template of the Deployment of that name.
    pub(super) followers: HashMap<Arc<str>, HashSet<LocalWorkload>>,
    /// Sources that workloads waited for when an earlier leader wrote the ledger. Kept until the first list shows
    /// which of them exist.
    pub(super) missing: HashSet<SourceRef>,
    /// Changes that workloads may owe which are not known yet, or not as they are now.
    pub(super) unclaimed: HashMap<SourceRef, Unclaimed>,
    /// No change among them was seen before.
    pub(super) oldest_unclaimed: Option<Instant>,
    /// What an earlier leader wrote down of workloads that no stream has shown yet: sources they owe a restart for, and
    /// the content they run with.
    pub(super) left_over: HashMap<LocalWorkload, Vec<(SourceRef, Option<Content>)>>,
    /// Counts deletions of sources, so that the oldest can be told.
    pub(super) deletions: u64,
    /// Set when this replica has taken over, until all is known.
    pub(super) unrecorded: Option<Unrecorded>,
}

#[derive(Debug)]
pub(super) struct WorkloadSlot {
    pub(super) workload: Arc<Workload>,
    generation: u32,
    /// The earliest resourceVersion it was seen with: the nearest to its creation.
    pub(super) first_version: u64,
    /// How many changes had been seen when it was listed or read last.
    read_at: u64,
    pub(super) owed: HashMap<SourceRef, Debt>,
}

impl Namespace {
    pub(super) fn new(options: Options, selected: bool, unrecorded: Option<Unrecorded>) -> Self {
        Self {
            options,
            selected,
            sources: HashMap::new(),
            workloads: HashMap::new(),
            mounted: Mounted::default(),
            interested: HashMap::new(),
            with_patterns: HashSet::new(),
            followers: HashMap::new(),
            missing: HashSet::new(),
            unclaimed: HashMap::new(),
            oldest_unclaimed: None,
            left_over: HashMap::new(),
            deletions: 0,
            unrecorded,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
            && self.workloads.is_empty()
            && self.missing.is_empty()
            && self.mounted.is_empty()
    }

    /// It counts from now on. What its sources hold at this moment is what the workloads are taken to run with.
    pub(super) fn select(&mut self) -> Effect {
        if std::mem::replace(&mut self.selected, true) {
            return Effect::default();
        }
        Effect {
            touched: self.opted_sources(),
            pauses: self.paused(),
            opted: self.workloads_to_check(),
            ..Effect::default()
        }
    }

    /// It does not count any more, and nothing of what was owed does.
    pub(super) fn deselect(&mut self) -> Effect {
        let effect = Effect {
            gone: self.owing(),
            touched: self.opted_sources(),
            ..Effect::default()
        };
        self.selected = false;
        for slot in self.workloads.values_mut() {
            slot.owed.clear();
        }
        self.all_is_known();
        self.unclaimed.clear();
        self.missing.clear();
        self.sources.retain(|_, slot| slot.is_present());
        self.mounted.forget_absent();
        effect
    }

    /// `generation` is `None` where the workload comes from the answer to a patch.
    pub(super) fn workload_seen(
        &mut self,
        mut workload: Workload,
        generation: Option<u32>,
        sight: Sight,
    ) -> Effect {
        let id = local(&workload.key);
        self.lend_template(&mut workload);
        let mut effect = self.take_in(workload, generation, Some(sight));
        effect.merge(self.pass_on_template(&id));
        effect
    }

    /// The same of a workload that has the template it uses. `sight`: `None` where only the template was seen.
    pub(super) fn take_in(
        &mut self,
        workload: Workload,
        generation: Option<u32>,
        sight: Option<Sight>,
    ) -> Effect {
        let id = local(&workload.key);
        let workload = Arc::new(workload);
        let Some(slot) = self.workloads.get_mut(&id) else {
            return self.workload_appeared(&id, workload, generation, sight);
        };
        let mut effect = Effect::default();
        slot.generation = generation.unwrap_or(slot.generation);
        let recreated = slot.workload.uid != workload.uid;
        if !recreated && slot.workload.resource_version > workload.resource_version {
            return effect;
        }
        if recreated {
            slot.first_version = workload.resource_version;
            self.keep_what_came_after(&id, &workload);
        }
        let Some(slot) = self.workloads.get_mut(&id) else {
            return effect;
        };
        slot.first_version = slot.first_version.min(workload.resource_version);
        let read_at = slot.read_at;
        slot.read_at = sight
            .filter(|sight| !sight.is_event)
            .map_or(read_at, |sight| sight.order);
        let before = std::mem::replace(&mut slot.workload, Arc::clone(&workload));
        let pause_changed = before.pause != workload.pause;
        let same = before.opt_in == workload.opt_in
            && before.template == workload.template
            && before.template_of == workload.template_of;
        if same && !pause_changed {
            return effect;
        }
        // Any change may be what a refused resume has waited for.
        if self.selected && (is_paused(&before) || is_paused(&workload)) {
            effect.pauses.push(workload.key.clone());
        }
        if pause_changed || before.opt_in != workload.opt_in {
            effect.opted.extend(self.selected.then(|| Arc::clone(&workload)));
        }
        if same {
            return effect;
        }
        if slot.owes() {
            effect.woken.push(workload.key.clone());
        }
        // A restart changes the template's markers and nothing that this is about.
        if before.opt_in != workload.opt_in
            || before.template_of != workload.template_of
            || !before.template.references().eq(workload.template.references())
        {
            effect.touched = self.sources_of(&before);
            self.unlink(&id, &before);
            self.link(&id, &workload);
            effect.touched.extend(self.sources_of(&workload));
            // The pods of a recreated one are new; what it owes was settled above.
            if let Some(sight) = sight.filter(|_| !recreated) {
                let owing = self.claim_anew(&id, &workload, sight, (&before, read_at));
                effect.due.extend(owing);
            }
        }
        effect
    }

    /// The workload was created anew as this: its pods have started with what the sources held then. A later change is
    /// theirs as well: where workloads may not be watched, a Job that was recreated is seen only after the next change.
    fn keep_what_came_after(&mut self, id: &LocalWorkload, workload: &Workload) {
        let Some(slot) = self.workloads.get_mut(id) else {
            return;
        };
        let mut owed = std::mem::take(&mut slot.owed);
        owed.retain(|reference, debt| {
            debt.forget_running();
            match (self.target(reference), self.sources.get(reference)) {
                (Some(Content::Present(_)), Some(slot)) => {
                    !workload.is_younger_than(&slot.source, workload.resource_version)
                }
                (Some(Content::Absent), _) => !debt.is_older_than(workload),
                _ => false,
            }
        });
        if let Some(slot) = self.workloads.get_mut(id) {
            slot.owed = owed;
        }
    }

    fn workload_appeared(
        &mut self,
        id: &LocalWorkload,
        workload: Arc<Workload>,
        generation: Option<u32>,
        sight: Option<Sight>,
    ) -> Effect {
        let generation = generation.unwrap_or_default();
        let is_event = sight.is_some_and(|sight| sight.is_event);
        let slot = WorkloadSlot {
            workload: Arc::clone(&workload),
            generation,
            first_version: workload.resource_version,
            read_at: sight.map_or(0, |sight| sight.order),
            owed: HashMap::new(),
        };
        self.workloads.insert(id.clone(), slot);
        self.link(id, &workload);
        self.doubt_workload(id);
        Effect {
            due: self.claim(id, &workload, is_event).into_iter().collect(),
            touched: self.sources_of(&workload),
            pauses: (self.selected && is_paused(&workload))
                .then(|| workload.key.clone())
                .into_iter()
                .collect(),
            opted: (self.selected && (!workload.opt_in.is_empty() || workload.pause.is_some()))
                .then_some(workload)
                .into_iter()
                .collect(),
            ..Effect::default()
        }
    }

    pub(super) fn workload_gone(&mut self, key: &WorkloadKey) -> Effect {
        let id = local(key);
        let Some(slot) = self.workloads.remove(&id) else {
            return Effect::default();
        };
        let touched = self.sources_of(&slot.workload);
        self.unlink(&id, &slot.workload);
        for source in &touched {
            self.forget_deleted(&source.reference());
        }
        let mut effect = Effect {
            gone: vec![key.clone()],
            touched,
            ..Effect::default()
        };
        effect.merge(self.pass_on_template(&id));
        effect
    }

    pub(super) fn sweep_workloads(&mut self, kind: WorkloadKind, generation: u32) -> Vec<Effect> {
        let unseen = |((of_kind, _), slot): (&LocalWorkload, &WorkloadSlot)| {
            (*of_kind == kind && slot.generation != generation).then(|| slot.workload.key.clone())
        };
        let gone: Vec<WorkloadKey> = self.workloads.iter().filter_map(unseen).collect();
        gone.iter().map(|key| self.workload_gone(key)).collect()
    }

    /// Drops the workloads of that kind that are not among these.
    pub(super) fn retain_workloads(&mut self, kind: WorkloadKind, listed: &[Workload]) -> Effect {
        let names: HashSet<&str> = listed.iter().map(|workload| &*workload.key.name).collect();
        let unlisted = |(of_kind, name): &LocalWorkload| *of_kind == kind && !names.contains(&**name);
        let gone: Vec<LocalWorkload> = self.workloads.keys().filter(|id| unlisted(id)).cloned().collect();
        let mut effect = Effect::default();
        for id in gone {
            if let Some(key) = self.workloads.get(&id).map(|slot| slot.workload.key.clone()) {
                effect.merge(self.workload_gone(&key));
            }
        }
        effect
    }

    pub(super) fn workload_counts(&self) -> BTreeMap<WorkloadKind, usize> {
        let mut counts = BTreeMap::new();
        for (kind, _) in self.workloads.keys() {
            *counts.entry(*kind).or_default() += 1;
        }
        counts
    }

    pub(super) fn workloads_to_check(&self) -> Vec<Arc<Workload>> {
        let workloads = self.workloads.values().map(|slot| &slot.workload);
        workloads
            .filter(|_| self.selected)
            .filter(|workload| workload.pause.is_some() || workload.opt_in.bad_patterns().next().is_some())
            .cloned()
            .collect()
    }

    pub(super) fn workload(&self, key: &WorkloadKey) -> Option<Arc<Workload>> {
        Some(Arc::clone(&self.workloads.get(&local(key))?.workload))
    }

    pub(super) fn paused(&self) -> Vec<WorkloadKey> {
        let paused = self
            .workloads
            .values()
            .filter(|slot| self.selected && is_paused(&slot.workload));
        paused.map(|slot| slot.workload.key.clone()).collect()
    }

    /// The workloads that opted into this source.
    pub(super) fn concerned(&self, source: &Source) -> Vec<LocalWorkload> {
        let reference = source.key.reference();
        let by_name = self.interested.get(&reference);
        let by_pattern = self
            .with_patterns
            .iter()
            .filter(|id| by_name.is_none_or(|named| !named.contains(*id)));
        let candidates = by_name.into_iter().flatten().chain(by_pattern);
        let concerned = candidates.filter(|id| {
            self.workloads
                .get(*id)
                .is_some_and(|slot| self.concerns(source, &slot.workload))
        });
        concerned.cloned().collect()
    }

    pub(super) fn concerns(&self, source: &Source, workload: &Workload) -> bool {
        if !self.selected {
            return false;
        }
        match workload.opt_in.verdict(source, self.options.auto_reload_all) {
            Verdict::No(_) => false,
            Verdict::Named => true,
            Verdict::Auto => {
                let reference = source.key.reference();
                workload.template.references().any(|used| *used == reference)
            }
        }
    }

    fn link(&mut self, id: &LocalWorkload, workload: &Workload) {
        self.follow(id, workload);
        for reference in interests(workload, self.options.auto_reload_all) {
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
        self.unfollow(id, workload);
        for reference in interests(workload, self.options.auto_reload_all) {
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

/// Whether Reloader has paused it.
fn is_paused(workload: &Workload) -> bool {
    workload.pause.as_ref().is_some_and(|pause| pause.is_ours())
}

/// The sources a workload may want to hear of: those it references and those it lists by their exact name.
pub(super) fn interests(workload: &Workload, auto_reload_all: bool) -> Vec<SourceRef> {
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

pub(super) fn local(key: &WorkloadKey) -> LocalWorkload {
    (key.kind, Arc::clone(&key.name))
}
