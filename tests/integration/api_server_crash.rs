//! The API server dies in the middle of things, at once or for longer than a lease lasts.

use std::{collections::BTreeMap, time::Duration};

use rstest::rstest;
use tokio::time::sleep;

use crate::harness::{PATIENCE, World, field::Field, fleet::Fleet, run};

/// The half minute that must be survived, and more than twice the default lease of 15 s.
const OUTAGE: Duration = Duration::from_secs(31);
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
/// Sixty rollouts take eleven seconds, sixty changes a few on a busy computer: the API server dies in the middle of the rollouts.
const SLOW: &str = "--namespace-rate=5";

/// The log says the same as the watch: no Deployment was patched more often than its ConfigMap changed. A watch that
/// starts over after an outage may have missed one of two rollouts; the log of a killed API server may lack its last.
fn assert_no_more_patches_than_changes(field: &Field, changes: usize) {
    let mut patches: BTreeMap<String, usize> = BTreeMap::new();
    for patch in field.patches() {
        *patches.entry(patch.name.clone()).or_default() += 1;
    }
    assert!(patches.values().all(|count| *count <= changes), "{patches:?}");
}

#[rstest]
fn ten_changes_right_before_the_api_server_dies_are_ten_rollouts(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let world = World::alone("restart").await;
        let field = Field::in_its_own_namespace(&world, 10).await;
        let controller = world.controller().arg(strategy).start().await;
        let mut contents = Vec::new();
        for round in 1..=3 {
            contents.push(round.to_string());
            field.change_all(&contents[round - 1]).await;
            world.plane.kill_apiserver();
            world.plane.start_apiserver().await.expect("it starts");
            field.wait_all_right(&contents).await;
            assert_no_more_patches_than_changes(&field, round);
        }
        controller.wait_ready().await;
        controller.wait_idle().await;
        field.wait_all_right(&contents).await;
        assert_no_more_patches_than_changes(&field, 3);
    });
}

#[rstest]
fn an_outage_in_the_middle_of_sixty_rollouts_repeats_none(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::alone("outage").await;
        let field = Field::in_its_own_namespace(&world, 60).await;
        let controller = world.controller().args([SLOW, strategy]).start().await;
        go_through_an_outage(&world, &field).await;
        controller.wait_ready().await;
        controller.wait_idle().await;
        assert_no_more_patches_than_changes(&field, 2);
    });
}

#[test]
fn an_outage_that_ends_the_lease_is_survived_by_the_standbys() {
    run(async {
        let world = World::alone("leaderless").await;
        let field = Field::in_its_own_namespace(&world, 60).await;
        let mut fleet = Fleet::start(&world, &[SLOW]).await;
        let leader = fleet.take_leader().await;
        let (code, ()) = tokio::join!(leader.wait_exit(PATIENCE), go_through_an_outage(&world, &field));
        assert_eq!(code, Some(1), "{}", leader.replica.log());
        // The next leader repeats a patch whose answer was lost: no rollout, as the watch of the field has shown.
        fleet.leader().await.wait_idle().await;
        world.assert_only_leaders_wrote();
    });
}

#[rstest]
fn an_outage_that_ends_the_lease_is_survived_by_the_replica_that_is_restarted_in_it(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let world = World::alone("restarted").await;
        let field = Field::in_its_own_namespace(&world, 60).await;
        // The API server must be there to make one.
        let kubeconfig = world.kubeconfig().await;
        let replica = || {
            let builder = world.controller().elected().args([SLOW, strategy]);
            builder.kubeconfig(kubeconfig.clone())
        };
        let leader = replica().start().await;
        // The restarted one knows of the changes through the ledger alone, which is written for the first time a second
        // after the first start.
        world.wait_for_ledger(60).await;
        let restart = async {
            let code = leader.wait_exit(PATIENCE).await;
            assert_eq!(code, Some(1), "{}", leader.replica.log());
            assert!(leader.replica.log().contains("no longer leader, shutting down"));
            // As a kubelet does: the pod and its name are the same.
            let restarted = replica().launch().await;
            restarted.wait_log("Waiting for the API server").await;
            restarted
        };
        let (restarted, ()) = tokio::join!(restart, go_through_an_outage(&world, &field));
        restarted.wait_log("became leader").await;
        restarted.wait_ready().await;
        restarted.wait_idle().await;
        assert_no_more_patches_than_changes(&field, 2);
    });
}

/// Sixty changes, some of them rolled out before the API server dies and others when it is back; then sixty more.
async fn go_through_an_outage(world: &World, field: &Field) {
    let mut contents = vec!["before".to_owned()];
    field.change_all("before").await;
    field.catch_patches(1).await;
    world.plane.kill_apiserver();
    assert!(field.patches().len() < 60, "it died too late");
    sleep(OUTAGE).await;
    world.plane.start_apiserver().await.expect("it starts");
    field.wait_all_right(&contents).await;
    contents.push("after".to_owned());
    field.change_all("after").await;
    field.wait_all_right(&contents).await;
}
