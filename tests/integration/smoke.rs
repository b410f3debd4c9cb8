//! The shortest way through everything.

use crate::harness::{
    World,
    objects::{config_map, deployment, pod_with_config_map},
    run,
};

#[test]
fn a_changed_config_map_rolls_its_deployment_once() {
    run(async {
        let world = World::new("smoke").await;
        world.create(&config_map("settings", "one")).await;
        let annotations = [("reloader.stakater.com/auto", "true")];
        world
            .create(&deployment("web", &annotations, &pod_with_config_map("settings")))
            .await;
        let controller = world.controller().start().await;

        world.change_config_map("settings", "two").await;

        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        assert_eq!(writes[0].user, world.user());
        assert_eq!(
            writes[0].request_object.as_ref().unwrap()["spec"]["template"]["spec"]["containers"][0]["env"][0]
                ["name"],
            "STAKATER_SETTINGS_CONFIGMAP"
        );
        controller
            .wait_log("Changes detected in 'settings' of type 'CONFIGMAP'")
            .await;
    });
}
