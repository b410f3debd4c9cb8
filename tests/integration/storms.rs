//! Storms: several sources of one workload in a short time, and one namespace's storm beside another's single change.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use testbed::Entry;
use tokio::time::sleep;

use crate::harness::{
    World,
    field::Field,
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::{AUTO, Barrier, digest_of, pod_with},
    run,
};

#[test]
fn twenty_changes_to_five_sources_over_five_seconds_are_one_or_two_rollouts() {
    run(async {
        let world = World::new("twenty").await;
        let (config_maps, secrets) = (["one", "two", "three"], ["four", "five"]);
        for name in config_maps {
            world.create(&config_map(name, "0")).await;
        }
        for name in secrets {
            world.create(&secret(name, "0")).await;
        }
        world
            .create(&deployment("web", &AUTO, &pod_with(&config_maps, &secrets)))
            .await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().arg("--coalesce-window=2s").start().await;

        for number in 0..20 {
            let value = number.to_string();
            match number % 5 {
                place @ 0..3 => world.change_config_map(config_maps[place], &value).await,
                place => world.change_secret(secrets[place - 3], &value).await,
            }
            // The pace is what is tested: twenty changes over five seconds.
            sleep(Duration::from_millis(250)).await;
        }

        for (number, name) in ["ONE", "TWO", "THREE"].into_iter().enumerate() {
            let variable = format!("STAKATER_{name}_CONFIGMAP");
            world
                .wait_for_variable("web", &variable, &digest_of(&(15 + number).to_string()))
                .await;
        }
        for (number, name) in ["FOUR", "FIVE"].into_iter().enumerate() {
            let variable = format!("STAKATER_{name}_SECRET");
            world
                .wait_for_variable("web", &variable, &digest_of(&(18 + number).to_string()))
                .await;
        }
        barrier.pass(&world, &controller).await;
        let rollouts = world.rollouts("deployments", "web");
        // On a computer that was kept from making its changes for as long as the window, one more is right each time.
        let pauses = pauses_longer_than(&world, SignedDuration::from_millis(1500));
        assert!(
            (1..=2 + pauses).contains(&rollouts),
            "{rollouts} rollouts, {pauses} pauses"
        );
    });
}

/// How often the test itself paused for so long between two changes.
fn pauses_longer_than(world: &World, limit: SignedDuration) -> usize {
    let is_change = |entry: &Entry| {
        entry.namespace == world.namespace
            && entry.verb == "patch"
            && entry.name != "barrier"
            && ["configmaps", "secrets"].contains(&entry.resource.as_str())
    };
    let changes = world.plane.audit().matching(is_change).expect("the audit log");
    assert_eq!(changes.len(), 20);
    let times = changes.windows(2);
    times
        .filter(|pair| pair[1].stage_timestamp.duration_since(pair[0].stage_timestamp) > limit)
        .count()
}

/// Workers, so that the storm takes a while.
const WORKERS: usize = 4;
/// Deployments of the storm; each has a ConfigMap of its own that changes.
const STORM: usize = 300;
/// The most patches of the storm before the single change's: those under way, and those sent while the two watches'
/// events, which are there at the same time, are read one after the other. A queue that does not tell namespaces
/// apart has some 300.
const AHEAD: usize = WORKERS + 40;

#[test]
fn a_storm_in_one_namespace_does_not_delay_another() {
    run(async {
        let stormy = World::new("stormy").await;
        let calm = stormy.another("calm").await;
        calm.admit(&stormy, "watched").await;
        let field = Field::in_its_own_namespace(&stormy, STORM).await;
        calm.create(&config_map("single", "0")).await;
        calm.create(&deployment("single", &AUTO, &pod_with_config_map("single")))
            .await;
        let controller = stormy
            .controller()
            .arg(format!("--namespaces={}", calm.namespace))
            .arg(format!("--workers={WORKERS}"))
            .start()
            .await;

        let mut contents = Vec::new();
        for round in 1..=3 {
            contents.push(round.to_string());
            let before = field.patches().len();
            // All that happens while it stands still is there at once when it goes on, the storm first.
            controller.replica.pause().expect("it runs");
            field.change_all(&contents[round - 1]).await;
            calm.change_config_map("single", &contents[round - 1]).await;
            controller.replica.resume().expect("it runs");

            let single = calm.wait_for_rollouts("deployments", "single", round).await;
            field.wait_all_right(&contents).await;
            let patches = field.patches();
            assert_eq!(patches.len() - before, STORM);
            let received = single[round - 1].request_received;
            let ahead = patches[before..]
                .iter()
                .filter(|patch| patch.request_received < received)
                .count();
            assert!(
                ahead <= AHEAD,
                "round {round}: {ahead} patches of the storm came first"
            );
        }
    });
}
