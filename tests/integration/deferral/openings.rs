//! What becomes of deferred restarts when windows open and close, and when others change the workload meanwhile.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually;

use super::{
    MAX_CONCURRENT, REQUESTED_AT, WINDOW, annotate, create_web,
    namespaces::{FLAG, annotate_namespace},
    users::{TAKES, USERS, create_users, ready, restarts, wait_complete, wait_for_restarts},
    waiting,
};
use crate::harness::{
    PATIENCE, World,
    controller::{Controller, EVERYWHERE},
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

const ALWAYS: &str = r#"[{"schedule": "* * * * *", "duration": "1h"}]"#;
const IN_PROGRESS: &str = "reloader_rollouts_in_progress";

/// Statement 30: the limit holds when many are let go at once; those that have not begun when it closes wait for the next
/// opening, and those that have are finished.
#[test]
fn a_window_that_opens_for_many_keeps_their_limit() {
    run(async {
        const LIMIT: usize = 3;
        const OTHERS: f64 = 17.0;
        let world = World::alone("opens-for-many").await;
        world.permit_everywhere().await;
        world.permit_namespaces().await;
        annotate_namespace(&world, WINDOW, Some("manual")).await;
        let rollouts = create_users(&world, &[(MAX_CONCURRENT, "3")], USERS, &[]).await;
        let controller = ready(&world, USERS, &[EVERYWHERE, FLAG]).await;
        world.change_secret("shared", "better").await;
        controller.wait_metric(&waiting("window"), 20.0).await;
        assert_eq!(restarts(&world).await, [0; USERS]);

        rollouts.stand_still();
        annotate_namespace(&world, WINDOW, Some(ALWAYS)).await;
        controller.wait_metric(&waiting("budget"), OTHERS).await;
        // Admitted is not begun: what is not written when it closes waits.
        wait_for_restarts(&world, &controller, LIMIT).await;
        annotate_namespace(&world, WINDOW, Some("manual")).await;
        controller.wait_metric(&waiting("window"), OTHERS).await;
        rollouts.go_on();
        wait_complete(&world, USERS).await;
        controller
            .wait_metrics(&[(IN_PROGRESS, 0.0), (&waiting("window"), OTHERS)])
            .await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), LIMIT);

        annotate_namespace(&world, WINDOW, Some(ALWAYS)).await;
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= LIMIT, "{}", rollouts.peak());
    });
}

/// A Deployment `web` that owes a restart and waits for a user.
async fn waits(world: &World) -> Controller {
    create_web(world, &[(WINDOW, "manual")]).await;
    let controller = world.controller().start().await;
    world.change_config_map("settings", "1").await;
    controller.wait_metric(&waiting("window"), 1.0).await;
    controller
}

async fn change_web(world: &World, body: &Value) {
    let api = world.api::<Deployment>();
    api.patch("web", &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("web changes");
}

/// How often the controller wrote to `web`.
fn writes(world: &World) -> usize {
    let writes = world.writes_to("deployments").into_iter();
    writes.filter(|write| write.name == "web").count()
}

/// Statement 35: its new pods have read the content, so that nothing is owed any more, and nothing is written.
#[test]
fn a_rollout_of_others_settles_what_is_deferred() {
    run(async {
        let world = World::new("settled").await;
        let rollouts = world.play(TAKES, &[]);
        let mut sentinel = Sentinel::new(&world).await;
        let controller = waits(&world).await;
        wait_complete(&world, 3).await;
        change_web(&world, &roll()).await;
        controller.wait_metric(&waiting("window"), 0.0).await;
        controller.wait_idle().await;
        annotate(&world.api::<Deployment>(), "web", WINDOW, Some(ALWAYS)).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(writes(&world), 0);
        drop(rollouts);
    });
}

/// Statement 35, the other way round: what is rolling when the source changes takes the restart along, window or not.
#[test]
fn a_rollout_of_others_takes_a_later_change_along() {
    run(async {
        let world = World::new("along").await;
        // Its pods do not get ready while this test looks.
        let rollouts = world.play(Duration::from_hours(1), &[]);
        create_web(&world, &[(WINDOW, "manual")]).await;
        let controller = world.controller().start().await;
        wait_complete(&world, 1).await;
        controller.wait_metric(IN_PROGRESS, 0.0).await;
        change_web(&world, &roll()).await;
        controller.wait_metric(IN_PROGRESS, 1.0).await;
        wait_under_way(&world).await;
        world.change_config_map("settings", "1").await;
        world
            .wait_for_variable("web", "STAKATER_SETTINGS_CONFIGMAP", &digest_of("1"))
            .await;
        controller.wait_idle().await;
        assert_eq!(writes(&world), 1);
        drop(rollouts);
    });
}

fn roll() -> Value {
    json!({ "spec": { "template": { "metadata": { "annotations": { "release": "2" } } } } })
}

/// Waits until the status of `web` is about its second template.
async fn wait_under_way(world: &World) {
    eventually(PATIENCE, "the rollout of web", async || {
        let status = world.api::<Deployment>().get("web").await.ok()?.status?;
        (status.observed_generation == Some(2)).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Statement 35: more pods of the same template are no rollout.
#[test]
fn a_workload_that_is_scaled_goes_on_waiting() {
    run(async {
        let world = World::new("scaled").await;
        let rollouts = world.play(TAKES, &[]);
        let controller = waits(&world).await;
        wait_complete(&world, 1).await;
        // From here on the statuses are the test's: a scaled Deployment goes on saying that its ReplicaSet is available.
        drop(rollouts);
        change_web(&world, &json!({ "spec": { "replicas": 3 } })).await;
        let status = json!({ "status": { "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3 } });
        let api = world.api::<Deployment>();
        api.patch_status("web", &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the status is accepted");
        // The watch that shows this one has shown the status.
        world.create(&config_map("late", "0")).await;
        world
            .create(&deployment("late", &AUTO, &pod_with_config_map("late")))
            .await;
        world.change_config_map("late", "1").await;
        world.wait_for_rollouts("deployments", "late", 1).await;
        controller.wait_metric("reloader_pending_reloads", 1.0).await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        assert_eq!(writes(&world), 0);

        annotate(&world.api::<Deployment>(), "web", WINDOW, Some(ALWAYS)).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(writes(&world), 1);
    });
}

/// Statement 36; tests of pause periods have the rest of it.
#[test]
fn a_pause_of_others_is_neither_a_reason_to_restart_nor_ended() {
    run(async {
        let world = World::new("paused").await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = waits(&world).await;
        change_web(&world, &json!({ "spec": { "paused": true } })).await;
        sentinel.pass().await;
        change_web(&world, &json!({ "spec": { "paused": false } })).await;
        change_web(&world, &json!({ "spec": { "paused": true } })).await;
        sentinel.pass().await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        assert_eq!(writes(&world), 0);

        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        annotate(&world.api::<Deployment>(), "web", REQUESTED_AT, Some(&now)).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        let web = world.api::<Deployment>().get("web").await.expect("it is there");
        assert_eq!(web.spec.paused, Some(true));
        assert_eq!(writes(&world), 1);
    });
}
