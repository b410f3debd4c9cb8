//! When each rollout made progress and since when its workload is healthy, and how many are in progress.
//!
//! Input: workloads before and now, when they were seen. Output: times, counts. I/O: none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
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

    /// When its pods moved last, as far as that is known: where the status tells nothing, at its last restart.
    pub(super) fn moved_at(self, workload: &Workload) -> Option<UnixSeconds> {
        if workload.rollout.state == RolloutState::Opaque {
            workload.template.written_at
        } else {
            Some(self.progressed_at)
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

/// When it is asked for rollouts in progress, and for how long one may be without progress to count.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// The time of the question.
    pub now: UnixSeconds,
    /// How long a rollout may be without progress.
    pub timeout: Duration,
}

impl Horizon {
    /// Whether a workload in that state counts, whose pods moved last at that time.
    pub(super) fn counts(self, (state, moved_at): Place) -> bool {
        state.takes_a_place(moved_at.elapsed(self.now), self.timeout)
    }
}

/// A workload that may count as in progress: its state, and when its pods moved last.
pub(super) type Place = (RolloutState, UnixSeconds);

/// Counts by state and by the time of the last move, because places become free as time passes.
#[derive(Debug, Default)]
struct Places(BTreeMap<RolloutState, BTreeMap<UnixSeconds, usize>>);

impl Places {
    fn add(&mut self, (state, moved_at): Place, count: usize) {
        *self.0.entry(state).or_default().entry(moved_at).or_default() += count;
    }

    fn remove(&mut self, (state, moved_at): Place, count: usize) {
        let Some(of_state) = self.0.get_mut(&state) else {
            return;
        };
        if let Some(known) = of_state.get_mut(&moved_at) {
            *known = known.saturating_sub(count);
            if *known == 0 {
                of_state.remove(&moved_at);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (Place, usize)> {
        let of_state = |(state, times): (&RolloutState, _)| {
            let state = *state;
            let times: &BTreeMap<UnixSeconds, usize> = times;
            times
                .iter()
                .map(move |(moved_at, count)| ((state, *moved_at), *count))
        };
        self.0.iter().flat_map(of_state)
    }

    /// The latest first: those before one that does not count do not count either.
    fn count(&self, horizon: Horizon) -> usize {
        let of_state = |(state, times): (&RolloutState, &BTreeMap<UnixSeconds, usize>)| {
            let times = times.iter().rev();
            let counting = times.take_while(|(moved_at, _)| horizon.counts((*state, **moved_at)));
            counting.map(|(_, count)| count).sum::<usize>()
        };
        self.0.iter().map(of_state).sum()
    }
}

/// Those of all namespaces that count.
#[derive(Clone, Debug, Default)]
pub(super) struct Everywhere(Arc<Mutex<Places>>);

impl Everywhere {
    /// How many are in progress.
    pub(super) fn count(&self, horizon: Horizon) -> usize {
        self.lock().count(horizon)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // A panic while the lock was held ends the process through supervision; until then the counts are still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workloads of one namespace that are in progress, as a part of those of all namespaces.
#[derive(Debug)]
pub(super) struct InProgress {
    here: Places,
    /// Whether the namespace counts.
    is_selected: bool,
    everywhere: Everywhere,
}

impl InProgress {
    pub(super) fn new(is_selected: bool, everywhere: Everywhere) -> Self {
        Self {
            here: Places::default(),
            is_selected,
            everywhere,
        }
    }

    pub(super) fn select(&mut self, is_selected: bool) {
        if self.is_selected == is_selected {
            return;
        }
        self.is_selected = is_selected;
        let mut everywhere = self.everywhere.lock();
        for (place, count) in self.here.all() {
            if is_selected {
                everywhere.add(place, count);
            } else {
                everywhere.remove(place, count);
            }
        }
    }

    /// A workload had one place, and now has another; `None`: none.
    pub(super) fn note(&mut self, before: Option<Place>, now: Option<Place>) {
        if before == now {
            return;
        }
        let change = |places: &mut Places| {
            if let Some(before) = before {
                places.remove(before, 1);
            }
            if let Some(now) = now {
                places.add(now, 1);
            }
        };
        change(&mut self.here);
        if self.is_selected {
            change(&mut self.everywhere.lock());
        }
    }

    /// How many count; none where the namespace does not.
    pub(super) fn count(&self, horizon: Horizon) -> usize {
        if self.is_selected {
            self.here.count(horizon)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests;
