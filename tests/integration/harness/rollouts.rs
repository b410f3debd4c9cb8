//! Plays the controllers of workloads: statuses follow specs, as pods that start or do not start would have it.
//!
//! The shared control plane has no controller-manager. Here a test says which contents keep pods from getting ready, and how
//! long they take.

mod statuses;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use super::{World, kinds::Custom, observe::digest_of};
use statuses::{Stage, observed, status};

const fn built_in(kind: &'static str, plural: &'static str) -> Custom {
    Custom {
        group: "apps",
        version: "v1",
        kind,
        plural,
    }
}

pub const DEPLOYMENT: Custom = built_in("Deployment", "deployments");
pub const STATEFUL_SET: Custom = built_in("StatefulSet", "statefulsets");
pub const DAEMON_SET: Custom = built_in("DaemonSet", "daemonsets");

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
#[derive(Clone)]
struct Played {
    kind: &'static str,
    api: Api<DynamicObject>,
}

impl Rollouts {
    /// Plays that of Deployments; pods take so long to get ready.
    pub fn play(world: &World, takes: Duration, sick: &[&str]) -> Self {
        Self::play_all(world, &[DEPLOYMENT], takes, sick)
    }

    /// Plays those of all these kinds.
    pub fn play_all(world: &World, kinds: &[Custom], takes: Duration, sick: &[&str]) -> Self {
        let shared = Arc::new(Shared {
            takes,
            bad: Mutex::default(),
            sick: sick.iter().map(|name| (*name).to_owned()).collect(),
            rolling: Mutex::default(),
            peak: AtomicUsize::new(0),
            is_up: watch::Sender::new(true),
        });
        let mut tasks = JoinSet::new();
        for custom in kinds {
            let played = Played {
                kind: custom.kind,
                api: world.custom(*custom),
            };
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

    /// The pods of that Deployment get ready by themselves.
    pub async fn recovers(&self, world: &World, name: &str) {
        let played = Played {
            kind: DEPLOYMENT.kind,
            api: world.custom(DEPLOYMENT),
        };
        let deployment = played.api.get(name).await.expect("the Deployment");
        let generation = deployment.metadata.generation.unwrap_or_default();
        self.shared.set(&played, name, generation, Stage::Complete).await;
    }

    /// No status changes until [`Self::go_on`].
    pub fn stand_still(&self) {
        self.shared.is_up.send_replace(false);
    }

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
        let seen = stream.try_for_each(|object| {
            Arc::clone(&self).see(&played, &object);
            std::future::ready(Ok(()))
        });
        seen.await.expect("the watch goes on");
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

fn generation(deployment: &Deployment) -> i64 {
    deployment.metadata.generation.unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    async fn deployments(&self) -> Vec<Deployment> {
        let all = self.api::<Deployment>().list(&ListParams::default()).await;
        all.expect("Deployments").items
    }

    /// How many Deployments are rolled out completely, by their status.
    pub async fn complete_deployments(&self) -> usize {
        let all = self.deployments().await;
        let is_complete = |deployment: &&Deployment| completion(deployment).is_some();
        all.iter().filter(is_complete).count()
    }

    /// When the last of these was complete, in seconds since 1970.
    pub async fn completed_at(&self, of: &[&str]) -> i64 {
        let all = self.deployments().await;
        let named = all.iter().filter(|deployment| {
            let name = deployment.metadata.name.as_deref().unwrap_or_default();
            of.contains(&name)
        });
        named.filter_map(completion).max().expect("one is complete")
    }

    /// The generation of each Deployment: it is created with 1, and every change of its spec adds one.
    pub async fn generations(&self) -> HashMap<String, i64> {
        let all = self.deployments().await.into_iter();
        all.map(|deployment| {
            let generation = generation(&deployment);
            (deployment.metadata.name.unwrap_or_default(), generation)
        })
        .collect()
    }

    /// The pod template of each Deployment, as text.
    pub async fn templates(&self) -> HashMap<String, String> {
        let all = self.deployments().await.into_iter().map(|deployment| {
            let template = serde_json::to_string(&deployment.spec).expect("JSON");
            (deployment.metadata.name.unwrap_or_default(), template)
        });
        all.collect()
    }

    /// Deletes a Deployment.
    pub async fn delete_deployment(&self, name: &str) {
        let api = self.api::<Deployment>();
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.expect("it is deleted");
    }
}

/// When it was complete; `None`: it is not.
fn completion(deployment: &Deployment) -> Option<i64> {
    let status = deployment.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let mut complete = conditions.filter(|condition| {
        condition.reason.as_deref() == Some("NewReplicaSetAvailable")
            && status.observed_generation == deployment.metadata.generation
    });
    Some(complete.next()?.last_update_time.as_ref()?.0.as_second())
}
