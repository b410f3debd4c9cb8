//! What an earlier leader wrote down, merged with what this replica has watched itself.
//!
//! Input: the ledger's lines, times of the API server. Output: debts. I/O: none.
//!
//! Hearsay adds to a belief, and takes nothing away.

use std::collections::HashMap;

use super::super::{
    change::{Change, WorkloadId},
    objects::Objects,
    source_status::SourceStatus,
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
        self.book.retain_of(reference, |id, debt| {
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
    pub(in crate::index) fn merge_own(
        &mut self,
        reference: &SourceRef,
        Own(own): Own,
        status: &SourceStatus,
        objects: &Objects,
    ) {
        let owed = status.owed.iter();
        let running: HashMap<_, _> = owed
            .map(|owed| ((owed.kind, &*owed.name), owed.running))
            .collect();
        for (id, mut debt) in own {
            let told = self.book.get(&id, reference);
            if told.is_some() || objects.workloads.shows_restarts(&id) && !debt.is_tentative() {
                debt.merge_told(told);
                if told.is_none() {
                    // A replica that has started since takes what it has listed for what they run with.
                    match (running.get(&(id.kind, &*id.name)), status.state.content()) {
                        (Some(running), _) => debt.told_to_run_with(*running),
                        (None, Some(content)) => debt.told_to_run_with(Some(content)),
                        (None, None) => {}
                    }
                }
                self.insert(&id, reference, debt);
            }
        }
    }

    /// The ledger says that the workload owes a restart for this source and runs with the first of these; the source held the
    /// second then, as far as that is known.
    pub(in crate::index) fn inherit(
        &mut self,
        id: &WorkloadId,
        reference: &SourceRef,
        (running, state): (Option<Content>, Option<Content>),
        change: &Change,
        objects: &Objects,
    ) {
        let sources = &objects.sources;
        let mut debt = Debt::from_ledger(running, change, sources.get(reference));
        if self.may_lack_a_template(id, objects) {
            debt.forget_running();
        }
        if let Some(present) = sources.with_target(reference)
            && self.is_settled_since_recorded(id, present, || debt, objects)
        {
            return;
        }
        let is_recorded = state.is_some() && sources.target(reference) == state;
        let source = sources.present(reference);
        let is_settled = |source| objects.was_replaced_unseen(id, source, is_recorded, self.recorded_until);
        if source.is_some_and(is_settled) || debt.belief().is(sources.target(reference)) {
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
        objects: &Objects,
    ) -> bool {
        let reference = source.key.reference();
        let unknown = || Debt::new(None, tentative, Some(source));
        let present = (source, Content::Present(source.digest));
        if self.contains(id, &reference) || self.is_settled_since_recorded(id, present, unknown, objects) {
            return false;
        }
        self.insert(id, &reference, unknown());
        true
    }

    /// An earlier leader has restarted the workload for a content that it is not known to have run with, by the text of its
    /// marker; `None`: it is not known which. Returns whether the workload may owe a restart that it did not owe before.
    pub(in crate::index) fn check_restart(
        &mut self,
        id: &WorkloadId,
        source: &Source,
        shown: Option<&str>,
        tentative: &Change,
        objects: &Objects,
    ) -> bool {
        if let Some(debt) = self.book.get_mut(id, &source.key.reference()) {
            if !shown.is_some_and(|shown| debt.belief().shows(shown)) {
                debt.forget_running();
            }
            return false;
        }
        self.check_marker(id, source, tentative, objects)
    }

    /// What the workload owes, which ran with this; `None` where the change was inherited and somebody else has settled it.
    pub(super) fn new_debt(
        &self,
        id: &WorkloadId,
        running: Option<Content>,
        change: &Change,
        source: &Source,
        objects: &Objects,
    ) -> Option<Debt> {
        let mut debt = Debt::new(running, change, Some(source));
        if change.inherited {
            if objects.was_replaced_unseen(id, source, false, self.recorded_until) {
                return None;
            }
            if self.may_lack_a_template(id, objects) {
                debt.forget_running();
            }
        }
        Some(debt)
    }

    /// As [`Objects::was_replaced_unseen`], for a source that the ledger has with other content or not at all.
    pub(in crate::index) fn was_replaced_unseen(
        &self,
        id: &WorkloadId,
        source: &Source,
        objects: &Objects,
    ) -> bool {
        objects.was_replaced_unseen(id, source, false, self.recorded_until)
    }

    /// As [`Self::is_settled_as_watched`], of a write of the source that an earlier leader had not seen when it wrote down what
    /// was inherited. Of another one this replica's watch may be dead, and the leader may have seen more.
    fn is_settled_since_recorded(
        &mut self,
        id: &WorkloadId,
        present: (&Source, Content),
        owed: impl FnOnce() -> Debt,
        objects: &Objects,
    ) -> bool {
        let is_newer = self.recorded_until.is_some() && present.0.modified_at >= self.recorded_until;
        is_newer && self.is_settled_as_watched(id, present, owed, objects)
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
