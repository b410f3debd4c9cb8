//! Argo Rollouts: both of upstream's strategies, as patches that lose nothing, and Rollouts whose template is that of a
//! Deployment.

use k8s_openapi::jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;

use crate::harness::{
    Controller, PATIENCE, World,
    kinds::{ROLLOUT, variable},
    objects::{config_map, deployment, pod_with_config_map},
    observe::digest_of,
    run,
    sentinel::Sentinel,
};

const FLAG: &str = "--is-Argo-Rollouts=true";
const MARKER: &str = "STAKATER_APP_CONFIGMAP";

fn rollout(annotations: &Value, spec: &Value) -> Value {
    json!({ "metadata": { "name": "app", "annotations": annotations }, "spec": spec })
}

/// A world with the kind, a ConfigMap `app` and a Rollout of that name.
async fn world(name: &str, annotations: Value, spec: Value) -> World {
    let world = World::new(name).await;
    world.define(ROLLOUT).await;
    world.create(&config_map("app", "0")).await;
    world.create_custom(ROLLOUT, rollout(&annotations, &spec)).await;
    world
}

/// Has fields that no client library knows, and pods with two containers of which the second uses the ConfigMap.
fn spec() -> Value {
    json!({
        "replicas": 3,
        "strategy": { "canary": { "steps": [{ "setWeight": 20 }, { "pause": {} }], "tomorrow": [null, 1] } },
        "template": {
            "metadata": { "labels": { "app": "app" }, "tomorrow": true },
            "spec": { "containers": [
                { "name": "side", "image": "none", "tomorrow": { "a": "b" } },
                { "name": "main", "image": "none", "env": [{ "name": "A", "value": "1" }],
                    "envFrom": [{ "configMapRef": { "name": "app" } }] },
            ] },
        },
    })
}

#[rstest]
fn a_rollout_gets_its_marker_and_keeps_everything_else(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = world("rollout", json!({ "reloader.stakater.com/auto": "true" }), spec()).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(FLAG).arg(strategy).start().await;
        for round in 1..=2 {
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts("rollouts", "app", round).await;
        }
        world.change_config_map("app", "2").await;
        sentinel.pass().await;
        controller.wait_idle().await;

        let mut found = world.custom_spec(ROLLOUT, "app").await;
        let template = &mut found["template"];
        if strategy.ends_with("env-vars") {
            let variables = template["spec"]["containers"][1]["env"]
                .as_array_mut()
                .expect("variables");
            let marker = variables.pop().expect("a marker");
            assert_eq!(marker, json!({ "name": MARKER, "value": digest_of("2") }));
        } else {
            let annotations = template["metadata"]
                .as_object_mut()
                .expect("metadata")
                .remove("annotations");
            let marker = annotations.expect("a marker")["reloader.stakater.com/last-reloaded-from"].take();
            let marker: Value = serde_json::from_str(marker.as_str().expect("a text")).expect("JSON");
            assert_eq!(
                (&marker["hash"], &marker["containerRefs"]),
                (&json!(digest_of("2")), &json!(["main"]))
            );
        }
        assert_eq!(found, spec());
        let writes = world.writes_to("rollouts");
        assert_eq!(writes.len(), 2, "one patch a change: {writes:#?}");
        for write in writes {
            let body = write.request_object.clone().expect("a body");
            assert!(body["metadata"]["resourceVersion"].is_string(), "{body}");
        }
        assert!(
            controller
                .metric("reloader_action_total{workload_kind=\"Rollout\"")
                .await
                >= 2.0
        );
    });
}

async fn wait_for_restart(world: &World, after: Option<Timestamp>) -> Timestamp {
    eventually(PATIENCE, "a later restartAt", async || {
        let spec = world.custom_spec(ROLLOUT, "app").await;
        let at: Timestamp = spec["restartAt"].as_str()?.parse().ok()?;
        after.is_none_or(|after| at > after).then_some(at)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Changes within one second are covered by one restart: the next one is to be another.
async fn wait_until(moment: Timestamp) {
    eventually(PATIENCE, "the time to come", async || {
        (Timestamp::now() > moment).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Upstream has no memory here: it would restart at each event, and after each restart of its own with
/// `--sync-after-restart`.
#[test]
fn a_restart_is_asked_for_once_for_each_content() {
    run(async {
        let annotations = json!({
            "reloader.stakater.com/auto": "true", "reloader.stakater.com/rollout-strategy": "restart",
        });
        let world = world("rollout-restart", annotations, spec()).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(FLAG).start().await;
        world.change_config_map("app", "1").await;
        let first = wait_for_restart(&world, None).await;
        sentinel.pass().await;
        controller.wait_idle().await;

        // Killed before the ledger was written, or after: what the Rollout says is enough.
        controller.replica.kill();
        let controller: Controller = world.controller().arg(FLAG).start().await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(wait_for_restart(&world, None).await, first);

        wait_until(first).await;
        world.change_config_map("app", "2").await;
        wait_for_restart(&world, Some(first)).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.writes_to("rollouts").len(), 2);
        assert_eq!(
            world.rollouts("rollouts", "app"),
            0,
            "the template stays as it is"
        );
    });
}

/// The Deployment asks for nothing: Argo rolls the Rollout when the template that it refers to changes.
#[test]
fn a_rollout_that_refers_to_a_deployment_is_rolled_by_its_template() {
    run(async {
        let spec = json!({
            "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "strategy": {},
        });
        let world = world(
            "rollout-ref",
            json!({ "reloader.stakater.com/auto": "true" }),
            spec.clone(),
        )
        .await;
        world
            .create(&deployment("web", &[], &pod_with_config_map("app")))
            .await;
        world
            .create(&deployment("other", &[], &pod_with_config_map("app")))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(FLAG).start().await;
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        sentinel.pass().await;
        controller.wait_idle().await;

        let web = world
            .api::<k8s_openapi::api::apps::v1::Deployment>()
            .get("web")
            .await
            .expect("it exists");
        let template = serde_json::to_value(web.spec.template).expect("JSON");
        assert_eq!(variable(&template, MARKER), Some(digest_of("1")));
        assert_eq!(world.rollouts("deployments", "web"), 1);
        assert_eq!(world.rollouts("deployments", "other"), 0);
        assert_eq!(world.writes_to("rollouts").len(), 0);
        assert_eq!(world.custom_spec(ROLLOUT, "app").await, spec);
    });
}

#[test]
fn without_the_flag_rollouts_are_left_alone() {
    run(async {
        let world = world(
            "rollout-off",
            json!({ "reloader.stakater.com/auto": "true" }),
            spec(),
        )
        .await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        assert_eq!(world.writes_to("rollouts").len(), 0);
        let about = |entry: &testbed::Entry| entry.user == world.user() && entry.resource == "rollouts";
        assert_eq!(
            world.plane.audit().matching(about).expect("the audit log").len(),
            0
        );
    });
}
