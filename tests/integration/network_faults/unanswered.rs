//! A patch that is applied, and of which its leader never learns: it dies, and the source returns to what it held before.

use std::time::Duration;

use rstest::rstest;
use testbed::{
    eventually,
    proxy::{Fault, Rule, StreamFault},
};

use super::{ANNOTATIONS, ENV_VARS, create_app, is_about, world};
use crate::harness::{PATIENCE, World, observe::digest_of, run, sentinel::Sentinel};

const APP: &str = "/deployments/app";
/// Longer than a patch is waited for.
const LATE: Duration = Duration::from_mins(1);

/// Waits until the ledger was written after the last restart of `other`.
async fn other_is_written(world: &World) {
    eventually(PATIENCE, "the restart of other in the ledger", async || {
        let lines = world.ledger().await;
        let is_settled = |line: &String| line.contains(" other ") && line.ends_with(&digest_of("1"));
        lines.iter().any(is_settled).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Only what is written down before a patch is sent shows the next leader that pods may run with another content.
#[rstest]
fn a_patch_whose_leader_dies_without_its_answer_is_taken_back_with_its_source(
    #[values(Fault::DropAnswer, Fault::DelayAnswer(LATE))] fault: Fault,
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let (world, proxy) = world("unanswered").await;
        for name in ["app", "other"] {
            create_app(&world, name).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let first = world.controller().arg(strategy).through(&proxy).start().await;
        world.wait_for_ledger(4).await;

        // Nothing else tells the leader either: neither its watch nor a look.
        eventually(PATIENCE, "an open watch of deployments", async || {
            (proxy.disturb(is_about("deployments"), &StreamFault::Silence) == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        let unanswered = proxy.add(Rule::new(fault).method("PATCH").path(APP).times(1));
        let _ = proxy.add(Rule::new(Fault::Stall).path(APP));
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        world.change_config_map("other", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        other_is_written(&world).await;
        first.replica.kill();
        assert_eq!(unanswered.hits(), 1);

        world.change_config_map("app", "0").await;
        let _second = world.controller().arg(strategy).start().await;
        // Its pods started with "1".
        world.wait_for_rollouts("deployments", "app", 2).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 2);
        assert_eq!(world.rollouts("deployments", "other"), 1);
    });
}
