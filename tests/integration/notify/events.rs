//! Kubernetes Events about restarts.

use futures::{StreamExt, stream};

use crate::harness::{
    World,
    objects::{config_map, deployment, plain_pod},
    run,
};

/// Changed at the same time: more Events than one that is written after the other would leave waiting.
const SOURCES: u16 = 1_300;
/// Requests of the test under way at the same time.
const CONCURRENCY: usize = 16;

#[test]
fn a_restart_for_many_changes_at_once_is_an_event_for_each() {
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
        let controller = world.controller().start().await;
        // All that happens while it stands still is there at once when it goes on.
        controller.replica.pause().expect("it runs");
        names()
            .for_each_concurrent(CONCURRENCY, async |name| {
                world.change_config_map(&name, "1").await;
            })
            .await;
        controller.replica.resume().expect("it runs");
        let written = r#"reloader_notifications_total{channel="event",result="success"}"#;
        controller.wait_metric(written, f64::from(SOURCES)).await;
        assert_eq!(world.events("web", "Reloaded").await.len(), usize::from(SOURCES));
    });
}
