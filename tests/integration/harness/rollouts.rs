//! What the statuses and generations of workloads show, and who plays them.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams};
use testbed::Played;
pub use testbed::Rollouts;

use super::{World, kinds::Custom};

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

impl World {
    /// Plays the controller of Deployments: their pods take so long to get ready.
    pub fn play(&self, takes: Duration, sick: &[&str]) -> Rollouts {
        self.play_all(&[DEPLOYMENT], takes, sick)
    }

    /// Plays those of all these kinds.
    pub fn play_all(&self, kinds: &[Custom], takes: Duration, sick: &[&str]) -> Rollouts {
        Rollouts::play(kinds.iter().map(|kind| self.played(*kind)), takes, sick)
    }

    /// A kind of the test's namespace.
    pub fn played(&self, kind: Custom) -> Played {
        Played {
            kind: kind.kind,
            api: self.custom(kind),
        }
    }

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
            let generation = deployment.metadata.generation.unwrap_or_default();
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
