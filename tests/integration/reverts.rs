//! A source goes back to what it held: the workloads that were restarted meanwhile follow, and no others are touched.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use rstest::rstest;
use testbed::{
    eventually,
    proxy::{Fault, Rule},
};

use crate::{
    bursts::Policy,
    harness::{
        Controller, PATIENCE, World,
        objects::{config_map, deployment, pod_with_config_map},
        observe::{AUTO, digest_of},
        run,
        sentinel::Sentinel,
    },
};

/// Deployments that use the source.
const USERS: usize = 40;
/// So many patches of the first leader arrive: however late it dies, it leaves the others.
const ARRIVE: usize = 20;
/// Slow enough for the source to change between two of them.
const SLOW: &str = "--namespace-rate=10";
/// Restarts that a leader has done.
const DONE: &str = "reloader_reload_executed_total{success=\"true\"";

fn user(number: usize) -> String {
    format!("web-{number}")
}

/// Lets that many patches of Deployments through. The API server never sees the others.
fn patches_that_arrive(count: usize) -> Rule {
    let patches = AtomicUsize::new(0);
    Rule::new(Fault::Stall)
        .method("PATCH")
        .path("/deployments/")
        .when(move |_| patches.fetch_add(1, Ordering::Relaxed) >= count)
}

/// Waits until the leader has done so many restarts.
async fn wait_for_restarts(leader: &Controller, count: f64) {
    let waited = eventually(PATIENCE, "restarts", async || {
        let done = leader.metric(DONE).await;
        if done >= count { Ok(Some(())) } else { Err(done) }
    });
    let log = || leader.replica.log();
    waited.await.unwrap_or_else(|error| panic!("{error}\n{}", log()));
}

/// The Deployments whose pod template shows another content than that.
async fn showing_other_than(world: &World, content: &str) -> Vec<String> {
    let all = world.api::<Deployment>().list(&ListParams::default()).await;
    let digest = digest_of(content);
    let shows_another = |template: &str| {
        (template.contains("STAKATER_SHARED") || template.contains("last-reloaded-from"))
            && !template.contains(&digest)
    };
    let others = all.expect("Deployments").items.into_iter().filter(|deployment| {
        let template = serde_json::to_string(&deployment.spec.template).expect("JSON");
        shows_another(&template)
    });
    others
        .filter_map(|deployment| deployment.metadata.name)
        .filter(|name| name.starts_with("web-"))
        .collect()
}

/// The leader dies while it restarts workloads; the ledger may not have all of them. The next one restarts others, and
/// then the source is what it was: whatever the ledger said, no pod keeps the content in between.
#[rstest]
fn a_revert_just_after_a_failover_reaches_every_workload_that_was_restarted(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = World::new("revert").await;
        world.create(&config_map("shared", "good")).await;
        for number in 0..USERS {
            let user = deployment(&user(number), &AUTO, &pod_with_config_map("shared"));
            world.create(&user).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        // What is on its way when the leader dies arrives, and the audit log has its answer.
        let proxy = world.plane.proxy().await.expect("a proxy");
        let first = world.controller().through(&proxy).args([SLOW, strategy]);
        let first = first.start().await;
        world.wait_for_ledger(3).await;
        let _ = proxy.add(patches_that_arrive(ARRIVE));
        world.change_config_map("shared", "bad").await;
        wait_for_restarts(&first, 15.0).await;
        first.replica.kill();
        let second = world.controller().args([SLOW, strategy]).start().await;
        wait_for_restarts(&second, 1.0).await;
        world.change_config_map("shared", "good").await;
        let all_good = eventually(PATIENCE, "no pod template with the bad content", async || {
            let bad = showing_other_than(&world, "good").await;
            if bad.is_empty() {
                Ok(Some(()))
            } else {
                Err(format!("{bad:?}"))
            }
        });
        all_good.await.unwrap_or_else(|error| panic!("{error}"));
        sentinel.pass().await;
        assert_eq!(showing_other_than(&world, "good").await, Vec::<String>::new());
        for number in 0..USERS {
            let rollouts = world.rollouts("deployments", &user(number));
            assert!(rollouts == 0 || rollouts == 2, "{number}: {rollouts} rollouts");
        }
    });
}

/// A refusal proves that nothing was applied: the pods still run what they ran with.
#[test]
fn a_change_that_is_taken_back_after_its_patch_was_refused_restarts_nothing() {
    run(async {
        let world = World::new("refusal").await;
        world.create(&config_map("settings", "good")).await;
        let refused = deployment("refused", &AUTO, &pod_with_config_map("settings"));
        world.create(&refused).await;
        let mut sentinel = Sentinel::new(&world).await;
        let policy = Policy::create(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "bad").await;
        world.wait_for_events("refused", "ReloadFail", 1).await;
        world.change_config_map("settings", "good").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        policy.delete(&world).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "refused"), 0);
    });
}
