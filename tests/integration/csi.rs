//! What pods mount through the Secrets Store CSI driver is a source: one rotation, however many pods it reaches, is one
//! rollout of each workload.

use std::{collections::HashSet, fmt::Write as _};

use k8s_openapi::api::apps::v1::Deployment;
use rstest::rstest;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::harness::{
    Controller, World,
    csi::{ClassSentinel, install, pod_with_class},
    ledger::is_ledger,
    objects::{daemon_set, deployment, stateful_set},
    observe::AUTO,
    run,
};

const CSI: &str = "--enable-csi-integration";
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
/// One after the other, so that the sentinel's word is exact.
const ONE_WORKER: &str = "--workers=1";
/// Every change a rollout of its own.
const NO_WINDOW: &str = "--coalesce-window=0s";
const VARIABLE: &str = "STAKATER_VAULT_SECRETPROVIDERCLASS";

/// What marks the class `vault` at that version: computed here, so that the controller is not compared with itself.
fn digest_of(version: &str) -> String {
    let digest = Sha1::digest(format!("SecretProviderClassName=vault;password={version}"));
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The Deployment `web`, which mounts the class `vault`.
async fn create_web(world: &World) {
    world
        .create(&deployment("web", &AUTO, &pod_with_class("vault")))
        .await;
}

async fn start(world: &World, args: &[&str]) -> Controller {
    let controller = world.controller().args([CSI, ONE_WORKER, NO_WINDOW]);
    controller.args(args.iter().copied()).start().await
}

#[rstest]
fn a_rotation_over_a_hundred_pods_is_one_rollout_of_each_workload(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let world = World::with_csi("rotation").await;
        world.create_class("vault", &json!({})).await;
        let pod = pod_with_class("vault");
        create_web(&world).await;
        world.create(&stateful_set("db", &AUTO, &pod)).await;
        world.create(&daemon_set("agent", &AUTO, &pod)).await;
        world.create(&deployment("idle", &[], &pod)).await;
        let pods: Vec<String> = (0..100).map(|number| format!("pod-{number}")).collect();
        for pod in &pods {
            world.start_pod(pod, "vault", "v1").await;
        }
        let mut sentinel = ClassSentinel::new(&world).await;
        let controller = start(&world, &[strategy]).await;
        for (round, version) in ["v2", "v3"].into_iter().enumerate() {
            for pod in &pods {
                world.rotate(pod, version).await;
            }
            sentinel.pass().await;
            controller.wait_idle().await;
            for (resource, name) in [
                ("deployments", "web"),
                ("statefulsets", "db"),
                ("daemonsets", "agent"),
            ] {
                assert_eq!(world.rollouts(resource, name), round + 1, "{name}");
            }
        }
        assert_eq!(world.rollouts("deployments", "idle"), 0);
        if strategy == ENV_VARS {
            world.wait_for_variable("web", VARIABLE, &digest_of("v3")).await;
        } else {
            let web = world
                .api::<Deployment>()
                .get("web")
                .await
                .expect("the Deployment");
            let annotations = web.spec.template.metadata.and_then(|meta| meta.annotations);
            let text = &annotations.expect("annotations")["reloader.stakater.com/last-reloaded-from"];
            let marker: Value = serde_json::from_str(text).expect("JSON");
            let fields = (&marker["type"], &marker["name"], &marker["hash"]);
            assert_eq!(
                fields,
                (
                    &json!("SECRETPROVIDERCLASS"),
                    &json!("vault"),
                    &json!(digest_of("v3"))
                )
            );
        }
    });
}

/// Upstream restarts once more for a pod that is behind, and leaves a marker that shows the older content.
#[rstest]
fn what_a_late_pod_shows_rolls_nothing_back(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::with_csi("late").await;
        create_web(&world).await;
        for pod in ["early", "late"] {
            world.start_pod(pod, "vault", "v1").await;
        }
        let mut sentinel = ClassSentinel::new(&world).await;
        let controller = start(&world, &[strategy]).await;
        world.rotate("early", "v2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.rotate("early", "v3").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        for version in ["v2", "v3"] {
            world.rotate("late", version).await;
            sentinel.pass().await;
            controller.wait_idle().await;
            assert_eq!(world.rollouts("deployments", "web"), 2, "{version}");
        }
        if strategy == ENV_VARS {
            world.wait_for_variable("web", VARIABLE, &digest_of("v3")).await;
        }
        world.rotate("late", "v4").await;
        world.wait_for_rollouts("deployments", "web", 3).await;
    });
}

#[test]
fn created_and_deleted_pods_roll_nothing() {
    run(async {
        let world = World::with_csi("scaled").await;
        create_web(&world).await;
        world.start_pod("first", "vault", "v1").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let _controller = start(&world, &[]).await;

        // A rotation, the rollout, and the rollout's new pods.
        world.rotate("first", "v2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.start_pod("second", "vault", "v2").await;
        world.stop_pod("first").await;
        // To zero and back, with the same content and with one that the new pod has started with.
        world.stop_pod("second").await;
        world.start_pod("third", "vault", "v2").await;
        world.stop_pod("third").await;
        world.start_pod("fourth", "vault", "v3").await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);

        world.rotate("fourth", "v4").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
    });
}

#[rstest]
fn a_restart_with_nothing_changed_writes_nothing(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::with_csi("again").await;
        create_web(&world).await;
        world.start_pod("rotated", "vault", "v1").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let first = start(&world, &[strategy]).await;
        world.rotate("rotated", "v2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        // With rotation switched off in the driver, pods that start later show something newer for ever.
        world.start_pod("newer", "vault", "v3").await;
        sentinel.pass().await;
        first.wait_idle().await;
        let ledger = world.wait_for_ledger(2).await;
        let line = format!(
            "secretproviderclass {} vault {}",
            world.namespace,
            digest_of("v2")
        );
        assert!(ledger.contains(&line), "{ledger:?}");
        first.replica.kill();

        let seen = writes(&world, &HashSet::new());
        let second = start(&world, &[strategy]).await;
        sentinel.pass().await;
        second.wait_idle().await;
        let new = writes(&world, &seen);
        assert!(new.is_empty(), "{new:?}");
        assert_eq!(world.rollouts("deployments", "web"), 1);
        world.rotate("newer", "v4").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
    });
}

/// Writes of the world's controllers that are not in `seen`, but for the sentinel's rollouts and the ledger.
fn writes(world: &World, seen: &HashSet<String>) -> HashSet<String> {
    let wanted = |entry: &testbed::Entry| {
        entry.user == world.user()
            && entry.is_write()
            && !is_ledger(entry)
            && !entry.name.starts_with(ClassSentinel::NAME)
            && entry.resource != "events"
    };
    let entries = world.plane.audit().matching(wanted).expect("the audit log");
    let texts = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry.audit_id, entry.verb, entry.uri));
    texts.filter(|text| !seen.contains(text)).collect()
}

#[rstest]
fn a_rotation_while_no_replica_runs_is_one_rollout(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::with_csi("unseen").await;
        create_web(&world).await;
        for pod in ["one", "two", "three"] {
            world.start_pod(pod, "vault", "v1").await;
        }
        let mut sentinel = ClassSentinel::new(&world).await;
        let first = start(&world, &[strategy]).await;
        world.wait_for_ledger(2).await;
        first.replica.kill();

        // The rotation is half done when the next process starts.
        world.rotate("three", "v2").await;
        world.rotate("one", "v2").await;
        let _second = start(&world, &[strategy]).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.rotate("two", "v2").await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
        world.wait_for_ledger(2).await;
    });
}

#[test]
fn a_first_start_takes_every_content_as_settled() {
    run(async {
        let world = World::with_csi("adopted").await;
        create_web(&world).await;
        world.start_pod("old", "vault", "v1").await;
        world.start_pod("rotated", "vault", "v1").await;
        world.rotate("rotated", "v2").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let _controller = start(&world, &[]).await;
        world.rotate("old", "v2").await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        world.rotate("old", "v3").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
    });
}

#[test]
fn the_driver_may_be_installed_later() {
    run(async {
        let world = World::alone("later").await;
        world.grant_csi().await;
        create_web(&world).await;
        let controller = start(&world, &[]).await;
        let (_, checks) = controller.get("/ready?verbose").await.expect("an answer");
        let absent = checks.lines().filter(|line| line.contains("secretprovider"));
        assert_eq!(
            absent.filter(|line| line.ends_with(" ok: not installed")).count(),
            2,
            "{checks}"
        );
        // The alert for a kind that cannot be watched must not fire.
        let synced = r#"reloader_watch_synced{kind="SecretProviderClass"}"#;
        assert!(controller.metric(synced).await > 0.0);
        controller
            .wait_log("The cluster has no secretproviderclasspodstatuses")
            .await;

        install(&world.client).await;
        controller
            .wait_log("created controller for: secretproviderclasspodstatuses")
            .await;
        controller
            .wait_log("created controller for: secretproviderclasses")
            .await;
        world.start_pod("pod", "vault", "v1").await;
        world.rotate("pod", "v2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        let said = controller
            .replica
            .log()
            .matches("The cluster has no secret")
            .count();
        assert_eq!(said, 2, "once for each kind\n{}", controller.replica.log());
    });
}

#[test]
fn the_annotations_of_the_class_count() {
    run(async {
        let world = World::with_csi("class").await;
        let [ignore, matches] = ["ignore", "match"].map(|key| format!("reloader.stakater.com/{key}"));
        world.create_class("vault", &json!({ &ignore: "true" })).await;
        world.create_class("found", &json!({ &matches: "true" })).await;
        create_web(&world).await;
        let search = [("reloader.stakater.com/search", "true")];
        for class in ["found", "hidden"] {
            world
                .create(&deployment(class, &search, &pod_with_class(class)))
                .await;
            world.start_pod(class, class, "v1").await;
        }
        world.start_pod("pod", "vault", "v1").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let controller = start(&world, &[]).await;
        for pod in ["pod", "found", "hidden"] {
            world.rotate(pod, "v2").await;
        }
        world.wait_for_rollouts("deployments", "found", 1).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        assert_eq!(world.rollouts("deployments", "hidden"), 0);

        // Another stream shows it: a class that is new shows that it has caught up.
        world.annotate_class("vault", &json!({ &ignore: null })).await;
        world.create_class("later", &json!({})).await;
        controller
            .wait_metric(r#"reloader_tracked_objects{kind="SecretProviderClass"}"#, 3.0)
            .await;
        world.rotate("pod", "v3").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
    });
}

/// Upstream applies the selector to statuses too, which carry nothing but the driver's labels: no rotation is seen.
#[test]
fn a_resource_label_selector_hides_no_status() {
    run(async {
        let world = World::with_csi("labels").await;
        create_web(&world).await;
        world.start_pod("pod", "vault", "v1").await;
        let _controller = start(&world, &["--resource-label-selector=watched=yes"]).await;
        world.rotate("pod", "v2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
    });
}

/// Upstream takes an empty class name for one that every workload of the namespace lists.
#[test]
fn a_status_without_a_class_rolls_nothing() {
    run(async {
        let world = World::with_csi("nameless").await;
        create_web(&world).await;
        world.start_pod("nameless", "", "v1").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let _controller = start(&world, &[]).await;
        world.rotate("nameless", "v2").await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
    });
}

#[rstest]
#[case::null(json!(null))]
#[case::empty(json!([]))]
fn objects_that_appear_on_a_running_pod_are_a_change(#[case] nothing: Value) {
    run(async {
        let world = World::with_csi("appear").await;
        create_web(&world).await;
        world.start_pod_with("pod", "vault", &nothing).await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let _controller = start(&world, &[]).await;
        let unrelated = json!({ "status": { "mounted": false } });
        world.patch_pod_status("pod", &unrelated).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        world.rotate("pod", "v1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.wait_for_variable("web", VARIABLE, &digest_of("v1")).await;
    });
}

#[test]
fn each_annotation_opts_in_and_out() {
    run(async {
        let world = World::with_csi("opt").await;
        let key = |name: &str| format!("secretproviderclass{name}");
        let rows: &[(&str, &str, usize)] = &[
            (".reloader.stakater.com/auto", "true", 1),
            (".reloader.stakater.com/auto", "false", 0),
            (".reloader.stakater.com/reload", "other,vau.*", 1),
            (".reloader.stakater.com/reload", "other", 0),
            ("es.exclude.reloader.stakater.com/reload", "vault", 0),
        ];
        for (number, (annotation, value, _)) in rows.iter().enumerate() {
            let annotation = key(annotation);
            let mut annotations = vec![(annotation.as_str(), *value)];
            if annotation.contains("exclude") {
                annotations.extend(AUTO);
            }
            let object = deployment(&format!("row-{number}"), &annotations, &pod_with_class("vault"));
            world.create(&object).await;
        }
        world.start_pod("pod", "vault", "v1").await;
        let mut sentinel = ClassSentinel::new(&world).await;
        let _controller = start(&world, &[]).await;
        world.rotate("pod", "v2").await;
        sentinel.pass().await;
        for (number, (annotation, value, rollouts)) in rows.iter().enumerate() {
            let name = format!("row-{number}");
            assert_eq!(
                world.rollouts("deployments", &name),
                *rollouts,
                "{annotation}={value}"
            );
        }
    });
}

#[test]
fn a_rotation_is_reported_under_upstreams_names() {
    run(async {
        let world = World::with_csi("reported").await;
        create_web(&world).await;
        world.start_pod("pod", "vault", "v1").await;
        let controller = start(&world, &[]).await;
        world.rotate("pod", "v2").await;
        let events = world.wait_for_events("web", "Reloaded", 1).await;
        assert_eq!(
            events[0].reporting_component.as_deref(),
            Some("reloader-secretproviderclasspodstatuses")
        );
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.starts_with("Changes detected in 'vault' of type 'SECRETPROVIDERCLASS'"),
            "{message}"
        );
        for (event, count) in [("add", 1.0), ("update", 1.0)] {
            let series = format!(
                r#"reloader_events_received_total{{event_type="{event}",resource_type="secretproviderclasspodstatuses"}}"#
            );
            controller.wait_metric(&series, count).await;
        }
    });
}

#[test]
fn without_the_flag_the_driver_costs_no_request() {
    run(async {
        let world = World::with_csi("off").await;
        create_web(&world).await;
        world.start_pod("pod", "vault", "v1").await;
        let controller = world.controller().start().await;
        world.rotate("pod", "v2").await;
        controller.wait_idle().await;
        let asked =
            |entry: &testbed::Entry| entry.user == world.user() && entry.uri.contains("secrets-store");
        let entries = world.plane.audit().matching(asked).expect("the audit log");
        assert!(entries.is_empty(), "{}", entries[0].uri);
        assert_eq!(world.rollouts("deployments", "web"), 0);
    });
}
