//! What etcd keeps, and how it changes.
//!
//! Input: changes. Output: objects, and every commit in order. I/O: none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::kind::Kind;

/// Where an object lies: the plural of its kind, its namespace, its name.
pub(super) type Key = (&'static str, String, String);

/// A change that was stored.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The store's revision after it.
    pub revision: u64,
    /// When, on the simulation's clock.
    pub at: Instant,
    /// When, on the cluster's wall clock.
    pub wall: Timestamp,
    /// Which client.
    pub caller: String,
    /// `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// The plural of the object's kind.
    pub plural: &'static str,
    /// The object's namespace; empty for one of the cluster.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object before; `None`: it was created.
    pub before: Option<Arc<Value>>,
    /// The object afterwards; `None`: it was deleted.
    pub after: Option<Arc<Value>>,
}

struct Inner {
    revision: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: Vec<Commit>,
    /// Older revisions cannot be read any more.
    compacted: u64,
    uids: u64,
    forbidden: BTreeSet<(String, String)>,
}

/// The store of a cluster; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    revision: watch::Sender<u64>,
}

/// Who changes what.
pub(super) struct Write<'a> {
    pub(super) caller: &'a str,
    pub(super) verb: &'static str,
    pub(super) key: Key,
}

impl Store {
    /// An empty store; `wall` is the clock of the API servers.
    pub fn new(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                revision: 1,
                objects: BTreeMap::new(),
                log: Vec::new(),
                compacted: 0,
                uids: 0,
                forbidden: BTreeSet::new(),
            })),
            wall: Arc::new(wall),
            revision: watch::Sender::new(1),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last change.
    pub fn revision(&self) -> u64 {
        self.inner().revision
    }

    /// Follows the revision.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Every commit after that revision, in order.
    pub fn commits_since(&self, revision: u64) -> Vec<Commit> {
        let inner = self.inner();
        let from = inner.log.partition_point(|commit| commit.revision <= revision);
        inner.log[from..].to_vec()
    }

    /// The object as it is stored now.
    pub fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (Kind::of(plural).plural, namespace.to_owned(), name.to_owned());
        self.inner().objects.get(&key).cloned()
    }

    /// Every object of the kind.
    pub fn objects(&self, plural: &str) -> Vec<Arc<Value>> {
        let inner = self.inner();
        let of_kind = inner.objects.iter().filter(|(key, _)| key.0 == plural);
        of_kind.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// From now on only the present state can be read.
    pub fn compact(&self) {
        let mut inner = self.inner();
        inner.compacted = inner.revision;
    }

    /// Requests of that verb for that kind are refused (403), if they are of replicas.
    pub fn forbid(&self, verb: &str, plural: &str) {
        self.inner().forbidden.insert((verb.to_owned(), plural.to_owned()));
    }

    /// Ends [`Self::forbid`].
    pub fn permit(&self, verb: &str, plural: &str) {
        self.inner().forbidden.remove(&(verb.to_owned(), plural.to_owned()));
    }

    pub(super) fn is_forbidden(&self, verb: &str, plural: &str) -> bool {
        self.inner().forbidden.contains(&(verb.to_owned(), plural.to_owned()))
    }

    pub(super) fn compacted(&self) -> u64 {
        self.inner().compacted
    }

    /// The time as objects show it, with whole seconds.
    pub(super) fn now(&self) -> String {
        (self.wall)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub(super) fn new_uid(&self) -> String {
        let mut inner = self.inner();
        inner.uids += 1;
        format!("00000000-0000-4000-8000-{:012x}", inner.uids)
    }

    /// The objects of a kind as they were at that revision, by namespace and name.
    pub(super) fn state_at(&self, plural: &str, revision: u64) -> BTreeMap<(String, String), Arc<Value>> {
        let inner = self.inner();
        if revision >= inner.revision {
            let of_kind = inner.objects.iter().filter(|(key, _)| key.0 == plural);
            return of_kind
                .map(|((_, namespace, name), object)| ((namespace.clone(), name.clone()), Arc::clone(object)))
                .collect();
        }
        let mut state = BTreeMap::new();
        for commit in inner.log.iter().take_while(|commit| commit.revision <= revision) {
            if commit.plural == plural {
                let key = (commit.namespace.clone(), commit.name.clone());
                match &commit.after {
                    Some(after) => state.insert(key, Arc::clone(after)),
                    None => state.remove(&key),
                };
            }
        }
        state
    }

    /// The last revision that was committed at that time or before.
    pub(super) fn revision_at(&self, time: Instant) -> u64 {
        let inner = self.inner();
        let count = inner.log.partition_point(|commit| commit.at <= time);
        count.checked_sub(1).map_or(1, |last| inner.log[last].revision)
    }

    /// When the first change after that revision was committed.
    pub(super) fn time_after(&self, revision: u64) -> Option<Instant> {
        let inner = self.inner();
        let next = inner.log.partition_point(|commit| commit.revision <= revision);
        inner.log.get(next).map(|commit| commit.at)
    }

    /// Stores the object under the next revision, or deletes it. Returns it as it is stored, or was.
    pub(super) fn commit(&self, write: Write<'_>, after: Option<Value>) -> Arc<Value> {
        let stored = {
            let mut inner = self.inner();
            inner.revision += 1;
            let revision = inner.revision;
            let before = inner.objects.get(&write.key).cloned();
            let after = after.map(|mut after| {
                after["metadata"]["resourceVersion"] = json!(revision.to_string());
                Arc::new(after)
            });
            match &after {
                Some(after) => inner.objects.insert(write.key.clone(), Arc::clone(after)),
                None => inner.objects.remove(&write.key),
            };
            let stored = after.clone().or_else(|| before.clone()).unwrap_or_default();
            let (plural, namespace, name) = write.key;
            inner.log.push(Commit {
                revision,
                at: Instant::now(),
                wall: (self.wall)(),
                caller: write.caller.to_owned(),
                verb: write.verb,
                plural,
                namespace,
                name,
                before,
                after,
            });
            stored
        };
        self.revision.send_replace(self.revision());
        stored
    }
}
