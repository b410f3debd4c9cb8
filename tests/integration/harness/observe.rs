//! What tests look at beside the audit log: markers, Events, and whether a controller has anything left to do.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event};
use kube::api::ListParams;
use serde_json::{Value, json};
use testbed::eventually;

pub use testbed::digest_of;

use super::{
    Controller, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
};

/// The annotation that opts a workload into everything its pods use.
pub const AUTO: [(&str, &str); 1] = [("reloader.stakater.com/auto", "true")];

/// A pod with one container `main` that takes all of these as its environment.
pub fn pod_with(config_maps: &[&str], secrets: &[&str]) -> Value {
    let config_maps = config_maps
        .iter()
        .map(|name| json!({ "configMapRef": { "name": name } }));
    let secrets = secrets
        .iter()
        .map(|name| json!({ "secretRef": { "name": name } }));
    let env_from: Vec<Value> = config_maps.chain(secrets).collect();
    json!({ "containers": [{ "name": "main", "image": "none", "envFrom": env_from }] })
}

impl World {
    /// The literal environment variables of a Deployment's first container.
    pub async fn variables(&self, name: &str) -> BTreeMap<String, String> {
        let deployment = self.api::<Deployment>().get(name).await.expect("the Deployment");
        let pod = deployment.spec.template.spec.expect("a pod spec");
        let variables = pod.containers.into_iter().next().expect("a container").env;
        variables
            .unwrap_or_default()
            .into_iter()
            .map(|variable| (variable.name, variable.value.unwrap_or_default()))
            .collect()
    }

    /// Waits until a marker variable of a Deployment has that value.
    pub async fn wait_for_variable(&self, deployment: &str, variable: &str, value: &str) {
        let what = format!("{variable}={value} in {deployment}");
        let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let variables = self.variables(deployment).await;
            let there = variables.get(variable).is_some_and(|found| found == value);
            if there {
                Ok(Some(()))
            } else {
                Err(format!("{variables:?}"))
            }
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The Kubernetes Events about a workload with that reason.
    pub async fn events(&self, workload: &str, reason: &str) -> Vec<Event> {
        let about = ListParams::default().fields(&format!("involvedObject.name={workload},reason={reason}"));
        self.api::<Event>().list(&about).await.expect("Events").items
    }

    /// Waits until there are that many of them.
    pub async fn wait_for_events(&self, workload: &str, reason: &str, count: usize) -> Vec<Event> {
        let what = format!("{count} Event(s) {reason} about {workload}");
        let waited = eventually(PATIENCE, &what, async || -> Result<_, String> {
            let events = self.events(workload, reason).await;
            if events.len() >= count {
                Ok(Some(events))
            } else {
                Err(format!("{events:?}"))
            }
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Controller {
    /// Waits until nothing is owed and nothing is queued, waits for a retry included.
    pub async fn wait_idle(&self) {
        self.wait_metrics(&[
            ("reloader_pending_reloads", 0.0),
            ("reloader_workqueue_depth", 0.0),
        ])
        .await;
    }

    /// Waits until each of the metrics has its value, all at the same time.
    pub async fn wait_metrics(&self, wanted: &[(&str, f64)]) {
        let what = format!("the metrics {wanted:#?}");
        let outcome = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let mut others = Vec::new();
            for (series, value) in wanted {
                let found = self.metric(series).await;
                if (found - value).abs() > f64::EPSILON {
                    others.push((series, found));
                }
            }
            if others.is_empty() {
                Ok(Some(()))
            } else {
                Err(format!("{others:?}"))
            }
        });
        outcome.await.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A workload whose rollout shows that the controller has taken in every change before it: a watch keeps the order.
/// To be made before the controller starts.
pub struct Barrier {
    passed: usize,
}

impl Barrier {
    /// Its ConfigMap and its Deployment, both called `barrier`.
    pub async fn create(world: &World) -> Self {
        world.create(&config_map("barrier", "0")).await;
        world
            .create(&deployment("barrier", &AUTO, &pod_with_config_map("barrier")))
            .await;
        Self { passed: 0 }
    }

    /// Returns when the controller has rolled it once more, and has nothing left to do.
    pub async fn pass(&mut self, world: &World, controller: &Controller) {
        self.passed += 1;
        world.change_config_map("barrier", &self.passed.to_string()).await;
        world
            .wait_for_rollouts("deployments", "barrier", self.passed)
            .await;
        controller.wait_idle().await;
    }
}
