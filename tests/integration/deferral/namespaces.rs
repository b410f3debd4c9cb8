//! What the annotations of a Namespace say, for all workloads in it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rstest::rstest;
use serde_json::json;

use super::{SUSPEND, WINDOW, annotate, create_web, waiting, why};
use crate::harness::{World, controller::EVERYWHERE, run};

pub(super) const FLAG: &str = "--namespace-policies";

pub(super) async fn annotate_namespace(world: &World, key: &str, value: Option<&str>) {
    let api = Api::<Namespace>::all(world.client.clone());
    annotate(&api, &world.namespace, key, value).await;
}

async fn label(world: &World) {
    let body = json!({ "metadata": { "labels": { "reload": "yes" } } });
    Api::<Namespace>::all(world.client.clone())
        .patch(&world.namespace, &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("the Namespace changes");
}

/// Statement 31.
#[rstest]
#[case::suspended(SUSPEND, "true", "suspended", &[])]
#[case::window_and_selector(WINDOW, "manual", "window", &["--namespace-selector=reload=yes"])]
fn a_namespace_holds_back_its_own_workloads(
    #[case] key: &str,
    #[case] value: &str,
    #[case] reason: &str,
    #[case] selector: &[&str],
) {
    run(async {
        let held = World::alone("held").await;
        held.permit_everywhere().await;
        held.permit_namespaces().await;
        let free = held.another("free").await;
        for world in [&held, &free] {
            label(world).await;
            create_web(world, &[]).await;
        }
        annotate_namespace(&held, key, Some(value)).await;
        let start = async || {
            let flags = held.controller().args([EVERYWHERE, FLAG]);
            flags.args(selector.iter().copied()).start().await
        };
        let controller = start().await;
        held.wait_for_ledger(4).await;
        for content in ["1", "2", "3"] {
            held.change_config_map("settings", content).await;
            free.change_config_map("settings", content).await;
        }
        free.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_metric(&waiting(reason), 1.0).await;
        let (answer, because) = why(&held, &controller).await;
        assert_eq!(because.as_deref(), Some(reason), "{answer:#?}");

        // Known to the next replica before it restarts anything.
        held.wait_for_events("web", "RestartDeferred", 1).await;
        controller.replica.kill();
        let controller = start().await;
        controller.wait_metric(&waiting(reason), 1.0).await;
        assert_eq!(held.rollouts("deployments", "web"), 0);

        annotate_namespace(&held, key, None).await;
        held.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(held.rollouts("deployments", "web"), 1);
    });
}

/// Statement 40.
#[test]
fn without_the_right_to_read_namespaces_all_else_works() {
    run(async {
        let world = World::alone("refused").await;
        world.permit_everywhere().await;
        create_web(&world, &[]).await;
        annotate_namespace(&world, SUSPEND, Some("true")).await;
        let controller = world.controller().args([EVERYWHERE, FLAG]).start().await;
        controller
            .wait_log("Not allowed to list and watch namespaces")
            .await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        let log = controller.replica.log();
        assert_eq!(log.matches("Not allowed to list and watch").count(), 1, "{log}");

        // Once it is granted, the annotation counts.
        world.permit_namespaces().await;
        controller.wait_log("Watching namespaces again").await;
        world.change_config_map("settings", "2").await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

#[test]
fn without_the_flag_namespaces_are_not_read() {
    run(async {
        let world = World::alone("unread").await;
        world.permit_everywhere().await;
        world.permit_namespaces().await;
        create_web(&world, &[]).await;
        annotate_namespace(&world, SUSPEND, Some("true")).await;
        let controller = world.controller().arg(EVERYWHERE).start().await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
    });
}
