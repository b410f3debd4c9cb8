//! What an earlier leader wrote down, merged with what this replica has watched itself.
//!
//! Input: the ledger's lines, times of the API server. Output: debts. I/O: none.
//!
//! Hearsay adds to a belief, and takes nothing away.

use super::super::{
    change::{Change, WorkloadId},
    objects::Objects,
};
use super::{Debts, debt::Debt};
use crate::model::{Content, Source, SourceRef, UnixSeconds};

/// What this replica noted of one source before it read what an earlier leader wrote down.
#[derive(Debug)]
pub(in crate::index) struct Own(Vec<(WorkloadId, Debt)>);

impl Debts {
    /// What this replica noted itself of the source is about to be merged with what an earlier leader wrote down.
    pub(in crate::index) fn take_for_restore(&mut self, reference: &SourceRef) -> Own {
        self.unclaimed.doubt(reference);
        let mut own = Vec::new();
        self.retain_of(reference, |id, debt| {
            own.push((id.clone(), *debt));
            false
        });
        Own(own)
    }

    /// What an earlier leader wrote down is hearsay: it adds to what this replica has watched itself, and takes nothing
    /// away. What it has not written down it may have done all the same.
    ///
    /// Where a restart does not replace the pods of a template, nothing of it was watched: only what is written down
    /// counts.
    pub(in crate::index) fn merge_own(&mut self, reference: &SourceRef, Own(own): Own, objects: &Objects) {
        for (id, mut debt) in own {
            let told = self.by_workload.get(&id).and_then(|debts| debts.get(reference));
            if told.is_some() || objects.workloads.shows_restarts(&id) && !debt.is_tentative() {
                debt.merge_told(told);
                self.insert(&id, reference, debt);
            }
        }
    }

    /// The ledger says that the workload owes a restart for this source and runs with that content.
    pub(in crate::index) fn inherit(
        &mut self,
        id: &WorkloadId,
        reference: &SourceRef,
        running: Option<Content>,
        change: &Change,
        objects: &Objects,
    ) {
        let Objects { sources, workloads } = objects;
        let mut debt = Debt::from_ledger(running, change, sources.get(reference));
        if self.may_lack_a_template(id, objects) {
            debt.forget_running();
        }
        let replaced = sources.present(reference);
        let replaced = replaced.is_some_and(|source| workloads.was_replaced_after(id, source));
        if replaced || debt.belief().is(sources.target(reference)) {
            self.forget(id, reference);
        } else {
            self.insert(id, reference, debt);
        }
    }

    /// Whether the workload runs with what the source is now is not certain: its marker tells. Returns whether that is
    /// news.
    pub(in crate::index) fn check_marker(
        &mut self,
        id: &WorkloadId,
        source: &Source,
        tentative: &Change,
    ) -> bool {
        let reference = source.key.reference();
        if self.contains(id, &reference) {
            return false;
        }
        self.insert(id, &reference, Debt::new(None, tentative, Some(source)));
        true
    }

    /// The source is as the ledger has it, but it was written since, and so were these: their pods may have started with
    /// what it held in between.
    pub(super) fn claim_between(
        &mut self,
        reference: &SourceRef,
        change: &Change,
        objects: &Objects,
    ) -> Vec<WorkloadId> {
        let written = |source: &&Source| source.modified_at > self.recorded_until;
        let source = objects.sources.present(reference).filter(written);
        let (Some(source), Some(until)) = (source, self.recorded_until) else {
            return Vec::new();
        };
        let mut claimed = objects.workloads.concerned(source);
        claimed.retain(|id| {
            objects.was_touched_since(id, until.saturating_add(1))
                && !objects.workloads.was_replaced_after(id, source)
                && !objects.workloads.is_younger(id, source)
                && !self.contains(id, reference)
        });
        for id in &claimed {
            self.insert(id, reference, Debt::new(None, change, Some(source)));
        }
        claimed
    }

    /// Whether what was inherited may lack a restart of the workload.
    pub(super) fn may_lack_a_restart(&self, id: &WorkloadId, objects: &Objects) -> bool {
        let recorded_until = self.recorded_until;
        recorded_until.is_none_or(|until| objects.was_written_since(id, until))
    }

    /// Whether somebody else may have rolled the workload since what was inherited was written down.
    pub(super) fn may_lack_a_template(&self, id: &WorkloadId, objects: &Objects) -> bool {
        let recorded_until = self.recorded_until;
        recorded_until.is_some_and(|until| objects.was_touched_since(id, until))
    }

    /// What was inherited has all restarts before then.
    pub(in crate::index) fn inherited_until(&mut self, recorded_until: Option<UnixSeconds>) {
        self.recorded_until = recorded_until;
    }
}
