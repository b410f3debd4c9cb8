//! What a restart leaves to read: one Event however many sources changed, and the cause in the history of rollouts.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use rstest::rstest;

use crate::harness::{
    World,
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::{AUTO, pod_with},
    run,
};

const CAUSE: &str = "kubernetes.io/change-cause";

#[test]
fn a_restart_for_several_sources_is_one_event_that_names_them() {
    run(async {
        let world = World::new("several").await;
        let sources = ["first", "second", "third"];
        for name in &sources[..2] {
            world.create::<ConfigMap>(&config_map(name, "0")).await;
        }
        world.create(&secret("third", "0")).await;
        let pod = pod_with(&sources[..2], &sources[2..]);
        let web: Deployment = deployment("web", &AUTO, &pod);
        world.create(&web).await;
        let controller = world.controller().arg("--coalesce-window=5s").start().await;

        world.change_config_map("first", "1").await;
        world.change_config_map("second", "1").await;
        world.change_secret("third", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.wait_for_events("web", "Reloaded", 1).await;
        controller.wait_idle().await;

        assert_eq!(world.rollouts("deployments", "web"), 1);
        let events = world.events("web", "Reloaded").await;
        assert_eq!(events.len(), 1, "{events:?}");
        let event = &events[0];
        let message = event.message.as_deref().unwrap_or_default();
        for name in [
            "'first' of type 'CONFIGMAP'",
            "'second' of type",
            "'third' of type 'SECRET'",
        ] {
            assert_eq!(message.matches(name).count(), 1, "{message}");
        }
        assert_eq!(event.action.as_deref(), Some("Restart"));
        assert!(event.event_time.is_some());
        let related = event.related.as_ref().expect("a source");
        assert!(sources.contains(&related.name.as_deref().unwrap_or_default()));
        assert_eq!(related.namespace.as_deref(), Some(world.namespace.as_str()));
    });
}

#[rstest]
#[case::env_vars(
    "--reload-strategy=env-vars",
    "--change-cause",
    Some("Reloader: changed ConfigMap settings")
)]
#[case::annotations(
    "--reload-strategy=annotations",
    "--change-cause",
    Some("Reloader: changed ConfigMap settings")
)]
#[case::off("--reload-strategy=env-vars", "--change-cause=false", None)]
fn a_restart_is_noted_for_the_history_of_rollouts(
    #[case] strategy: &str,
    #[case] flag: &str,
    #[case] expected: Option<&str>,
) {
    run(async {
        let world = World::new("cause").await;
        world.create(&config_map("settings", "0")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let controller = world.controller().args([strategy, flag]).start().await;
        world.change_config_map("settings", "1").await;
        // In the same patch.
        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        assert_eq!(writes.len(), 1);
        controller.wait_idle().await;
        let annotations = world
            .api::<Deployment>()
            .get("web")
            .await
            .expect("the Deployment")
            .metadata
            .annotations
            .unwrap_or_default();
        assert_eq!(annotations.get(CAUSE).map(String::as_str), expected);
        assert_eq!(world.writes_to("deployments").len(), 1);
    });
}
