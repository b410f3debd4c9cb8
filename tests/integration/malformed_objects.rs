//! Objects with unexpected content: reported once, without an effect on other objects.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{
    World,
    csi::{ClassSentinel, pod_with_class},
    objects::{config_map, deployment, from, plain_pod, pod_with_config_map, workload},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

const ONE_WORKER: &str = "--workers=1";
const CONFIGMAPS: &str = "configmap.reloader.stakater.com/reload";
const SECRETS: &str = "secret.reloader.stakater.com/reload";
const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";
/// What the API server takes is 256 KiB, keys included, of all annotations of an object together.
const MUCH: usize = 250 << 10;
const CHANGES: usize = 10;

/// A workload's annotations, how many of them are bad, and whether the rest of them still lists `settings`.
struct Case {
    name: &'static str,
    annotations: Vec<(&'static str, String)>,
    bad: usize,
    listed: bool,
}

fn cases() -> Vec<Case> {
    let case = |name, annotations: &[(&'static str, &str)], bad, listed| Case {
        name,
        annotations: annotations
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect(),
        bad,
        listed,
    };
    let filled = |item: &str, end: &str| item.repeat(MUCH / item.len()) + end;
    vec![
        case("bomb", &[(CONFIGMAPS, "(a{1,1000}){1,1000},settings")], 1, true),
        case(
            "large-engines",
            &[(
                CONFIGMAPS,
                &filled("(?:(?:ab|cd|ef|gh|ij)*m?){1000},", "settings"),
            )],
            1,
            true,
        ),
        case(
            "commas",
            &[(CONFIGMAPS, &format!("{}settings", ",".repeat(10_000)))],
            0,
            true,
        ),
        case("many-names", &[(CONFIGMAPS, &filled("a,", "settings"))], 0, true),
        case("many-bad", &[(CONFIGMAPS, &filled("[,", "settings"))], 1, true),
        case("one-long", &[(CONFIGMAPS, &filled("a", ""))], 1, false),
        case(
            "beyond-ascii",
            &[(CONFIGMAPS, &filled("\u{1F980}", ""))],
            1,
            false,
        ),
        case(
            "two-lists",
            &[(CONFIGMAPS, "a[,b[,c["), (SECRETS, "a**,b**")],
            2,
            false,
        ),
        case(
            "period",
            &[(PERIOD, &filled("1x", "")), (CONFIGMAPS, "settings")],
            1,
            true,
        ),
    ]
}

async fn annotate(world: &World, name: &str, value: usize) {
    let body = json!({ "metadata": { "labels": { "touched": value.to_string() } } });
    world
        .api::<Deployment>()
        .patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("the Deployment changes");
}

#[test]
fn an_invalid_annotation_is_one_event_and_affects_no_other_workload() {
    run(async {
        let world = World::new("hostile").await;
        world.create(&config_map("settings", "0")).await;
        let cases = cases();
        for Case {
            name, annotations, ..
        } in &cases
        {
            let annotations: Vec<(&str, &str)> = annotations
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect();
            world.create(&deployment(name, &annotations, &plain_pod())).await;
        }
        let marked = [(
            "reloader.stakater.com/last-reloaded-from",
            &*"{\"type\":".repeat(MUCH / 8),
        )];
        let marked: Deployment = from(workload(
            "marked",
            &AUTO,
            &marked,
            &pod_with_config_map("settings"),
        ));
        world.create(&marked).await;
        world
            .create(&deployment("good", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(ONE_WORKER).start().await;

        for change in 1..=CHANGES {
            world.change_config_map("settings", &change.to_string()).await;
            for case in &cases {
                annotate(&world, case.name, change).await;
            }
            world.wait_for_rollouts("deployments", "good", change).await;
            sentinel.pass().await;
        }

        for name in ["good", "marked"] {
            assert_eq!(world.rollouts("deployments", name), CHANGES, "{name}");
        }
        // Events are written in the order of their causes: with this one, all before it are there.
        world
            .create(&deployment("last", &[(CONFIGMAPS, "[")], &plain_pod()))
            .await;
        world.wait_for_events("last", "InvalidAnnotation", 1).await;
        for Case {
            name, bad, listed, ..
        } in &cases
        {
            let rollouts = if *listed { CHANGES } else { 0 };
            assert_eq!(world.rollouts("deployments", name), rollouts, "{name}");
            let events = world.events(name, "InvalidAnnotation").await;
            assert_eq!(events.len(), *bad, "{name}: {events:?}");
            for event in events {
                assert_eq!(
                    (event.type_.as_deref(), event.count),
                    (Some("Warning"), Some(1)),
                    "{name}"
                );
            }
        }
        let log = controller.replica.log();
        let longest = log.lines().max_by_key(|line| line.len()).unwrap_or_default();
        assert!(longest.len() < 4096, "{longest}");
    });
}

/// Forms that the definition lets through, as it does with unknown fields kept.
fn odd_statuses() -> Vec<Value> {
    let deep = (0..500).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!({ "status": "text" }),
        json!({ "status": ["text", null] }),
        json!({ "status": { "secretProviderClassName": 7, "objects": "text" } }),
        json!({ "status": { "secretProviderClassName": "other", "objects": [null, 7, ["text"], { "id": 1, "version": {} }] } }),
        json!({ "status": { "secretProviderClassName": "other", "objects": { "id": "a" }, "deep": deep.clone() } }),
        json!({ "status": deep }),
    ]
}

#[test]
fn a_custom_resource_of_another_form_hides_no_other() {
    run(async {
        let world = World::with_csi("odd").await;
        world.start_pod("first", "vault", "1").await;
        world
            .create(&deployment("web", &AUTO, &pod_with_class("vault")))
            .await;
        for (number, odd) in odd_statuses().iter().enumerate() {
            let name = format!("listed-{number}");
            world.start_pod_with(&name, "other", &json!([])).await;
            world.patch_pod_status(&name, odd).await;
        }
        let mut sentinel = ClassSentinel::new(&world).await;
        let controller = world
            .controller()
            .args(["--enable-csi-integration", ONE_WORKER])
            .start()
            .await;
        world.rotate("first", "2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;

        for (number, odd) in odd_statuses().iter().enumerate() {
            let name = format!("watched-{number}");
            world.start_pod_with(&name, "other", &json!([])).await;
            world.patch_pod_status(&name, odd).await;
            sentinel.pass().await;
        }
        world.rotate("first", "3").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 2);
        let log = controller.replica.log();
        assert!(!log.contains("could not be decoded"), "{log}");
    });
}
