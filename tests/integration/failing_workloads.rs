//! Workloads whose restart fails are reported once, delay no other, and recover by themselves.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::Event,
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use testbed::{
    Entry,
    proxy::{Fault, Rule},
};

use crate::{
    bursts::Policy,
    harness::{
        Controller, World,
        field::catch,
        objects::{config_map, daemon_set, deployment, plain_pod, pod_with_config_map, stateful_set},
        observe::{AUTO, Barrier},
        permissions::SHIPPED,
        run,
    },
};

/// Workloads of each kind.
const EACH: usize = 6;
/// How long the restart of a failing workload may take once the cause is gone.
const RECOVERY: SignedDuration = SignedDuration::from_secs(60);

/// ConfigMaps `app-<n>`, `db-<n>` and `log-<n>`, each used by the Deployment, StatefulSet or DaemonSet of its name.
async fn create_workloads(world: &World) {
    for number in 0..EACH {
        let name = |stem: &str| format!("{stem}-{number}");
        for stem in ["app", "db", "log"] {
            world.create(&config_map(&name(stem), "0")).await;
        }
        let (app, db, log) = (name("app"), name("db"), name("log"));
        world
            .create::<Deployment>(&deployment(&app, &AUTO, &pod_with_config_map(&app)))
            .await;
        world
            .create::<StatefulSet>(&stateful_set(&db, &AUTO, &pod_with_config_map(&db)))
            .await;
        world
            .create::<DaemonSet>(&daemon_set(&log, &AUTO, &pod_with_config_map(&log)))
            .await;
    }
}

async fn change(world: &World, stem: &str, numbers: impl Iterator<Item = usize>, value: &str) {
    for number in numbers {
        world.change_config_map(&format!("{stem}-{number}"), value).await;
    }
}

async fn wait_for(world: &World, resource: &str, stem: &str, count: usize) {
    for number in 0..EACH {
        world
            .wait_for_rollouts(resource, &format!("{stem}-{number}"), count)
            .await;
    }
}

fn rollouts(world: &World, resource: &str, stem: &str) -> Vec<usize> {
    (0..EACH)
        .map(|number| world.rollouts(resource, &format!("{stem}-{number}")))
        .collect()
}

/// The writes that rolled the workloads of a stem.
fn rolled(world: &World, resource: &str, stem: &str) -> Vec<Arc<Entry>> {
    let changes = |name: &str| {
        let audit = world.plane.audit();
        audit.template_changes(resource, &world.namespace, name)
    };
    (0..EACH)
        .flat_map(|number| changes(&format!("{stem}-{number}")).expect("the audit log"))
        .collect()
}

/// The controller's patches of a workload, refused ones included, in the order of their answers.
fn attempts(world: &World, resource: &str, name: &str) -> Vec<Arc<Entry>> {
    let is_attempt = |entry: &Entry| {
        entry.is_about(resource, &world.namespace, name)
            && entry.verb == "patch"
            && entry.user == world.user()
    };
    world.plane.audit().matching(is_attempt).expect("the audit log")
}

/// Between its first refused patch and the first that was accepted, all of these came through: none waited for it.
fn assert_passed_by(failing: &[Arc<Entry>], healthy: &[Arc<Entry>]) {
    let refused = failing.iter().find(|attempt| !attempt.succeeded());
    let refused = refused.expect("it failed");
    let recovered = failing
        .iter()
        .find(|attempt| attempt.succeeded() && attempt.request_received > refused.request_received)
        .expect("it recovered");
    for write in healthy {
        assert!(
            refused.stage_timestamp < write.request_received
                && write.stage_timestamp < recovered.request_received,
            "{} was refused at {} and rolled at {}; {} came in at {}",
            refused.name,
            refused.stage_timestamp,
            recovered.request_received,
            write.name,
            write.request_received
        );
    }
}

/// The annotation that lists ConfigMaps by name or pattern.
const LIST: &str = "configmap.reloader.stakater.com/reload";

/// Two Deployments for the ConfigMap `settings`, `refused` by admission and `malformed` by its annotation; and a kind that
/// may not be listed.
async fn create_failing(world: &World) -> Policy {
    world.create(&config_map("settings", "0")).await;
    let refused = deployment("refused", &AUTO, &pod_with_config_map("settings"));
    world.create::<Deployment>(&refused).await;
    let malformed = deployment("malformed", &[(LIST, "set[tings")], &plain_pod());
    world.create::<Deployment>(&malformed).await;
    world.permit("statefulsets", &[]).await;
    Policy::create(world).await
}

/// Warnings about the workload.
async fn warnings(world: &World, workload: &str) -> Vec<(String, Option<i32>)> {
    let about = ListParams::default().fields(&format!("involvedObject.name={workload},type=Warning"));
    let events = world.api::<Event>().list(&about).await.expect("Events");
    let read = |event: Event| (event.reason.unwrap_or_default(), event.count);
    events.into_iter().map(read).collect()
}

async fn ready_details(controller: &Controller) -> String {
    let (status, body) = controller.get("/ready?verbose").await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    body
}

/// Every owed restart was written within a minute of the removal of the first cause.
fn assert_recovered_in_time(world: &World, fixed_at: Timestamp) {
    let mut recoveries: Vec<_> = [("statefulsets", "db"), ("daemonsets", "log")]
        .into_iter()
        .flat_map(|(resource, stem)| rolled(world, resource, stem))
        .collect();
    recoveries.extend(attempts(world, "deployments", "refused"));
    recoveries.extend(attempts(world, "deployments", "malformed"));
    recoveries.retain(|write| write.succeeded() && write.request_received > fixed_at);
    // Each once for what was missed; the last two once more for the change after that, and once for it alone.
    assert_eq!(recoveries.len(), 2 * EACH + 3);
    for recovery in recoveries {
        let took = recovery.stage_timestamp.duration_since(fixed_at);
        assert!(took < RECOVERY, "{} after {took}", recovery.name);
    }
}

/// The second round of the healthy came through while every failing workload was refused, or could not be listed.
fn assert_no_workload_waited_for_a_failing_one(world: &World, fixed_at: Timestamp) {
    let mut healthy = Vec::new();
    for number in 0..EACH {
        let name = format!("app-{number}");
        let changes = world
            .plane
            .audit()
            .template_changes("deployments", &world.namespace, &name);
        healthy.extend(changes.expect("the audit log").pop());
    }
    assert_eq!(healthy.len(), EACH);
    assert_passed_by(&attempts(world, "deployments", "refused"), &healthy);
    for number in 0..EACH {
        assert_passed_by(&attempts(world, "daemonsets", &format!("log-{number}")), &healthy);
    }
    for write in &healthy {
        assert!(write.stage_timestamp < fixed_at, "{}", write.name);
    }
}

/// One Event for each failing workload, however many attempts there were.
async fn assert_reported_once(world: &World) {
    let once = |reason: &str| [(reason.to_owned(), Some(1))];
    for number in 0..EACH {
        assert_eq!(
            warnings(world, &format!("log-{number}")).await,
            once("ReloadFail")
        );
        assert_eq!(warnings(world, &format!("app-{number}")).await, []);
    }
    assert_eq!(warnings(world, "refused").await, once("ReloadFail"));
    assert_eq!(warnings(world, "malformed").await, once("InvalidAnnotation"));
}

#[test]
fn failing_workloads_are_reported_once_recover_and_delay_no_other() {
    run(async {
        let world = World::alone("failing").await;
        create_workloads(&world).await;
        let policy = create_failing(&world).await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().start().await;

        // One kind may not even be listed: one line of the log, a stem on /ready, a metric.
        let not_listed = |kind: &str| format!("Not allowed to list and watch {kind} in namespace");
        controller.wait_log(&not_listed("statefulsets")).await;
        assert!(
            ready_details(&controller).await.contains("statefulsets"),
            "not shown on /ready"
        );
        let synced = |kind: &str| format!("reloader_watch_synced{{kind=\"{kind}\"}}");
        controller.wait_metric(&synced("StatefulSet"), 0.0).await;
        controller.wait_metric(&synced("DaemonSet"), 1.0).await;
        assert!(
            controller
                .metric("reloader_watch_restarts_total{kind=\"StatefulSet\"")
                .await
                > 0.0
        );

        world.change_config_map("settings", "1").await;
        change(&world, "db", 0..EACH, "1").await;
        change(&world, "log", 0..EACH, "1").await;
        change(&world, "app", 0..EACH, "1").await;
        wait_for(&world, "daemonsets", "log", 1).await;
        wait_for(&world, "deployments", "app", 1).await;

        // Another kind may no longer be written.
        world.permit("daemonsets", &["list", "watch"]).await;
        change(&world, "log", 0..EACH, "2").await;
        for number in 0..EACH {
            world
                .wait_for_events(&format!("log-{number}"), "ReloadFail", 1)
                .await;
        }
        world.wait_for_events("refused", "ReloadFail", 1).await;
        // Every workload that can fail has failed by now, and is retried.
        change(&world, "app", 0..EACH, "2").await;
        wait_for(&world, "deployments", "app", 2).await;
        assert!(
            controller.metric("reloader_pending_reloads").await > 0.0,
            "no workload fails"
        );

        world.wait_for_events("malformed", "InvalidAnnotation", 1).await;
        assert!(
            controller
                .metric("reloader_errors_total{type=\"forbidden\"}")
                .await
                >= 6.0
        );
        assert!(controller.metric("reloader_errors_total{type=\"invalid\"}").await >= 1.0);
        controller
            .wait_metric("reloader_errors_total{type=\"invalid_annotation\"}", 1.0)
            .await;

        // The causes go: all of them recover within the minute that a wait takes at most.
        let fixed_at = Timestamp::now();
        policy.delete(&world).await;
        world.permit("statefulsets", &SHIPPED).await;
        world.permit("daemonsets", &SHIPPED).await;
        let fixed = json!({ "metadata": { "annotations": { LIST: "settings" } } });
        world
            .api::<Deployment>()
            .patch("malformed", &PatchParams::default(), &Patch::Merge(fixed))
            .await
            .expect("the annotation changes");
        wait_for(&world, "statefulsets", "db", 1).await;
        wait_for(&world, "daemonsets", "log", 2).await;
        world.wait_for_rollouts("deployments", "refused", 1).await;
        controller.wait_idle().await;
        world.change_config_map("settings", "2").await;
        world.wait_for_rollouts("deployments", "malformed", 1).await;
        world.wait_for_rollouts("deployments", "refused", 2).await;
        barrier.pass(&world, &controller).await;

        assert_eq!(rollouts(&world, "deployments", "app"), [2; EACH]);
        assert_eq!(rollouts(&world, "statefulsets", "db"), [1; EACH]);
        assert_eq!(rollouts(&world, "daemonsets", "log"), [2; EACH]);
        assert_eq!(world.rollouts("deployments", "malformed"), 1);
        assert_recovered_in_time(&world, fixed_at);
        assert_no_workload_waited_for_a_failing_one(&world, fixed_at);
        assert_reported_once(&world).await;
        assert_eq!(
            controller
                .replica
                .log()
                .matches(&not_listed("statefulsets"))
                .count(),
            1
        );
        controller.wait_metric(&synced("StatefulSet"), 1.0).await;
        assert!(!ready_details(&controller).await.contains("not permitted"));
    });
}

#[test]
fn a_kind_whose_permission_goes_and_comes_back_while_it_runs_misses_nothing() {
    run(async {
        let world = World::alone("revoked").await;
        create_workloads(&world).await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().start().await;

        world.permit("daemonsets", &[]).await;
        // A watch that is open goes on as long as its connection: the API server asks about permissions at its start.
        world.plane.kill_apiserver();
        world.plane.start_apiserver().await.expect("it starts");
        controller
            .wait_log("Not allowed to watch daemonsets in namespace")
            .await;
        controller
            .wait_metric("reloader_watch_synced{kind=\"DaemonSet\"}", 0.0)
            .await;

        change(&world, "log", 0..EACH, "1").await;
        // Only a change asks for a list.
        let line = "Not allowed to list and watch daemonsets in namespace";
        controller.wait_log(line).await;
        change(&world, "db", 0..EACH, "1").await;
        change(&world, "app", 0..EACH, "1").await;
        wait_for(&world, "statefulsets", "db", 1).await;
        wait_for(&world, "deployments", "app", 1).await;
        // One that no replica has seen before.
        world.create(&config_map("new", "0")).await;
        world
            .create(&daemon_set("new", &AUTO, &pod_with_config_map("new")))
            .await;

        world.permit("daemonsets", &SHIPPED).await;
        wait_for(&world, "daemonsets", "log", 1).await;
        controller
            .wait_metric("reloader_watch_synced{kind=\"DaemonSet\"}", 1.0)
            .await;
        world.change_config_map("new", "1").await;
        world.wait_for_rollouts("daemonsets", "new", 1).await;
        barrier.pass(&world, &controller).await;
        for (resource, stem) in [
            ("daemonsets", "log"),
            ("statefulsets", "db"),
            ("deployments", "app"),
        ] {
            assert_eq!(rollouts(&world, resource, stem), [1; EACH], "{resource}");
        }
        assert_eq!(world.rollouts("daemonsets", "new"), 1);
        assert_eq!(controller.replica.log().matches(line).count(), 1);
    });
}

#[test]
fn a_kind_that_is_forbidden_across_a_restart_keeps_its_place_in_the_ledger() {
    run(async {
        let world = World::new("blind").await;
        create_workloads(&world).await;
        let mut barrier = Barrier::create(&world).await;
        let first = world.controller().start().await;
        world.wait_for_ledger(3 * EACH + 1).await;
        first.replica.kill();

        world.permit("statefulsets", &[]).await;
        let second = world.controller().start().await;
        change(&world, "db", 0..EACH / 2, "1").await;
        change(&world, "app", 0..EACH, "1").await;
        wait_for(&world, "deployments", "app", 1).await;
        barrier.pass(&world, &second).await;
        second.replica.terminate().expect("it runs");
        assert_eq!(second.wait_exit(crate::harness::PATIENCE).await, Some(0));

        change(&world, "db", EACH / 2..EACH, "1").await;
        world.permit("statefulsets", &SHIPPED).await;
        let third = world.controller().start().await;
        wait_for(&world, "statefulsets", "db", 1).await;
        barrier.pass(&world, &third).await;
        assert_eq!(rollouts(&world, "statefulsets", "db"), [1; EACH]);
        assert_eq!(rollouts(&world, "deployments", "app"), [1; EACH]);
    });
}

/// An alert watches it: neither an attempt nor a further change of the source makes it younger.
#[test]
fn the_age_of_a_restart_that_fails_rises_until_it_succeeds() {
    const AGE: &str = "reloader_oldest_pending_reload_seconds";
    run(async {
        let world = World::new("oldest").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        world.create(&config_map("app", "0")).await;
        let app = deployment("app", &AUTO, &pod_with_config_map("app"));
        world.create::<Deployment>(&app).await;
        let controller = world.controller().through(&proxy).start().await;
        let refused = Fault::Status {
            code: 422,
            retry_after: None,
        };
        let refusal = proxy.add(Rule::new(refused).method("PATCH").path("/deployments/app"));
        world.change_config_map("app", "1").await;
        let mut ages = vec![0.0];
        for attempts in 1..=4 {
            catch("an attempt", || refusal.hits() >= attempts).await;
            ages.push(controller.metric(AGE).await);
            if attempts == 2 {
                world.change_config_map("app", "2").await;
            }
        }
        assert!(ages.is_sorted_by(|before, after| before < after), "{ages:?}");
        refusal.remove();
        controller.wait_metric(AGE, 0.0).await;
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}
