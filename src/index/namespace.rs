//! One namespace of the index: conducts its parts.
//!
//! Input: what the streams show, outcomes of patches, what the ledger says. Output: [`Effect`]s, [`Pending`] work.
//! I/O: none.
//!
//! Each step has the same order: what has become of the source ([`Transition`]), which workloads that concerns, what
//! they owe, what follows for the queue and the ledger ([`Effect`]).

use std::{sync::Arc, time::Instant};

use super::{
    change::{Change, Effect, Observed, Options, Pending, Settled, SourceChange, Transition, WorkloadId},
    debts::Debts,
    handover::{Handover, Unrecorded, status},
    mounted::{ClassState, Mounted},
    objects::Objects,
    source_status::{SourceState, SourceStatus},
    sources::{Before, Novelty, Sources},
    workloads::{Replaced, WorkloadSeen, Workloads, is_paused},
};
use crate::model::{
    ClassAnnotations, Content, PodStatus, Source, SourceKey, SourceKind, SourceRef, UnixSeconds, Workload,
    WorkloadKey, WorkloadKind,
};

#[derive(Debug)]
pub(super) struct Namespace {
    name: Arc<str>,
    objects: Objects,
    debts: Debts,
    /// What an earlier leader left.
    handover: Handover,
    /// Where sources of the Secrets Store CSI driver come from.
    mounted: Mounted,
}

/// How a leader stands when it reads the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists {
    /// When the ledger was stored; `None`: not known.
    pub(super) recorded_until: Option<UnixSeconds>,
    /// The source's own stream has shown one.
    pub(super) source_listed: bool,
    /// One of the statuses that show classes is still to come.
    pub(super) statuses_pending: bool,
}

impl Namespace {
    pub(super) fn new(
        name: Arc<str>,
        options: Options,
        selected: bool,
        unrecorded: Option<Unrecorded>,
    ) -> Self {
        Self {
            name,
            objects: Objects {
                sources: Sources::new(options),
                workloads: Workloads::new(options.auto_reload_all, selected),
            },
            debts: Debts::default(),
            handover: Handover::new(unrecorded),
            mounted: Mounted::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.sources.is_empty()
            && self.objects.workloads.is_empty()
            && self.handover.is_empty()
            && self.mounted.is_empty()
    }

    pub(super) const fn workloads(&self) -> &Workloads {
        &self.objects.workloads
    }

    pub(super) const fn sources(&self) -> &Sources {
        &self.objects.sources
    }

    pub(super) const fn mounted(&self) -> &Mounted {
        &self.mounted
    }

    pub(super) const fn is_selected(&self) -> bool {
        self.objects.workloads.are_selected()
    }

    /// It counts from now on. What its sources hold at this moment is what the workloads are taken to run with.
    pub(super) fn select(&mut self) -> Effect {
        if !self.objects.workloads.select(true) {
            return Effect::default();
        }
        let mut touched = self.opted_sources();
        touched.extend(self.awaited_sources());
        Effect {
            touched,
            pauses: self.objects.workloads.paused(),
            opted: self.objects.workloads.to_check(),
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
        self.objects.workloads.select(false);
        self.debts.clear();
        self.handover.clear();
        self.objects.sources.remove_absent();
        self.mounted.forget_absent();
        effect
    }

    // Workloads

    /// `generation` is `None` where the workload comes from the answer to a patch.
    pub(super) fn workload_seen(
        &mut self,
        mut workload: Workload,
        generation: Option<u32>,
        observed: Observed,
    ) -> Effect {
        let id = WorkloadId::from(&workload.key);
        self.objects.workloads.lend_template(&mut workload);
        let mut effect = self.take_in(Arc::new(workload), generation, Some(observed));
        effect.merge(self.pass_on_template(&id));
        effect
    }

    /// The same of a workload that has the template it uses. `observed`: `None` where only the template was seen.
    fn take_in(
        &mut self,
        workload: Arc<Workload>,
        generation: Option<u32>,
        observed: Option<Observed>,
    ) -> Effect {
        match self.objects.workloads.seen(&workload, generation, observed) {
            WorkloadSeen::New => self.workload_appeared(workload, observed),
            WorkloadSeen::Stale => Effect::default(),
            WorkloadSeen::Known(replaced) => self.workload_replaced(&workload, &replaced, observed),
        }
    }

    fn workload_appeared(&mut self, workload: Arc<Workload>, observed: Option<Observed>) -> Effect {
        let is_event = observed.is_some_and(|observed| observed.is_event);
        self.claim_for_new(&workload, is_event);
        self.handover
            .check_workload(&workload, &self.objects, &mut self.debts);
        let mut effect = Effect {
            due: self.key_if_owing(&workload),
            touched: self.keys(&self.objects.of_workload(&workload)),
            ..Effect::default()
        };
        if self.is_selected() {
            let key = is_paused(&workload).then(|| workload.key.clone());
            effect.pauses.extend(key);
            let has_annotations = !workload.opt_in.is_empty() || workload.pause.is_some();
            effect.opted.extend(has_annotations.then_some(workload));
        }
        effect
    }

    fn workload_replaced(
        &mut self,
        workload: &Arc<Workload>,
        replaced: &Replaced,
        observed: Option<Observed>,
    ) -> Effect {
        let (id, before) = (WorkloadId::from(&workload.key), &replaced.before);
        let recreated = replaced.is_recreated(workload);
        if recreated {
            self.debts
                .settle_for_new_pods(&id, workload, &self.objects.sources);
        }
        let mut effect = Effect::default();
        if self.is_selected() {
            let key = replaced.affects_pauses(workload).then(|| workload.key.clone());
            effect.pauses.extend(key);
            let is_news = before.pause != workload.pause || before.opt_in != workload.opt_in;
            effect.opted.extend(is_news.then(|| Arc::clone(workload)));
        }
        if replaced.differs(workload) && self.debts.owes(&id) {
            effect.woken.push(workload.key.clone());
        }
        if replaced.interests_differ(workload) {
            effect.touched = self.keys(&self.objects.of_workload(before));
            let touched = self.objects.of_workload(workload);
            effect.touched.extend(self.keys(&touched));
            // The pods of a recreated one are new; what it owes was settled above.
            if let Some(observed) = observed.filter(|_| !recreated) {
                let claimed = self
                    .debts
                    .claim_after_change(workload, replaced, observed, &self.objects);
                effect.due.extend(claimed.then(|| workload.key.clone()));
            }
        }
        effect
    }

    /// A workload has changed, appeared or gone: those that use its template get what it is now. They themselves were
    /// not seen: which changes came before is not known.
    fn pass_on_template(&mut self, id: &WorkloadId) -> Effect {
        let mut effect = Effect::default();
        for follower in self.objects.workloads.followers(id) {
            let before = self.objects.workloads.get(&WorkloadId::from(&follower.key));
            let used_nothing = before.is_some_and(|before| before.template.references().next().is_none());
            let follower = Arc::new(follower);
            effect.merge(self.take_in(Arc::clone(&follower), None, None));
            if used_nothing {
                // What it uses was not known when it appeared, nor which changes it owes.
                self.claim_for_new(&follower, false);
                effect.due.extend(self.key_if_owing(&follower));
            }
        }
        effect
    }

    /// A workload owes what came before it was seen, and what the ledger says.
    fn claim_for_new(&mut self, workload: &Workload, is_event: bool) {
        let id = WorkloadId::from(&workload.key);
        self.debts.claim_for_new(workload, is_event, &self.objects);
        self.handover.hand_over(&id, &self.objects, &mut self.debts);
    }

    fn key_if_owing(&self, workload: &Workload) -> Vec<WorkloadKey> {
        let owes = self.debts.owes(&WorkloadId::from(&workload.key));
        Vec::from_iter(owes.then(|| workload.key.clone()))
    }

    pub(super) fn workload_gone(&mut self, key: &WorkloadKey) -> Effect {
        let id = WorkloadId::from(key);
        let Some(workload) = self.objects.workloads.remove(&id) else {
            return Effect::default();
        };
        self.debts.forget_workload(&id);
        let sources = self.objects.of_workload(&workload);
        for reference in &sources {
            self.forget_tombstone(reference);
        }
        let mut effect = Effect {
            gone: vec![workload.key.clone()],
            touched: self.keys(&sources),
            ..Effect::default()
        };
        effect.merge(self.pass_on_template(&id));
        effect
    }

    pub(super) fn sweep_workloads(&mut self, kind: WorkloadKind, generation: u32) -> Effect {
        let unseen = self.objects.workloads.unseen(kind, generation);
        self.workloads_gone(&unseen)
    }

    /// Drops the workloads of that kind that are not among these.
    pub(super) fn retain_workloads(&mut self, kind: WorkloadKind, listed: &[Workload]) -> Effect {
        let unlisted = self.objects.workloads.unlisted(kind, listed);
        self.workloads_gone(&unlisted)
    }

    fn workloads_gone(&mut self, ids: &[WorkloadId]) -> Effect {
        let mut effect = Effect::default();
        for key in self.objects.workloads.keys(ids) {
            effect.merge(self.workload_gone(&key));
        }
        effect
    }

    // Sources

    /// `novelty`: what it means if the source was not known.
    pub(super) fn source_seen(
        &mut self,
        source: Source,
        generation: u32,
        novelty: Novelty,
        change: &Change,
    ) -> Effect {
        let key = source.key.clone();
        let reference = key.reference();
        let was_missing = self.handover.has_appeared(&reference);
        let novelty = if was_missing { Novelty::Certain } else { novelty };
        let is_awaited = was_missing || self.objects.is_awaited(&reference);
        let seen = self.objects.sources.seen(source, generation, novelty);
        let mut effect = Effect::of(seen.change);
        let is_touched = match seen.was {
            Before::Unknown => is_awaited || self.objects.is_opted_into(&reference),
            Before::Known | Before::Unconfirmed => false,
            // It may concern other workloads now: the ledger has to hear of that before the next change.
            Before::OtherAnnotations | Before::Deleted => true,
        };
        effect.touched.extend(is_touched.then_some(key));
        let change = Change {
            inherited: seen.inherited,
            ..*change
        };
        self.pass_on(&reference, seen.transition, &change, &mut effect);
        if seen.was == Before::Unconfirmed {
            let to_check = self
                .handover
                .check_source(&reference, &self.objects, &mut self.debts);
            effect.due.extend(self.objects.workloads.keys(&to_check));
        }
        effect
    }

    pub(super) fn source_gone(&mut self, reference: &SourceRef, change: &Change) -> Effect {
        let Some(transition) = self.objects.sources.gone(reference) else {
            return Effect::default();
        };
        let mut effect = Effect::of(SourceChange::Deleted);
        self.pass_on(reference, transition, change, &mut effect);
        effect.touched.push(self.key(reference));
        // Workloads that are not known yet may have opted into it.
        let may_be_owed = transition != Transition::Silent && self.is_selected() && change.remember;
        if (may_be_owed || !self.forget_tombstone(reference))
            && let Some(surplus) = self.objects.sources.surplus_tombstone()
        {
            self.drop_source(&surplus);
        }
        effect
    }

    /// What the complete list did not show is gone, whether this process or an earlier leader knew it.
    pub(super) fn sweep_sources(&mut self, kind: SourceKind, generation: u32, change: &Change) -> Effect {
        let mut effect = Effect::default();
        for reference in self.objects.sources.unseen(kind, generation) {
            if let Some(transition) = self.objects.sources.confirm_gone(&reference) {
                self.pass_on(&reference, transition, change, &mut effect);
                // Before its workloads are listed none seems to use it: the ledger would forget it.
                let is_opted_into = self.objects.is_opted_into(&reference);
                effect.touched.extend(is_opted_into.then(|| self.key(&reference)));
            } else {
                effect.merge(self.source_gone(&reference, change));
            }
        }
        self.handover.listed(kind);
        let awaited = self.awaited_sources().into_iter();
        effect
            .touched
            .extend(awaited.filter(|source| source.kind == kind));
        effect
    }

    /// What has become of a source is owed by the workloads it concerns, known or not.
    fn pass_on(
        &mut self,
        reference: &SourceRef,
        transition: Transition,
        change: &Change,
        effect: &mut Effect,
    ) {
        let due = self.debts.apply(reference, transition, change, &self.objects);
        effect.due.extend(self.objects.workloads.keys(&due));
        let counts = self.is_selected() && transition.as_change(change).is_some();
        effect.changed.extend(counts.then(|| self.key(reference)));
    }

    /// Drops a deleted source that no workload opted into. Returns whether it is gone now.
    fn forget_tombstone(&mut self, reference: &SourceRef) -> bool {
        let forgotten = self.objects.sources.is_absent(reference) && !self.objects.is_opted_into(reference);
        if forgotten {
            self.drop_source(reference);
        }
        forgotten
    }

    fn drop_source(&mut self, reference: &SourceRef) {
        self.objects.sources.remove(reference);
        self.debts.forget_source(reference);
        if reference.kind == SourceKind::SecretProviderClass {
            self.mounted.forget(&reference.name);
        }
    }

    pub(super) fn opted_sources(&self) -> Vec<SourceKey> {
        self.objects
            .opted()
            .map(|reference| self.key(&reference))
            .collect()
    }

    pub(super) fn awaited_sources(&self) -> Vec<SourceKey> {
        self.objects
            .awaited()
            .map(|reference| self.key(reference))
            .collect()
    }

    fn keys(&self, references: &[SourceRef]) -> Vec<SourceKey> {
        references.iter().map(|reference| self.key(reference)).collect()
    }

    fn key(&self, reference: &SourceRef) -> SourceKey {
        reference.in_namespace(&self.name)
    }

    // Debts

    pub(super) fn pending(&self, key: &WorkloadKey) -> Option<Pending> {
        let workload = self.objects.workloads.get(&key.into())?;
        self.debts.pending(workload, &self.objects.sources)
    }

    pub(super) fn attempt(&mut self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        for reference in sources {
            self.debts.attempt(&key.into(), &reference, &self.objects.sources);
        }
    }

    pub(super) fn refused(&mut self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        for reference in sources {
            self.debts.refused(&key.into(), &reference, &self.objects);
        }
    }

    /// Returns whether the workload owes something still.
    pub(super) fn settle(
        &mut self,
        key: &WorkloadKey,
        settled: impl IntoIterator<Item = (SourceRef, Content)>,
        by: Settled,
        change: &Change,
    ) -> bool {
        let id = WorkloadId::from(key);
        if !self.is_selected() || self.objects.workloads.get(&id).is_none() {
            return false;
        }
        for (reference, content) in settled {
            self.debts
                .settle(&id, &reference, content, by, change, &self.objects.sources);
        }
        self.debts.owes(&id)
    }

    pub(super) fn owing(&self) -> Vec<WorkloadKey> {
        let owing: Vec<WorkloadId> = self.debts.owing(&self.objects.sources).cloned().collect();
        self.objects.workloads.keys(&owing)
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.debts.are_unsettled(&self.objects.sources)
    }

    /// Every workload that a change seen until then may concern has been seen since.
    pub(super) fn forget_changes_until(&mut self, horizon: Instant) {
        for reference in self.debts.forget_changes_until(horizon) {
            self.forget_tombstone(&reference);
        }
    }

    // From leader to leader

    /// What a later leader needs to know of the source; `None` where no workload opted into it.
    pub(super) fn status(&self, reference: &SourceRef) -> Option<SourceStatus> {
        status(reference, &self.objects, &self.debts)
    }

    /// Takes in what an earlier leader wrote down of the source.
    pub(super) fn restore(&mut self, key: &SourceKey, status: &SourceStatus, lists: Lists, change: &Change) {
        if !self.is_selected() {
            return;
        }
        let (reference, state) = (key.reference(), status.state);
        self.debts.inherited_until(lists.recorded_until);
        self.debts.forget_source(&reference);
        if key.kind == SourceKind::SecretProviderClass
            && let Some(Content::Present(digest)) = state.content()
            && let Some(class) = self.mounted.restore(key, digest, lists.statuses_pending)
        {
            self.objects.sources.restore_class(&class);
        }
        let is_known = self.objects.sources.present(&reference).is_some();
        if state == SourceState::Missing && !is_known && !lists.source_listed {
            self.handover.wait_for(reference.clone());
        }
        let transition = self.objects.sources.restore(key, state, lists.source_listed);
        self.pass_on(&reference, transition, change, &mut Effect::default());
        for owed in &status.owed {
            let about = (&reference, state);
            self.handover
                .inherit(owed, about, change, &self.objects, &mut self.debts);
        }
    }

    /// Every workload that existed when this replica began to lead is known now.
    pub(super) fn all_workloads_known(&mut self) {
        self.handover.end();
    }

    /// Restarts may be missing in what was restored. Returns the workloads whose markers are to be checked.
    pub(super) fn begin_check(&mut self, unrecorded: Unrecorded) -> Vec<WorkloadKey> {
        self.debts.inherited_until(Some(unrecorded.since));
        self.handover.begin_check(unrecorded, &self.objects)
    }

    pub(super) fn check_unrecorded(&mut self, key: &WorkloadKey) {
        self.handover.check(&key.into(), &self.objects, &mut self.debts);
    }

    // Classes of the Secrets Store CSI driver

    /// `listing`: a complete list is under way, so the status may be one of many that appear at once.
    pub(super) fn status_seen(
        &mut self,
        status: PodStatus,
        generation: u32,
        listing: bool,
        change: &Change,
    ) -> Effect {
        let class = Arc::clone(&status.class);
        let seen = self.mounted.status_seen(status, generation, listing);
        let mut effect = Effect::default();
        for class in seen.replaced.into_iter().chain([class]) {
            effect.merge(self.show_class(class, change));
        }
        Effect {
            source: Some(seen.change),
            ..effect
        }
    }

    pub(super) fn status_gone(&mut self, name: &str, change: &Change) -> Effect {
        let Some(class) = self.mounted.status_gone(name) else {
            return Effect::default();
        };
        Effect {
            source: Some(SourceChange::Deleted),
            ..self.show_class(class, change)
        }
    }

    /// A complete list has ended: statuses that it did not show are gone, and what changed unseen comes to light.
    pub(super) fn sweep_statuses(&mut self, generation: u32, change: &Change) -> Effect {
        let mut effect = Effect::default();
        for class in self.mounted.remove_unseen(generation) {
            effect.merge(self.show_class(class, change));
        }
        for class in self.mounted.contents() {
            let reference = SourceRef::new(SourceKind::SecretProviderClass, Arc::clone(&class));
            let moved = self.mounted.conclude(&class);
            let mut shown = self.show_class(class, change);
            if moved {
                self.debts.settle_for_newer_workloads(&reference, &self.objects);
                let owes = |key: &WorkloadKey| self.debts.contains(&key.into(), &reference);
                shown.due.retain(owes);
            }
            effect.merge(shown);
        }
        effect
    }

    pub(super) fn class_seen(&mut self, class: ClassAnnotations, generation: u32) -> Effect {
        let effect = self.annotate(&class.key.reference(), Some(&class));
        self.mounted.class_seen(class, generation);
        effect
    }

    pub(super) fn class_gone(&mut self, reference: &SourceRef) -> Effect {
        self.mounted.class_gone(&reference.name);
        self.annotate(reference, None)
    }

    pub(super) fn sweep_classes(&mut self, generation: u32) -> Effect {
        let mut effect = Effect::default();
        for reference in self.mounted.unseen_classes(generation) {
            effect.merge(self.class_gone(&reference));
        }
        effect
    }

    fn annotate(&mut self, reference: &SourceRef, class: Option<&ClassAnnotations>) -> Effect {
        let differs = self.objects.sources.annotate(reference, class);
        Effect {
            touched: Vec::from_iter(differs.then(|| self.key(reference))),
            ..Effect::default()
        }
    }

    /// Brings the class's source in line with what its pods show.
    fn show_class(&mut self, class: Arc<str>, change: &Change) -> Effect {
        let reference = SourceRef::new(SourceKind::SecretProviderClass, class);
        match self.mounted.state(&self.key(&reference)) {
            ClassState::Shown(source) => self.source_seen(source, 0, Novelty::Uncertain, change),
            ClassState::Undecided => Effect::default(),
            ClassState::Gone => {
                let effect = self.source_gone(&reference, change);
                if self.objects.sources.get(&reference).is_none() {
                    self.mounted.forget(&reference.name);
                }
                effect
            }
        }
    }
}
