//! Kubernetes Events about restarts.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Event, Secret};
use serde_json::json;

use crate::harness::{
    World,
    objects::{config_map, deployment, plain_pod, secret},
    observe::{AUTO, Barrier, pod_with},
    run,
    sources::SourceType,
};

/// Changed at the same time: more than an Event has room for.
const SOURCES: u16 = 1_300;
/// Requests of the test under way at the same time.
const CONCURRENCY: usize = 16;

#[test]
fn a_restart_for_many_changes_at_once_is_one_event() {
    run(async {
        let world = World::new("events").await;
        let names = || stream::iter((0..SOURCES).map(|number| format!("settings-{number}")));
        names()
            .for_each_concurrent(CONCURRENCY, async |name| {
                world.create(&config_map(&name, "0")).await;
            })
            .await;
        let list = [("configmap.reloader.stakater.com/reload", "settings-.*")];
        world.create(&deployment("web", &list, &plain_pod())).await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().start().await;
        // All that happens while it stands still is there at once when it goes on.
        controller.replica.pause().expect("it runs");
        names()
            .for_each_concurrent(CONCURRENCY, async |name| {
                world.change_config_map(&name, "1").await;
            })
            .await;
        controller.replica.resume().expect("it runs");
        barrier.pass(&world, &controller).await;
        let restarts = world.rollouts("deployments", "web");
        let events = world.wait_for_events("web", "Reloaded", restarts).await;
        assert_eq!(events.len(), restarts);
        let is_cut = |event: &Event| {
            let message = event.message.as_deref().unwrap_or_default();
            message.contains(" more in namespace") && message.contains("Updated 'web'")
        };
        assert!(events.iter().any(is_cut), "{events:?}");
    });
}

/// Two clients overwrite each other: one Warning on the source names the last of them. One that changes as often without
/// returning is no mistake.
#[test]
fn a_source_that_alternates_is_warned_about_once() {
    run(async {
        let world = World::new("flap").await;
        world.create(&secret("password", "canary-a")).await;
        world.create(&secret("counter", "canary-0")).await;
        for name in ["password", "counter"] {
            let pod = pod_with(&[], &[name]);
            world.create(&deployment(name, &AUTO, &pod)).await;
        }
        let controller = world.controller().start().await;
        let secrets = "reloader_events_received_total{event_type=\"update\",resource_type=\"secrets\"}";
        for turn in 1..=10 {
            world
                .change_secret("password", if turn % 2 == 1 { "canary-b" } else { "canary-a" })
                .await;
            world.change_secret("counter", &format!("canary-{turn}")).await;
            controller.wait_metric(secrets, f64::from(2 * turn)).await;
        }
        let label = json!({ "metadata": { "labels": { "touched": "yes" } } });
        world.patch_source(SourceType::Secret, "password", &label).await;
        let warning = &world.wait_for_events("password", "SourceFlaps", 1).await[0];
        let about = &warning.involved_object;
        assert_eq!(
            (about.kind.as_deref(), about.api_version.as_deref()),
            (Some("Secret"), Some("v1"))
        );
        let stored = world.api::<Secret>().get("password").await.expect("the Secret");
        assert_eq!(about.uid, stored.metadata.uid);
        let message = warning.message.as_deref().unwrap_or_default();
        for part in [
            "returned to an earlier one 5 times",
            "reloader.stakater.com/ignore",
            "last written by '",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("canary"), "{message}");
        controller
            .wait_metric("reloader_flapping_sources_total{resource_type=\"secrets\"}", 1.0)
            .await;
        controller.wait_idle().await;
        assert_eq!(world.events("password", "SourceFlaps").await.len(), 1);
        assert_eq!(world.events("counter", "SourceFlaps").await.len(), 0);
    });
}
