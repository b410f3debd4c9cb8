//! Many changes at once, and writes that are refused.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        apps::v1::Deployment,
    },
    jiff::Timestamp,
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
    objects::{config_map, deployment, from, pod_with_config_map, secret},
    observe::{AUTO, Barrier, digest_of, pod_with},
    run,
};

/// Long enough for a busy computer to send some requests within it.
const WINDOW: &str = "--coalesce-window=1s";
const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";

/// A Deployment `web` that uses five sources, all of which change at the same time: the writes that roll it.
async fn five_sources_at_once(strategy: &str) -> Vec<Value> {
    let world = World::new("five").await;
    for name in ["one", "two", "three"] {
        world.create(&config_map(name, "old")).await;
    }
    for name in ["four", "five"] {
        world.create(&secret(name, "old")).await;
    }
    let pod = pod_with(&["one", "two", "three"], &["four", "five"]);
    world.create(&deployment("web", &AUTO, &pod)).await;
    let mut barrier = Barrier::create(&world).await;
    let controller = world.controller().arg(WINDOW).arg(strategy).start().await;

    let config_maps = join_all(["one", "two", "three"].map(|name| world.change_config_map(name, "new")));
    let secrets = join_all(["four", "five"].map(|name| world.change_secret(name, "new")));
    tokio::join!(config_maps, secrets);

    world.wait_for_rollouts("deployments", "web", 1).await;
    barrier.pass(&world, &controller).await;
    let writes = world.wait_for_rollouts("deployments", "web", 1).await;
    writes
        .iter()
        .map(|write| write.request_object.clone().expect("a body"))
        .collect()
}

#[test]
fn five_sources_changed_together_are_one_rollout_with_five_variables() {
    let bodies = run(five_sources_at_once("--reload-strategy=env-vars"));
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    let containers = &bodies[0]["spec"]["template"]["spec"]["containers"];
    let mut variables: Vec<&Value> = containers[0]["env"].as_array().unwrap().iter().collect();
    variables.sort_by_key(|variable| variable["name"].as_str());
    let expected = [
        "FIVE_SECRET",
        "FOUR_SECRET",
        "ONE_CONFIGMAP",
        "THREE_CONFIGMAP",
        "TWO_CONFIGMAP",
    ]
    .map(|name| json!({ "name": format!("STAKATER_{name}"), "value": digest_of("new") }));
    assert_eq!(variables, expected.iter().collect::<Vec<_>>());
}

#[test]
fn five_sources_changed_together_are_one_rollout_with_one_annotation() {
    let bodies = run(five_sources_at_once("--reload-strategy=annotations"));
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    let template = bodies[0]["spec"]["template"].as_object().unwrap();
    assert_eq!(template.keys().collect::<Vec<_>>(), ["metadata"]);
    let annotations = template["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), [LAST_RELOADED_FROM]);
    let marker: Value = serde_json::from_str(annotations[LAST_RELOADED_FROM].as_str().unwrap()).unwrap();
    assert_eq!(marker["hash"], digest_of("new"));
}

#[test]
fn twenty_changes_in_quick_succession_are_few_rollouts_and_the_last_content_wins() {
    run(async {
        let world = World::new("twenty").await;
        world.create(&config_map("settings", "0")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().arg(WINDOW).start().await;

        for value in 1..=20 {
            world.change_config_map("settings", &value.to_string()).await;
        }

        world
            .wait_for_variable("web", "STAKATER_SETTINGS_CONFIGMAP", &digest_of("20"))
            .await;
        barrier.pass(&world, &controller).await;
        let rollouts = world.wait_for_rollouts("deployments", "web", 1).await;
        let last = rollouts.last().unwrap();
        assert_eq!(
            last.request_object.as_ref().unwrap()["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"],
            digest_of("20")
        );
        // At most one for each window, however slow this computer is.
        let changes = world
            .plane
            .audit()
            .matching(|entry| {
                entry.is_about("configmaps", &world.namespace, "settings") && entry.verb == "patch"
            })
            .unwrap();
        assert_eq!(changes.len(), 20);
        let windows = seconds_between(changes[0].request_received, last.request_received);
        assert!(
            rollouts.len() < 20 && rollouts.len() as u64 <= windows + 1,
            "{} rollouts in {windows} windows",
            rollouts.len()
        );
    });
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    to.duration_since(from).unsigned_abs().as_secs()
}

/// Refuses every update of the Deployment `refused` in a namespace.
pub struct Policy {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    name: String,
}

impl Policy {
    /// Returns when it is in force.
    pub async fn create(world: &World) -> Self {
        let policy = Self {
            policies: Api::all(world.client.clone()),
            bindings: Api::all(world.client.clone()),
            name: format!("{}-freeze", world.namespace),
        };
        let rule = json!({
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["deployments"], "resourceNames": ["refused"],
        });
        let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
        let object = from(json!({
            "metadata": { "name": policy.name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "namespaceSelector": namespace, "resourceRules": [rule] },
                "validations": [{ "expression": "false", "message": "frozen for the test" }],
            },
        }));
        let binding = from(json!({
            "metadata": { "name": policy.name },
            "spec": { "policyName": policy.name, "validationActions": ["Deny"] },
        }));
        let post = PostParams::default();
        policy.policies.create(&post, &object).await.expect("a policy");
        policy.bindings.create(&post, &binding).await.expect("a binding");
        eventually(PATIENCE, "the policy to be in force", async || {
            policy.try_update(world).await.is_err().then_some(())
        })
        .await
        .unwrap();
        policy
    }

    /// Returns when it is no longer in force.
    pub async fn delete(self, world: &World) {
        let delete = DeleteParams::default();
        self.bindings
            .delete(&self.name, &delete)
            .await
            .expect("it was there");
        self.policies
            .delete(&self.name, &delete)
            .await
            .expect("it was there");
        eventually(PATIENCE, "the policy to be gone", async || {
            self.try_update(world).await.is_ok().then_some(())
        })
        .await
        .unwrap();
    }

    /// A write that leaves nothing behind.
    async fn try_update(&self, world: &World) -> kube::Result<Deployment> {
        let body = json!({ "metadata": { "labels": { "try": "again" } } });
        let params = PatchParams::default().dry_run();
        let api = world.api::<Deployment>();
        api.patch("refused", &params, &Patch::Merge(body)).await
    }
}

/// The controller's writes to `refused` so far.
fn attempts(world: &World) -> Vec<Arc<Entry>> {
    let mut writes = world
        .plane
        .audit()
        .writes_by(&world.user())
        .expect("the audit log");
    writes.retain(|write| write.is_about("deployments", &world.namespace, "refused"));
    writes
}

async fn wait_for_attempts(world: &World, count: usize) {
    let what = format!("{count} refused writes");
    let waited = eventually(PATIENCE, &what, async || {
        (attempts(world).len() >= count).then_some(())
    });
    waited.await.unwrap();
}

#[test]
fn a_refused_write_is_retried_reported_once_and_delays_no_other_workload() {
    run(async {
        let world = World::new("refused").await;
        world.create(&config_map("settings", "one")).await;
        for name in ["refused", "free"] {
            world
                .create(&deployment(name, &AUTO, &pod_with_config_map("settings")))
                .await;
        }
        world.create(&config_map("other", "one")).await;
        world
            .create(&deployment("other", &AUTO, &pod_with_config_map("other")))
            .await;
        let policy = Policy::create(&world).await;
        let controller = world.controller().start().await;

        world.change_config_map("settings", "two").await;
        world.wait_for_rollouts("deployments", "free", 1).await;
        wait_for_attempts(&world, 3).await;
        // A change that comes while the other workload is refused does not wait either.
        world.change_config_map("other", "two").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        assert_eq!(world.rollouts("deployments", "refused"), 0);
        world.wait_for_events("refused", "ReloadFail", 1).await;

        policy.delete(&world).await;
        world.wait_for_rollouts("deployments", "refused", 1).await;
        controller.wait_idle().await;

        let (accepted, refused): (Vec<_>, Vec<_>) =
            attempts(&world).into_iter().partition(|write| write.succeeded());
        assert_eq!(accepted.len(), 1);
        assert!(refused.iter().all(|write| write.code == 422), "{refused:#?}");
        assert_eq!(world.rollouts("deployments", "free"), 1);
        let variables = world.variables("refused").await;
        assert_eq!(variables["STAKATER_SETTINGS_CONFIGMAP"], digest_of("two"));

        world.wait_for_events("refused", "Reloaded", 1).await;
        let events = world.events("refused", "ReloadFail").await;
        assert_eq!(events.len(), 1, "{events:#?}");
        assert_eq!(events[0].type_.as_deref(), Some("Warning"));
        assert_eq!(events[0].count, Some(1));
        let namespace = &world.namespace;
        let text = format!(
            "Update for 'refused' of type 'Deployment' in namespace '{namespace}' failed with error "
        );
        let message = events[0].message.as_deref().unwrap();
        assert!(
            message.starts_with(&text) && message.contains("frozen for the test"),
            "{message}"
        );

        let count = f64::from(u32::try_from(refused.len()).unwrap());
        controller
            .wait_metrics(&[
                ("reloader_reload_executed_total{success=\"false\"}", count),
                ("reloader_errors_total{type=\"invalid\"}", count),
            ])
            .await;
    });
}

#[test]
fn a_workload_deleted_while_its_write_is_refused_is_forgotten() {
    run(async {
        let world = World::new("deleted").await;
        world.create(&config_map("settings", "one")).await;
        world
            .create(&deployment("refused", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut barrier = Barrier::create(&world).await;
        let _in_force = Policy::create(&world).await;
        let controller = world.controller().start().await;

        world.change_config_map("settings", "two").await;
        wait_for_attempts(&world, 1).await;
        let api = world.api::<Deployment>();
        api.delete("refused", &DeleteParams::default())
            .await
            .expect("it was there");

        // Nothing is queued, not even for a retry, so nothing can loop.
        controller.wait_idle().await;
        let so_far = attempts(&world).len();
        barrier.pass(&world, &controller).await;
        assert_eq!(attempts(&world).len(), so_far);
        assert_eq!(world.rollouts("deployments", "refused"), 0);
        let events = world.events("refused", "ReloadFail").await;
        assert_eq!(events.len(), 1, "{events:#?}");
    });
}

#[test]
fn a_workload_deleted_before_its_write_is_never_written() {
    run(async {
        let world = World::new("deleted").await;
        world.create(&config_map("settings", "one")).await;
        world
            .create(&deployment("refused", &AUTO, &pod_with_config_map("settings")))
            .await;
        // The change waits for this long before it is written.
        let controller = world.controller().arg("--coalesce-window=20s").start().await;

        world.change_config_map("settings", "two").await;
        controller
            .wait_metrics(&[
                ("reloader_pending_reloads", 1.0),
                ("reloader_workqueue_depth", 1.0),
            ])
            .await;
        let api = world.api::<Deployment>();
        api.delete("refused", &DeleteParams::default())
            .await
            .expect("it was there");

        controller.wait_idle().await;
        assert!(attempts(&world).is_empty());
        assert!(world.events("refused", "ReloadFail").await.is_empty());
        assert!(
            !controller.replica.log().contains("level=error"),
            "{}",
            controller.replica.log()
        );
    });
}

/// As `kubectl apply`, `helm upgrade` or cert-manager write: each of five ConfigMaps, or one of them three times, with the
/// default window.
#[rstest]
#[case::apply(&["one", "two", "three", "four", "five"], 60)]
#[case::three_writes(&["one", "one", "one"], 900)]
fn one_deploy_is_one_rollout_by_default(#[case] writes: &[&str], #[case] apart: u64) {
    run(async {
        let world = World::new("apply").await;
        let names = ["one", "two", "three", "four", "five"];
        for name in names {
            world.create(&config_map(name, "old")).await;
        }
        world
            .create(&deployment("web", &AUTO, &pod_with(&names, &[])))
            .await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().default_window().start().await;
        // The pace is the input.
        let mut pace = tokio::time::interval(Duration::from_millis(apart));
        for (number, name) in writes.iter().enumerate() {
            pace.tick().await;
            world.change_config_map(name, &number.to_string()).await;
        }
        world.wait_for_rollouts("deployments", "web", 1).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.wait_for_rollouts("deployments", "web", 1).await.len(), 1);
    });
}
