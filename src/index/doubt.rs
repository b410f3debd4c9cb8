//! Restarts that the ledger may not know of.
//!
//! Input: since when none is recorded. Output: debts that only a marker makes due. I/O: none.
//!
//! The ledger is written some seconds after a restart. If the leader dies before, and the source goes back to what the
//! ledger has of it, then ledger and source agree, and yet the pods run with what came in between. Their marker shows
//! it. Markers as such prove nothing: one that differs may be years old, from before a change that another controller
//! missed, and is no reason for a restart. But of a workload that Reloader wrote after the ledger's last write
//! (`metadata.managedFields` has the time, and both are of the API server's clock) the marker is news.
//!
//! Both times have whole seconds; a write in the same second counts as later.

use super::{
    Change,
    debt::Debt,
    namespace::{LocalWorkload, Namespace},
};
use crate::model::{SourceRef, UnixSeconds, Workload, WorkloadKey};

/// From when on restarts may be missing in the ledger, and the change that stands for any of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unrecorded {
    /// By the API server's clock.
    pub(super) since: UnixSeconds,
    /// A tentative one.
    pub(super) change: Change,
}

impl Unrecorded {
    fn concerns(&self, workload: &Workload) -> bool {
        workload.template.written_at >= Some(self.since)
    }
}

impl Namespace {
    /// All that is known is looked at, and what appears until every workload is known: later, each was written by this
    /// leader.
    pub(super) fn doubt(&mut self, unrecorded: Unrecorded) {
        self.unrecorded = Some(unrecorded);
        let ids: Vec<LocalWorkload> = self.workloads.keys().cloned().collect();
        for id in ids {
            self.doubt_workload(&id);
        }
    }

    /// The workload was not known before.
    pub(super) fn doubt_workload(&mut self, id: &LocalWorkload) {
        let Some((unrecorded, slot)) = self.unrecorded.zip(self.workloads.get(id)) else {
            return;
        };
        if !self.selected || !unrecorded.concerns(&slot.workload) {
            return;
        }
        for source in self.sources_of(&slot.workload.clone()) {
            self.doubt_one(id, &source.reference(), &unrecorded);
        }
    }

    /// The source, which the ledger knows, is there indeed. Returns who has to be looked at.
    pub(super) fn doubt_source(&mut self, reference: &SourceRef) -> Vec<WorkloadKey> {
        let Some((unrecorded, slot)) = self.unrecorded.zip(self.sources.get(reference)) else {
            return Vec::new();
        };
        let ids = self.concerned(&slot.source);
        ids.iter()
            .filter_map(|id| self.doubt_one(id, reference, &unrecorded))
            .collect()
    }

    fn doubt_one(
        &mut self,
        id: &LocalWorkload,
        reference: &SourceRef,
        unrecorded: &Unrecorded,
    ) -> Option<WorkloadKey> {
        let source = self.sources.get(reference).filter(|slot| slot.is_present())?;
        let slot = self.workloads.get_mut(id)?;
        if !unrecorded.concerns(&slot.workload) || slot.owed.contains_key(reference) {
            return None;
        }
        let debt = Debt::new(None, &unrecorded.change, Some(&source.source));
        slot.owed.insert(reference.clone(), debt);
        Some(slot.workload.key.clone())
    }
}
