//! The debts of one namespace, by workload and by source.
//!
//! Input: debts. Output: those of one workload, or for one source. I/O: none.
//!
//! Both ways, because a source that changes must not ask every workload that owes something, nor a takeover that reads
//! thousands of sources.

use std::collections::{HashMap, HashSet};

use super::{super::change::WorkloadId, debt::Debt};
use crate::model::SourceRef;

#[derive(Debug, Default)]
pub(super) struct Book {
    /// No workload without debts has an entry.
    by_workload: HashMap<WorkloadId, HashMap<SourceRef, Debt>>,
    /// The workloads that have a debt for a source; none without.
    debtors: HashMap<SourceRef, HashSet<WorkloadId>>,
}

impl Book {
    /// The workloads that have debts.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &WorkloadId> {
        self.by_workload.keys()
    }

    /// The debts of the workload.
    pub(super) fn of(&self, id: &WorkloadId) -> impl Iterator<Item = (&SourceRef, &Debt)> {
        self.by_workload.get(id).into_iter().flatten()
    }

    pub(super) fn get(&self, id: &WorkloadId, reference: &SourceRef) -> Option<&Debt> {
        self.by_workload.get(id)?.get(reference)
    }

    pub(super) fn get_mut(&mut self, id: &WorkloadId, reference: &SourceRef) -> Option<&mut Debt> {
        self.by_workload.get_mut(id)?.get_mut(reference)
    }

    pub(super) fn insert(&mut self, id: &WorkloadId, reference: &SourceRef, debt: Debt) {
        self.note(id, reference);
        let debts = self.by_workload.entry(id.clone()).or_default();
        debts.insert(reference.clone(), debt);
    }

    /// The debt that there is, otherwise this one.
    pub(super) fn get_or_insert(
        &mut self,
        id: &WorkloadId,
        reference: &SourceRef,
        debt: impl FnOnce() -> Debt,
    ) -> &mut Debt {
        self.note(id, reference);
        let debts = self.by_workload.entry(id.clone()).or_default();
        debts.entry(reference.clone()).or_insert_with(debt)
    }

    /// Keeps those debts of the workload.
    pub(super) fn retain(&mut self, id: &WorkloadId, mut keep: impl FnMut(&SourceRef, &mut Debt) -> bool) {
        let Some(debts) = self.by_workload.get_mut(id) else {
            return;
        };
        let debtors = &mut self.debtors;
        debts.retain(|reference, debt| {
            let kept = keep(reference, debt);
            if !kept {
                cross_out(debtors, reference, id);
            }
            kept
        });
        if debts.is_empty() {
            self.by_workload.remove(id);
        }
    }

    /// Keeps those debts for the source.
    pub(super) fn retain_of(
        &mut self,
        reference: &SourceRef,
        mut keep: impl FnMut(&WorkloadId, &mut Debt) -> bool,
    ) {
        let Some(debtors) = self.debtors.get_mut(reference) else {
            return;
        };
        let by_workload = &mut self.by_workload;
        debtors.retain(|id| {
            let Some(debts) = by_workload.get_mut(id) else {
                return false;
            };
            let kept = debts.get_mut(reference).is_some_and(|debt| keep(id, debt));
            if !kept {
                debts.remove(reference);
                if debts.is_empty() {
                    by_workload.remove(id);
                }
            }
            kept
        });
        if debtors.is_empty() {
            self.debtors.remove(reference);
        }
    }

    pub(super) fn remove(&mut self, id: &WorkloadId, reference: &SourceRef) {
        if let Some(debts) = self.by_workload.get_mut(id) {
            debts.remove(reference);
            if debts.is_empty() {
                self.by_workload.remove(id);
            }
        }
        cross_out(&mut self.debtors, reference, id);
    }

    pub(super) fn remove_workload(&mut self, id: &WorkloadId) {
        for reference in self.by_workload.remove(id).unwrap_or_default().keys() {
            cross_out(&mut self.debtors, reference, id);
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_workload.clear();
        self.debtors.clear();
    }

    fn note(&mut self, id: &WorkloadId, reference: &SourceRef) {
        let debtors = self.debtors.entry(reference.clone()).or_default();
        if !debtors.contains(id) {
            debtors.insert(id.clone());
        }
    }
}

fn cross_out(debtors: &mut HashMap<SourceRef, HashSet<WorkloadId>>, reference: &SourceRef, id: &WorkloadId) {
    if let Some(ids) = debtors.get_mut(reference) {
        ids.remove(id);
        if ids.is_empty() {
            debtors.remove(reference);
        }
    }
}

#[cfg(test)]
mod tests;
