//! Pod templates that the API server's merge of a patch would reorder: a restart adds its marker and changes nothing else.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::ConfigMap,
};
use kube::api::DeleteParams;
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    objects::{config_map, from, workload},
    observe::{AUTO, digest_of},
    run,
};

const MARKER: &str = "STAKATER_APP_CONFIGMAP";
const ANNOTATION: &str = "reloader.stakater.com/last-reloaded-from";

fn variables(pairs: &[(&str, &str)]) -> Value {
    let variable = |(name, value): &(&str, &str)| json!({ "name": name, "value": value });
    pairs.iter().map(variable).collect()
}

/// A pod whose container `main` takes the ConfigMap `app` as its environment, with these fields in it.
fn pod(main: &Value, beside: &[Value]) -> Value {
    let mut container = json!({
        "name": "main", "image": "none", "envFrom": [{ "configMapRef": { "name": "app", "optional": true } }],
    });
    for (field, value) in main.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    let mut containers = beside.to_vec();
    containers.push(container);
    json!({ "containers": containers })
}

fn beside(env: &Value) -> Value {
    json!({ "name": "beside", "image": "none", "env": env })
}

fn names_twice() -> Value {
    variables(&[("A", "first"), ("B", "$(A)"), ("A", "second")])
}

/// The template as it is stored, and the same without what a restart leaves in it.
async fn stored(world: &World, kind: &str) -> (Value, Value) {
    let value = match kind {
        "Deployment" => {
            serde_json::to_value(world.api::<Deployment>().get("web").await.expect("it is there"))
        }
        "StatefulSet" => {
            serde_json::to_value(world.api::<StatefulSet>().get("web").await.expect("it is there"))
        }
        _ => serde_json::to_value(world.api::<DaemonSet>().get("web").await.expect("it is there")),
    };
    let template = value.expect("JSON")["spec"]["template"].clone();
    let mut bare = template.clone();
    for container in bare["spec"]["containers"].as_array_mut().into_iter().flatten() {
        if let Some(env) = container["env"].as_array_mut() {
            env.retain(|variable| variable["name"] != MARKER);
        }
        if container["env"].as_array().is_none_or(Vec::is_empty) {
            container.as_object_mut().map(|container| container.remove("env"));
        }
    }
    if let Some(annotations) = bare["metadata"]["annotations"].as_object_mut() {
        annotations.remove(ANNOTATION);
    }
    if bare["metadata"]["annotations"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        bare["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove("annotations"));
    }
    (template, bare)
}

async fn create(world: &World, kind: &str, annotations: &[(&str, &str)], pod: &Value) {
    world.create(&config_map("app", "0")).await;
    let mut object = workload("web", annotations, &[], pod);
    match kind {
        "Deployment" => _ = world.create::<Deployment>(&from(object)).await,
        "StatefulSet" => {
            object["spec"]["serviceName"] = "web".into();
            world.create::<StatefulSet>(&from(object)).await;
        }
        _ => _ = world.create::<DaemonSet>(&from(object)).await,
    }
}

fn wait_for_marker(template: &Value, strategy: &str, content: &str) -> bool {
    let digest = digest_of(content);
    match strategy {
        "env-vars" => {
            let containers = template["spec"]["containers"].as_array();
            let mut env = containers
                .into_iter()
                .flatten()
                .filter_map(|container| container["env"].as_array())
                .flatten();
            env.any(|variable| variable["name"] == MARKER && variable["value"] == digest)
        }
        _ => template["metadata"]["annotations"][ANNOTATION]
            .as_str()
            .is_some_and(|text| text.contains(&digest)),
    }
}

#[rstest]
#[case::name_twice("Deployment", pod(&json!({ "env": names_twice() }), &[]))]
#[case::name_twice_of_a_stateful_set("StatefulSet", pod(&json!({ "env": names_twice() }), &[]))]
#[case::name_twice_of_a_daemon_set("DaemonSet", pod(&json!({ "env": names_twice() }), &[]))]
#[case::three_times("Deployment", pod(&json!({ "env": variables(&[
    ("A", "1"), ("B", "$(A)"), ("A", "2"), ("C", "$(A)$(B)"), ("A", "3"), ("B", "4"), ("D", "$(B)")]) }), &[]))]
#[case::the_same_value("Deployment", pod(&json!({ "env": variables(&[("A", "1"), ("B", "$(A)"), ("A", "1")]) }), &[]))]
#[case::in_a_second_container("Deployment", pod(&json!({ "env": names_twice() }), &[beside(&json!([]))]))]
#[case::in_another_container("Deployment", pod(&json!({ "env": [] }), &[beside(&names_twice())]))]
#[case::of_a_source("Deployment", pod(&json!({ "env": [
    { "name": "A", "valueFrom": { "configMapKeyRef": { "name": "app", "key": "key", "optional": true } } },
    { "name": "B", "value": "$(A)" }, { "name": "A", "value": "2" }] }), &[]))]
#[case::in_an_init_container("Deployment", {
    let mut pod = pod(&json!({}), &[]);
    pod["initContainers"] = json!([{ "name": "before", "image": "none", "env": names_twice() }]);
    pod
})]
#[case::ports("Deployment", pod(&json!({ "env": variables(&[("Z", "1"), ("A", "2")]), "ports": [
    { "name": "udp", "containerPort": 53, "protocol": "UDP" }, { "name": "b", "containerPort": 80 },
    { "name": "tcp", "containerPort": 53, "protocol": "TCP" }] }), &[]))]
#[case::other_lists("Deployment", {
    let mut pod = pod(&json!({
        "env": variables(&[("Z", "1"), ("A", "2")]),
        "envFrom": [{ "configMapRef": { "name": "app", "optional": true } }, { "prefix": "P_",
            "configMapRef": { "name": "app", "optional": true } }],
        "volumeMounts": [{ "name": "v", "mountPath": "/z" }, { "name": "v", "mountPath": "/a" }],
    }), &[beside(&json!([]))]);
    pod["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    pod["imagePullSecrets"] = json!([{ "name": "z" }, { "name": "a" }, { "name": "z" }]);
    pod["hostAliases"] = json!([{ "ip": "10.0.0.1", "hostnames": ["b"] }, { "ip": "10.0.0.2", "hostnames": ["c"] }]);
    pod["tolerations"] = json!([{ "operator": "Exists" }, { "operator": "Exists", "key": "k" }]);
    pod
})]
fn only_the_marker_is_added(
    #[case] kind: &str,
    #[case] pod: Value,
    #[values("env-vars", "annotations")] strategy: &str,
) {
    run(async {
        let world = World::new("odd").await;
        create(&world, kind, &AUTO, &pod).await;
        let (before, _) = stored(&world, kind).await;
        let controller = world
            .controller()
            .arg(format!("--reload-strategy={strategy}"))
            .arg("--reload-on-delete=true")
            .start()
            .await;
        // The second finds a marker.
        for content in ["1", "2"] {
            world.change_config_map("app", content).await;
            let bare = eventually(PATIENCE, "the marker", async || {
                let (template, bare) = stored(&world, kind).await;
                wait_for_marker(&template, strategy, content).then_some(bare)
            })
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", controller.replica.log()));
            assert_eq!(bare, before);
        }
        // Its removal under env-vars, one more marker under annotations.
        let delete = DeleteParams::default();
        world
            .api::<ConfigMap>()
            .delete("app", &delete)
            .await
            .expect("it was there");
        let bare = eventually(PATIENCE, "the deletion's rollout", async || {
            let (template, bare) = stored(&world, kind).await;
            (!wait_for_marker(&template, strategy, "2")).then_some(bare)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bare, before);
    });
}

/// The pause begins with the restart, whichever way that is written.
#[test]
fn a_pause_period_holds_for_a_name_that_is_given_twice() {
    run(async {
        let world = World::new("odd-pause").await;
        let annotations = [AUTO[0], ("deployment.reloader.stakater.com/pause-period", "2s")];
        create(
            &world,
            "Deployment",
            &annotations,
            &pod(&json!({ "env": names_twice() }), &[]),
        )
        .await;
        let (before, _) = stored(&world, "Deployment").await;
        let _controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        let paused = writes[0]
            .response_object
            .as_ref()
            .map(|object| object["spec"]["paused"].clone());
        assert_eq!(paused, Some(true.into()));
        eventually(PATIENCE, "the end of the pause", async || {
            let stored = world.api::<Deployment>().get("web").await.ok()?;
            stored.spec.paused.is_none_or(|paused| !paused).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(stored(&world, "Deployment").await.1, before);
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}
