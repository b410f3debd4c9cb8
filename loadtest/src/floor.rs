//! The floor: the least work that answers a change with a PATCH.
//!
//! Input: a namespace. Output: PATCHes by the user [`USER`]. I/O: one watch, writes.
//!
//! No digests, no opt-in, no queue, no lease, no limits, no record of what was done: no controller can be faster by
//! more than its HTTP client, so what is measured beyond it is the controller's own.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::watcher::{Config, Event, watcher},
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

use crate::lab::Lab;

/// Who it is in the audit log.
pub const USER: &str = "floor";
/// PATCHes in flight, as many as the controller's workers.
const IN_FLIGHT: usize = 32;

/// The running loop; ends when dropped.
pub struct Floor {
    task: JoinHandle<()>,
}

impl Floor {
    /// Starts the loop on one namespace; `workloads` says which Deployments use a ConfigMap. Returns once it watches.
    pub async fn start(
        lab: &Lab,
        namespace: &str,
        workloads: impl Fn(&str) -> Vec<String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let client = lab.plane.client_for_user(USER, &["system:masters"]).await?;
        let (ready, listed) = oneshot::channel();
        let task = tokio::spawn(run(client, namespace.to_owned(), workloads, ready));
        listed.await.context("the floor's watch ended")?;
        Ok(Self { task })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: Client,
    namespace: String,
    workloads: impl Fn(&str) -> Vec<String>,
    ready: oneshot::Sender<()>,
) {
    let sources = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let targets = Api::<Deployment>::namespaced(client, &namespace);
    let free = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut events = std::pin::pin!(watcher(sources, Config::default()));
    let mut ready = Some(ready);
    while let Some(event) = events.next().await {
        let source = match event {
            Ok(Event::InitDone) => {
                // Only the first list is waited for.
                let _ = ready.take().map(|ready| ready.send(()));
                continue;
            }
            Ok(Event::Apply(source)) => source,
            _ => continue,
        };
        let name = source.metadata.name.unwrap_or_default();
        let version = source.metadata.resource_version.unwrap_or_default();
        for workload in workloads(&name) {
            let variable = json!({ "name": format!("FLOOR_{name}"), "value": version });
            let containers = json!([{ "name": "main", "env": [variable] }]);
            let body = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
            let Ok(slot) = Arc::clone(&free).acquire_owned().await else {
                return;
            };
            let targets = targets.clone();
            tokio::spawn(async move {
                // A failed one shows as a missing answer.
                let _ = targets
                    .patch(&workload, &PatchParams::default(), &Patch::Strategic(body))
                    .await;
                drop(slot);
            });
        }
    }
}
