//! Kinds that the user has named, and kinds that are not there yet.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event};
use kube::api::ListParams;
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    kinds::{Custom, variable},
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

/// Not another test's.
const LATE: Custom = Custom {
    group: "late.example.com",
    version: "v1beta2",
    kind: "Proxy",
    plural: "proxies",
};

#[test]
fn a_named_kind_is_reloaded_as_soon_as_it_is_installed() {
    run(async {
        let world = World::new("custom").await;
        let rule = json!({
            "apiGroups": [LATE.group], "resources": [LATE.plural], "verbs": ["get", "list", "watch", "patch"],
        });
        world.permit_also(&[rule]).await;
        world.create(&config_map("app", "0")).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .arg("--workload-kind=late.example.com/v1beta2/Proxy:spec.pods.template")
            .start()
            .await;
        controller
            .wait_log("The cluster has no proxies.late.example.com")
            .await;
        // Everything else works meanwhile.
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_ready().await;

        world.define(LATE).await;
        controller
            .wait_log("created controller for: proxies.late.example.com")
            .await;
        let spec = json!({
            "upstreams": ["a"],
            "pods": { "template": { "spec": { "containers": [
                { "name": "main", "tomorrow": 1, "envFrom": [{ "configMapRef": { "name": "app" } }] },
            ] } } },
        });
        let annotations = json!({ "reloader.stakater.com/auto": "true" });
        let object = json!({ "metadata": { "name": "edge", "annotations": annotations }, "spec": spec });
        world.create_custom(LATE, object).await;
        controller
            .wait_metric("reloader_tracked_objects{kind=\"Proxy\"}", 1.0)
            .await;
        world.change_config_map("app", "2").await;
        let found = eventually(PATIENCE, "the marker", async || {
            let found = world.custom_spec(LATE, "edge").await;
            let marker = variable(&found["pods"]["template"], "STAKATER_APP_CONFIGMAP");
            (marker == Some(digest_of("2"))).then_some(found)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.replica.log()));
        let mut expected = spec;
        expected["pods"]["template"]["spec"]["containers"][0]["env"] =
            json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": digest_of("2") }]);
        assert_eq!(found, expected);

        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.writes_to(LATE.plural).len(), 1);
        let events = world.wait_for_events("edge", "Reloaded", 1).await;
        assert_eq!(
            events[0].involved_object.api_version.as_deref(),
            Some("late.example.com/v1beta2")
        );
        let all = world
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .expect("Events");
        assert!(
            all.items
                .iter()
                .all(|event| event.reason.as_deref() != Some("ReloadFail"))
        );
    });
}

/// Not another test's.
const STRAY: Custom = Custom {
    group: "stray.example.com",
    version: "v1",
    kind: "Stray",
    plural: "strays",
};

#[rstest]
#[case::nowhere("spec.typo.template", json!({ "template": pod() }))]
#[case::into_a_list("spec.pods.template", json!({ "pods": [{ "template": pod() }] }))]
#[case::at_a_list("spec.pods", json!({ "pods": [pod()] }))]
#[case::at_another_object("spec", json!({ "template": pod() }))]
#[case::null("spec.template", json!({ "template": null }))]
fn a_path_that_leads_to_no_pod_template_is_reported_once(#[case] path: &str, #[case] spec: Value) {
    run(async {
        let world = World::new("stray").await;
        world.define(STRAY).await;
        let rule = json!({
            "apiGroups": [STRAY.group], "resources": [STRAY.plural], "verbs": ["get", "list", "watch", "patch"],
        });
        world.permit_also(&[rule]).await;
        world.create(&config_map("app", "0")).await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let annotations = json!({ "reloader.stakater.com/auto": "true" });
        for name in ["one", "two"] {
            let object = json!({ "metadata": { "name": name, "annotations": annotations }, "spec": spec });
            world.create_custom(STRAY, object).await;
        }
        let kind = format!("stray.example.com/v1/Stray:{path}");
        let controller = world
            .controller()
            .arg(format!("--workload-kind={kind}"))
            .start()
            .await;
        controller.wait_log(&kind).await;
        let reported = async || {
            let mut events = world.events("one", "NoPodTemplate").await;
            events.extend(world.events("two", "NoPodTemplate").await);
            events
        };
        let events = eventually(PATIENCE, "the Event", async || {
            Some(reported().await).filter(|events| !events.is_empty())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(message.contains(&kind), "{message}");
        // Everything else works.
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(reported().await.len(), 1);
        let log = controller.replica.log();
        let warnings = log
            .lines()
            .filter(|line| line.contains("level=warning") && line.contains(&kind));
        assert_eq!(warnings.count(), 1, "{log}");
        assert!(
            world
                .writes_to(STRAY.plural)
                .iter()
                .all(|entry| entry.namespace != world.namespace || entry.user != world.user())
        );
    });
}

fn pod() -> Value {
    json!({ "spec": { "containers": [{ "name": "main", "envFrom": [{ "configMapRef": { "name": "app" } }] }] } })
}
