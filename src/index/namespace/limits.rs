//! What is asked of a namespace to count who restarts: whether that matters here, and whether something has happened.
//!
//! Input: none. Output: numbers, names. I/O: none.

use super::Namespace;
use crate::model::{SourceRef, WorkloadKey};

impl Namespace {
    /// Something is about to happen here.
    pub(in crate::index) const fn changes(&mut self) {
        self.version += 1;
    }

    /// Rises with everything that happens here.
    pub(in crate::index) const fn version(&self) -> u64 {
        self.version
    }

    pub(in crate::index) const fn note_limits(&mut self, has_limits: bool) {
        self.has_limits |= has_limits;
    }

    /// Whether an annotation was seen here by which restarts depend on others.
    pub(in crate::index) const fn has_limits(&self) -> bool {
        self.has_limits
    }

    /// The sources that the workload opted into, and those that it waits for.
    pub(in crate::index) fn sources_of(&self, key: &WorkloadKey) -> Vec<SourceRef> {
        let workload = self.objects.workloads.get(&key.into());
        workload.map_or_else(Vec::new, |workload| self.objects.of_workload(workload))
    }
}
