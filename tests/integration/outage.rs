//! The API server goes away and comes back.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testbed::eventually;

use crate::harness::{
    Controller, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, Barrier, digest_of},
    run,
};

/// Longer than the requests and the release of the lease that an orderly end waits for, and far below the 30 s after
/// which a pod is killed.
const END: Duration = Duration::from_secs(20);

/// How long the API server is away: as long as it takes to be replaced, and longer than a Lease is valid.
const OUTAGE: Duration = Duration::from_secs(25);
/// Lines that an outage may cost a replica, however long it is and however many watches it hits.
const LINES: usize = 12;

/// Lets the API server be away for so long since it was killed.
async fn last(killed: Instant) {
    tokio::time::sleep(OUTAGE.saturating_sub(killed.elapsed())).await;
}

/// What the replica logged about an outage, `before` which it had so many lines.
fn lines_of_outage(controller: &Controller, before: usize) -> Vec<String> {
    let log = controller.replica.log();
    let lines: Vec<String> = log.lines().skip(before).map(str::to_owned).collect();
    let is_of_outage = |line: &&String| !line.contains("Changes detected");
    let count = lines.iter().filter(is_of_outage).count();
    let name = &controller.name;
    assert!((1..=LINES).contains(&count), "{name}: {count} lines\n{log}");
    for wrong in [
        "rant",
        "Not allowed",
        "No permission",
        "failed with error client error",
    ] {
        assert!(!lines.iter().any(|line| line.contains(wrong)), "{wrong}\n{log}");
    }
    lines
}

async fn create(world: &World, name: &str) {
    world.create(&config_map(name, "one")).await;
    world
        .create(&deployment(name, &AUTO, &pod_with_config_map(name)))
        .await;
}

/// Changes a ConfigMap as soon as the API server accepts writes.
async fn change_as_soon_as_possible(world: &World, name: &str, value: &str) {
    let body = json!({ "data": { "key": value } });
    let changed = eventually(PATIENCE, "the API server to take a change", async || {
        let api = world.api::<ConfigMap>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(&body))
            .await
            .map(|_| Some(()))
    });
    changed.await.unwrap();
}

#[test]
fn watches_resume_after_the_api_server_was_killed() {
    run(async {
        let world = World::alone("restart").await;
        for name in ["before", "owed", "during", "after", "untouched"] {
            create(&world, name).await;
        }
        let mut barrier = Barrier::create(&world).await;
        // Long enough to kill the API server between a change and its write.
        let controller = world.controller().arg("--coalesce-window=2s").start().await;
        world.change_config_map("before", "two").await;
        world.wait_for_rollouts("deployments", "before", 1).await;
        controller.wait_idle().await;

        world.change_config_map("owed", "two").await;
        controller
            .wait_metrics(&[("reloader_pending_reloads", 1.0)])
            .await;
        world.plane.kill_apiserver();
        tokio::join!(
            async { world.plane.start_apiserver().await.unwrap() },
            change_as_soon_as_possible(&world, "during", "two"),
        );
        world.wait_for_rollouts("deployments", "owed", 1).await;
        world.wait_for_rollouts("deployments", "during", 1).await;
        controller.wait_ready().await;
        world.change_config_map("after", "two").await;
        world.wait_for_rollouts("deployments", "after", 1).await;

        barrier.pass(&world, &controller).await;
        for (name, rollouts) in [
            ("before", 1),
            ("owed", 1),
            ("during", 1),
            ("after", 1),
            ("untouched", 0),
        ] {
            assert_eq!(world.rollouts("deployments", name), rollouts, "{name}");
        }
        for name in ["BEFORE", "OWED", "DURING", "AFTER"] {
            let variables = world.variables(&name.to_lowercase()).await;
            assert_eq!(variables[&format!("STAKATER_{name}_CONFIGMAP")], digest_of("two"));
        }
    });
}

/// One line for all watches that fail together and one for their end, each with its context; the API server that has just
/// started refuses all requests (403), which is no reason to grant permissions.
#[test]
fn an_outage_is_a_few_lines_without_wrong_advice() {
    run(async {
        let world = World::alone("lines").await;
        create(&world, "web").await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().start().await;
        let before = controller.replica.log().lines().count();

        let killed = Instant::now();
        world.plane.kill_apiserver();
        eventually(PATIENCE, "every watch to fail", async || {
            let (_, body) = controller.get("/ready?verbose").await.ok()?;
            let mut watches = body.lines().filter(|line| !line.contains("ledger"));
            watches.all(|line| !line.contains(" ok")).then_some(())
        })
        .await
        .unwrap();
        last(killed).await;
        world.plane.start_apiserver().await.unwrap();
        controller.wait_ready().await;
        change_as_soon_as_possible(&world, "web", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        barrier.pass(&world, &controller).await;

        let lines = lines_of_outage(&controller, before);
        for said in ["Watch of ", " again, the last of "] {
            assert!(lines.iter().any(|line| line.contains(said)), "{said}: {lines:#?}");
        }
    });
}

/// A leader ends, because it could not renew its Lease, and its pod would be restarted; the other replica takes over.
#[test]
fn an_outage_beyond_the_lease_is_a_few_lines_of_each_replica() {
    run(async {
        let world = World::alone("lease-lines").await;
        create(&world, "web").await;
        let leader = world.controller().elected().start().await;
        let leads = [("leader_election_master_status", 1.0)];
        leader.wait_metrics(&leads).await;
        let other = world.controller().name("reloader-1").elected().start().await;
        let before = [&leader, &other].map(|controller| controller.replica.log().lines().count());

        let killed = Instant::now();
        world.plane.kill_apiserver();
        assert_eq!(leader.wait_exit(PATIENCE).await, Some(1));
        last(killed).await;
        world.plane.start_apiserver().await.unwrap();
        other.wait_metrics(&leads).await;
        other.wait_ready().await;
        change_as_soon_as_possible(&world, "web", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;

        lines_of_outage(&leader, before[0]);
        lines_of_outage(&other, before[1]);
    });
}

#[test]
fn a_start_before_the_api_server_waits_for_it() {
    run(async {
        let world = World::alone("early").await;
        create(&world, "web").await;
        let mut barrier = Barrier::create(&world).await;
        let kubeconfig = world.kubeconfig().await;
        world.plane.kill_apiserver();

        let controller = world.controller().kubeconfig(kubeconfig).launch().await;
        controller.wait_log("Waiting for the API server").await;
        assert_eq!(controller.get("/live").await.unwrap(), (200, "alive".to_owned()));
        let (status, body) = controller.get("/ready").await.unwrap();
        assert_eq!(status, 503, "{body}");

        world.plane.start_apiserver().await.unwrap();
        controller.wait_ready().await;
        world.change_config_map("web", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

#[test]
fn an_orderly_end_needs_no_api_server() {
    run(async {
        let world = World::alone("end").await;
        create(&world, "web").await;
        let alone = world.controller().start().await;
        let elected = world.controller().name("reloader-1").elected().start().await;
        elected
            .wait_metrics(&[("leader_election_master_status", 1.0)])
            .await;
        let waiting = world.controller().name("reloader-2").elected().start().await;

        world.plane.kill_apiserver();
        for controller in [alone, elected, waiting] {
            controller.replica.terminate().unwrap();
            let name = &controller.name;
            assert_eq!(
                controller.wait_exit(END).await,
                Some(0),
                "{name}\n{}",
                controller.replica.log()
            );
        }
    });
}
