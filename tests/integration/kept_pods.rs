//! Restarts that replace no pod, or not every pod: the Event says so, after upstream's words.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{
    World,
    kinds::ROLLOUT,
    objects::{config_map, pod_with_config_map, workload},
    run,
};

const PAUSE_PERIOD: &str = "deployment.reloader.stakater.com/pause-period";

/// The only Event `Reloaded` about `web` after its ConfigMap has changed.
async fn reloaded(world: &World) -> String {
    world.change_config_map("app", "1").await;
    let events = world.wait_for_events("web", "Reloaded", 1).await;
    events[0].message.clone().unwrap_or_default()
}

fn upstreams(world: &World, kind: &str) -> String {
    format!(
        "Changes detected in 'app' of type 'CONFIGMAP' in namespace '{0}', Updated 'web' of type '{kind}' in namespace \
         '{0}'",
        world.namespace
    )
}

#[rstest]
#[case::deployment("Deployment", None, json!({}), None)]
#[case::paused_by_a_user("Deployment", None, json!({ "paused": true }), Some("spec.paused"))]
#[case::pause_period("Deployment", Some("1h"), json!({}), Some("pause period"))]
#[case::stateful_set("StatefulSet", None, json!({ "updateStrategy": { "rollingUpdate": { "partition": 0 } } }), None)]
#[case::partition("StatefulSet", None, json!({ "updateStrategy": { "rollingUpdate": { "partition": 1 } } }),
    Some("partition"))]
#[case::stateful_set_on_delete("StatefulSet", None, json!({ "updateStrategy": { "type": "OnDelete" } }), Some("OnDelete"))]
#[case::daemon_set("DaemonSet", None, json!({}), None)]
#[case::daemon_set_on_delete("DaemonSet", None, json!({ "updateStrategy": { "type": "OnDelete" } }), Some("OnDelete"))]
fn the_event_says_why_pods_are_kept(
    #[case] kind: &str,
    #[case] pause_period: Option<&str>,
    #[case] spec: Value,
    #[case] reason: Option<&str>,
    #[values("env-vars", "annotations")] strategy: &str,
) {
    run(async {
        let world = World::new("kept").await;
        world.create::<ConfigMap>(&config_map("app", "0")).await;
        let mut annotations = vec![("reloader.stakater.com/auto", "true")];
        annotations.extend(pause_period.map(|period| (PAUSE_PERIOD, period)));
        let mut object = workload("web", &annotations, &[], &pod_with_config_map("app"));
        for (field, value) in spec.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object["apiVersion"] = "apps/v1".into();
        object["kind"] = kind.into();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
        let object = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object)
            .await
            .expect("accepted");
        let _controller = world
            .controller()
            .arg(format!("--reload-strategy={strategy}"))
            .start()
            .await;
        let message = reloaded(&world).await;
        let added = message
            .strip_prefix(&upstreams(&world, kind))
            .unwrap_or_else(|| panic!("{message}"));
        match reason {
            None => assert_eq!(added, ""),
            Some(reason) => assert!(added.contains("pods") && added.contains(reason), "{message}"),
        }
    });
}

/// A Rollout that uses the template of a Deployment: what that one does to pods of its own is not the question.
#[rstest]
#[case::rollout(true, false, Some("spec.paused"))]
#[case::its_deployment(false, true, None)]
fn of_a_rollout_its_own_pause_counts(
    #[case] rollout_paused: bool,
    #[case] deployment_paused: bool,
    #[case] reason: Option<&str>,
) {
    run(async {
        let world = World::new("kept-rollout").await;
        world.define(ROLLOUT).await;
        world.create(&config_map("app", "0")).await;
        let mut deployment = workload("template", &[], &[], &pod_with_config_map("app"));
        deployment["spec"]["paused"] = deployment_paused.into();
        deployment["spec"]["replicas"] = 0.into();
        let deployment: Deployment = serde_json::from_value(deployment).expect("a Deployment");
        world.create(&deployment).await;
        let rollout = json!({
            "metadata": { "name": "web", "annotations": { "reloader.stakater.com/auto": "true" } },
            "spec": {
                "paused": rollout_paused,
                "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "template" },
            },
        });
        world.create_custom(ROLLOUT, rollout).await;
        let _controller = world.controller().arg("--is-Argo-Rollouts=true").start().await;
        let message = reloaded(&world).await;
        let added = message
            .strip_prefix(&upstreams(&world, "Rollout"))
            .unwrap_or_else(|| panic!("{message}"));
        match reason {
            None => assert_eq!(added, ""),
            Some(reason) => assert!(added.contains(reason), "{message}"),
        }
    });
}
