//! When each rollout made progress and since when its workload is healthy, and how many are in progress.
//!
//! Input: workloads before and now, when they were seen. Output: times, counts. I/O: none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::model::{RolloutState, UnixSeconds, Workload};

/// What is known of a workload's rollout beyond what its status says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// When its state or its progress was first seen as it is.
    pub(super) progressed_at: UnixSeconds,
    /// Since when all its pods have the present template and are available; `None`: they are not.
    pub(super) healthy_since: Option<UnixSeconds>,
}

impl Course {
    /// Of a workload that is seen for the first time at `at`.
    pub(super) fn new(workload: &Workload, at: UnixSeconds) -> Self {
        let since = workload.rollout.completed_at.unwrap_or(at);
        Self {
            progressed_at: at,
            healthy_since: is_proven(workload).then_some(since),
        }
    }

    /// Of a workload that was known as `before`. What is proven was so for as long as nothing says otherwise: another
    /// template, another completion, a look at it in between.
    pub(super) fn next(self, before: &Workload, now: &Workload, at: UnixSeconds) -> Self {
        let (old, new) = (before.rollout, now.rollout);
        let is_another = before.uid != now.uid
            || before.template.fingerprint.differs(now.template.fingerprint)
            || old.completed_at != new.completed_at;
        if is_another {
            return Self {
                progressed_at: self.progressed_at_of(before, now, at),
                // A completion that was known already is of the template before.
                healthy_since: is_proven(now).then(|| {
                    let completed_at = new.completed_at.filter(|_| old.completed_at != new.completed_at);
                    completed_at.unwrap_or(at)
                }),
            };
        }
        Self {
            progressed_at: self.progressed_at_of(before, now, at),
            healthy_since: is_proven(now).then(|| self.healthy_since.unwrap_or(at)),
        }
    }

    fn progressed_at_of(self, before: &Workload, now: &Workload, at: UnixSeconds) -> UnixSeconds {
        let (old, new) = (before.rollout, now.rollout);
        if before.uid == now.uid && old.state == new.state && old.progress == new.progress {
            self.progressed_at
        } else {
            at
        }
    }
}

/// Whether all pods of the present template are available.
fn is_proven(workload: &Workload) -> bool {
    workload.rollout.state == RolloutState::Steady && workload.rollout.is_healthy
}

/// How many workloads of one namespace are in progress, and its part of those of all namespaces.
#[derive(Debug)]
pub(super) struct InProgress {
    here: usize,
    /// Whether the namespace counts.
    is_selected: bool,
    everywhere: Arc<AtomicUsize>,
}

impl InProgress {
    pub(super) const fn new(is_selected: bool, everywhere: Arc<AtomicUsize>) -> Self {
        Self {
            here: 0,
            is_selected,
            everywhere,
        }
    }

    pub(super) fn select(&mut self, is_selected: bool) {
        let before = self.here();
        self.is_selected = is_selected;
        self.carry(before);
    }

    /// A workload was or was not in progress, and now is or is not.
    pub(super) fn note(&mut self, was: bool, is: bool) {
        let before = self.here();
        self.here = self
            .here
            .saturating_add(usize::from(is))
            .saturating_sub(usize::from(was));
        self.carry(before);
    }

    /// None where the namespace does not count.
    pub(super) const fn here(&self) -> usize {
        if self.is_selected { self.here } else { 0 }
    }

    fn carry(&self, before: usize) {
        let now = self.here();
        if now > before {
            self.everywhere.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.everywhere.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
