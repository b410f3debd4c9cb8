//! The sources and workloads of one namespace, and which of them belong together.
//!
//! Input: none. Output: which workloads a source concerns, and the reverse. I/O: none.

use std::collections::BTreeSet;

use super::{change::WorkloadId, lists::Asked, sources::Sources, workloads::Workloads};
use crate::model::{Source, SourceRef, UnixSeconds, Workload};

/// The sources and workloads of one namespace, as the streams show them.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) sources: Sources,
    pub(super) workloads: Workloads,
}

impl Objects {
    /// The workloads that opted into the source, which may be deleted; none where it is not known.
    pub(super) fn concerned(&self, reference: &SourceRef) -> Vec<WorkloadId> {
        let source = self.sources.get(reference);
        source
            .map(|source| self.workloads.concerned(source))
            .unwrap_or_default()
    }

    /// Whether Reloader may have written the workload at that time or later, by the API server's clock; `None`: at any time.
    pub(super) fn may_be_written_since(&self, id: &WorkloadId, since: Option<UnixSeconds>) -> bool {
        let workload = self.workloads.get(id);
        since.is_none() || workload.is_some_and(|workload| workload.template.written_at >= since)
    }

    /// Whether somebody else may have changed the workload's template at that time or later, by the API server's clock.
    pub(super) fn was_touched_since(&self, id: &WorkloadId, since: UnixSeconds) -> bool {
        let workload = self.workloads.get(id);
        workload.is_some_and(|workload| workload.template.touched_at >= Some(since))
    }

    /// Whether all pods of the workload have certainly started with what the source holds, although nobody looked: somebody
    /// else has rolled it since the source was written or, where the ledger has the same content (`is_recorded`), since that
    /// was complete.
    ///
    /// A write that only removes keys leaves no time on the source: a time that is no later than the ledger's is not that of
    /// a change.
    pub(super) fn was_replaced_unseen(
        &self,
        id: &WorkloadId,
        source: &Source,
        is_recorded: bool,
        recorded_until: Option<UnixSeconds>,
    ) -> bool {
        let recorded = recorded_until.filter(|_| is_recorded);
        let written = source.modified_at.filter(|_| source.modified_at > recorded_until);
        let mut times = written.into_iter().chain(recorded);
        times.any(|time| self.workloads.was_replaced_after(id, time))
    }

    /// Whether the workload was certainly created before then, by the API server's clock.
    pub(super) fn was_created_before(&self, id: &WorkloadId, then: Option<UnixSeconds>) -> bool {
        let workload = self.workloads.get(id);
        workload.is_some_and(|workload| workload.created_at < then)
    }

    /// Whether some workload opted into the source, which may be deleted.
    pub(super) fn is_opted_into(&self, reference: &SourceRef) -> bool {
        !self.concerned(reference).is_empty()
    }

    /// The sources that some workload opted into, deleted ones included.
    pub(super) fn opted(&self) -> impl Iterator<Item = SourceRef> {
        let opted = |source: &&Source| !self.workloads.concerned(source).is_empty();
        self.sources
            .all()
            .filter(opted)
            .map(|source| source.key.reference())
    }

    /// The sources that workloads use or list and that do not exist: their creation will be a change.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &SourceRef> {
        let unknown = |reference: &&SourceRef| self.sources.get(reference).is_none();
        let counts = |reference: &&SourceRef| self.sources.counts_creation(reference.kind);
        self.workloads.named().filter(unknown).filter(counts)
    }

    /// Whether a workload uses or lists the source, which need not exist, and its creation is a change.
    pub(super) fn is_awaited(&self, reference: &SourceRef) -> bool {
        self.sources.counts_creation(reference.kind) && self.workloads.name(reference)
    }

    /// The known sources that the workload opted into, and those that it waits for.
    pub(super) fn of_workload(&self, workload: &Workload) -> Vec<SourceRef> {
        let interests = self.workloads.interests(workload);
        let reference = |source: &Source| source.key.reference();
        // A template may reference thousands: each is looked up, not searched for.
        let is_used = |source: &Source| interests.used.contains(&reference(source));
        let concerns = |source: &&Source| {
            self.workloads
                .concerns_where(source, workload, || is_used(source))
        };
        let named = || interests.used.union(&interests.listed);
        let mut sources: Vec<SourceRef> = match &interests.asked {
            Some(Asked::ForEach) => self.sources.all().filter(concerns).map(reference).collect(),
            asked => {
                let prefixes = match asked {
                    Some(Asked::By(prefixes)) => prefixes.as_slice(),
                    Some(Asked::ForEach) | None => &[],
                };
                let matched = prefixes
                    .iter()
                    .flat_map(|(kind, prefix)| self.sources.starting_with(*kind, prefix));
                let candidates: BTreeSet<&SourceRef> = named().chain(matched).collect();
                let known = candidates
                    .into_iter()
                    .filter_map(|reference| self.sources.get(reference));
                known.filter(concerns).map(reference).collect()
            }
        };
        let awaited = named().filter(|reference| {
            self.workloads.are_selected()
                && self.sources.counts_creation(reference.kind)
                && self.sources.get(reference).is_none()
        });
        sources.extend(awaited.cloned());
        sources
    }
}
