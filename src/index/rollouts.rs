//! How far the workloads are with their rollouts, and which sources each of them depends on.
//!
//! Input: names. Output: copies of what is kept. I/O: none.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Index, course::Horizon};
use crate::model::{Policy, Source, SourceKey, UnixSeconds, Workload, WorkloadKey};

/// A workload that opted into a source.
#[derive(Clone, Debug)]
pub struct Member {
    /// The workload as the watch last showed it.
    pub workload: Arc<Workload>,
    /// A restart for that source is due.
    pub owes: bool,
    /// Since when all its pods have its present template and are available; `None`: they are not.
    pub healthy_since: Option<UnixSeconds>,
    /// When its pods moved last, as far as that is known.
    pub moved_at: Option<UnixSeconds>,
}

impl Index {
    /// The workloads that opted into the source, which may be deleted.
    pub fn members(&self, source: &SourceKey) -> Vec<Member> {
        let Some(inner) = self.namespaces.get(&source.namespace) else {
            return Vec::new();
        };
        let (reference, workloads) = (source.reference(), inner.workloads());
        let Some(source) = inner.sources().get(&reference) else {
            return Vec::new();
        };
        let has_target = inner.sources().target(&reference).is_some();
        let members = workloads.concerned(source).into_iter().filter_map(|id| {
            let (workload, course) = workloads.with_course(&id)?;
            Some(Member {
                workload: Arc::clone(workload),
                owes: has_target && inner.debts().is_due(&id, &reference),
                healthy_since: course.healthy_since,
                moved_at: course.moved_at(workload),
            })
        });
        members.collect()
    }

    /// Every known source that the workload opted into, deleted ones that are remembered included.
    pub fn sources_concerning(&self, key: &WorkloadKey) -> Vec<Source> {
        let Some(inner) = self.namespaces.get(&key.namespace) else {
            return Vec::new();
        };
        let references = inner.sources_of(key);
        let known = references
            .iter()
            .filter_map(|reference| inner.sources().get(reference));
        known.cloned().collect()
    }

    /// For how long its pods have not moved; `None`: it is not known.
    pub fn unmoved_for(&self, key: &WorkloadKey, now: UnixSeconds) -> Option<Duration> {
        let inner = self.namespaces.get(&key.namespace)?;
        let (workload, course) = inner.workloads().with_course(&key.into())?;
        // Nothing shows that they ever did.
        let unmoved_for = |moved_at: UnixSeconds| moved_at.elapsed(now);
        Some(course.moved_at(workload).map_or(Duration::MAX, unmoved_for))
    }

    /// Whether an annotation of a source or a workload of the namespace was seen by which restarts of one workload depend on
    /// those of others. What one namespace asks for costs others nothing.
    pub fn has_limits_in(&self, namespace: &str) -> bool {
        // On most clusters there is none, and no lock is taken for that.
        self.has_limits.load(Ordering::Relaxed)
            && self
                .namespaces
                .get(namespace)
                .is_some_and(|inner| inner.has_limits())
    }

    /// Returns whether it has such an annotation, which its namespace is to note.
    pub(super) fn note_limits(&self, policy: Option<&Policy>) -> bool {
        let limits = Policy::limits_of(policy);
        let has_limits = limits.is_some_and(|limits| limits.are_shared() || limits.wave.is_some());
        if has_limits {
            self.has_limits.store(true, Ordering::Relaxed);
        }
        has_limits
    }

    /// Whether every stream of workloads has shown a complete list.
    pub fn has_listed_workloads(&self) -> bool {
        self.streams().has_listed_workloads()
    }

    /// Whether what is known of the namespace's workloads is older than that, because a watch fails.
    pub fn workloads_fail_for(&self, namespace: &Arc<str>, time: Duration, now: Instant) -> bool {
        self.streams().workloads_fail_for(namespace, time, now)
    }

    /// Rises with everything that happens in the namespace; 0: there is none.
    pub fn version_of(&self, namespace: &str) -> u64 {
        self.namespaces.get(namespace).map_or(0, |inner| inner.version())
    }

    /// How many workloads of the namespace that opted in have a rollout in progress; none where it does not count.
    pub fn in_progress_in(&self, namespace: &str, horizon: Horizon) -> usize {
        let inner = self.namespaces.get(namespace);
        inner.map_or(0, |inner| inner.workloads().in_progress(horizon))
    }

    /// How many do, in all namespaces that count.
    pub fn in_progress(&self, horizon: Horizon) -> usize {
        self.in_progress.count(horizon)
    }

    /// Whether that workload is among these.
    pub fn is_in_progress(&self, key: &WorkloadKey, horizon: Horizon) -> bool {
        let inner = self.namespaces.get(&key.namespace);
        inner.is_some_and(|inner| inner.workloads().is_in_progress(&key.into(), horizon))
    }
}
