//! Lists made to be slow: what one namespace's annotations cost is bounded, so nobody else waits for them.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::interval;

use crate::harness::{
    World,
    objects::{config_map, deployment, plain_pod, pod_with_config_map},
    observe::AUTO,
    run,
};

const LIST: &str = "configmap.reloader.stakater.com/reload";

/// ConfigMaps in the hostile namespace.
const SOURCES: usize = 150;

/// 250 KiB of patterns, each another one, that fail only at the end of a long name. `last` ends each of them.
fn slow_list(last: char) -> String {
    let item = |number: usize| format!(".*{}{last}{}", "a".repeat(100 + number % 20), number);
    let items: Vec<String> = (0..2_200).map(item).collect();
    items.join(",")
}

#[test]
fn slow_lists_in_one_namespace_do_not_delay_another() {
    run(async {
        let hostile = World::new("hostile").await;
        let calm = hostile.another("calm").await;
        calm.admit(&hostile, "watched").await;
        for number in 0..SOURCES {
            let name = format!("{}{number}", "a".repeat(245));
            hostile.create(&config_map(&name, "0")).await;
        }
        calm.create(&config_map("single", "0")).await;
        calm.create(&deployment("single", &AUTO, &pod_with_config_map("single")))
            .await;
        let controller = hostile
            .controller()
            .arg(format!("--namespaces={}", calm.namespace))
            .start()
            .await;

        let attack = async {
            let list = slow_list('b');
            hostile
                .create(&deployment("slow", &[(LIST, &list)], &plain_pod()))
                .await;
            calm.change_config_map("single", "1").await;
            calm.wait_for_rollouts("deployments", "single", 1).await;
            let edit = json!({ "metadata": { "annotations": { LIST: slow_list('c') } } });
            hostile
                .api::<Deployment>()
                .patch("slow", &PatchParams::default(), &Patch::Merge(edit))
                .await
                .expect("the annotation changes");
            calm.change_config_map("single", "2").await;
            calm.wait_for_rollouts("deployments", "single", 2).await;
        };
        let probes = async {
            let mut tick = interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let (status, body) = controller.get("/live").await.expect("an answer");
                assert_eq!(status, 200, "{body}");
            }
        };
        tokio::select! {
            () = attack => {}
            () = probes => {}
        }
        let events = hostile.wait_for_events("slow", "InvalidAnnotation", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(message.contains(LIST), "{message}");
    });
}
