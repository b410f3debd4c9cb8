//! Many equal Deployments over several namespaces, each with a ConfigMap of its own: something to make storms with.
//!
//! What became of them is judged by a watch of the test's own. The audit log would not do where a controller is killed:
//! a patch whose sender is gone is logged as 504 "context canceled" and takes effect all the same.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use backon::ExponentialBuilder;
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        watcher::{self, ExponentialBackoff, watcher},
    },
};
use serde_json::Value;
use testbed::{Entry, eventually};
use tokio::time::sleep;

use super::{
    PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, digest_of},
};

/// Requests of the test under way at the same time.
const CONCURRENCY: usize = 16;
/// How often the audit log is looked at where a moment is to be met: patches are some milliseconds apart.
const GLANCE: Duration = Duration::from_millis(1);

/// So many Deployments `app-<n>` in each of some namespaces.
pub struct Field {
    /// The namespaces.
    pub spaces: Vec<World>,
    per_space: usize,
    seen: Arc<Mutex<BTreeMap<Key, Seen>>>,
}

/// Namespace and name.
type Key = (String, String);

/// What the watch showed of a Deployment.
#[derive(Debug, Default)]
struct Seen {
    template: Value,
    /// The digests it showed after each change of its pod template.
    digests: Vec<String>,
}

impl Field {
    /// Creates them beside the world's own namespace, their content `0`.
    pub async fn create(world: &World, spaces: usize, per_space: usize) -> Self {
        let spaces = stream::iter(0..spaces)
            .then(|_| world.another("field"))
            .collect()
            .await;
        Self::fill(spaces, per_space).await
    }

    /// So many Deployments in the world's own namespace.
    pub async fn in_its_own_namespace(world: &World, count: usize) -> Self {
        Self::fill(vec![world.clone()], count).await
    }

    async fn fill(spaces: Vec<World>, per_space: usize) -> Self {
        let field = Self {
            spaces,
            per_space,
            seen: Arc::default(),
        };
        field
            .each(async |space, name| {
                space.create(&config_map(name, "0")).await;
                let pod = pod_with_config_map(name);
                space.create(&deployment(name, &AUTO, &pod)).await;
            })
            .await;
        for space in &field.spaces {
            tokio::spawn(record(space.api(), Arc::clone(&field.seen)));
        }
        let total = field.spaces.len() * per_space;
        eventually(PATIENCE, "the test's own watch", async || {
            let seen = field.seen.lock().expect("no panic").len();
            (seen == total).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        field
    }

    /// Sets every ConfigMap to a content.
    pub async fn change_all(&self, value: &str) {
        self.each(async |space, name| space.change_config_map(name, value).await)
            .await;
    }

    async fn each(&self, action: impl AsyncFn(&World, &str)) {
        let pairs =
            (0..self.per_space).flat_map(|number| self.spaces.iter().map(move |space| (space, number)));
        stream::iter(pairs)
            .for_each_concurrent(CONCURRENCY, async |(space, number)| {
                action(space, &format!("app-{number}")).await;
            })
            .await;
    }

    /// The successful patches of its Deployments so far, in the order in which they took effect.
    pub fn patches(&self) -> Vec<Arc<Entry>> {
        let plane = &self.spaces[0].plane;
        let mut patches = plane
            .audit()
            .matching(|entry| self.is_patch(entry))
            .expect("the audit log");
        let version = |entry: &Arc<Entry>| {
            let object = entry.response_object.as_ref()?;
            let version = object.pointer("/metadata/resourceVersion")?.as_str()?;
            version.parse::<u64>().ok()
        };
        patches.sort_by_key(version);
        patches
    }

    fn is_patch(&self, entry: &Entry) -> bool {
        entry.resource == "deployments"
            && entry.verb == "patch"
            && entry.succeeded()
            && entry.name.starts_with("app-")
            && self.spaces.iter().any(|space| space.namespace == entry.namespace)
    }

    /// Waits until that many patches have been answered, looking all the time.
    pub async fn catch_patches(&self, count: usize) {
        catch(&format!("{count} patches"), || self.patches().len() >= count).await;
    }

    /// Waits until every Deployment shows the last of all the contents that its ConfigMap had; then each was rolled for
    /// it once, and at most once for each of the earlier ones, in their order.
    pub async fn wait_all_right(&self, contents: &[String]) {
        let digests: Vec<String> = contents.iter().map(|content| digest_of(content)).collect();
        let waited = eventually(PATIENCE, "every Deployment to show its content", async || {
            let seen = self.seen.lock().expect("no panic");
            let mut behind = seen
                .iter()
                .filter(|(_, seen)| seen.digests.last() != digests.last());
            match behind.next() {
                None => Ok(Some(())),
                Some(first) => Err(format!("{} behind, {first:?} among them", behind.count() + 1)),
            }
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"));
        for (key, seen) in self.seen.lock().expect("no panic").iter() {
            let places = seen
                .digests
                .iter()
                .map(|digest| digests.iter().position(|other| other == digest));
            assert!(
                places.clone().all(|place| place.is_some()) && places.is_sorted_by(|one, next| one < next),
                "{key:?} showed {:?} of {digests:?}",
                seen.digests
            );
        }
    }
}

/// Notes every change of a pod template, for as long as the test process lives.
async fn record(api: Api<Deployment>, into: Arc<Mutex<BTreeMap<Key, Seen>>>) {
    // kube's own pauses grow to 30 s: longer than a test waits after an outage.
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1))
        .without_max_times();
    let backoff = ExponentialBackoff::from(pauses);
    let deployments = watcher(api, watcher::Config::default())
        .backoff(backoff)
        .touched_objects();
    let mut deployments = std::pin::pin!(deployments);
    while let Some(deployment) = deployments.next().await {
        let Ok(deployment) = deployment else { continue };
        let object = serde_json::to_value(deployment).expect("JSON");
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        if !text("name").starts_with("app-") {
            continue;
        }
        let template = &object["spec"]["template"];
        let mut all = into.lock().expect("no panic");
        let seen = all.entry((text("namespace"), text("name"))).or_default();
        if !seen.template.is_null() && seen.template != *template {
            seen.digests.push(marker(template));
        }
        seen.template = template.clone();
    }
}

/// Waits for a moment, looking all the time.
pub async fn catch(what: &str, mut reached: impl FnMut() -> bool) {
    let wait = async {
        while !reached() {
            sleep(GLANCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// The digest that a pod template shows, by either strategy; empty where there is none.
fn marker(template: &Value) -> String {
    let annotation = template.pointer("/metadata/annotations/reloader.stakater.com~1last-reloaded-from");
    if let Some(text) = annotation.and_then(Value::as_str) {
        let marker: Value = serde_json::from_str(text).expect("a marker is JSON");
        return marker["hash"].as_str().unwrap_or_default().to_owned();
    }
    let variable = template.pointer("/spec/containers/0/env/0/value");
    variable.and_then(Value::as_str).unwrap_or_default().to_owned()
}
