//! Lines of a watch that hold something else than the API server would send.

use serde_json::{Value, json};
use testbed::proxy::StreamFault;

use super::{
    ONE_WORKER, create_app,
    watches::{disturb, lists},
    world,
};
use crate::harness::{run, sentinel::Sentinel};

/// An object whose identity is as it should be, and nothing else.
fn odd(namespace: &str, version: &str) -> [Value; 3] {
    let metadata = json!({ "name": "odd", "namespace": namespace, "uid": "odd", "resourceVersion": version });
    let mut wrong = metadata.clone();
    wrong["annotations"] = json!(["reloader.stakater.com/auto"]);
    wrong["creationTimestamp"] = json!(7);
    wrong["managedFields"] = json!({ "time": null });
    let template =
        json!({ "metadata": 1, "spec": { "containers": { "name": "a" }, "volumes": [null, 3, "text"] } });
    [
        json!({ "metadata": wrong, "spec": "text", "data": [1] }),
        json!({ "metadata": metadata, "spec": { "template": template, "paused": "yes" }, "data": { "a": 1, "b": {} } }),
        // Beyond what etcd holds.
        json!({ "metadata": metadata, "spec": { "large": "x".repeat(8 << 20) }, "data": { "a": "x".repeat(8 << 20) } }),
    ]
}

#[test]
fn an_object_of_another_form_stops_no_watch() {
    run(async {
        let (world, proxy) = world("odd-lines").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).through(&proxy).start().await;
        let mut rounds = 0;
        for broken in ["configmaps", "deployments"] {
            let app = world
                .api::<k8s_openapi::api::core::v1::ConfigMap>()
                .get("app")
                .await
                .unwrap();
            let version = app.metadata.resource_version.unwrap();
            for object in odd(&world.namespace, &version) {
                let line = json!({ "type": "MODIFIED", "object": object }).to_string();
                disturb(&proxy, broken, &StreamFault::Insert(line)).await;
                rounds += 1;
                world.change_config_map("app", &rounds.to_string()).await;
                world.wait_for_rollouts("deployments", "app", rounds).await;
                sentinel.pass().await;
            }
            assert_eq!(lists(&proxy, broken), 1, "the watch goes on");
        }
        assert_eq!(world.rollouts("deployments", "app"), rounds);
    });
}
