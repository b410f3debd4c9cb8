//! Another client that puts the pod template back after a restart: one Warning names it, and nothing is repeated.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams, PostParams};
use rstest::rstest;
use serde_json::json;

use crate::harness::{
    World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

/// Statement 43: reported once, and not repaired. It does not count as stale.
#[rstest]
fn a_template_that_is_put_back_is_reported_by_name(
    #[values("env-vars", "annotations")] strategy: &str,
    #[values(true, false)] whole: bool,
) {
    run(async {
        let world = World::new("reverted").await;
        world.create(&config_map("app", "0")).await;
        let api = world.api::<Deployment>();
        let operator = PostParams {
            field_manager: Some("operator".to_owned()),
            ..PostParams::default()
        };
        let web = deployment("web", &AUTO, &pod_with_config_map("app"));
        let created = api.create(&operator, &web).await.expect("accepted");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .arg(format!("--reload-strategy={strategy}"))
            .start()
            .await;
        for round in 1..=2 {
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts("deployments", "web", 2 * round - 1).await;
            if whole {
                let mut stored = api.get("web").await.expect("it is there");
                stored.spec.template = created.spec.template.clone();
                let labels = stored.metadata.labels.get_or_insert_default();
                labels.insert("rounds".to_owned(), round.to_string());
                api.replace("web", &operator, &stored).await.expect("put back");
            } else {
                let remove = json!([
                    { "op": "remove", "path": match strategy {
                        "env-vars" => "/spec/template/spec/containers/0/env",
                        _ => "/spec/template/metadata/annotations",
                    } },
                ]);
                let operator = PatchParams {
                    field_manager: Some("operator".to_owned()),
                    ..PatchParams::default()
                };
                let remove = Patch::Json::<()>(serde_json::from_value(remove).expect("a patch"));
                api.patch("web", &operator, &remove).await.expect("put back");
            }
            sentinel.pass().await;
            controller.wait_idle().await;
        }
        let events = world.wait_for_events("web", "RestartReverted", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        // Who only removes fields does not become one of the managers.
        assert!(!whole || message.contains("'operator'"), "{message}");
        assert_eq!(events[0].type_.as_deref(), Some("Warning"));
        assert_eq!((events.len(), events[0].count), (1, Some(1)), "once for a while");
        assert_eq!(
            world.rollouts("deployments", "web"),
            4,
            "each change once, and each time put back"
        );
        for name in ["configmap", "secret"] {
            let others = world
                .events(&format!("{}{name}", Sentinel::NAME), "RestartReverted")
                .await;
            assert!(others.is_empty(), "{others:?}");
        }
    });
}
