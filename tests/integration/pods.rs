//! What the pods started with counts, not what the template shows: templates that others write, pods that come up at any
//! moment, pods that stay behind.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, PropagationPolicy};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;

use crate::harness::{
    Controller, PATIENCE, World,
    kinds::ROLLOUT,
    objects::{config_map, deployment, pod_with_config_map, stateful_set, workload},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

/// The strategies.
const STRATEGIES: [&str; 2] = ["--reload-strategy=env-vars", "--reload-strategy=annotations"];

impl World {
    /// Replaces the pod template as `kubectl rollout undo` does.
    async fn undo<K>(&self, api: &Api<K>, name: &str, template: &Value)
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
    {
        let live = api.get(name).await.expect("the workload");
        let mut live = serde_json::to_value(live).expect("JSON");
        live["spec"]["template"] = template.clone();
        let params = PostParams {
            field_manager: Some("kubectl-rollout".to_owned()),
            ..PostParams::default()
        };
        let undone: K = serde_json::from_value(live).expect("a workload");
        api.replace(name, &params, &undone)
            .await
            .expect("the template is accepted");
    }

    /// Changes the pod template as another client would: a Helm upgrade, a checksum annotation, `kubectl rollout restart`.
    async fn touch_template(&self, name: &str, value: &str) {
        let body = json!({ "spec": { "template": { "metadata": { "annotations": { "checksum/config": value } } } } });
        self.api::<Deployment>()
            .patch(name, &PatchParams::apply("helm"), &Patch::Merge(body))
            .await
            .expect("the template is accepted");
    }

    async fn template<K>(&self, api: &Api<K>, name: &str) -> Value
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
    {
        let object = serde_json::to_value(api.get(name).await.expect("the workload")).expect("JSON");
        object["spec"]["template"].clone()
    }

    /// Reports that many pods, all ready.
    async fn report_pods(&self, name: &str, replicas: i32) {
        let status = json!({ "status": {
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
        } });
        self.api::<Deployment>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the status is accepted");
    }
}

/// v1, v2, a bad v3; the undo shows v2 again and starts pods with v3; then the source is put back to v2.
#[rstest]
fn a_repair_after_an_undo_restarts(
    #[values(STRATEGIES[0], STRATEGIES[1])] strategy: &str,
    #[values(false, true)] rollout: bool,
    #[values(false, true)] restarted_between: bool,
) {
    run(async {
        let world = World::new("undo").await;
        world.create(&config_map("settings", "v1")).await;
        let pod = pod_with_config_map("settings");
        let resource = if rollout { "rollouts" } else { "deployments" };
        if rollout {
            world.define(ROLLOUT).await;
            world
                .create_custom(ROLLOUT, workload("web", &AUTO, &[], &pod))
                .await;
        } else {
            world.create(&deployment("web", &AUTO, &pod)).await;
        }
        let args = [strategy, "--is-Argo-Rollouts=true"];
        let mut sentinel = Sentinel::new(&world).await;
        let mut controller = world.controller().args(args).start().await;
        world.change_config_map("settings", "v2").await;
        world.wait_for_rollouts(resource, "web", 1).await;
        let custom: Api<DynamicObject> = world.custom(ROLLOUT);
        let shown = if rollout {
            world.template(&custom, "web").await
        } else {
            world.template(&world.api::<Deployment>(), "web").await
        };
        world.change_config_map("settings", "v3").await;
        world.wait_for_rollouts(resource, "web", 2).await;
        if rollout {
            world.undo(&custom, "web", &shown).await;
        } else {
            world.undo(&world.api::<Deployment>(), "web", &shown).await;
        }
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts(resource, "web"), 3, "the undo, and nothing else");
        if restarted_between {
            world.wait_for_ledger(3).await;
            controller.replica.kill();
            controller = world.controller().args(args).start().await;
            sentinel.pass().await;
            controller.wait_idle().await;
            assert_eq!(world.rollouts(resource, "web"), 3, "a start changes nothing");
        }
        world.change_config_map("settings", "v2").await;
        world.wait_for_rollouts(resource, "web", 4).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts(resource, "web"), 4);
    });
}

/// The leader dies at once after the undo: the marker is not the one it wrote last.
#[rstest]
fn an_undo_just_before_a_crash_restarts_nothing(#[values(STRATEGIES[0], STRATEGIES[1])] strategy: &str) {
    run(async {
        let world = World::new("undo").await;
        world.create(&config_map("settings", "v2")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(strategy).start().await;
        world.wait_for_ledger(3).await;
        // Times have whole seconds: what shares one with the ledger may be in it or not.
        seconds_pass(&world, "first").await;
        world.change_config_map("settings", "v1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        let shown = world.template(&world.api::<Deployment>(), "web").await;
        world.change_config_map("settings", "v3").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        seconds_pass(&world, "second").await;
        world.undo(&world.api::<Deployment>(), "web", &shown).await;
        controller.replica.kill();
        let controller = world.controller().arg(strategy).start().await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(
            world.rollouts("deployments", "web"),
            3,
            "two restarts and the undo"
        );
    });
}

/// The rollout that the other client began starts pods with the present content.
#[rstest]
fn a_template_that_follows_its_source_needs_no_restart(
    #[values("--coalesce-window=1s", "--coalesce-window=5s")] window: &str,
    #[values(STRATEGIES[0], STRATEGIES[1])] strategy: &str,
) {
    run(async {
        let world = World::new("upgrade").await;
        world.create(&config_map("settings", "1")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().args([window, strategy]).start().await;
        for (round, value) in ["2", "3", "1"].into_iter().enumerate() {
            world.change_config_map("settings", value).await;
            world.touch_template("web", value).await;
            sentinel.pass().await;
            controller.wait_idle().await;
            assert_eq!(
                world.rollouts("deployments", "web"),
                round + 1,
                "only the upgrade's own"
            );
        }
        // What follows alone is a change like any other.
        world.change_config_map("settings", "2").await;
        world.wait_for_rollouts("deployments", "web", 4).await;
    });
}

#[rstest]
#[case::on_delete("statefulsets", json!({ "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } }))]
#[case::partition("statefulsets", json!({ "updateStrategy": { "rollingUpdate": { "partition": 1 } } }))]
#[case::paused("deployments", json!({ "paused": true }))]
fn a_template_that_leaves_old_pods_is_marked_all_the_same(#[case] resource: &str, #[case] spec: Value) {
    run(async {
        let world = World::new("upgrade").await;
        world.create(&config_map("settings", "1")).await;
        let pod = pod_with_config_map("settings");
        let body =
            json!({ "spec": { "template": { "metadata": { "annotations": { "checksum/config": "2" } } } } });
        let spec = Patch::Merge(json!({ "spec": spec }));
        let (helm, template) = (PatchParams::apply("helm"), Patch::Merge(body));
        let is_deployment = resource == "deployments";
        if is_deployment {
            world.create(&deployment("web", &AUTO, &pod)).await;
            let patched = world.api::<Deployment>().patch("web", &helm, &spec).await;
            patched.expect("the Deployment is accepted");
        } else {
            world.create(&stateful_set("web", &AUTO, &pod)).await;
            let patched = world.api::<StatefulSet>().patch("web", &helm, &spec).await;
            patched.expect("the StatefulSet is accepted");
        }
        let _controller = world.controller().arg("--coalesce-window=1s").start().await;
        world.change_config_map("settings", "2").await;
        if is_deployment {
            let patched = world.api::<Deployment>().patch("web", &helm, &template).await;
            patched.expect("the Deployment is accepted");
        } else {
            let patched = world.api::<StatefulSet>().patch("web", &helm, &template).await;
            patched.expect("the StatefulSet is accepted");
        }
        world.wait_for_rollouts(resource, "web", 2).await;
    });
}

/// `b` has never had what the source held before it was deleted.
#[test]
fn a_workload_from_the_time_without_its_source_is_left_alone_when_the_source_returns() {
    run(async {
        let world = World::new("returns").await;
        world.create(&config_map("shared", "1")).await;
        let pod = pod_with_config_map("shared");
        for name in ["a", "b"] {
            world.create(&deployment(name, &AUTO, &pod)).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        let now = DeleteParams::default();
        let config_maps = world.api::<k8s_openapi::api::core::v1::ConfigMap>();
        config_maps.delete("shared", &now).await.expect("it is deleted");
        world
            .api::<Deployment>()
            .delete("b", &now)
            .await
            .expect("it is deleted");
        world.create(&deployment("b", &AUTO, &pod)).await;
        world.create(&config_map("shared", "2")).await;
        world.wait_for_rollouts("deployments", "a", 1).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "b"), 0);
    });
}

/// `kubectl delete --cascade=orphan`, as it is done to change what cannot be changed: the new one adopts the old pods.
#[rstest]
fn a_workload_that_adopts_pods_restarts_them(#[values(true, false)] orphan: bool) {
    run(async {
        let world = World::with_controller_manager("adopts").await;
        world.create(&config_map("settings", "1")).await;
        let set = stateful_set("web", &AUTO, &pod_with_config_map("settings"));
        world.create(&set).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        let params = if orphan {
            DeleteParams {
                propagation_policy: Some(PropagationPolicy::Orphan),
                ..DeleteParams::default()
            }
        } else {
            DeleteParams::default()
        };
        let sets = world.api::<StatefulSet>();
        sets.delete("web", &params).await.expect("it is deleted");
        eventually(
            PATIENCE,
            "the StatefulSet to be gone",
            async || -> Result<_, String> {
                let left = sets.get_opt("web").await.map_err(|error| error.to_string())?;
                Ok(left.is_none().then_some(()))
            },
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        world.change_config_map("settings", "2").await;
        sentinel.pass().await;
        world.create(&set).await;
        if orphan {
            world.wait_for_rollouts("statefulsets", "web", 1).await;
        }
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("statefulsets", "web"), usize::from(orphan));
    });
}

/// A pod that comes up while the source holds something else keeps it.
#[rstest]
fn a_content_that_comes_and_goes_restarts_where_a_pod_came_meanwhile(
    #[values(false, true)] scaled: bool,
    #[values(STRATEGIES[0], STRATEGIES[1])] strategy: &str,
) {
    run(async {
        let world = World::new("flip").await;
        world.create(&config_map("settings", "a")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        world.report_pods("web", 1).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .args(["--coalesce-window=3s", strategy])
            .start()
            .await;
        world.change_config_map("settings", "b").await;
        if scaled {
            world.report_pods("web", 2).await;
        }
        world.change_config_map("settings", "a").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), usize::from(scaled));
    });
}

/// Both are younger than the ledger, which does not have them.
#[rstest]
#[case::written_later(true)]
#[case::written_with_the_workload(false)]
fn what_was_written_after_a_workload_began_while_nobody_ran_is_owed(#[case] later: bool) {
    run(async {
        let world = World::new("younger").await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.wait_for_ledger(2).await;
        controller.replica.kill();
        // Times have whole seconds.
        seconds_pass(&world, "second").await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        world.create(&config_map("settings", "1")).await;
        if later {
            seconds_pass(&world, "third").await;
            world.change_config_map("settings", "2").await;
        }
        let controller: Controller = world.controller().start().await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), usize::from(later));
    });
}

/// Returns when an object created now has a later creation time than one created before.
async fn seconds_pass(world: &World, name: &str) {
    let first = world.create(&config_map(&format!("{name}-0"), "")).await;
    let mut number = 0;
    eventually(PATIENCE, "the next second", async || {
        number += 1;
        let next = world.create(&config_map(&format!("{name}-{number}"), "")).await;
        (next.metadata.creation_timestamp > first.metadata.creation_timestamp).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}
