//! What becomes of a restart: pods that become available, pods that do not, pods that are kept.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Event, Node},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    objects::{config_map, from, pod_with_config_map, stateful_set, workload},
    observe::AUTO,
    run,
};

const FRESH: &str = r#"reloader_rollout_duration_seconds_count{workload_kind="Deployment",result="fresh"}"#;
const FAILED: &str = r#"reloader_rollout_duration_seconds_count{workload_kind="Deployment",result="failed"}"#;
const STALE: &str = "reloader_stale_workloads{";
const STALE_FAILED: &str = r#"reloader_stale_workloads{reason="failed"}"#;
const STALE_TEMPLATE: &str = r#"reloader_stale_workloads{reason="template_only"}"#;
const IN_PROGRESS: &str = "reloader_rollouts_in_progress";

impl World {
    /// Pods can be scheduled, or cannot.
    async fn set_schedulable(&self, is_schedulable: bool) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        for node in nodes.list(&ListParams::default()).await.expect("nodes") {
            let name = node.metadata.name.expect("a name");
            let body = json!({ "spec": { "unschedulable": !is_schedulable } });
            nodes
                .patch(&name, &PatchParams::default(), &Patch::Merge(body))
                .await
                .expect("the node is changed");
        }
    }

    async fn wait_available(&self, name: &str) {
        let what = format!("{name} to be available");
        let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let deployment = self.api::<Deployment>().get(name).await;
            let status = deployment.map_err(|error| error.to_string())?.status;
            let available = status.as_ref().and_then(|status| status.available_replicas);
            if available.is_some_and(|available| available > 0) {
                Ok(Some(()))
            } else {
                Err(format!("{status:?}"))
            }
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The reasons of the Events that Reloader has written about `web`.
    async fn reasons(&self) -> BTreeSet<String> {
        let about = ListParams::default().fields("involvedObject.name=web");
        let events = self.api::<Event>().list(&about).await.expect("Events").items;
        let ours = events.into_iter().filter(|event| {
            let component = event.source.as_ref().and_then(|source| source.component.as_ref());
            component.is_some_and(|component| component.contains("reloader"))
        });
        ours.filter_map(|event| event.reason).collect()
    }
}

#[test]
fn a_rollout_that_fails_is_reported_once_and_one_that_succeeds_is_measured() {
    run(async {
        let world = World::with_pods("outcomes").await;
        world.create(&config_map("app", "0")).await;
        let mut web = workload("web", &AUTO, &[], &pod_with_config_map("app"));
        web["spec"]["progressDeadlineSeconds"] = 3.into();
        world.create(&from::<Deployment>(web)).await;
        world.wait_available("web").await;
        let controller = world.controller().start().await;

        world.change_config_map("app", "1").await;
        controller
            .wait_metrics(&[(FRESH, 1.0), (FAILED, 0.0), (STALE, 0.0), (IN_PROGRESS, 0.0)])
            .await;

        world.set_schedulable(false).await;
        world.change_config_map("app", "2").await;
        let events = world.wait_for_events("web", "RolloutFailed", 1).await;
        let message = events[0].message.clone().unwrap_or_default();
        assert!(
            message.contains("'app' of type 'CONFIGMAP'") && message.contains("ProgressDeadlineExceeded"),
            "{message}"
        );
        assert_eq!(events[0].type_.as_deref(), Some("Warning"));
        controller
            .wait_metrics(&[
                (FRESH, 1.0),
                (FAILED, 1.0),
                (STALE, 1.0),
                (STALE_FAILED, 1.0),
                (IN_PROGRESS, 0.0),
            ])
            .await;

        world.set_schedulable(true).await;
        controller.wait_log("that had failed is complete").await;
        controller
            .wait_metrics(&[(STALE, 0.0), (FRESH, 1.0), (FAILED, 1.0)])
            .await;
        let events = world.events("web", "RolloutFailed").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].count, Some(1));
    });
}

/// Statement 44. The Event of the restart says why pods are kept: there is no further one.
#[test]
fn pods_that_are_kept_are_stale_until_they_are_replaced() {
    run(async {
        let world = World::new("kept-stale").await;
        world.create(&config_map("app", "0")).await;
        let mut db: StatefulSet = stateful_set("web", &AUTO, &pod_with_config_map("app"));
        db.spec.update_strategy = Some(from(json!({ "type": "OnDelete" })));
        world.create(&db).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        controller
            .wait_metrics(&[(STALE, 1.0), (STALE_TEMPLATE, 1.0)])
            .await;

        let api = world.api::<StatefulSet>();
        let generation = api.get("web").await.expect("web").metadata.generation;
        let status = json!({ "status": {
            "observedGeneration": generation, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1,
            "availableReplicas": 1, "currentReplicas": 1,
        } });
        api.patch_status("web", &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the status is accepted");
        controller.wait_metrics(&[(STALE, 0.0)]).await;
        assert_eq!(world.reasons().await, BTreeSet::from(["Reloaded".to_owned()]));
    });
}
