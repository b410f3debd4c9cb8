//! With everything on, workloads roll for real: pods come, are Ready, and are replaced when the template changes.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::{ControlPlane, eventually};

const TIMEOUT: Duration = Duration::from_mins(1);

fn workload(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": name}});
    spec["template"] = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "initContainers": [{"name": "prepare", "image": "none"}],
            "containers": [{"name": "main", "image": "none"}],
        },
    });
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn workloads_become_available_and_roll() {
    let control_plane = ControlPlane::builder().everything().start().await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(control_plane.admin(), "default");
    let stateful_sets: Api<StatefulSet> = Api::namespaced(control_plane.admin(), "default");
    let daemon_sets: Api<DaemonSet> = Api::namespaced(control_plane.admin(), "default");
    let pods: Api<Pod> = Api::namespaced(control_plane.admin(), "default");

    let parse = |value: Value| serde_json::from_value(value).unwrap();
    deployments
        .create(
            &PostParams::default(),
            &parse(workload("web", json!({"replicas": 3}))),
        )
        .await
        .unwrap();
    let stateful =
        serde_json::from_value(workload("db", json!({"replicas": 2, "serviceName": "db"}))).unwrap();
    stateful_sets
        .create(&PostParams::default(), &stateful)
        .await
        .unwrap();
    let daemon = serde_json::from_value(workload("agent", json!({}))).unwrap();
    daemon_sets.create(&PostParams::default(), &daemon).await.unwrap();

    let available = async |generation: i64| {
        eventually(TIMEOUT, "all replicas available and up to date", async || {
            let web = deployments
                .get("web")
                .await
                .map_err(|e| e.to_string())?
                .status
                .unwrap_or_default();
            let done = web.observed_generation == Some(generation)
                && (web.replicas, web.updated_replicas, web.available_replicas)
                    == (Some(3), Some(3), Some(3));
            if done {
                Ok(Some(()))
            } else {
                Err(format!("{web:?}"))
            }
        })
        .await
        .unwrap();
    };
    let names = async || -> Vec<String> {
        let list = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        list.into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| pod.metadata.name)
            .collect()
    };
    available(1).await;
    let before = names().await;

    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"restart": "1"}}}}});
    deployments
        .patch("web", &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
    available(2).await;
    let after = names().await;
    assert_eq!((before.len(), after.len()), (3, 3));
    assert!(
        after.iter().all(|name| !before.contains(name)),
        "{before:?} -> {after:?}"
    );

    eventually(TIMEOUT, "the StatefulSet's pods", async || {
        let status = stateful_sets
            .get("db")
            .await
            .map_err(|e| e.to_string())?
            .status
            .unwrap_or_default();
        if status.ready_replicas == Some(2) {
            Ok(Some(()))
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap();
    eventually(TIMEOUT, "the DaemonSet's pod", async || {
        let status = daemon_sets
            .get("agent")
            .await
            .map_err(|e| e.to_string())?
            .status
            .unwrap_or_default();
        if status.number_ready == 1 {
            Ok(Some(()))
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap();
}
