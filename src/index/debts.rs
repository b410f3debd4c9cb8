//! What the workloads of one namespace owe: how a debt arises, is attempted and settled.
//!
//! Input: [`Transition`]s, outcomes of patches, what the ledger said. Output: who owes, and [`Owed`](crate::model::Owed) work. I/O: none.
//!
//! - **A debt arises** when a known source shows other content. It notes what the pods may have started with ([`belief`],
//!   with the table of all that changes it), when the change was first seen, and its place in the order of all changes. A
//!   further change of the same source moves that place.
//! - **It ends without a write** when the source is back to what the pods certainly run with, or when somebody changes the
//!   template after the source was written: that rollout starts pods with the present content. Of a StatefulSet with a
//!   partition, of `OnDelete` and of a paused workload not all pods are new then, and the debt stays.
//! - **Settled** when a patch succeeded or none was needed, for exactly the content the decision looked at. If the source
//!   has moved on meanwhile, the debt stays, and the workload runs with the settled content.
//! - **Declined.** A deletion that restarts nothing, because there is no variable to remove, leaves the pods with what
//!   they run with, so that the same content coming back is no change. The ledger does not have that; a later leader
//!   restarts there, as upstream does.
//! - **Recreated.** A workload with another uid owes only what changed after it was created; its pods are new. Not so
//!   where the one before left its pods behind: they run with what they ran with.

mod belief;
mod book;
mod debt;
mod moved;
mod released;
mod told;
mod unclaimed;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    change::{Change, Observed, Pending, Settled, Transition, WorkloadId},
    objects::Objects,
    replaced::Replaced,
    source_status::OwedBy,
    sources::Sources,
    workloads::Workloads,
};
use crate::model::{Content, Source, SourceRef, UnixSeconds, Workload};
use book::Book;
use debt::{Debt, Step, Template};
use released::Released;
use unclaimed::{Claim, Unclaimed, Written};

#[derive(Debug, Default)]
pub(super) struct Debts {
    book: Book,
    /// Changes that workloads may owe which are not known yet, or not as they are now.
    unclaimed: Unclaimed,
    /// Pods that stay without their workload.
    released: Released,
    /// Restarts from then on may be missing in what was inherited; `None`: any may.
    recorded_until: Option<UnixSeconds>,
}

impl Debts {
    /// The source has changed so: notes it against every workload it concerns, known or not. Returns those that owe a
    /// restart because of it.
    pub(super) fn apply(
        &mut self,
        reference: &SourceRef,
        transition: Transition,
        change: &Change,
        objects: &Objects,
    ) -> Vec<WorkloadId> {
        if transition == Transition::Returned {
            return self.source_returned(reference, objects);
        }
        let Some((from, change)) = transition.as_change(change) else {
            return Vec::new();
        };
        if change.remember && objects.workloads.are_selected() {
            self.remember(reference, from, &change, objects);
        }
        let Some((source, target)) = objects.sources.with_target(reference) else {
            return Vec::new();
        };
        let mut due = objects.workloads.concerned(source);
        due.retain(|id| {
            // Their stream was faster than the source's.
            let owed = || Debt::new(from, &change, Some(source));
            if self.is_settled_as_watched(id, (source, target), owed, objects) {
                return false;
            }
            let Some(new) = self.new_debt(id, from, &change, source, objects) else {
                self.forget(id, reference);
                return false;
            };
            let unrecorded = objects.may_be_written_since(id, self.recorded_until);
            let debt = self.book.get_or_insert(id, reference, || new);
            let step = Step {
                before: from,
                pods_moved: objects.workloads.pods_moved_since(id, debt.version()),
                unrecorded,
            };
            if objects
                .workloads
                .pods_may_start_since(id, source.resource_version)
            {
                // The stream of the sources was slower than a rollout, which may have been for what they held before, or
                // than a pod.
                debt.started_with(target);
            }
            let remains = debt.changed(step, target, &change, source);
            if !remains {
                self.forget(id, reference);
            }
            remains
        });
        match transition {
            Transition::Appeared { .. } | Transition::AppearedUnknown => {
                self.settle_for_newer_workloads(reference, objects);
                due.retain(|id| self.contains(id, reference));
            }
            Transition::Silent | Transition::Changed { .. } | Transition::Returned => {}
        }
        due
    }

    /// Whether all pods of the workload have certainly started since the source was written, because this replica has seen
    /// somebody else change the template: nothing is due, and what is `owed` rests until no pod of before can be left.
    fn is_settled_as_watched(
        &mut self,
        id: &WorkloadId,
        (source, target): (&Source, Content),
        owed: impl FnOnce() -> Debt,
        objects: &Objects,
    ) -> bool {
        let is_settled = objects.workloads.was_replaced_since(id, source.resource_version);
        if is_settled {
            let reference = source.key.reference();
            self.forget(id, &reference);
            if objects.workloads.is_under_replacement(id) {
                self.insert(id, &reference, owed().rolled_before(target));
            }
        }
        is_settled
    }

    /// The source is back as it was last: a workload that owed a restart for it before still does, unless it runs with
    /// that.
    fn source_returned(&mut self, reference: &SourceRef, objects: &Objects) -> Vec<WorkloadId> {
        let (target, recorded_until) = (objects.sources.target(reference), self.recorded_until);
        let source = objects.sources.present(reference);
        let mut due = Vec::new();
        self.book.retain_of(reference, |id, debt| {
            let is_settled = |source| objects.was_replaced_unseen(id, source, true, recorded_until);
            if debt.is_inherited() && source.is_some_and(is_settled) {
                return false;
            }
            let unrecorded = objects.may_be_written_since(id, recorded_until);
            let remains = debt.remains(target, unrecorded);
            due.extend(remains.then(|| id.clone()));
            remains
        });
        due
    }

    /// Workloads created after the source was last written have always had its present content.
    ///
    /// A write that only removes keys leaves no time on the source. But content that differs from the ledger's was written
    /// since, so a workload that was created before the ledger was stored is not newer, whatever the times say.
    pub(super) fn settle_for_newer_workloads(&mut self, reference: &SourceRef, objects: &Objects) {
        let Some(source) = objects.sources.get(reference) else {
            return;
        };
        let recorded_until = self.recorded_until;
        self.book.retain_of(reference, |id, debt| {
            let existed = debt.is_inherited() && objects.was_created_before(id, recorded_until);
            existed || !objects.workloads.is_younger(id, source)
        });
    }

    /// The workload was created anew as this: its pods have started with what the sources held then. A later change is
    /// theirs as well: where workloads may not be watched, a Job that was recreated is seen only after the next change.
    pub(super) fn settle_for_new_pods(&mut self, id: &WorkloadId, workload: &Workload, sources: &Sources) {
        self.book.retain(id, |reference, debt| {
            debt.forget_running();
            match (sources.target(reference), sources.get(reference)) {
                (Some(Content::Present(_)), Some(source)) => {
                    !workload.is_younger_than(source, workload.resource_version)
                }
                (Some(Content::Absent), _) => !debt.is_older_than(workload),
                _ => false,
            }
        });
    }

    /// Workloads that were created while the source did not exist have never had what it held before.
    pub(super) fn settle_for_created_since(
        &mut self,
        reference: &SourceRef,
        version: u64,
        objects: &Objects,
    ) {
        self.book.retain_of(reference, |id, _| {
            !objects.workloads.was_created_since(id, version)
        });
    }

    /// A workload seen for the first time owes the changes that came before it was seen, unless it is younger.
    pub(super) fn claim_for_new(&mut self, workload: &Workload, is_event: bool, objects: &Objects) {
        let claims = self
            .unclaimed
            .of_new(workload, is_event, || candidates(workload, objects));
        self.claim(workload, claims, objects);
    }

    /// A workload that uses other sources than before, or listens to others, owes their changes that came after it did.
    /// Returns whether it owes any.
    pub(super) fn claim_after_change(
        &mut self,
        workload: &Workload,
        replaced: &Replaced,
        observed: Observed,
        objects: &Objects,
    ) -> bool {
        let mut claims = {
            let candidates = || candidates(workload, objects);
            self.unclaimed
                .of_changed(workload, observed, replaced, candidates)
        };
        claims.retain(|claim| {
            let source = objects.sources.get(&claim.reference);
            source.is_some_and(|source| !objects.workloads.concerns(source, &replaced.before))
        });
        self.claim(workload, claims, objects)
    }

    /// What the workload owes already stays as it is. Returns whether it owes more now.
    fn claim(&mut self, workload: &Workload, claims: Vec<Claim>, objects: &Objects) -> bool {
        let id = WorkloadId::from(&workload.key);
        let mut claimed = false;
        for claim in claims {
            let known = objects.sources.with_target(&claim.reference);
            let owes = known.filter(|(source, target)| {
                claim.running != Some(*target) && objects.workloads.concerns(source, workload)
            });
            if let Some((source, _)) = owes
                && !self.contains(&id, &claim.reference)
            {
                let debt = self.new_debt(&id, claim.running, &claim.change, source, objects);
                claimed |= debt.is_some();
                if let Some(debt) = debt {
                    self.insert(&id, &claim.reference, debt);
                }
            }
        }
        claimed
    }

    /// Keeps a change for workloads that are seen later: the source held `before` until then.
    pub(super) fn remember(
        &mut self,
        reference: &SourceRef,
        before: Option<Content>,
        change: &Change,
        objects: &Objects,
    ) {
        let version = |source: &Source| source.resource_version;
        let written = match objects.sources.present(reference) {
            Some(source) => Written::At(source.modified_at, source.resource_version),
            None => Written::Deletion(objects.sources.get(reference).map_or(0, version)),
        };
        self.unclaimed.remember(reference, before, written, change);
    }

    /// The last change of the source that is kept for workloads seen later.
    pub(super) fn last_change(&self, reference: &SourceRef) -> Option<Change> {
        self.unclaimed.last(reference).copied()
    }

    /// Forgets the changes that were seen until then: every workload they may concern has been seen since. Returns their
    /// sources.
    pub(super) fn forget_changes_until(&mut self, horizon: Instant) -> Vec<SourceRef> {
        self.unclaimed.forget_until(horizon)
    }

    /// A patch for this source is about to be sent.
    pub(super) fn attempt(&mut self, id: &WorkloadId, reference: &SourceRef, sources: &Sources) {
        if let Some(debt) = self.book.get_mut(id, reference)
            && let Some(target) = sources.target(reference)
        {
            debt.attempted(target);
        }
    }

    /// The API server has refused the patch for this source that was sent last.
    pub(super) fn refused(&mut self, id: &WorkloadId, reference: &SourceRef, objects: &Objects) {
        let target = objects.sources.target(reference);
        let unrecorded = objects.may_be_written_since(id, self.recorded_until);
        self.book.retain(id, |other, debt| {
            other != reference || debt.refused(target, unrecorded)
        });
    }

    /// The workload has been brought to this content, or need not be.
    pub(super) fn settle(
        &mut self,
        id: &WorkloadId,
        reference: &SourceRef,
        content: Content,
        by: Settled,
        change: &Change,
        Objects { sources, workloads }: &Objects,
    ) {
        let source = sources.get(reference);
        let last = source.map(|source| Content::Present(source.digest));
        let now = sources.target(reference).or(last);
        let moved_on = now.is_some_and(|now| now != content);
        let left_as_it_was = by == Settled::WithoutRestart && content == Content::Absent;
        match (moved_on, left_as_it_was) {
            (true, true) => {}
            (true, false) => {
                let new = || Debt::new(None, change, source);
                let debt = self.book.get_or_insert(id, reference, new);
                debt.brought_to(content);
                if let Some(now) = now
                    && source
                        .is_some_and(|source| workloads.pods_may_start_since(id, source.resource_version))
                {
                    debt.started_with(now);
                }
            }
            (false, true) => {
                // The pods run with what they ran with before the deletion.
                self.book
                    .retain(id, |other, debt| other != reference || debt.decline());
            }
            (false, false) => self.forget(id, reference),
        }
    }

    /// What the workload owes now; `None` when it owes nothing.
    pub(super) fn pending(
        &self,
        workload: &Arc<Workload>,
        workloads: &Workloads,
        sources: &Sources,
    ) -> Option<Pending> {
        let id = WorkloadId::from(&workload.key);
        let due = || self.of(&id).filter(|(_, debt)| debt.is_due());
        let since = due().map(|(_, debt)| debt.since()).min()?;
        // Whose template another one lends is not watched itself: its marker tells.
        let follows = workload.template_of.is_some();
        let owed = due().filter_map(|(reference, debt)| {
            let content = sources.target(reference)?;
            let may_bring_back = workloads.may_have_left_a_template_with(&id, content);
            let source = sources.get(reference)?;
            // Times have whole seconds: of one second, the versions tell which came first.
            let is_of_one_second = source
                .modified_at
                .is_some_and(|at| workload.template.written_at == Some(at));
            let template = Template {
                follows,
                may_bring_back,
                is_older: is_of_one_second && workloads.was_written_before(&id, debt.version()),
            };
            Some(debt.owed(content, source, template))
        });
        Some(Pending {
            workload: Arc::clone(workload),
            owed: owed.collect(),
            is_uncertain: due().any(|(_, debt)| debt.belief().is_uncertain()),
            since,
        })
    }

    /// The workloads that there is something to bring to: where a source is absent, that may not be so until it returns.
    pub(super) fn owing<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = &'a WorkloadId> {
        self.book.workloads().filter(|id| {
            self.of(id)
                .any(|(reference, debt)| debt.is_due() && sources.target(reference).is_some())
        })
    }

    /// Whether the workload owes a restart for any source, absent ones included.
    pub(super) fn owes(&self, id: &WorkloadId) -> bool {
        self.of(id).any(|(_, debt)| debt.is_due())
    }

    /// Whether the workload owes a restart for that source.
    pub(super) fn is_due(&self, id: &WorkloadId, reference: &SourceRef) -> bool {
        self.book.get(id, reference).is_some_and(Debt::is_due)
    }

    /// Every debt of the workload, declined ones too.
    pub(super) fn standings(&self, id: &WorkloadId) -> impl Iterator<Item = (&SourceRef, DebtStanding)> {
        self.of(id).map(|(reference, debt)| {
            let standing = DebtStanding {
                since: debt.since(),
                running: debt.belief().only(),
                is_due: debt.is_due(),
            };
            (reference, standing)
        })
    }

    /// Whether there is a debt for that source, declined or not.
    pub(super) fn contains(&self, id: &WorkloadId, reference: &SourceRef) -> bool {
        self.book.get(id, reference).is_some()
    }

    /// The debt as a later leader has to know it.
    pub(super) fn owed_by(
        &self,
        id: &WorkloadId,
        reference: &SourceRef,
        objects: &Objects,
    ) -> Option<OwedBy> {
        let debt = self.book.get(id, reference)?;
        // What this leader was told without the last restart, it does not pass on as complete.
        let lacks_a_restart = || debt.is_inherited() && objects.may_be_written_since(id, self.recorded_until);
        debt.is_recorded().then(|| OwedBy {
            kind: id.kind,
            name: Arc::clone(&id.name),
            running: debt.running().filter(|_| !lacks_a_restart()),
        })
    }

    /// Whether there is something to bring a workload to, or may be once all are known.
    pub(super) fn are_unsettled(&self, sources: &Sources) -> bool {
        !self.unclaimed.is_empty() || self.owing(sources).next().is_some()
    }

    pub(super) fn forget_source(&mut self, reference: &SourceRef) {
        self.unclaimed.forget(reference);
        self.book.retain_of(reference, |_, _| false);
    }

    pub(super) fn forget_workload(&mut self, id: &WorkloadId) {
        self.book.remove_workload(id);
    }

    pub(super) fn clear(&mut self) {
        self.book.clear();
        self.unclaimed.clear();
        self.released = Released::default();
    }

    fn of(&self, id: &WorkloadId) -> impl Iterator<Item = (&SourceRef, &Debt)> {
        self.book.of(id)
    }

    fn insert(&mut self, id: &WorkloadId, reference: &SourceRef, debt: Debt) {
        self.book.insert(id, reference, debt);
    }

    fn forget(&mut self, id: &WorkloadId, reference: &SourceRef) {
        self.book.remove(id, reference);
    }
}

/// What users are shown of a debt.
#[derive(Clone, Copy, Debug)]
pub(super) struct DebtStanding {
    /// When the first change was seen.
    pub(super) since: Instant,
    /// The one content that the pods run with; `None`: several are possible.
    pub(super) running: Option<Content>,
    /// Whether it is due.
    pub(super) is_due: bool,
}

/// The sources that may concern the workload; `None`: any may, by a pattern.
fn candidates(workload: &Workload, objects: &Objects) -> Option<BTreeSet<SourceRef>> {
    let interests = objects.workloads.interests(workload);
    let named = interests.used.into_iter().chain(interests.listed);
    interests.asked.is_none().then(|| named.collect())
}
