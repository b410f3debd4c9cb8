//! The pods of the workloads, and the controllers that run them.
//!
//! Input: the objects as they are stored. Output: pods, statuses. I/O: none outside the simulation.
//!
//! A pod reads its sources when it starts, and not again. A rollout replaces the pods of other templates one by one; a pod
//! whose template comes back before its turn stays. That is what a Deployment does with its ReplicaSets, and a StatefulSet
//! or a DaemonSet with its revisions.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::Client,
    draws::Draws,
    entropy,
    plan::{BAD, Setting, WorkloadSetting},
    server::Store,
};

/// A pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The template that it was made from, and the object's uid.
    template: u64,
    /// What each of its sources held when it started.
    pub read: BTreeMap<String, String>,
    /// It has ended and is to start again.
    is_down: bool,
}

/// How far a Deployment is, as its condition `Progressing` says.
struct Progress {
    template: u64,
    counts: [usize; 3],
    /// Since when the counts are these.
    since: Instant,
    reason: &'static str,
    /// When the condition was written last.
    written: String,
}

/// A hash of a source's content.
pub fn content(source: &Value) -> String {
    source["data"].to_string()
}

/// The name of a workload.
pub fn workload_name(number: usize) -> String {
    format!("w{number}")
}

/// The name of a source.
pub fn source_name(number: usize) -> String {
    format!("s{number}")
}

struct Kept {
    setting: WorkloadSetting,
    name: String,
    pods: Mutex<Vec<Pod>>,
    /// Its object has changed.
    changed: Notify,
    starts: Mutex<u64>,
    /// A pod has started with a content with which it does not get ready.
    is_blocked: AtomicBool,
    /// Of a Deployment.
    progress: Mutex<Option<Progress>>,
}

impl Kept {
    fn pods(&self) -> MutexGuard<'_, Vec<Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a pod that does not get ready waits before it starts again.
const CRASH_LOOP: Duration = Duration::from_secs(5);

/// The controllers of all workloads.
#[derive(Clone)]
pub struct Controllers {
    store: Store,
    client: Client,
    draws: Draws,
    pod_start_ms: u64,
    workloads: Arc<Vec<Kept>>,
}

impl Controllers {
    /// Starts the controllers; nothing runs before its object is there.
    pub fn start(store: &Store, client: &Client, setting: &Setting, draws: Draws) -> Self {
        let workloads = setting
            .workloads
            .iter()
            .enumerate()
            .map(|(number, setting)| Kept {
                setting: setting.clone(),
                name: workload_name(number),
                pods: Mutex::default(),
                changed: Notify::new(),
                starts: Mutex::default(),
                is_blocked: AtomicBool::new(false),
                progress: Mutex::default(),
            });
        let controllers = Self {
            store: store.clone(),
            client: client.named("kube-controller-manager"),
            draws,
            pod_start_ms: setting.pod_start_ms,
            workloads: Arc::new(workloads.collect()),
        };
        for number in 0..controllers.workloads.len() {
            tokio::spawn(controllers.clone().reconcile_for_ever(number));
        }
        tokio::spawn(controllers.clone().follow());
        controllers
    }

    /// The pods of a workload that run, or will run again.
    pub fn pods(&self, number: usize) -> Vec<Pod> {
        self.workloads[number].pods().clone()
    }

    /// A pod ends, and starts again.
    pub fn restart_pod(&self, number: usize, pod: usize) {
        let kept = &self.workloads[number];
        let mut pods = kept.pods();
        let count = pods.len();
        if count > 0 {
            pods[pod % count].is_down = true;
            kept.changed.notify_one();
        }
    }

    /// Whether every rollout is complete.
    pub fn are_done(&self) -> bool {
        self.workloads.iter().all(|kept| {
            let object = self.client.get(&kept.setting.plural, &kept.name);
            let wanted = object.as_deref().map_or(0, |object| wanted(kept, object));
            let template = object.as_deref().map(template);
            let pods = kept.pods();
            pods.len() == wanted
                && pods
                    .iter()
                    .all(|pod| Some(pod.template) == template && !pod.is_down)
        })
    }

    async fn follow(self) {
        let mut revision = self.store.subscribe();
        let numbers: HashMap<String, usize> = self
            .workloads
            .iter()
            .enumerate()
            .map(|(number, kept)| (kept.name.clone(), number))
            .collect();
        let mut seen = 0;
        loop {
            for commit in self.store.commits_since(seen) {
                seen = commit.revision;
                let is_own = commit.caller == "kube-controller-manager";
                if let Some(number) = numbers.get(&commit.name).filter(|_| !is_own) {
                    self.workloads[*number].changed.notify_one();
                }
            }
            if revision.changed().await.is_err() {
                return;
            }
        }
    }

    async fn reconcile_for_ever(self, number: usize) {
        let kept = &self.workloads[number];
        loop {
            kept.changed.notified().await;
            // A controller's own watch and queue.
            self.pause(number, 300).await;
            while self.step(number).await {}
        }
    }

    async fn pause(&self, number: usize, most: u64) {
        let step = {
            let mut starts = self.workloads[number]
                .starts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *starts += 1;
            *starts
        };
        let millis = self
            .draws
            .of("pod", number as u64)
            .of("pause", step)
            .within(1..most.max(2));
        sleep(Duration::from_millis(millis)).await;
    }

    /// One step of a rollout; whether there may be another.
    async fn step(&self, number: usize) -> bool {
        let kept = &self.workloads[number];
        let Some(object) = self.client.get(&kept.setting.plural, &kept.name) else {
            kept.pods().clear();
            return false;
        };
        let (wanted, present) = (wanted(kept, &object), template(&object));
        let next = {
            let mut pods = kept.pods();
            // Pods of a deleted object go with it.
            let uid = uid(&object);
            pods.retain(|pod| pod.template >> 48 == uid >> 48);
            pods.truncate(wanted);
            let next = pods
                .iter()
                .position(|pod| pod.is_down)
                .or_else(|| pods.iter().position(|pod| pod.template != present));
            next.or((pods.len() < wanted).then_some(pods.len()))
        };
        self.write_status(number, &object);
        let Some(next) = next else {
            return false;
        };
        self.pause(number, self.pod_start_ms).await;
        if kept.is_blocked.swap(false, Ordering::Relaxed) {
            // It starts again and again; that another template is to be brought out is seen at once.
            let _ = timeout(CRASH_LOOP, kept.changed.notified()).await;
        }
        let Some(now) = self.client.get(&kept.setting.plural, &kept.name) else {
            return true;
        };
        if template(&now) != present || !self.start_pod(number, next, present) {
            return true;
        }
        self.write_status(number, &now);
        true
    }

    /// Starts a pod, unless a source is missing or has a content with which it does not get ready.
    fn start_pod(&self, number: usize, at: usize, present: u64) -> bool {
        let kept = &self.workloads[number];
        let mut read = BTreeMap::new();
        for source in &kept.setting.sources {
            let name = source_name(*source);
            let Some(source) = self.client.get("configmaps", &name) else {
                return false;
            };
            if source["data"]["key"].as_str() == Some(&*BAD.to_string()) {
                kept.is_blocked.store(true, Ordering::Relaxed);
            }
            read.insert(name, content(&source));
        }
        if kept.is_blocked.load(Ordering::Relaxed) {
            return false;
        }
        let mut pods = kept.pods();
        match pods.get_mut(at) {
            // A container that starts again keeps the template of its pod.
            Some(pod) if pod.is_down => {
                pod.read = read;
                pod.is_down = false;
            }
            Some(pod) if pod.template == present => {}
            other => {
                let pod = Pod {
                    template: present,
                    read,
                    is_down: false,
                };
                match other {
                    Some(old) => *old = pod,
                    None => pods.push(pod),
                }
            }
        }
        true
    }

    fn write_status(&self, number: usize, object: &Value) {
        let kept = &self.workloads[number];
        let present = template(object);
        let (all, updated, ready) = {
            let pods = kept.pods();
            (
                pods.len(),
                pods.iter().filter(|pod| pod.template == present).count(),
                pods.iter().filter(|pod| !pod.is_down).count(),
            )
        };
        let number = |count: usize| if count == 0 { Value::Null } else { json!(count) };
        let generation = &object["metadata"]["generation"];
        let status = match kept.setting.plural.as_str() {
            "daemonsets" => json!({
                "observedGeneration": generation,
                "desiredNumberScheduled": wanted(kept, object),
                "currentNumberScheduled": all,
                "updatedNumberScheduled": number(updated),
                "numberReady": ready,
                "numberAvailable": number(ready),
                "numberMisscheduled": 0,
            }),
            "statefulsets" => json!({
                "observedGeneration": generation,
                "replicas": all,
                "updatedReplicas": number(updated),
                "readyReplicas": number(ready),
                "availableReplicas": ready,
            }),
            _ => json!({
                "observedGeneration": generation,
                "replicas": number(all),
                "updatedReplicas": number(updated),
                "readyReplicas": number(ready),
                "availableReplicas": number(ready),
                "conditions": [progressing(kept, object, [all, updated, ready])],
            }),
        };
        self.client
            .merge_status(&kept.setting.plural, &kept.name, &status);
    }
}

/// The condition of a Deployment that says how far its rollout is. Once that is complete, it stays so until there is another
/// template, whatever becomes of the pods.
fn progressing(kept: &Kept, object: &Value, counts: [usize; 3]) -> Value {
    let template = template(object);
    let wanted = wanted(kept, object);
    let now = Instant::now();
    let mut kept = kept.progress.lock().unwrap_or_else(PoisonError::into_inner);
    let written = || {
        let second = Timestamp::from_second(entropy::wall().as_second());
        second.map(|second| second.to_string()).unwrap_or_default()
    };
    let progress = kept.get_or_insert_with(|| Progress {
        template: 0,
        counts,
        since: now,
        reason: UPDATED,
        written: written(),
    });
    let is_new = progress.template != template;
    if is_new || progress.counts != counts {
        (progress.counts, progress.since) = (counts, now);
    }
    let deadline = object["spec"]["progressDeadlineSeconds"].as_u64().unwrap_or(600);
    let stays = !is_new && progress.reason == AVAILABLE;
    let reason = if counts == [wanted; 3] || stays {
        AVAILABLE
    } else if now - progress.since >= Duration::from_secs(deadline) {
        EXCEEDED
    } else {
        UPDATED
    };
    if is_new || progress.reason != reason {
        (progress.template, progress.reason, progress.written) = (template, reason, written());
    }
    json!({
        "type": "Progressing",
        "status": if reason == EXCEEDED { "False" } else { "True" },
        "reason": reason,
        "lastUpdateTime": progress.written,
    })
}

const AVAILABLE: &str = "NewReplicaSetAvailable";
const UPDATED: &str = "ReplicaSetUpdated";
const EXCEEDED: &str = "ProgressDeadlineExceeded";

fn wanted(kept: &Kept, object: &Value) -> usize {
    object["spec"]["replicas"]
        .as_u64()
        .map_or(kept.setting.replicas, |replicas| {
            usize::try_from(replicas).unwrap_or_default()
        })
}

/// 16 bits of the object's uid, 48 of its template.
fn template(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object["spec"]["template"].to_string().hash(&mut hasher);
    uid(object) | hasher.finish() >> 16
}

fn uid(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object["metadata"]["uid"].to_string().hash(&mut hasher);
    hasher.finish() & !(u64::MAX >> 16)
}
