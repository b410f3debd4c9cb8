//! Which restarts were admitted and are not seen yet, and what is remembered of workloads from then on.
//!
//! Input: admissions, ends of rounds, restarts. Output: who has a place, what happened to a workload last. I/O: none but the clock.
//!
//! A restart takes its place among those in flight when it is admitted, before it is written: otherwise ten workers would
//! see the same free place. The answer to its patch shows a new generation, so that the place is taken by the workload
//! itself before this one is given back. Without an answer it is not known whether that place is taken: this one is kept until
//! the workload was read.
//!
//! All of it is lost with the process. The next leader finds the rollouts under way; that a workload was sick before is
//! forgotten, so that a halt may be one too many, never one too few; the least interval counts from what the workload shows.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    admit::Last,
    model::{UnixSeconds, WorkloadKey},
};

/// Last restarts that are remembered at most; beyond that, the older ones are forgotten.
const REMEMBERED: usize = 20_000;

/// The restarts that were admitted.
#[derive(Debug, Default)]
pub(super) struct Slots {
    inner: Mutex<Inner>,
    /// How many places are taken; read without the lock, because on most clusters none ever is.
    taken: AtomicUsize,
}

/// The same, while nothing changes.
#[derive(Debug, Default)]
pub(super) struct Inner {
    reserved: HashSet<WorkloadKey>,
    /// Those of them whose patch has no answer: it may have been applied.
    unclear: HashSet<WorkloadKey>,
    sick: HashSet<WorkloadKey>,
    restarts: HashMap<WorkloadKey, Last>,
    /// Rises with every change of a place.
    version: u64,
}

impl Slots {
    /// Nothing changes while this is kept.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held ends the process through supervision; until then the places are still right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workload is to be restarted.
    pub(super) fn take(&self, inner: &mut Inner, key: &WorkloadKey, is_sick: bool) {
        if is_sick {
            inner.sick.insert(key.clone());
        } else {
            inner.sick.remove(key);
        }
        if inner.reserved.insert(key.clone()) {
            inner.version += 1;
        }
        self.taken.store(inner.reserved.len(), Ordering::Relaxed);
    }

    /// The workload's restart is seen, or is not to come. Returns whether it had a place.
    pub(super) fn give_back(&self, key: &WorkloadKey) -> bool {
        if self.taken.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut inner = self.lock();
        let had = inner.reserved.remove(key);
        inner.unclear.remove(key);
        inner.version += u64::from(had);
        self.taken.store(inner.reserved.len(), Ordering::Relaxed);
        had
    }

    /// There is no answer to the workload's patch. Returns whether it has a place.
    pub(super) fn answer_is_lost(&self, key: &WorkloadKey) -> bool {
        if self.taken.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut inner = self.lock();
        let has_place = inner.reserved.contains(key);
        if has_place {
            inner.unclear.insert(key.clone());
        }
        has_place
    }

    /// The workload was read.
    pub(super) fn seen(&self, key: &WorkloadKey) {
        if self.taken.load(Ordering::Relaxed) > 0 {
            self.lock().unclear.remove(key);
        }
    }

    /// Whether there is no answer to its patch, and it was not read since.
    pub(super) fn is_unclear(&self, key: &WorkloadKey) -> bool {
        self.taken.load(Ordering::Relaxed) > 0 && self.lock().unclear.contains(key)
    }

    /// The workload was restarted, and is not to be so again for that long.
    pub(super) fn restarted(&self, key: &WorkloadKey, at: UnixSeconds, interval: Duration) {
        if interval.is_zero() {
            return;
        }
        let mut inner = self.lock();
        let last = inner.restarts.get(key);
        let last = last.map_or(Last { at, streak: 0 }, |last| last.next(at, interval));
        if inner.restarts.len() >= REMEMBERED {
            let oldest = at.0.saturating_sub(2 * 3600);
            inner.restarts.retain(|_, last| last.at.0 > oldest);
        }
        inner.restarts.insert(key.clone(), last);
    }

    /// The workload is gone.
    pub(super) fn forget(&self, key: &WorkloadKey) {
        self.give_back(key);
        let mut inner = self.lock();
        inner.sick.remove(key);
        inner.restarts.remove(key);
    }
}

impl Inner {
    /// Rises with every change of a place.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Those that are admitted and not seen yet.
    pub(super) fn reserved(&self) -> impl Iterator<Item = &WorkloadKey> {
        self.reserved.iter()
    }

    /// Whether it is one of these.
    pub(super) fn is_reserved(&self, key: &WorkloadKey) -> bool {
        self.reserved.contains(key)
    }

    /// Whether it was sick when it was admitted, and is not well since.
    pub(super) fn was_sick(&mut self, key: &WorkloadKey, is_well: bool) -> bool {
        if is_well && !self.reserved.contains(key) {
            self.sick.remove(key);
        }
        self.sick.contains(key)
    }

    /// Its last restart, as far as this process knows.
    pub(super) fn last(&self, key: &WorkloadKey) -> Option<Last> {
        self.restarts.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkloadKind;

    fn key(name: &str) -> WorkloadKey {
        WorkloadKey::new(WorkloadKind::Deployment, "shop", name)
    }

    #[test]
    fn a_place_is_unclear_from_a_lost_answer_to_a_look() {
        let (slots, web) = (Slots::default(), key("web"));
        slots.take(&mut slots.lock(), &web, false);
        assert!(!slots.is_unclear(&web));
        assert!(slots.answer_is_lost(&web));
        assert!(slots.is_unclear(&web) && slots.lock().is_reserved(&web));
        slots.seen(&web);
        assert!(!slots.is_unclear(&web) && slots.lock().is_reserved(&web));
    }

    #[test]
    fn what_has_no_place_is_not_unclear() {
        let (slots, web, api) = (Slots::default(), key("web"), key("api"));
        assert!(!slots.answer_is_lost(&web));
        slots.take(&mut slots.lock(), &api, false);
        assert!(!slots.answer_is_lost(&web) && !slots.is_unclear(&web));
        assert!(slots.answer_is_lost(&api));
        assert!(slots.give_back(&api));
        slots.take(&mut slots.lock(), &api, false);
        assert!(
            !slots.is_unclear(&api),
            "an earlier place says nothing of this one"
        );
    }
}
