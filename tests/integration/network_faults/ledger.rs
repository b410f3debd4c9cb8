//! A ledger that cannot be written, or is written by another client meanwhile.

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::ResourceExt;
use rstest::rstest;
use testbed::{
    eventually,
    proxy::{Fault, Rule},
};

use super::{ANNOTATIONS, ENV_VARS, ONE_WORKER, create_app, world};
use crate::harness::{PATIENCE, ledger::NAME, run, sentinel::Sentinel};

#[rstest]
#[case::conflict(Fault::Status { code: 409, retry_after: None })]
#[case::throttled(Fault::Status { code: 429, retry_after: Some(1) })]
#[case::broken(Fault::Status { code: 500, retry_after: None })]
#[case::reset(Fault::Reset)]
#[case::answer_lost(Fault::DropAnswer)]
fn a_write_of_the_ledger_that_fails_is_repeated(
    #[case] fault: Fault,
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let (world, proxy) = world("unwritten").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world
            .controller()
            .args([ONE_WORKER, strategy])
            .through(&proxy)
            .start()
            .await;
        let before = world.wait_for_ledger(3).await;
        let rule = proxy.add(Rule::new(fault.clone()).method("PUT").path(NAME).times(3));
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        eventually(PATIENCE, "the change in the ledger", async || {
            let lines = world.wait_for_ledger(3).await;
            (lines != before).then_some(())
        })
        .await
        .unwrap();
        // Where only the answer is lost, the controller sees that its write was stored.
        let faults = if fault == Fault::DropAnswer { 1 } else { 3 };
        eventually(PATIENCE, "the faults to be met", async || {
            (rule.hits() >= faults).then_some(())
        })
        .await
        .unwrap();
        first.replica.kill();

        world.change_config_map("app", "2").await;
        let _second = world.controller().args([ONE_WORKER, strategy]).start().await;
        world.wait_for_rollouts("deployments", "app", 2).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 2);
    });
}

/// A write of the ledger says until when it has every restart. This one reaches the API server seconds after it was composed,
/// and after a restart that did not wait for it.
#[rstest]
fn a_write_of_the_ledger_that_is_stored_late_does_not_speak_for_a_restart_before(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let (world, proxy) = world("late-ledger").await;
        create_app(&world, "app").await;
        create_app(&world, "other").await;
        let mut sentinel = Sentinel::new(&world).await;
        let args = [ONE_WORKER, strategy];
        let first = world.controller().args(args).through(&proxy).start().await;
        world.wait_for_ledger(4).await;
        let holding = proxy.add(Rule::new(Fault::Hold).method("PUT").path(NAME));
        world.change_config_map("other", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        eventually(PATIENCE, "a write of the ledger to be held", async || {
            (holding.hits() == 1).then_some(())
        })
        .await
        .unwrap();
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        first.replica.kill();
        // Objects have whole seconds.
        let restarted = Timestamp::now().as_second();
        eventually(PATIENCE, "a later second", async || {
            (Timestamp::now().as_second() > restarted).then_some(())
        })
        .await
        .unwrap();
        let version = async || {
            let stored = world.api::<ConfigMap>().get(NAME).await;
            stored.expect("the ledger").resource_version()
        };
        let before = version().await;
        holding.remove();
        eventually(PATIENCE, "the held write to be stored", async || {
            (version().await != before).then_some(())
        })
        .await
        .unwrap();

        world.change_config_map("app", "0").await;
        let _second = world.controller().args(args).start().await;
        world.wait_for_rollouts("deployments", "app", 2).await;
        sentinel.pass().await;
        assert_eq!(
            (
                world.rollouts("deployments", "app"),
                world.rollouts("deployments", "other")
            ),
            (2, 1)
        );
    });
}

#[rstest]
fn reloads_go_on_while_the_ledger_cannot_be_written(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let (world, proxy) = world("broken-ledger").await;
        create_app(&world, "app").await;
        create_app(&world, "other").await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world
            .controller()
            .args([ONE_WORKER, strategy])
            .through(&proxy)
            .start()
            .await;
        world.wait_for_ledger(4).await;
        let broken = Fault::Status {
            code: 500,
            retry_after: None,
        };
        let rule = proxy.add(Rule::new(broken).method("PUT").path(NAME));
        for round in 1..=3 {
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts("deployments", "app", round).await;
        }
        sentinel.pass().await;
        eventually(PATIENCE, "failed writes of the ledger", async || {
            (rule.hits() >= 3).then_some(())
        })
        .await
        .unwrap();
        // The marker on the workload shows the next leader what the ledger could not.
        first.replica.kill();
        let second = world
            .controller()
            .args([ONE_WORKER, strategy])
            .through(&proxy)
            .start()
            .await;
        world.change_config_map("other", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        let failed = rule.hits();
        eventually(PATIENCE, "a failed write by the second", async || {
            (rule.hits() > failed).then_some(())
        })
        .await
        .unwrap();
        rule.remove();
        second.wait_log("is written again").await;
        world.wait_for_ledger(4).await;
        sentinel.pass().await;
        assert_eq!(
            (
                world.rollouts("deployments", "app"),
                world.rollouts("deployments", "other")
            ),
            (3, 1)
        );
    });
}
