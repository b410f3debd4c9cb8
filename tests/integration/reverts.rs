//! A source goes back to what it held: the workloads that were restarted meanwhile follow, and no others are touched.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use rstest::rstest;
use testbed::eventually;

use crate::{
    bursts::Policy,
    harness::{
        PATIENCE, World,
        field::catch,
        objects::{config_map, deployment, pod_with_config_map},
        observe::{AUTO, digest_of},
        run,
        sentinel::Sentinel,
    },
};

/// Deployments that use the source.
const USERS: usize = 40;
/// Slow enough for a leader to die between two of them.
const SLOW: &str = "--namespace-rate=10";

fn user(number: usize) -> String {
    format!("web-{number}")
}

/// How many of the Deployments have been restarted at least once.
fn restarted(world: &World) -> usize {
    let restarted = |number: &usize| world.rollouts("deployments", &user(*number)) > 0;
    (0..USERS).filter(restarted).count()
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

/// The leader dies after it has restarted some workloads; the ledger may not have all of them. The next one restarts
/// others, and then the source is what it was: whatever the ledger said, no pod keeps the content in between.
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
        let first = world.controller().args([SLOW, strategy]).start().await;
        world.wait_for_ledger(3).await;
        world.change_config_map("shared", "bad").await;
        catch("15 restarts", || restarted(&world) >= 15).await;
        first.replica.kill();
        let before = restarted(&world);
        let _second = world.controller().args([SLOW, strategy]).start().await;
        catch("a restart by the next leader", || restarted(&world) > before).await;
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
