//! Many equal Deployments over several namespaces, each with a ConfigMap of its own: something to make storms with.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
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
}

/// The contents whose markers a Deployment got, in the order of its rollouts; by namespace and name.
pub type Histories = BTreeMap<(String, String), Vec<String>>;

impl Field {
    /// Creates them beside the world's own namespace, their content `0`.
    pub async fn create(world: &World, spaces: usize, per_space: usize) -> Self {
        let spaces = stream::iter(0..spaces).then(|_| world.another("field")).collect().await;
        Self::fill(spaces, per_space).await
    }

    /// So many Deployments in the world's own namespace.
    pub async fn in_its_own_namespace(world: &World, count: usize) -> Self {
        Self::fill(vec![world.clone()], count).await
    }

    async fn fill(spaces: Vec<World>, per_space: usize) -> Self {
        let field = Self { spaces, per_space };
        field
            .each(async |space, name| {
                space.create(&config_map(name, "0")).await;
                let pod = pod_with_config_map(name);
                space.create(&deployment(name, &AUTO, &pod)).await;
            })
            .await;
        field
    }

    /// Sets every ConfigMap to a content.
    pub async fn change_all(&self, value: &str) {
        self.each(async |space, name| space.change_config_map(name, value).await).await;
    }

    async fn each(&self, action: impl AsyncFn(&World, &str)) {
        let pairs = (0..self.per_space).flat_map(|number| self.spaces.iter().map(move |space| (space, number)));
        stream::iter(pairs)
            .for_each_concurrent(CONCURRENCY, async |(space, number)| {
                action(space, &format!("app-{number}")).await;
            })
            .await;
    }

    /// What each Deployment was rolled for so far; `contents` are all that its ConfigMap ever had.
    pub fn histories(&self, contents: &[String]) -> Histories {
        let names: HashMap<String, &String> = contents.iter().map(|value| (digest_of(value), value)).collect();
        let patches = self.patches();
        let mut histories: Histories = BTreeMap::new();
        for space in &self.spaces {
            for number in 0..self.per_space {
                histories.insert((space.namespace.clone(), format!("app-{number}")), Vec::new());
            }
        }
        for patch in patches {
            let digest = marker(patch.pod_template().expect("a pod template"));
            let content = names.get(&digest).unwrap_or_else(|| panic!("{digest} is of no content"));
            let key = (patch.namespace.clone(), patch.name.clone());
            histories.get_mut(&key).expect("one of the field").push((*content).clone());
        }
        histories
    }

    /// The successful patches of its Deployments so far, in the order in which they took effect.
    pub fn patches(&self) -> Vec<Arc<Entry>> {
        let plane = self.spaces[0].plane;
        let mut patches = plane.audit().matching(|entry| self.is_patch(entry)).expect("the audit log");
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

    /// Waits until every Deployment shows the last of the contents; then each was rolled for it once, and at most once
    /// for each of the earlier ones, in their order.
    pub async fn wait_all_right(&self, contents: &[String]) {
        let last = contents.last().expect("a content");
        let waited = eventually(PATIENCE, "every Deployment to show its content", async || -> Result<_, String> {
            let histories = self.histories(contents);
            let behind: Vec<_> = histories
                .iter()
                .filter(|(_, history)| history.last() != Some(last))
                .collect();
            if behind.is_empty() {
                Ok(Some(histories))
            } else {
                Err(format!("{} behind: {:?}", behind.len(), &behind[..behind.len().min(5)]))
            }
        });
        let histories = waited.await.unwrap_or_else(|error| panic!("{error}"));
        assert_no_repetition(&histories, contents);
        // What the API server has, not only what it was sent.
        for space in &self.spaces {
            let deployments = space
                .api::<k8s_openapi::api::apps::v1::Deployment>()
                .list(&kube::api::ListParams::default())
                .await
                .expect("the Deployments");
            for deployment in deployments {
                let object = serde_json::to_value(&deployment).expect("JSON");
                let shown = marker(&object["spec"]["template"]);
                assert_eq!(shown, digest_of(last), "{}", object["metadata"]["name"]);
            }
        }
    }
}

/// No Deployment was rolled twice for one content, or for an older one after a newer.
pub fn assert_no_repetition(histories: &Histories, contents: &[String]) {
    for (deployment, history) in histories {
        let places: Vec<_> = history
            .iter()
            .map(|content| contents.iter().position(|other| other == content))
            .collect();
        assert!(
            places.is_sorted_by(|one, next| one < next),
            "{deployment:?} was rolled for {history:?}"
        );
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
