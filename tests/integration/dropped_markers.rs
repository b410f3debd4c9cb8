//! Markers that the API server does not store: the restart is not settled, a Warning says so, and it heals.

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding},
        apps::v1::Deployment,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::{Entry, eventually};

use crate::harness::{
    PATIENCE, World,
    kinds::{Custom, ROLLOUT},
    objects::{config_map, deployment, from, pod_with_config_map, workload},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

/// An admission policy that takes the markers out of every update, as a mutating webhook may.
struct Mutation {
    policies: Api<MutatingAdmissionPolicy>,
    bindings: Api<MutatingAdmissionPolicyBinding>,
    name: String,
}

impl Mutation {
    /// Returns when it is in force: `web` loses what `path` leads to, where there is such a thing.
    async fn create(world: &World, condition: &str, path: &str) -> Self {
        Self::apply(world, condition, &format!("op: \"remove\", path: \"{path}\"")).await
    }

    /// Returns when this operation of a JSON patch is in force for `web`.
    async fn apply(world: &World, condition: &str, operation: &str) -> Self {
        let mutation = Self {
            policies: Api::all(world.client.clone()),
            bindings: Api::all(world.client.clone()),
            name: format!("{}-strip", world.namespace),
        };
        let rule = json!({
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"],
        });
        let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
        let policy = from(json!({
            "metadata": { "name": mutation.name },
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": { "namespaceSelector": namespace, "resourceRules": [rule] },
                "matchConditions": [{ "name": "marked", "expression": condition }],
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": {
                    "expression": format!("[JSONPatch{{{operation}}}]"),
                } }],
            },
        }));
        let binding = from(json!({
            "metadata": { "name": mutation.name }, "spec": { "policyName": mutation.name },
        }));
        let post = PostParams::default();
        mutation.policies.create(&post, &policy).await.expect("a policy");
        mutation
            .bindings
            .create(&post, &binding)
            .await
            .expect("a binding");
        mutation.wait(world, false).await;
        mutation
    }

    async fn delete(self, world: &World) {
        let delete = DeleteParams::default();
        self.bindings
            .delete(&self.name, &delete)
            .await
            .expect("it was there");
        self.policies
            .delete(&self.name, &delete)
            .await
            .expect("it was there");
        self.wait(world, true).await;
    }

    /// Waits until a write that leaves nothing behind keeps what it sets, or loses it.
    async fn wait(&self, world: &World, keeps: bool) {
        let template = json!({
            "metadata": { "annotations": { "try": "again" } },
            "spec": { "containers": [{ "name": "main", "env": [{ "name": "TRY", "value": "again" }] }] },
        });
        let body = json!({ "spec": { "template": template } });
        let params = PatchParams::default().dry_run();
        let api = world.api::<Deployment>();
        eventually(PATIENCE, "the policy to be in force, or gone", async || {
            let stored = api.patch("web", &params, &Patch::Strategic(&body)).await.ok()?;
            let template = serde_json::to_value(stored.spec.template).ok()?;
            let env = template
                .pointer("/spec/containers/0/env")
                .and_then(Value::as_array);
            let has_variable = env.is_some_and(|env| env.iter().any(|variable| variable["name"] == "TRY"));
            let has_both = has_variable && template.pointer("/metadata/annotations/try").is_some();
            (has_both == keeps).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The controllers' patches of that object.
fn patches(world: &World, resource: &str, name: &str) -> usize {
    let is_patch = |entry: &Entry| {
        entry.is_about(resource, &world.namespace, name)
            && entry.verb == "patch"
            && entry.user == world.user()
    };
    world
        .plane
        .audit()
        .matching(is_patch)
        .expect("the audit log")
        .len()
}

#[rstest]
#[case::env_vars(
    "env-vars",
    "has(object.spec.template.spec.containers[0].env)",
    "/spec/template/spec/containers/0/env"
)]
#[case::annotations(
    "annotations",
    "has(object.spec.template.metadata.annotations)",
    "/spec/template/metadata/annotations"
)]
fn a_marker_that_admission_takes_out_is_no_restart(
    #[case] strategy: &str,
    #[case] condition: &str,
    #[case] path: &str,
) {
    run(async {
        let world = World::new("stripped").await;
        world.create(&config_map("app", "0")).await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let mutation = Mutation::create(&world, condition, path).await;
        let controller = world
            .controller()
            .arg(format!("--reload-strategy={strategy}"))
            .start()
            .await;
        world.change_config_map("app", "1").await;
        let events = world.wait_for_events("web", "ReloadFail", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(message.contains("dropped the marker"), "{message}");
        assert_eq!(events[0].type_.as_deref(), Some("Warning"));
        // A further attempt, after a while.
        eventually(PATIENCE, "a retry", async || {
            (patches(&world, "deployments", "web") > 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert!(patches(&world, "deployments", "web") < 6, "retries have pauses");
        assert!(world.events("web", "Reloaded").await.is_empty());
        let total = |result: &str| format!("reloader_reload_executed_total{{success=\"{result}\"");
        assert!(controller.metric(&total("false")).await > 0.0);
        assert!(controller.metric(&total("true")).await < 1.0);
        assert_eq!(world.events("web", "ReloadFail").await[0].count, Some(1));

        mutation.delete(&world).await;
        world.wait_for_events("web", "Reloaded", 1).await;
        controller.wait_idle().await;
        let stored = world.api::<Deployment>().get("web").await.expect("it is there");
        assert_eq!(stored.metadata.generation, Some(2), "rolled once");
    });
}

/// Something else each time, so that each write starts new pods.
const VERSION: &str = "string(object.metadata.resourceVersion)";

#[rstest]
#[case::env_vars(
    "env-vars",
    "has(object.spec.template.spec.containers[0].env)",
    "/spec/template/spec/containers/0/env",
    &format!("[{{\"name\": \"INJECTED\", \"value\": {VERSION}}}]")
)]
#[case::annotations(
    "annotations",
    "has(object.spec.template.metadata.annotations)",
    "/spec/template/metadata/annotations",
    &format!("{{\"injected\": {VERSION}}}")
)]
fn a_template_that_admission_changes_in_the_markers_place_is_a_restart(
    #[case] strategy: &str,
    #[case] condition: &str,
    #[case] path: &str,
    #[case] value: &str,
) {
    run(async {
        let world = World::new("replaced").await;
        world.create(&config_map("app", "0")).await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let operation = format!("op: \"replace\", path: \"{path}\", value: {value}");
        let _mutation = Mutation::apply(&world, condition, &operation).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .arg(format!("--reload-strategy={strategy}"))
            .start()
            .await;
        for round in 1..=2 {
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts("deployments", "web", round).await;
            sentinel.pass().await;
            controller.wait_idle().await;
            assert_eq!(patches(&world, "deployments", "web"), round);
        }
        let events = world.wait_for_events("web", "MarkerDropped", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains("dropped the marker") && message.contains("counts as the restart"),
            "{message}"
        );
        assert_eq!(events[0].type_.as_deref(), Some("Warning"));
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(world.events("web", "ReloadFail").await.is_empty());
        assert!(world.events("web", "Reloaded").await.is_empty());
    });
}

#[test]
fn a_retry_after_a_dropped_marker_does_not_pause_again() {
    run(async {
        let world = World::new("stripped-pause").await;
        world.create(&config_map("app", "0")).await;
        let annotations = [AUTO[0], ("deployment.reloader.stakater.com/pause-period", "1s")];
        world
            .create::<Deployment>(&deployment("web", &annotations, &pod_with_config_map("app")))
            .await;
        let has_env = "has(object.spec.template.spec.containers[0].env)";
        let mutation = Mutation::create(&world, has_env, "/spec/template/spec/containers/0/env").await;
        let _controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        let sent = |paused: bool| {
            let is_it = |entry: &Entry| {
                let sent = entry.request_object.as_ref();
                entry.is_about("deployments", &world.namespace, "web")
                    && entry.user == world.user()
                    && sent.is_some_and(|sent| sent["spec"]["paused"] == paused)
            };
            world.plane.audit().matching(is_it).expect("the audit log")
        };
        eventually(PATIENCE, "retries after the end of the pause", async || {
            let resumed = sent(false).first()?.stage_timestamp;
            let is_later = |entry: &Entry| {
                entry.is_about("deployments", &world.namespace, "web")
                    && entry.user == world.user()
                    && entry.request_received > resumed
            };
            let later = world.plane.audit().matching(is_later).ok()?;
            (later.len() > 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sent(true).len(), 1, "one pause for one change");
        mutation.delete(&world).await;
        world.wait_for_events("web", "Reloaded", 1).await;
    });
}

/// A kind whose schema knows containers without variables, and no `restartAt`.
async fn define_narrow(world: &World, custom: Custom) {
    let object = |properties: Value| json!({ "type": "object", "properties": properties });
    let text = json!({ "type": "string" });
    let container = object(json!({
        "name": text,
        "envFrom": { "type": "array", "items": object(json!({ "configMapRef": object(json!({ "name": text })) })) },
    }));
    let pod = object(json!({ "containers": { "type": "array", "items": container } }));
    let template = object(json!({ "spec": pod }));
    let schema = object(json!({ "spec": object(json!({ "template": template })) }));
    let definition: CustomResourceDefinition = from(json!({
        "metadata": { "name": format!("{}.{}", custom.plural, custom.group) },
        "spec": {
            "group": custom.group,
            "scope": "Namespaced",
            "names": { "plural": custom.plural, "singular": custom.kind.to_lowercase(), "kind": custom.kind },
            "versions": [{
                "name": custom.version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            }],
        },
    }));
    let api = Api::<CustomResourceDefinition>::all(world.client.clone());
    api.create(&PostParams::default(), &definition)
        .await
        .expect("a definition");
    let objects = world.custom(custom);
    eventually(PATIENCE, "the kind to be served", async || {
        objects.list(&kube::api::ListParams::default()).await.ok()
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

#[rstest]
#[case::template(json!({ "reloader.stakater.com/auto": "true" }), "variable STAKATER_APP_CONFIGMAP")]
#[case::restart_at(
    json!({ "reloader.stakater.com/auto": "true", "reloader.stakater.com/rollout-strategy": "restart" }),
    "spec.restartAt"
)]
fn a_marker_that_the_schema_prunes_is_no_restart(#[case] annotations: Value, #[case] dropped: &str) {
    run(async {
        let world = World::alone("pruned").await;
        define_narrow(&world, ROLLOUT).await;
        world.create(&config_map("app", "0")).await;
        let mut rollout = workload("web", &[], &[], &pod_with_config_map("app"));
        rollout["metadata"]["annotations"] = annotations;
        world.create_custom(ROLLOUT, rollout).await;
        let _controller = world.controller().arg("--is-argo-rollouts=true").start().await;
        world.change_config_map("app", "1").await;
        let events = world.wait_for_events("web", "ReloadFail", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains("dropped the marker") && message.contains(dropped),
            "{message}"
        );
        assert!(world.events("web", "Reloaded").await.is_empty());
    });
}
