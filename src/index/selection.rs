//! Which namespaces count.
//!
//! Input: namespaces as the watch shows them. Output: whether a namespace counts. I/O: none.
//!
//! What lives in a namespace that does not count is indexed all the same, but nobody there owes anything. The API
//! server cannot select objects by the labels of their namespace, so they are sent and decoded anyway, and what is kept
//! of them (some hundred bytes each) buys that a namespace counts from the very moment at which it gets its labels:
//! without it its objects would have to be listed first, and a change before that list would be lost in it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The namespaces that count.
#[derive(Debug)]
pub(super) struct Selection {
    /// Each with the list in which it was last seen; `None`: all of them count.
    selected: Option<Mutex<HashMap<Arc<str>, u32>>>,
}

impl Selection {
    /// All namespaces count, or none until it is seen.
    pub(super) fn new(only_seen: bool) -> Self {
        Self {
            selected: only_seen.then(Mutex::default),
        }
    }

    pub(super) fn contains(&self, namespace: &str) -> bool {
        self.lock()
            .is_none_or(|selected| selected.contains_key(namespace))
    }

    pub(super) fn count(&self) -> usize {
        self.lock().map_or(0, |selected| selected.len())
    }

    pub(super) fn add(&self, namespace: Arc<str>, generation: u32) {
        if let Some(mut selected) = self.lock() {
            selected.insert(namespace, generation);
        }
    }

    pub(super) fn remove(&self, namespace: &str) {
        if let Some(mut selected) = self.lock() {
            selected.remove(namespace);
        }
    }

    /// Removes what the complete list did not show, and returns it.
    pub(super) fn sweep(&self, generation: u32) -> Vec<Arc<str>> {
        let Some(mut selected) = self.lock() else {
            return Vec::new();
        };
        let gone = selected.extract_if(|_, seen| *seen != generation);
        gone.map(|(namespace, _)| namespace).collect()
    }

    fn lock(&self) -> Option<MutexGuard<'_, HashMap<Arc<str>, u32>>> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        let selected = self.selected.as_ref()?;
        Some(selected.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
