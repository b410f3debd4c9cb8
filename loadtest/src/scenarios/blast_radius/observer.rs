//! Who is in progress, by a watch of its own. Input: Deployments of one namespace; output: [`Seen`]. I/O: watches.
//!
//! A Deployment is in progress from its new generation until its status says that all pods are new and available, by the rule
//! of `kubectl rollout status`. One watch sees every state in the order in which the API server stored them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use tokio::task::JoinHandle;

/// Watches until it is dropped.
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The last generation of each.
    generations: BTreeMap<String, i64>,
    /// Those in progress now.
    in_progress: BTreeSet<String>,
    /// The most there were at a time, since the count began.
    pub peak: usize,
    /// Those that were restarted and are ready, since then.
    pub ready: BTreeSet<String>,
    /// When the last one was.
    pub last_ready: Option<Instant>,
    /// Lists beside the first one: what came in between was not seen.
    pub gaps: usize,
    lists: usize,
}

impl Observer {
    pub fn start(api: Api<Deployment>) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(watch(api, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// What was seen until now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// How many are ready.
    pub fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// Whether so many exist, and none is in progress.
    pub fn is_calm(&self, count: usize) -> bool {
        let seen = self.lock();
        seen.generations.len() == count && seen.in_progress.is_empty()
    }

    /// The count begins: what is ready now does not count.
    pub fn begin(&self) {
        let mut seen = self.lock();
        (seen.peak, seen.gaps) = (0, 0);
        seen.ready.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(api: Api<Deployment>, seen: Arc<Mutex<Seen>>) {
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Init) => {
                seen.gaps += usize::from(seen.lists > 0);
                seen.lists += 1;
            }
            Ok(watcher::Event::InitApply(deployment) | watcher::Event::Apply(deployment)) => {
                seen.see(&deployment);
            }
            // It is tried again, with a list if anything was missed.
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) | Err(_) => {}
        }
    }
}

impl Seen {
    fn see(&mut self, deployment: &Deployment) {
        let name = deployment.metadata.name.clone().unwrap_or_default();
        let generation = deployment.metadata.generation.unwrap_or_default();
        let before = self.generations.insert(name.clone(), generation);
        if is_complete(deployment) {
            if self.in_progress.remove(&name) {
                self.ready.insert(name);
                self.last_ready = Some(Instant::now());
            } else if before.is_some_and(|before| before != generation) {
                self.ready.insert(name);
            }
        } else {
            self.in_progress.insert(name);
            self.peak = self.peak.max(self.in_progress.len());
        }
    }
}

fn is_complete(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    status.observed_generation >= deployment.metadata.generation
        && updated >= wanted
        && status.replicas.unwrap_or_default() <= updated
        && status.available_replicas.unwrap_or_default() >= updated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(
        name: &str,
        generation: i64,
        observed: i64,
        [all, updated, available]: [i32; 3],
    ) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": name, "generation": generation },
            "spec": { "replicas": 1, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": observed, "replicas": all, "updatedReplicas": updated, "availableReplicas": available,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_lasts_from_its_generation_until_all_pods_are_new_and_available() {
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.see(&deployment(name, 1, 1, [1, 1, 1]));
        }
        assert_eq!((seen.peak, seen.ready.len()), (0, 0));
        seen.see(&deployment("a", 2, 1, [1, 1, 1]));
        seen.see(&deployment("a", 2, 2, [2, 1, 1]));
        seen.see(&deployment("b", 2, 1, [1, 1, 1]));
        assert_eq!((seen.peak, seen.ready.len()), (2, 0));
        seen.see(&deployment("a", 2, 2, [1, 1, 0]));
        assert_eq!(seen.in_progress.len(), 2);
        seen.see(&deployment("a", 2, 2, [1, 1, 1]));
        assert_eq!((seen.in_progress.len(), seen.peak), (1, 2));
        assert!(seen.ready.contains("a"));
    }
}
