//! Plays the controllers of workloads: statuses follow specs, as pods that start or do not start would have it.
//!
//! For a control plane without a controller manager. Its user says which contents keep pods from getting ready, and how long
//! they take.
//!
//! Input: workloads of one namespace. Output: their statuses. I/O: watches and patches them.

mod statuses;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use crate::digest_of;
use statuses::{Stage, observed, status};

/// Controllers of workloads for one namespace; they end when this is dropped. Names are those of one workload each,
/// whatever its kind.
pub struct Rollouts {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    /// How long pods take to get ready.
    takes: Duration,
    /// Contents with which none does.
    bad: Mutex<BTreeSet<String>>,
    /// Deployments whose pods never get ready, whatever their contents are.
    sick: BTreeSet<String>,
    /// Those that are being rolled out, and to which generation.
    rolling: Mutex<HashMap<String, i64>>,
    /// The most there ever were of these at a time.
    peak: AtomicUsize,
    /// Whether statuses change at all.
    is_up: watch::Sender<bool>,
}

/// A kind whose controller is played.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its name.
    pub kind: &'static str,
    /// Its objects in the namespace.
    pub api: Api<DynamicObject>,
}

impl Played {
    /// Of that namespace's Deployments.
    pub fn deployments(client: Client, namespace: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        Self {
            kind: "Deployment",
            api: Api::namespaced_with(client, namespace, &resource),
        }
    }
}

impl Rollouts {
    /// Plays the controllers of these kinds; pods take so long to get ready, but for those of the workloads that are sick: these
    /// never are.
    pub fn play(kinds: impl IntoIterator<Item = Played>, takes: Duration, sick: &[&str]) -> Self {
        let shared = Arc::new(Shared {
            takes,
            bad: Mutex::default(),
            sick: sick.iter().map(|name| (*name).to_owned()).collect(),
            rolling: Mutex::default(),
            peak: AtomicUsize::new(0),
            is_up: watch::Sender::new(true),
        });
        let mut tasks = JoinSet::new();
        for played in kinds {
            tasks.spawn(Arc::clone(&shared).run(played));
        }
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// From now on no pod with that content gets ready.
    pub fn fails_with(&self, content: &str) {
        lock(&self.shared.bad).insert(digest_of(content));
    }

    /// From now on pods with that content get ready; those that did not are as they were.
    pub fn works_with(&self, content: &str) {
        lock(&self.shared.bad).remove(&digest_of(content));
    }

    /// The pods of that workload get ready by themselves.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn recovers(&self, played: &Played, name: &str) -> kube::Result<()> {
        let object = played.api.get(name).await?;
        let generation = object.metadata.generation.unwrap_or_default();
        self.shared.set(played, name, generation, Stage::Complete).await;
        Ok(())
    }

    /// No status changes until [`Self::go_on`].
    pub fn stand_still(&self) {
        self.shared.is_up.send_replace(false);
    }

    /// Statuses change again.
    pub fn go_on(&self) {
        self.shared.is_up.send_replace(true);
    }

    /// The most that were being rolled out at a time.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// What was until now does not count.
    pub fn reset_peak(&self) {
        self.shared.peak.store(0, Ordering::SeqCst);
    }
}

impl Shared {
    async fn run(self: Arc<Self>, played: Played) {
        let stream = watcher(played.api.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects();
        // What fails is tried again.
        let objects = stream.filter_map(|object| std::future::ready(object.ok()));
        let seen = objects.for_each(|object| {
            Arc::clone(&self).see(&played, &object);
            std::future::ready(())
        });
        seen.await;
    }

    fn see(self: Arc<Self>, played: &Played, object: &DynamicObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or_default();
        let observed = observed(&object.data["status"]);
        if observed >= Some(generation) || lock(&self.rolling).get(&name) == Some(&generation) {
            return;
        }
        {
            let mut rolling = lock(&self.rolling);
            rolling.insert(name.clone(), generation);
            // The first status of each is no rollout.
            if observed.is_some() {
                self.peak.fetch_max(rolling.len(), Ordering::SeqCst);
            }
        }
        let template = object.data["spec"].to_string();
        let is_bad = lock(&self.bad).iter().any(|digest| template.contains(digest));
        let is_sick = self.sick.contains(&name);
        let is_first = observed.is_none();
        let played = played.clone();
        tokio::spawn(async move {
            if !is_first {
                self.set(&played, &name, generation, Stage::UnderWay).await;
                tokio::time::sleep(self.takes).await;
            }
            self.stands_still().await;
            let is_current = {
                let mut rolling = lock(&self.rolling);
                let is_current = rolling.get(&name) == Some(&generation);
                if is_current {
                    rolling.remove(&name);
                }
                is_current
            };
            if is_current {
                let stage = if is_bad || is_sick {
                    Stage::Failed
                } else {
                    Stage::Complete
                };
                self.set(&played, &name, generation, stage).await;
            }
        });
    }

    async fn set(&self, played: &Played, name: &str, generation: i64, stage: Stage) {
        self.stands_still().await;
        let body = json!({ "status": status(played.kind, generation, stage) });
        let (params, body) = (PatchParams::default(), Patch::Merge(body));
        // The workload may be gone.
        drop(played.api.patch_status(name, &params, &body).await);
    }

    /// Returns when it does not.
    async fn stands_still(&self) {
        let mut is_up = self.is_up.subscribe();
        // The sender is kept.
        drop(is_up.wait_for(|is_up| *is_up).await);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
