//! Three replicas, one of which acts; what happens when it stops, dies or freezes.

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease},
    jiff::Timestamp,
};
use rstest::rstest;

use crate::harness::{
    PATIENCE, World,
    fleet::{Fleet, LEASE, LeaseWrite},
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::{AUTO, Barrier, pod_with},
    run,
};

/// A lease that runs out sooner than the default one, yet not because a busy computer renews it a little late.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";

/// A ConfigMap `settings` and a Deployment `web` that uses it.
async fn create_web(world: &World) {
    world.create(&config_map("settings", "one")).await;
    world
        .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
        .await;
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The last write of the Lease by one replica, and the next one, by which another took it.
fn handover<'a>(writes: &'a [LeaseWrite], from: &str) -> (&'a LeaseWrite, &'a LeaseWrite) {
    let last = writes
        .iter()
        .rposition(|write| write.holder.as_deref() == Some(from))
        .expect("it led");
    let taken = writes[last..]
        .iter()
        .find(|write| write.holder.as_deref().is_some_and(|holder| holder != from));
    (&writes[last], taken.expect("a takeover"))
}

#[rstest]
#[case::env_vars(ENV_VARS)]
#[case::annotations(ANNOTATIONS)]
fn a_leader_that_is_asked_to_stop_hands_over_at_once(#[case] strategy: &str) {
    run(async {
        let world = World::new("handover").await;
        create_web(&world).await;
        let mut fleet = Fleet::start(&world, &[strategy]).await;
        let mut leaders = Vec::new();

        while !fleet.replicas().is_empty() {
            let leader = fleet.take_leader().await;
            let turn = leaders.len() + 1;
            leader
                .wait_metrics(&[("leader_election_master_status", 1.0)])
                .await;
            for standby in fleet.replicas() {
                standby
                    .wait_metrics(&[("leader_election_master_status", 0.0)])
                    .await;
            }

            world.change_config_map("settings", &format!("turn {turn}")).await;
            let writes = world.wait_for_rollouts("deployments", "web", turn).await;
            assert_eq!(writes.len(), turn);
            assert_eq!(world.replica_of(&writes[turn - 1]), leader.name);
            // Standbys have seen the change as well, and that it is done.
            for standby in fleet.replicas() {
                standby.wait_idle().await;
            }

            leader.replica.terminate().unwrap();
            assert_eq!(leader.wait_exit(PATIENCE).await, Some(0));
            leaders.push(leader.name.clone());
        }

        let writes = world.lease_writes();
        for leader in &leaders[..2] {
            let (_, taken) = handover(&writes, leader);
            let released = writes
                .iter()
                .rfind(|write| write.holder.is_none() && write.answered <= taken.received)
                .expect("it was given back");
            let gap = seconds(released.received, taken.answered);
            assert!(gap < 2.0, "{gap} s");
        }
        let lease = world.api::<Lease>().get(LEASE).await.unwrap().spec.unwrap();
        assert_eq!(lease.holder_identity.unwrap_or_default(), "");
        assert_eq!(world.rollouts("deployments", "web"), 3);
        world.assert_only_leaders_wrote();
    });
}

#[rstest]
#[case::env_vars(&[&[ENV_VARS], &SHORT_LEASE[..]].concat(), 6.0)]
#[case::annotations(&[&[ANNOTATIONS], &SHORT_LEASE[..]].concat(), 6.0)]
#[case::default_timings(&[], 15.0)]
fn a_killed_leaders_work_is_taken_over(#[case] args: &[&str], #[case] lease_duration: f64) {
    run(async {
        let world = World::new("killed").await;
        create_web(&world).await;
        let mut barrier = Barrier::create(&world).await;
        let mut fleet = Fleet::start(&world, args).await;
        // The standbys must take over what is left, not what has been done.
        let first = fleet.take_leader().await;
        barrier.pass(&world, &first).await;

        first.replica.kill();
        world
            .change_config_map("settings", "while no replica leads")
            .await;

        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        let second = fleet.leader().await;
        assert_eq!(world.replica_of(&writes[0]), second.name);

        let leases = world.lease_writes();
        let (last, taken) = handover(&leases, &first.name);
        let changes = world
            .plane
            .audit()
            .matching(|entry| {
                entry.is_about("configmaps", &world.namespace, "settings") && entry.verb == "patch"
            })
            .unwrap();
        assert!(
            changes[0].stage_timestamp < taken.received,
            "another replica led already"
        );
        let gap = seconds(last.received, taken.received);
        // Not a moment before the lease has run out, and some seconds later at most, on a busy computer.
        assert!(gap >= lease_duration && gap < lease_duration + 10.0, "{gap} s");

        // From here on it is as if nothing had happened.
        world.change_config_map("settings", "afterwards").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        barrier.pass(&world, second).await;
        assert_eq!(world.rollouts("deployments", "web"), 2);
        assert_eq!(world.rollouts("deployments", "barrier"), 2);
        world.assert_only_leaders_wrote();
    });
}

#[rstest]
#[case::env_vars(ENV_VARS)]
#[case::annotations(ANNOTATIONS)]
fn restarts_before_a_takeover_are_not_repeated(#[case] strategy: &str) {
    run(async {
        let world = World::new("done").await;
        world.create(&config_map("settings", "one")).await;
        world.create(&secret("password", "one")).await;
        let both = pod_with(&["settings"], &["password"]);
        world.create(&deployment("both", &AUTO, &both)).await;
        create_back_and_forth(&world).await;
        let mut barrier = Barrier::create(&world).await;
        let mut fleet = Fleet::start(&world, &[strategy, "--coalesce-window=1s"]).await;

        // Two sources in one rollout; the annotations strategy has room for one of them only.
        tokio::join!(
            world.change_config_map("settings", "two"),
            world.change_secret("password", "two")
        );
        // There and back again, each time with a rollout.
        for (value, rollouts) in [("two", 1), ("one", 2)] {
            world.change_config_map("back-and-forth", value).await;
            world
                .wait_for_rollouts("deployments", "back-and-forth", rollouts)
                .await;
        }
        let first = fleet.take_leader().await;
        barrier.pass(&world, &first).await;
        assert_eq!(world.rollouts("deployments", "both"), 1);

        first.replica.terminate().unwrap();
        first.wait_exit(PATIENCE).await;
        let second = fleet.leader().await;
        barrier.pass(&world, second).await;

        assert_eq!(world.rollouts("deployments", "both"), 1);
        assert_eq!(world.rollouts("deployments", "back-and-forth"), 2);
        world.assert_only_leaders_wrote();
    });
}

async fn create_back_and_forth(world: &World) -> Deployment {
    world.create(&config_map("back-and-forth", "one")).await;
    let pod = pod_with_config_map("back-and-forth");
    world.create(&deployment("back-and-forth", &AUTO, &pod)).await
}

#[test]
fn a_leader_that_was_frozen_writes_nothing_more_and_ends() {
    run(async {
        let world = World::new("frozen").await;
        create_web(&world).await;
        let mut barrier = Barrier::create(&world).await;
        // A change waits for this long before it is written: time to freeze the leader in between.
        let window = &["--coalesce-window=3s"][..];
        let mut fleet = Fleet::start(&world, &[window, &SHORT_LEASE].concat()).await;
        let first = fleet.take_leader().await;
        barrier.pass(&world, &first).await;

        world.change_config_map("settings", "two").await;
        first.wait_metrics(&[("reloader_pending_reloads", 1.0)]).await;
        first.replica.pause().unwrap();
        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        let second = fleet.leader().await;
        assert_eq!(world.replica_of(&writes[0]), second.name);

        // The write is due, and its time is up.
        first.replica.resume().unwrap();
        assert_eq!(first.wait_exit(Duration::from_secs(30)).await, Some(1));
        assert!(
            first.replica.log().contains("no longer leader, shutting down"),
            "{}",
            first.replica.log()
        );

        world.change_config_map("settings", "three").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        barrier.pass(&world, second).await;
        assert_eq!(world.rollouts("deployments", "web"), 2);
        world.assert_only_leaders_wrote();
    });
}
