//! Workloads, each with a ConfigMap of its own, and a stream of changes to these.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
pub use testbed::digest_of;
use testbed::{ControlPlane, eventually};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::JoinHandle,
};

use super::{Cluster, PATIENCE};

/// Their namespace.
pub const APPS: &str = "apps";

/// The variable by which a restart for that ConfigMap is seen.
pub fn marker_of(number: usize) -> String {
    format!("STAKATER_SETTINGS_{number}_CONFIGMAP")
}

/// Deployments `web-N` without pods: a restart is a new pod template, and whether pods come of it is not the controller's
/// business. Each uses ConfigMap `settings-N`.
pub struct Workloads {
    client: Client,
    /// What each ConfigMap has held, oldest first.
    contents: Vec<Vec<String>>,
}

impl Workloads {
    /// Creates them, in a namespace of their own. `template` adapts what is created.
    pub async fn create(cluster: &Cluster, count: usize, adapt: impl Fn(usize, &mut Value)) -> Self {
        cluster.create_namespace(APPS, &json!({})).await;
        let client = cluster.client.clone();
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), APPS);
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), APPS);
        for number in 0..count {
            let map = json!({ "metadata": { "name": format!("settings-{number}") }, "data": { "key": "0" } });
            let map = serde_json::from_value(map).unwrap();
            maps.create(&PostParams::default(), &map).await.unwrap();
            let name = format!("web-{number}");
            let mut deployment = json!({
                "metadata": { "name": name, "annotations": { "reloader.stakater.com/auto": "true" } },
                "spec": {
                    "replicas": 0,
                    "selector": { "matchLabels": { "app": name } },
                    "template": {
                        "metadata": { "labels": { "app": name } },
                        "spec": { "containers": [{
                            "name": "web", "image": "web",
                            "envFrom": [{ "configMapRef": { "name": format!("settings-{number}") } }],
                        }] },
                    },
                },
            });
            adapt(number, &mut deployment);
            let deployment = serde_json::from_value(deployment).unwrap();
            deployments
                .create(&PostParams::default(), &deployment)
                .await
                .unwrap();
        }
        Self {
            client,
            contents: vec![vec!["0".to_owned()]; count],
        }
    }

    /// Gives a ConfigMap a content that it never had.
    pub async fn change(&mut self, number: usize) {
        let value = self.contents[number].len().to_string();
        let body = json!({ "data": { "key": value } });
        Api::<ConfigMap>::namespaced(self.client.clone(), APPS)
            .patch(
                &format!("settings-{number}"),
                &PatchParams::default(),
                &Patch::Merge(body),
            )
            .await
            .unwrap();
        self.contents[number].push(value);
    }

    /// How many changes were made so far.
    pub fn changes(&self) -> usize {
        self.contents.iter().map(|contents| contents.len() - 1).sum()
    }

    /// Changes one ConfigMap after the other, ten a second, until it is stopped.
    pub fn change_continually(mut self) -> Changes {
        let (stop, mut stopped) = oneshot::channel();
        let changing = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            let mut number = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                tick.tick().await;
                self.change(number).await;
                number = (number + 1) % self.contents.len();
            }
            self
        });
        Changes { stop, changing }
    }

    /// Waits until every workload that was changed shows the last content, then asserts that none was rolled for a content
    /// twice, or for an older one after a newer one.
    pub async fn settled(&self, plane: &ControlPlane) {
        for (number, contents) in self.contents.iter().enumerate() {
            let last = contents.last().unwrap();
            let what = format!("web-{number} to be rolled for {last:?}");
            eventually(PATIENCE, &what, async || -> Result<_, String> {
                let rolled = markers(plane, number);
                let is_settled = contents.len() == 1 || rolled.last() == Some(&digest_of(last));
                if is_settled {
                    Ok(Some(()))
                } else {
                    Err(format!("{rolled:?}"))
                }
            })
            .await
            .unwrap();
        }
        for (number, contents) in self.contents.iter().enumerate() {
            let mut later = contents[1..].iter().map(|content| digest_of(content));
            for marker in markers(plane, number) {
                assert!(
                    later.any(|digest| digest == marker),
                    "web-{number}: {marker} twice, or out of order: {:?}",
                    markers(plane, number)
                );
            }
        }
    }

    /// How often a workload was rolled.
    pub fn rollouts(plane: &ControlPlane, number: usize) -> usize {
        markers(plane, number).len()
    }
}

/// What marked each rollout of a workload.
fn markers(plane: &ControlPlane, number: usize) -> Vec<String> {
    let name = format!("web-{number}");
    let rollouts = plane
        .audit()
        .template_changes("deployments", APPS, &name)
        .unwrap();
    let marker = |template: &Value| {
        let variables = template["spec"]["containers"][0]["env"].as_array().cloned();
        let found = variables
            .unwrap_or_default()
            .into_iter()
            .find(|variable| variable["name"] == marker_of(number).as_str());
        found.and_then(|variable| Some(variable["value"].as_str()?.to_owned()))
    };
    let markers = rollouts.iter().map(|entry| marker(entry.pod_template().unwrap()));
    markers.map(Option::unwrap_or_default).collect()
}

/// A stream of changes.
pub struct Changes {
    stop: oneshot::Sender<()>,
    changing: JoinHandle<Workloads>,
}

impl Changes {
    /// Ends it.
    pub async fn stop(self) -> Workloads {
        drop(self.stop);
        self.changing.await.unwrap()
    }
}
