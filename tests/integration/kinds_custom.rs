//! Kinds that the user has named, and kinds that are not there yet.

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::json;
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    kinds::{Custom, variable},
    objects::config_map,
    observe::digest_of,
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
        world.permit_also(rule).await;
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
