//! One watch on each kind of workload, over all namespaces of this tool, and how late a watch is by itself.
//!
//! Input: a client. Output: a [`Record`] that grows. I/O: watches; writes a ConfigMap of its own to measure the error.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::ConfigMap,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    counting::milliseconds,
    owned::{LABEL, SYSTEM, selector},
    record::{Id, Record},
};

/// The ConfigMap by which a watch's lateness is measured.
const PROBE: &str = "reloader-loadtest-probe";
/// Writes to measure it with.
const PROBES: usize = 50;
/// Longest silence of the probe's watch.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running watches; they end when this is dropped.
pub struct Observer {
    record: Arc<Mutex<Record>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Starts to watch.
    pub fn start(client: &Client) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let tasks = vec![
            tokio::spawn(follow::<Deployment>(client.clone(), Arc::clone(&record))),
            tokio::spawn(follow::<StatefulSet>(client.clone(), Arc::clone(&record))),
            tokio::spawn(follow::<DaemonSet>(client.clone(), Arc::clone(&record))),
        ];
        Self { record, tasks }
    }

    /// What was seen so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    // A panic while holding the lock leaves the record whole.
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow<K>(client: Client, record: Arc<Mutex<Record>>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let config = Config::default().labels(&selector());
    let events = watcher(Api::<K>::all(client), config).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let seen = Instant::now();
        // An error is followed by a new list, and what it hides shows as a gap between generations.
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                if let Ok(value) = serde_json::to_value(&object) {
                    lock(&record).apply(id_of(&object), &value, seen);
                }
            }
            Ok(Event::Delete(object)) => lock(&record).delete(&id_of(&object)),
            _ => {}
        }
    }
}

fn id_of<K: Resource<DynamicType = ()>>(object: &K) -> Id {
    Id {
        kind: K::kind(&()).into_owned(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// How many milliseconds after the answer to a write a watch shows it, for some writes of a ConfigMap of its own: what the
/// watch adds to each latency.
pub async fn lateness(client: &Client) -> Result<Vec<f64>> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), SYSTEM);
    let probe: ConfigMap =
        serde_json::from_value(json!({ "metadata": { "name": PROBE, "labels": { LABEL.0: LABEL.1 } } }))?;
    let created = api
        .create(&PostParams::default(), &probe)
        .await
        .context("create the probe")?;
    let version = created.resource_version().unwrap_or_default();
    let params = WatchParams::default().fields(&format!("metadata.name={PROBE}"));
    let watch = api.watch(&params, &version).await.context("watch the probe")?;
    // Takes the times as they come: what waits for the answer must not hold up the watch.
    let times = tokio::spawn(tokio::time::timeout(PATIENCE, async move {
        let modified = watch
            .try_filter_map(async |event| Ok(matches!(event, WatchEvent::Modified(_)).then(Instant::now)));
        modified.take(PROBES).try_collect::<Vec<Instant>>().await
    }));
    let mut answered = Vec::new();
    for number in 0..PROBES {
        let change = json!({ "data": { "number": number.to_string() } });
        api.patch(PROBE, &PatchParams::default(), &Patch::Merge(change))
            .await
            .context("change the probe")?;
        answered.push(Instant::now());
    }
    let seen = times.await?.context("the probe's watch shows nothing")??;
    ensure!(seen.len() == answered.len(), "the probe's watch ended early");
    let pairs = answered.into_iter().zip(seen);
    Ok(pairs
        .map(|(answered, seen)| milliseconds(answered, seen))
        .collect())
}
