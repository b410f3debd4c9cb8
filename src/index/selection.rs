//! Which namespaces count, and what each says about when restarts may happen.
//!
//! Input: namespaces as the watch shows them. Output: whether a namespace counts, its policy. I/O: none.
//!
//! What lives in a namespace that does not count is indexed all the same, but nobody there owes anything. The API
//! server cannot select objects by the labels of their namespace, so they are sent and decoded anyway, and what is kept
//! of them (some hundred bytes each) buys that a namespace counts from the very moment at which it gets its labels:
//! without it its objects would have to be listed first, and a change before that list would be lost in it.
//!
//! A policy stays as it was read last while namespaces cannot be read: who suspended a namespace still means it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::model::Policy;

/// The namespaces that count, and their policies.
#[derive(Debug)]
pub(super) struct Selection {
    /// Only namespaces that are seen count.
    only_seen: bool,
    /// Where all namespaces count, those with a policy alone.
    seen: Mutex<HashMap<Arc<str>, Seen>>,
    /// How many have a policy; read without the lock, because on most clusters none has one.
    policies: AtomicUsize,
}

#[derive(Debug)]
struct Seen {
    /// The list in which it was last seen.
    generation: u32,
    policy: Option<Arc<Policy>>,
}

impl Selection {
    /// All namespaces count, or none until it is seen.
    pub(super) fn new(only_seen: bool) -> Self {
        Self {
            only_seen,
            seen: Mutex::default(),
            policies: AtomicUsize::new(0),
        }
    }

    /// Whether only namespaces count that were seen.
    pub(super) const fn is_only_seen(&self) -> bool {
        self.only_seen
    }

    pub(super) fn contains(&self, namespace: &str) -> bool {
        !self.only_seen || self.lock().contains_key(namespace)
    }

    /// How many are known to count; 0 where all do.
    pub(super) fn count(&self) -> usize {
        if self.only_seen { self.lock().len() } else { 0 }
    }

    /// What the namespace says about when restarts may happen.
    pub(super) fn policy(&self, namespace: &str) -> Option<Arc<Policy>> {
        if self.policies.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.lock().get(namespace)?.policy.clone()
    }

    pub(super) fn add(&self, namespace: Arc<str>, policy: Option<Box<Policy>>, generation: u32) {
        let policy = policy.map(|policy| Arc::new(*policy));
        let mut seen = self.lock();
        if self.only_seen || policy.is_some() {
            seen.insert(namespace, Seen { generation, policy });
        } else {
            seen.remove(&namespace);
        }
        self.recount(&seen);
    }

    /// Returns whether the namespace does not count any more.
    pub(super) fn remove(&self, namespace: &str) -> bool {
        let mut seen = self.lock();
        seen.remove(namespace);
        self.recount(&seen);
        self.only_seen
    }

    /// Removes what the complete list did not show, and returns what does not count any more.
    pub(super) fn sweep(&self, generation: u32) -> Vec<Arc<str>> {
        let mut seen = self.lock();
        let gone = seen.extract_if(|_, seen| seen.generation != generation);
        let mut gone: Vec<_> = gone.map(|(namespace, _)| namespace).collect();
        self.recount(&seen);
        gone.retain(|_| self.only_seen);
        gone
    }

    fn recount(&self, seen: &HashMap<Arc<str>, Seen>) {
        let policies = seen.values().filter(|seen| seen.policy.is_some()).count();
        self.policies.store(policies, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Seen>> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
