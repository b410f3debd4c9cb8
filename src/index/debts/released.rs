//! Pods that stay when their workload is deleted (`kubectl delete --cascade=orphan`): a workload that comes under its name
//! adopts them as they are.
//!
//! I/O: none.

use std::collections::HashMap;

use super::{
    super::change::{Change, WorkloadId},
    belief::Belief,
};
use crate::model::{Fingerprint, SourceRef};

/// So many workloads of a namespace are remembered: one that is not is taken to start new pods.
const MOST: usize = 256;
/// So many sources of each.
pub(super) const MOST_SOURCES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Released {
    by_workload: HashMap<WorkloadId, Pods>,
}

/// The pods of a workload.
#[derive(Debug)]
pub(super) struct Pods {
    /// Of the template that they were made of.
    pub(super) fingerprint: Fingerprint,
    /// What they have started with.
    pub(super) held: Vec<(SourceRef, Belief)>,
    /// When they were left behind.
    pub(super) since: Change,
}

impl Released {
    pub(super) fn note(&mut self, id: WorkloadId, pods: Pods) {
        self.by_workload.insert(id, pods);
        if self.by_workload.len() > MOST {
            let oldest = self.by_workload.iter().min_by_key(|(_, pods)| pods.since.order);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.by_workload.remove(&oldest);
            }
        }
    }

    /// The pods that the workload adopts. One with another template replaces them.
    pub(super) fn adopt(&mut self, id: &WorkloadId, fingerprint: Fingerprint) -> Option<Pods> {
        let pods = self.by_workload.remove(id)?;
        pods.fingerprint.is_same(fingerprint).then_some(pods)
    }
}
