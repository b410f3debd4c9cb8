//! Plays the controller of Deployments: their statuses follow their specs, as pods that start or do not start would have it.
//!
//! For a control plane without a controller manager. Its user says which contents keep pods from getting ready, and how long
//! they take.
//!
//! Input: Deployments of one namespace. Output: their statuses. I/O: watches and patches them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::digest_of;

/// A controller of Deployments for one namespace; it ends when this is dropped.
pub struct Rollouts {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    api: Api<Deployment>,
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
}

impl Rollouts {
    /// Plays it; pods take so long to get ready, but for those of the Deployments that are sick: these never are.
    pub fn play(api: Api<Deployment>, takes: Duration, sick: &[&str]) -> Self {
        let shared = Arc::new(Shared {
            api,
            takes,
            bad: Mutex::default(),
            sick: sick.iter().map(|name| (*name).to_owned()).collect(),
            rolling: Mutex::default(),
            peak: AtomicUsize::new(0),
        });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Self { shared, task }
    }

    /// From now on no pod with that content gets ready.
    pub fn fails_with(&self, content: &str) {
        lock(&self.shared.bad).insert(digest_of(content));
    }

    /// From now on pods with that content get ready; those that did not are as they were.
    pub fn works_with(&self, content: &str) {
        lock(&self.shared.bad).remove(&digest_of(content));
    }

    /// The pods of that Deployment get ready by themselves.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn recovers(&self, name: &str) -> kube::Result<()> {
        let deployment = self.shared.api.get(name).await?;
        self.shared.set(name, complete(generation(&deployment))).await;
        Ok(())
    }

    /// The most that were being rolled out at a time.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }
}

impl Drop for Rollouts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let stream = watcher(self.api.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects();
        // What fails is tried again.
        let deployments = stream.filter_map(|deployment| std::future::ready(deployment.ok()));
        let seen = deployments.for_each(|deployment| {
            Arc::clone(&self).see(&deployment);
            std::future::ready(())
        });
        seen.await;
    }

    fn see(self: Arc<Self>, deployment: &Deployment) {
        let name = deployment.metadata.name.clone().unwrap_or_default();
        let generation = generation(deployment);
        let observed = deployment
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
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
        let template = serde_json::to_string(&deployment.spec).unwrap_or_default();
        let is_bad = lock(&self.bad).iter().any(|digest| template.contains(digest));
        let is_sick = self.sick.contains(&name);
        let is_first = observed.is_none();
        tokio::spawn(async move {
            if !is_first {
                self.set(&name, under_way(generation)).await;
                tokio::time::sleep(self.takes).await;
            }
            let is_current = {
                let mut rolling = lock(&self.rolling);
                let is_current = rolling.get(&name) == Some(&generation);
                if is_current {
                    rolling.remove(&name);
                }
                is_current
            };
            if is_current {
                let status = if is_bad || is_sick {
                    failed(generation)
                } else {
                    complete(generation)
                };
                self.set(&name, status).await;
            }
        });
    }

    async fn set(&self, name: &str, status: Value) {
        let body = Patch::Merge(json!({ "status": status }));
        // The Deployment may be gone.
        drop(self.api.patch_status(name, &PatchParams::default(), &body).await);
    }
}

fn generation(deployment: &Deployment) -> i64 {
    deployment.metadata.generation.unwrap_or_default()
}

fn status(generation: i64, [replicas, updated, available]: [u32; 3], progressing: (&str, &str)) -> Value {
    let now = Timestamp::now().to_string();
    json!({
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "conditions": [{
            "type": "Progressing",
            "status": progressing.0,
            "reason": progressing.1,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }],
    })
}

fn under_way(generation: i64) -> Value {
    status(generation, [2, 1, 1], ("True", "ReplicaSetUpdated"))
}

fn complete(generation: i64) -> Value {
    status(generation, [1, 1, 1], ("True", "NewReplicaSetAvailable"))
}

fn failed(generation: i64) -> Value {
    status(generation, [2, 1, 1], ("False", "ProgressDeadlineExceeded"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
