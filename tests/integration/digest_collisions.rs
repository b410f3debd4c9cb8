//! Two contents of one source whose digests are equal, because upstream's form of them has no escaping: a change from
//! one to the other is a change.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    run,
    sentinel::Sentinel,
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");

/// Both are `key=1;other=2` to the digest.
fn one_entry() -> Value {
    json!({ "key": "1;other=2", "other": null })
}

fn two_entries() -> Value {
    json!({ "key": "1", "other": "2" })
}

async fn hold(world: &World, data: Value) {
    let patch = Patch::Merge(json!({ "data": data }));
    let api = world.api::<ConfigMap>();
    api.patch("app", &PatchParams::default(), &patch)
        .await
        .expect("the ConfigMap is changed");
}

#[rstest]
fn contents_that_upstream_cannot_tell_apart_are_rolled_out_once_each(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = World::new("look-alikes").await;
        world.create(&config_map("app", "0")).await;
        let pod = pod_with_config_map("app");
        world.create(&deployment("app", &[AUTO], &pod)).await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world.controller().arg(strategy).start().await;
        world.wait_for_ledger(3).await;

        hold(&world, one_entry()).await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        hold(&world, two_entries()).await;
        world.wait_for_rollouts("deployments", "app", 2).await;
        hold(&world, one_entry()).await;
        world.wait_for_rollouts("deployments", "app", 3).await;
        sentinel.pass().await;
        // Only what is written down survives the death of a leader that restarted the workload for it.
        let written = async || {
            let lines = world.ledger().await;
            let is_settled =
                |line: &&String| line.contains(" app ") && line.contains('~') && !line.contains('/');
            Ok::<_, String>(lines.iter().any(|line| is_settled(&line)).then_some(()))
        };
        eventually(PATIENCE, "the ledger", written).await.unwrap();
        first.replica.kill();

        hold(&world, two_entries()).await;
        let second = world.controller().arg(strategy).start().await;
        world.wait_for_rollouts("deployments", "app", 4).await;
        sentinel.pass().await;
        second.replica.kill();

        let _third = world.controller().arg(strategy).start().await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 4);
    });
}
