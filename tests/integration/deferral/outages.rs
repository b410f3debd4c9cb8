//! Limits while less is seen than usual: without the right to watch, without a watch, without a controller-manager.

use k8s_openapi::api::core::v1::Secret;
use testbed::{
    eventually,
    proxy::{Fault, RequestHead, Rule, StreamFault},
};

use super::{
    MAX_CONCURRENT, REQUESTED_AT, WINDOW, annotate,
    users::{USERS, create_users, ready, restarts, user, wait_complete, wait_for_restarts},
    waiting,
};
use crate::{
    harness::{
        EVERYWHERE, PATIENCE, World,
        objects::{deployment, secret},
        observe::{AUTO, pod_with},
        run,
    },
    upstream_rbac,
};

/// How often what waits is listed where it may not be watched, in seconds.
const LISTED_EACH: usize = 30;

/// Statement 39: what is in flight is read by a list of the namespace, twice a minute.
#[test]
fn a_limit_holds_without_the_right_to_watch() {
    const FEW: usize = 5;
    run(async {
        let world = World::new("unwatched").await;
        upstream_rbac::replace_rules(&world).await;
        let rollouts = create_users(&world, &[(MAX_CONCURRENT, "2")], FEW, &[]).await;
        wait_complete(&world, FEW).await;
        let controller = world.controller().start().await;
        controller.wait_log("Not allowed to watch deployments").await;
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, FEW).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), FEW);
        assert!(rollouts.peak() <= 2, "{}", rollouts.peak());

        let writes = world.writes_to("deployments");
        let (first, last) = (writes[0].request_received, writes[FEW - 1].request_received);
        let lists = world.plane.audit().matching(|entry| {
            let is_list = entry.user == world.user() && entry.verb == "list";
            is_list && entry.resource == "deployments" && (first..last).contains(&entry.request_received)
        });
        let lists = lists.expect("the audit log").len();
        let seconds = usize::try_from(last.duration_since(first).as_secs()).expect("it is later");
        assert!(lists <= 1 + seconds / LISTED_EACH, "{lists} lists in {seconds} s");
        assert!(writes.iter().all(|write| write.verb == "patch"));
    });
}

/// Statement 39: its end is seen, though nothing waits that would have the namespace listed: else it would count as stale for ever, and hold
/// its place in the cluster's limit.
#[test]
fn the_end_of_a_rollout_is_seen_without_the_right_to_watch() {
    run(async {
        let here = World::alone("unwatched-end").await;
        here.permit_everywhere().await;
        upstream_rbac::replace_cluster_rules(&here).await;
        here.replace_rules("watched", upstream_rbac::watched()).await;
        let elsewhere = here.another("unwatched-end").await;
        let worlds = [&here, &elsewhere];
        let mut played = Vec::new();
        for world in worlds {
            played.push(create_users(world, &[], 1, &[]).await);
            wait_complete(world, 1).await;
        }
        let controller = here
            .controller()
            .args([EVERYWHERE, "--max-concurrent-rollouts=1"])
            .start()
            .await;
        controller.wait_log("Not allowed to watch deployments").await;
        for world in worlds {
            world.change_secret("shared", "better").await;
        }
        for world in worlds {
            world.wait_for_rollouts("deployments", &user(0), 1).await;
        }
        let fresh = r#"reloader_rollout_duration_seconds_count{workload_kind="Deployment",result="fresh"}"#;
        controller
            .wait_metrics(&[(fresh, 2.0), ("reloader_stale_workloads{", 0.0)])
            .await;
        drop(played);
    });
}

fn is_of_deployments(head: &RequestHead) -> bool {
    head.path.ends_with("/deployments")
}

/// Statement 41: a watch that fails for a minute shows too little to fill a place. What has no limit does not wait for it.
#[test]
fn no_place_is_filled_while_the_watch_is_dead() {
    run(async {
        let world = World::new("dead-watch").await;
        let rollouts = create_users(&world, &[(MAX_CONCURRENT, "3")], USERS, &[]).await;
        world.create(&secret("token", "0")).await;
        let annotations = [AUTO[0], (WINDOW, "manual")];
        world
            .create(&deployment("free", &annotations, &pod_with(&[], &["token"])))
            .await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let controller = world.controller().through(&proxy).start().await;
        wait_complete(&world, USERS + 1).await;
        rollouts.stand_still();
        world.change_secret("shared", "better").await;
        world.change_secret("token", "1").await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        wait_for_restarts(&world, &controller, 3).await;

        let refused = Rule::new(Fault::Status {
            code: 500,
            retry_after: None,
        });
        let refused = proxy.add(refused.method("GET").when(is_of_deployments));
        eventually(PATIENCE, "the watch of Deployments", async || {
            (proxy.disturb(is_of_deployments, &StreamFault::End) > 0).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        // Places are free, and no watch shows it.
        rollouts.go_on();
        controller.wait_metric(&waiting("unknown"), 17.0).await;
        wait_complete(&world, USERS + 1).await;
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        annotate(&world.api::<Secret>(), "token", REQUESTED_AT, Some(&now)).await;
        world.wait_for_rollouts("deployments", "free", 1).await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 3);

        refused.remove();
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        // The one without a limit is none of the three.
        assert!(rollouts.peak() <= 4, "{}", rollouts.peak());
    });
}

/// Statement 42: places stay taken while no status changes, then the restarts are halted, and go on by themselves.
#[test]
fn without_a_controller_manager_restarts_halt_and_go_on_by_themselves() {
    run(async {
        let world = World::new("no-manager").await;
        let limits = [
            (MAX_CONCURRENT, "3"),
            ("reloader.stakater.com/rollout-timeout", "5s"),
        ];
        let rollouts = create_users(&world, &limits, USERS, &[]).await;
        let controller = ready(&world, USERS, &[]).await;
        rollouts.stand_still();
        world.change_secret("shared", "better").await;
        controller.wait_metric(&waiting("halted"), 17.0).await;
        let events = world.wait_for_events("shared", "RolloutHalted", 1).await;
        let text = events[0].message.clone().unwrap_or_default();
        assert!(
            text.contains("failed (Deployment web-") && text.contains("and 0 may"),
            "{text}"
        );
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 3);

        rollouts.go_on();
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        wait_complete(&world, USERS).await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= 3, "{}", rollouts.peak());
    });
}
