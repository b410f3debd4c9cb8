//! Limits, canaries and halts: how many of the workloads that use one Secret restart at a time, and which first.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Secret},
};
use kube::api::ListParams;
use reloader::explain::Simulation;
use rstest::rstest;
use serde_json::json;
use testbed::eventually;

use super::{
    CANARY, MAX_CONCURRENT, REQUESTED_AT, WAVE, annotate,
    users::{USERS, create_user, create_users, ready, restarts, user, wait_complete, wait_for_restarts},
    waiting,
};
use crate::harness::{
    PATIENCE, World,
    objects::{from, secret, workload},
    observe::{AUTO, digest_of, pod_with},
    rollouts::DEPLOYMENT,
    run,
};

const INTERVAL: &str = "reloader.stakater.com/min-restart-interval";
const PAUSE_PERIOD: &str = "deployment.reloader.stakater.com/pause-period";

/// All of the users but the canary.
const HELD_BACK: f64 = 19.0;

/// One of them was restarted twice, and no other was.
fn assert_one_was_put_back(restarts: &[usize]) {
    assert_eq!(
        restarts.iter().filter(|count| **count == 2).count(),
        1,
        "{restarts:?}"
    );
    assert_eq!(restarts.iter().sum::<usize>(), 2, "{restarts:?}");
}

/// Statements 2 and 4: whatever sets the limit.
#[rstest]
#[case::source(&[(MAX_CONCURRENT, "3")], &[])]
#[case::percent(&[(MAX_CONCURRENT, "15%")], &[])]
#[case::sources(&[], &["--max-concurrent-rollouts-per-source=3"])]
#[case::namespace(&[], &["--max-concurrent-rollouts-per-namespace=3"])]
#[case::cluster(&[], &["--max-concurrent-rollouts=3"])]
fn no_more_roll_at_a_time_than_may(#[case] annotations: &[(&str, &str)], #[case] flags: &[&str]) {
    run(async {
        let world = World::new("limit").await;
        let rollouts = create_users(&world, annotations, USERS, &[]).await;
        let controller = ready(&world, USERS, flags).await;
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!((1..=3).contains(&rollouts.peak()), "{}", rollouts.peak());
    });
}

#[test]
fn the_begin_and_the_end_of_a_limited_change_are_said_of_its_source() {
    run(async {
        let world = World::new("said").await;
        let rollouts = create_users(&world, &[(CANARY, "1"), (MAX_CONCURRENT, "2")], 4, &[]).await;
        let controller = ready(&world, 4, &[]).await;
        world.change_secret("shared", "better").await;
        let message = |events: &[Event]| events[0].message.clone().unwrap_or_default();
        let started = message(&world.wait_for_events("shared", "RolloutStarted", 1).await);
        assert!(
            started.contains("4 workloads use it, 1 first, 2 at a time"),
            "{started}"
        );
        let complete = message(&world.wait_for_events("shared", "RolloutComplete", 1).await);
        assert!(complete.contains("4 workloads use it, none failed"), "{complete}");
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 4);
        drop(rollouts);
    });
}

/// What a user is told before the change is what happens then.
#[test]
fn a_simulation_tells_what_limits_make_of_a_change() {
    run(async {
        let world = World::new("simulated").await;
        let limits = [(CANARY, "1"), (MAX_CONCURRENT, "3")];
        let rollouts = create_users(&world, &limits, USERS, &[]).await;
        let controller = ready(&world, USERS, &[]).await;
        let path = format!("/v1/sources/secret/{}/shared", world.namespace);
        let simulation: Simulation = controller.answer(&path).await;
        let plan = simulation.plan.expect("a plan");
        assert_eq!(plan.at_once, 1, "{plan:?}");
        assert_eq!(plan.waiting, [("canary".to_owned(), USERS - 1)].into());
        let sizes: Vec<_> = plan
            .rollouts
            .iter()
            .map(|batch| (batch.times, batch.restarts))
            .collect();
        assert_eq!(sizes, [(2, 1), (1, 2), (5, 3), (1, 1)]);
        assert!(plan.unknown.is_empty() && plan.not_reached.is_empty(), "{plan:?}");
        let deferred = simulation.restarts.iter().filter(|row| row.deferred.is_some());
        assert_eq!(deferred.count(), USERS - 1);
        assert_eq!(restarts(&world).await, [0; USERS], "nothing is changed");

        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= 3, "{}", rollouts.peak());
    });
}

/// Statement 38: a pause holds its place until the rollout after it has ended, whatever sets the limit.
#[rstest]
#[case::source(&[(MAX_CONCURRENT, "1")], &[])]
#[case::namespace(&[], &["--max-concurrent-rollouts-per-namespace=1"])]
#[case::cluster(&[], &["--max-concurrent-rollouts=1"])]
fn the_next_pause_begins_when_the_rollout_after_the_last_one_has_ended(
    #[case] annotations: &[(&str, &str)],
    #[case] flags: &[&str],
) {
    const PAUSED: usize = 3;
    run(async {
        let world = World::new("pauses").await;
        let rollouts = create_users(&world, annotations, 0, &[]).await;
        for number in 0..PAUSED {
            create_user(&world, number, &[(PAUSE_PERIOD, "2s")]).await;
        }
        let controller = ready(&world, PAUSED, flags).await;
        world.change_secret("shared", "better").await;
        // One write that pauses, one that ends the pause.
        let waited = eventually(2 * PATIENCE, "pauses and their ends", async || {
            let writes = world.writes_to("deployments");
            (writes.len() >= 2 * PAUSED).then_some(writes)
        });
        let writes = waited.await.unwrap_or_else(|error| panic!("{error}"));
        controller.wait_idle().await;
        wait_complete(&world, PAUSED).await;
        let period = |number| {
            let name = user(number);
            let of_it = writes.iter().filter(|write| *write.name == *name);
            let times: Vec<_> = of_it.map(|write| write.stage_timestamp).collect();
            assert_eq!(times.len(), 2, "{name}");
            (times[0], times[1])
        };
        let mut periods: Vec<_> = (0..PAUSED).map(period).collect();
        periods.sort_unstable();
        assert!(
            periods.windows(2).all(|pair| pair[0].1 < pair[1].0),
            "{periods:?}"
        );
        let deployments = world.api::<Deployment>().list(&ListParams::default()).await;
        for deployment in deployments.expect("the Deployments") {
            assert_ne!(deployment.spec.paused, Some(true));
        }
        drop(rollouts);
    });
}

/// Statements 9, 10 and 14: only what got the bad content restarts when the good one is back, whoever leads then.
#[rstest]
fn after_a_bad_content_only_its_canary_restarts(#[values(false, true)] leader_dies: bool) {
    run(async {
        let world = World::new("canary").await;
        let rollouts = create_users(&world, &[(CANARY, "1")], USERS, &[]).await;
        rollouts.fails_with("bad");
        let mut controller = ready(&world, USERS, &[]).await;
        world.change_secret("shared", "bad").await;
        controller.wait_metric(&waiting("halted"), HELD_BACK).await;
        let events = world.wait_for_events("shared", "RolloutHalted", 1).await;
        let text = events[0].message.clone().unwrap_or_default();
        assert!(text.contains("1 failed (Deployment web-"), "{text}");
        if leader_dies {
            controller.replica.kill();
            controller = world.controller().start().await;
            controller.wait_metric(&waiting("halted"), HELD_BACK).await;
        }
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 1);

        world.change_secret("shared", "good").await;
        controller.wait_metric(&waiting("halted"), 0.0).await;
        wait_for_restarts(&world, &controller, 2).await;
        controller.wait_idle().await;
        assert_one_was_put_back(&restarts(&world).await);
        assert!(rollouts.peak() <= 1);
    });
}

/// The same with pods: a controller-manager's statuses, and a node on which no pod with the bad content starts.
#[test]
fn after_a_bad_content_only_the_pods_of_its_canary_are_replaced() {
    run(async {
        let world = World::with_pods("pods").await;
        let bad = [("testbed/fails-with", digest_of("bad"))];
        let template: Vec<_> = bad.iter().map(|(key, value)| (*key, value.as_str())).collect();
        world.create(&secret("shared", "good")).await;
        annotate(&world.api::<Secret>(), "shared", CANARY, Some("1")).await;
        annotate(&world.api::<Secret>(), "shared", MAX_CONCURRENT, Some("50%")).await;
        for number in 0..USERS {
            let mut object = workload(&user(number), &AUTO, &template, &pod_with(&[], &["shared"]));
            object["spec"]["progressDeadlineSeconds"] = json!(3);
            world.create::<Deployment>(&from(object)).await;
        }
        let controller = ready(&world, USERS, &[]).await;
        world.change_secret("shared", "bad").await;
        controller.wait_metric(&waiting("halted"), HELD_BACK).await;
        world.change_secret("shared", "good").await;
        wait_for_restarts(&world, &controller, 2).await;
        controller.wait_idle().await;
        assert_one_was_put_back(&restarts(&world).await);

        // A good one reaches all, the canary first.
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, 2 + USERS).await;
        controller.wait_idle().await;
        wait_complete(&world, USERS).await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 2 + USERS);
    });
}

#[derive(Clone, Copy, Debug)]
enum Remedy {
    /// Statement 11: a third content, which is good.
    Content,
    /// Statement 12: the canary gets well by itself.
    Recovery,
    /// Statement 13: the canary is deleted.
    Deletion,
    /// Statement 15: a user says to go on.
    Release,
}

#[rstest]
fn a_halt_ends_with_its_cause(
    #[values(Remedy::Content, Remedy::Recovery, Remedy::Deletion, Remedy::Release)] remedy: Remedy,
) {
    run(async {
        let world = World::new("halt").await;
        let rollouts = create_users(&world, &[(CANARY, "1")], USERS, &[]).await;
        rollouts.fails_with("bad");
        let controller = ready(&world, USERS, &[]).await;
        world.change_secret("shared", "bad").await;
        controller.wait_metric(&waiting("halted"), HELD_BACK).await;
        let failed = restarts(&world).await.iter().position(|count| *count == 1);
        let failed = user(failed.expect("one was restarted"));
        rollouts.works_with("bad");
        let mut content = "bad";
        match remedy {
            Remedy::Content => {
                content = "better";
                world.change_secret("shared", content).await;
            }
            Remedy::Recovery => {
                let recovered = rollouts.recovers(&world.played(DEPLOYMENT), &failed).await;
                recovered.expect("the Deployment");
            }
            Remedy::Deletion => world.delete_deployment(&failed).await,
            Remedy::Release => {
                let now = k8s_openapi::jiff::Timestamp::now().to_string();
                annotate(&world.api::<Secret>(), "shared", REQUESTED_AT, Some(&now)).await;
            }
        }
        let all = match remedy {
            Remedy::Content => USERS + 1,
            Remedy::Recovery | Remedy::Release => USERS,
            Remedy::Deletion => USERS - 1,
        };
        wait_for_restarts(&world, &controller, all).await;
        controller.wait_idle().await;
        let counts = restarts(&world).await;
        assert_eq!(counts.iter().sum::<usize>(), all, "{counts:?}");
        let (shown, digest) = (world.templates().await, digest_of(content));
        let wrong: Vec<_> = shown
            .iter()
            .filter(|(name, template)| **name != failed && !template.contains(&digest))
            .map(|(name, _)| name)
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    });
}

/// Statement 16: it gets the change, proves nothing, and holds no one up.
#[test]
fn what_was_sick_before_is_no_canary() {
    run(async {
        let world = World::new("sick").await;
        let sick = user(0);
        let rollouts = create_users(&world, &[(CANARY, "1")], USERS, &[&sick]).await;
        let controller = world.controller().start().await;
        world.wait_for_ledger(1).await;
        // Its first status is one of a failure as well.
        wait_complete(&world, USERS - 1).await;
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        drop(rollouts);
    });
}

/// Statement 19.
#[test]
fn lower_waves_restart_first() {
    run(async {
        let world = World::new("waves").await;
        let rollouts = create_users(&world, &[], 0, &[]).await;
        for number in 0..6 {
            let wave = if number < 2 { "-1" } else { "0" };
            create_user(&world, number, &[(WAVE, wave)]).await;
        }
        let controller = ready(&world, 6, &[]).await;
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, 6).await;
        controller.wait_idle().await;
        let end_of_first = world.completed_at(&[&user(0), &user(1)]).await;
        for number in 2..6 {
            let writes = world.wait_for_rollouts("deployments", &user(number), 1).await;
            // Times of conditions have whole seconds.
            let at = writes[0].stage_timestamp.as_second();
            assert!(at >= end_of_first, "{number}: {at} before {end_of_first}");
        }
        drop(rollouts);
    });
}

/// Statement 37 in short: what changes all the time costs few restarts, and the last content wins.
#[test]
fn a_source_that_flaps_restarts_seldom() {
    run(async {
        let world = World::new("flaps").await;
        let rollouts = create_users(&world, &[], 0, &[]).await;
        create_user(&world, 0, &[(INTERVAL, "10s")]).await;
        let controller = ready(&world, 1, &["--coalesce-window=10ms"]).await;
        world.change_secret("shared", "0").await;
        world.wait_for_rollouts("deployments", &user(0), 1).await;
        for number in 1..20 {
            world.change_secret("shared", &number.to_string()).await;
        }
        controller.wait_metric(&waiting("interval"), 1.0).await;
        let writes = world.wait_for_rollouts("deployments", &user(0), 2).await;
        controller.wait_idle().await;
        let apart = writes[1]
            .stage_timestamp
            .duration_since(writes[0].stage_timestamp);
        // Times in objects have whole seconds.
        assert!(apart.as_secs() >= 9, "{apart:?}");
        assert_eq!(world.rollouts("deployments", &user(0)), 2);
        let templates = world.templates().await;
        assert!(templates[&user(0)].contains(&digest_of("19")));
        drop(rollouts);
    });
}
