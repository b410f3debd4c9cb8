//! The API server dies in the middle of things, at once or for longer than a lease lasts.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use crate::harness::{World, field::Field, fleet::Fleet, run};

/// Longer than the leases of the tests, and than every pause between attempts.
const OUTAGE: Duration = Duration::from_secs(11);
const SHORT_LEASE: [&str; 3] = ["--lease-duration=4s", "--renew-deadline=3s", "--retry-period=1s"];

/// The log says the same as the watch: no Deployment was patched more often than its ConfigMap changed. A watch that
/// starts over after an outage may have missed one of two rollouts; the log of a killed API server may lack its last.
fn assert_no_more_patches_than_changes(field: &Field, changes: usize) {
    let mut patches: BTreeMap<String, usize> = BTreeMap::new();
    for patch in field.patches() {
        *patches.entry(patch.name.clone()).or_default() += 1;
    }
    assert!(patches.values().all(|count| *count <= changes), "{patches:?}");
}

#[test]
fn ten_changes_right_before_the_api_server_dies_are_ten_rollouts() {
    run(async {
        let world = World::alone("restart").await;
        let field = Field::in_its_own_namespace(&world, 10).await;
        let controller = world.controller().start().await;
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

#[test]
fn an_outage_in_the_middle_of_sixty_rollouts_repeats_none() {
    run(async {
        let world = World::alone("outage").await;
        let field = Field::in_its_own_namespace(&world, 60).await;
        // Slow enough to be in the middle for some seconds.
        let controller = world.controller().arg("--namespace-rate=10").start().await;
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
        let mut fleet = Fleet::start(&world, &[&["--namespace-rate=10"], &SHORT_LEASE[..]].concat()).await;
        let leader = fleet.take_leader().await;
        let (code, ()) = tokio::join!(
            leader.wait_exit(crate::harness::PATIENCE),
            go_through_an_outage(&world, &field)
        );
        assert_eq!(code, Some(1), "{}", leader.replica.log());
        // The next leader repeats a patch whose answer was lost: no rollout, as the watch of the field has shown.
        fleet.leader().await.wait_idle().await;
        world.assert_only_leaders_wrote();
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
