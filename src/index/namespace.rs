//! One namespace of the index: conducts its parts.
//!
//! Input: what the streams show, outcomes of patches, what the ledger says. Output: [`Effect`]s, [`Pending`] work.
//! I/O: none.
//!
//! Each step has the same order: what has become of the source ([`Transition`]), which workloads that concerns, what
//! they owe, what follows for the queue and the ledger ([`Effect`]).

mod classes;
mod limits;

use std::{sync::Arc, time::Instant};

use super::{
    change::{Change, Effect, Observed, Options, Pending, Settled, SourceChange, Transition, WorkloadId},
    course::Everywhere,
    debts::Debts,
    handover::{Handover, Unrecorded, status},
    mounted::Mounted,
    objects::Objects,
    replaced::{Replaced, WorkloadSeen, is_paused},
    source_status::{SourceState, SourceStatus},
    sources::{Before, Novelty, Sources},
    workloads::Workloads,
};
use crate::model::{
    Content, Source, SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey, WorkloadKind,
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
    /// Rises with everything that happens here.
    version: u64,
    /// An annotation was seen here by which restarts depend on others.
    has_limits: bool,
}

/// How a leader stands when it reads the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists {
    /// Until when the ledger is complete; `None`: not known.
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
        in_progress: &Everywhere,
    ) -> Self {
        Self {
            name,
            objects: Objects {
                sources: Sources::new(options),
                workloads: Workloads::new(options.auto_reload_all, selected, in_progress.clone()),
            },
            debts: Debts::default(),
            handover: Handover::new(unrecorded),
            mounted: Mounted::default(),
            version: 0,
            has_limits: false,
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

    pub(super) const fn debts(&self) -> &Debts {
        &self.debts
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
        workload.key.namespace = Arc::clone(&self.name);
        self.objects.workloads.lend_template(&mut workload);
        self.objects.workloads.limit_lists(&mut workload);
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

    /// This process has written the workload, which got that resourceVersion.
    pub(super) fn written(&mut self, key: &WorkloadKey, version: u64) {
        self.objects.workloads.written(&key.into(), version);
    }

    fn workload_appeared(&mut self, workload: Arc<Workload>, observed: Option<Observed>) -> Effect {
        let is_event = observed.is_some_and(|observed| observed.is_event);
        self.claim_for_new(&workload, is_event);
        self.debts.adopt_released(&workload, &self.objects);
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
            let may_be_wrong =
                !workload.opt_in.is_empty() || workload.pause.is_some() || workload.lacks_template;
            effect.opted.extend(may_be_wrong.then_some(workload));
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
        let owed = self.debts.owes(&id);
        let settled = self.debts.workload_moved(workload, replaced, &self.objects);
        if !settled.is_empty() {
            effect.settled = self.keys(&settled);
            effect.due.extend(self.key_if_owing(workload));
        }
        let Self {
            handover,
            objects,
            debts,
            ..
        } = self;
        let may_owe = handover.check_restart(workload, replaced, objects, debts);
        effect.due.extend(may_owe.then(|| workload.key.clone()));
        if self.is_selected() {
            let key = replaced.affects_pauses(workload).then(|| workload.key.clone());
            effect.pauses.extend(key);
            effect
                .opted
                .extend(replaced.is_news(workload).then(|| Arc::clone(workload)));
            let put_back = replaced.put_back(workload);
            effect.put_back.extend(put_back.filter(|_| !owed));
        }
        if self.objects.workloads.may_be_concerned(workload) {
            effect.rollouts.extend(replaced.rollout_change(workload));
        }
        let wakes = replaced.differs(workload) && self.debts.owes(&id);
        effect.woken.extend(wakes.then(|| workload.key.clone()));
        if recreated || replaced.interests_differ(workload) {
            let touched = self.objects.of_workload(before);
            effect.touched.extend(self.keys(&touched));
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
        self.handover.forget_workload(&id);
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

    /// It is being deleted, and its pods stay.
    pub(super) fn workload_released(&mut self, key: &WorkloadKey, change: &Change) -> Effect {
        if let Some(workload) = self.objects.workloads.get(&key.into()) {
            self.debts.release(workload, change, &self.objects);
        }
        self.workload_gone(key)
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
        mut source: Source,
        generation: u32,
        novelty: Novelty,
        change: &Change,
    ) -> Effect {
        // One text for all of them.
        source.key.namespace = Arc::clone(&self.name);
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
        if matches!(
            seen.transition,
            Transition::Appeared {
                from: Some(Content::Present(_))
            }
        ) {
            self.debts
                .settle_for_created_since(&reference, seen.deleted, &self.objects);
            let debts = &self.debts;
            effect.due.retain(|key| debts.contains(&key.into(), &reference));
        }
        if matches!(seen.was, Before::Unknown | Before::Unconfirmed) {
            let to_check = self
                .handover
                .check_source(&reference, &self.objects, &mut self.debts);
            effect.due.extend(self.objects.workloads.keys(&to_check));
        }
        let restarted = self
            .handover
            .check_restarted(&reference, &self.objects, &mut self.debts);
        effect.due.extend(self.objects.workloads.keys(&restarted));
        effect
    }

    /// `version`: the resourceVersion of the deletion; 0: not known.
    pub(super) fn source_gone(&mut self, reference: &SourceRef, version: u64, change: &Change) -> Effect {
        let Some(transition) = self.objects.sources.gone(reference, version) else {
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
                effect.merge(self.source_gone(&reference, 0, change));
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
        // No worker will settle it.
        let is_settled = counts && due.is_empty() && self.objects.is_opted_into(reference);
        effect.settled.extend(is_settled.then(|| self.key(reference)));
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
        let Objects {
            workloads, sources, ..
        } = &self.objects;
        self.debts
            .pending(workloads.get(&key.into())?, workloads, sources)
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
                .settle(&id, &reference, content, by, change, &self.objects);
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
        self.handover.record(reference.clone());
        let own = self.debts.take_for_restore(&reference);
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
        self.debts.merge_own(&reference, own, status, &self.objects);
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

    pub(super) fn check_unrecorded(&mut self, key: &WorkloadKey) -> Vec<SourceKey> {
        let id = WorkloadId::from(key);
        self.handover.check(&id, &self.objects, &mut self.debts);
        let workload = self.objects.workloads.get(&id);
        let sources = workload.map(|workload| self.objects.of_workload(workload));
        self.keys(&sources.unwrap_or_default())
    }
}
