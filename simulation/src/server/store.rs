//! etcd: the objects, and every write to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    kind::{KINDS, Kind},
    log::{Commit, Log},
    path::Address,
    refusal::Refusal,
};

/// Callers whose name begins so are refused what is forbidden.
const RESTRICTED: &str = "reloader";
/// The account that they use.
const ACCOUNT: &str = "system:serviceaccount:reloader:reloader";

/// The store: etcd, and the API's rules over it. Clones share it.
#[derive(Clone)]
pub struct Store {
    state: Arc<Mutex<State>>,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    written: watch::Sender<u64>,
}

/// An object's place: its kind, namespace and name.
pub(super) type Key = (&'static str, String, String);

/// What is stored.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    /// States before this revision are no longer known.
    pub(super) compacted: u64,
    /// The number of the last object that was created, dry runs included.
    pub(super) created: u64,
    /// Custom kinds that are served.
    installed: BTreeSet<&'static str>,
    /// Verbs and kinds that are forbidden, and in which namespace; `None`: everywhere.
    forbidden: BTreeSet<(String, String, Option<String>)>,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Store")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store, but for the Namespace `default`. `wall`: the clock that creation and deletion are stamped with.
    pub fn new(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let mut state = State::default();
        state.install_default_namespace();
        let (written, _) = watch::channel(state.log.revision());
        Self {
            state: Arc::new(Mutex::new(state)),
            wall: Arc::new(wall),
            written,
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.state().log.revision()
    }

    /// The writes after a revision, in order.
    pub fn commits_since(&self, revision: u64) -> Vec<Commit> {
        self.state().log.since(revision).to_vec()
    }

    /// Shows each new revision.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// One object. `namespace`: empty for a kind that lies in none.
    ///
    /// # Panics
    /// The model knows no such kind.
    pub fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (Kind::of(plural).plural, namespace.to_owned(), name.to_owned());
        self.state().objects.get(&key).cloned()
    }

    /// All objects of a kind, by namespace and name.
    ///
    /// # Panics
    /// The model knows no such kind.
    pub fn objects(&self, plural: &str) -> Vec<Arc<Value>> {
        let kind = Kind::of(plural);
        let state = self.state();
        let all = state.objects.iter();
        all.filter(|((plural, ..), _)| *plural == kind.plural)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Forgets the states before the present one, as etcd does every few minutes: lists of them and tokens of paged lists end
    /// with 410. Watch caches keep their events.
    pub fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.log.revision();
    }

    /// Serves a custom kind from now on; until then its paths are 404.
    ///
    /// # Panics
    /// The model knows no such kind.
    pub fn install(&self, plural: &str) {
        self.state().installed.insert(Kind::of(plural).plural);
    }

    /// Refuses a verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) on a kind with 403, for callers whose
    /// name begins with `reloader`. Without a namespace, everywhere.
    pub fn forbid(&self, verb: &str, plural: &str, namespace: Option<&str>) {
        self.state()
            .forbidden
            .insert((verb.to_owned(), plural.to_owned(), namespace.map(str::to_owned)));
    }

    /// Takes [`Self::forbid`] back.
    pub fn permit(&self, verb: &str, plural: &str, namespace: Option<&str>) {
        self.state()
            .forbidden
            .remove(&(verb.to_owned(), plural.to_owned(), namespace.map(str::to_owned)));
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one write and shows what it committed.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = (self.wall)();
        let mut state = self.state();
        let before = state.log.revision();
        let answer = write(&mut state, now);
        let after = state.log.revision();
        drop(state);
        if after != before {
            self.written.send_replace(after);
        }
        answer
    }
}

impl State {
    fn install_default_namespace(&mut self) {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": "default",
                "uid": uid(0),
                "resourceVersion": self.log.revision().to_string(),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "kubernetes.io/metadata.name": "default" },
            },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        });
        let key = ("namespaces", String::new(), "default".to_owned());
        self.objects.insert(key, Arc::new(namespace));
    }

    /// Whether the kind is served.
    pub(super) fn serves(&self, kind: &Kind) -> bool {
        !kind.custom || self.installed.contains(kind.plural)
    }

    /// The kinds of a group and version that are served.
    pub(super) fn served(&self, api_version: &str) -> Vec<&'static Kind> {
        let of_group = KINDS.iter().filter(|kind| kind.api_version() == api_version);
        of_group.filter(|kind| self.serves(kind)).collect()
    }

    /// 403 if the caller may not.
    pub(super) fn authorize(&self, caller: &str, verb: &str, address: &Address) -> Result<(), Refusal> {
        let Address {
            kind,
            namespace,
            name,
            subresource,
        } = address;
        let is_forbidden = |place: Option<&String>| {
            let rule = (verb.to_owned(), kind.plural.to_owned(), place.cloned());
            self.forbidden.contains(&rule)
        };
        if !caller.starts_with(RESTRICTED) || !is_forbidden(None) && !is_forbidden(Some(namespace)) {
            return Ok(());
        }
        let resource = match &**subresource {
            "" => kind.plural.to_owned(),
            subresource => format!("{}/{subresource}", kind.plural),
        };
        let place = match &**namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let why = format!(
            "User \"{ACCOUNT}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
            kind.group
        );
        Err(Refusal::forbidden(kind, name, &why))
    }

    /// The objects of a kind at a revision, by namespace and name.
    pub(super) fn at(&self, kind: &Kind, revision: u64) -> BTreeMap<(String, String), Arc<Value>> {
        let all = self
            .objects
            .iter()
            .filter(|((plural, ..), _)| *plural == kind.plural);
        let mut objects: BTreeMap<_, _> = all
            .map(|((_, namespace, name), object)| ((namespace.clone(), name.clone()), Arc::clone(object)))
            .collect();
        for commit in self
            .log
            .since(revision)
            .iter()
            .rev()
            .filter(|commit| commit.is_of(kind))
        {
            let key = (commit.namespace.clone(), commit.name.clone());
            match &commit.before {
                Some(before) => objects.insert(key, Arc::clone(before)),
                None => objects.remove(&key),
            };
        }
        objects
    }

    /// Stores a write, `after` with its new resourceVersion. `after`: `None` to delete.
    pub(super) fn commit(&mut self, write: Write<'_>, after: Option<Value>) -> Option<Arc<Value>> {
        let Write {
            address,
            caller,
            manager,
            verb,
        } = write;
        let revision = self.log.revision() + 1;
        let after = after.map(|mut object| {
            object["metadata"]["resourceVersion"] = revision.to_string().into();
            Arc::new(object)
        });
        let key = (
            address.kind.plural,
            address.namespace.clone(),
            address.name.clone(),
        );
        let before = match &after {
            Some(object) => self.objects.insert(key, Arc::clone(object)),
            None => self.objects.remove(&key),
        };
        self.log.push(Commit {
            revision,
            at: Instant::now(),
            caller: caller.to_owned(),
            manager: manager.to_owned(),
            verb,
            resource: address.kind.plural,
            subresource: address.subresource.clone(),
            namespace: address.namespace.clone(),
            name: address.name.clone(),
            before,
            after: after.clone(),
        });
        after
    }
}

/// Whose write it is, and to what.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) address: &'a Address,
    pub(super) caller: &'a str,
    pub(super) manager: &'a str,
    pub(super) verb: &'static str,
}

/// The uid of the object of that number.
pub(super) fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
