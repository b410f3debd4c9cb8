//! Restarts that wait on purpose: suspended, or outside of their windows. They stay owed, and all changes meanwhile are one.

mod canaries;
mod kinds;
mod leaders;
mod namespaces;
mod openings;
mod outages;
mod rollouts;
mod users;
mod waves;
mod windows;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::json;

use reloader::explain::{Explanation, Owes};

use crate::harness::{
    World,
    controller::Controller,
    objects::{config_map, deployment, secret},
    observe::{AUTO, digest_of, pod_with},
    run,
    sentinel::Sentinel,
};

const SUSPEND: &str = "reloader.stakater.com/suspend";
const WINDOW: &str = "reloader.stakater.com/restart-window";
const MAX_CONCURRENT: &str = "reloader.stakater.com/max-concurrent-rollouts";
const CANARY: &str = "reloader.stakater.com/canary";
const BAKE_TIME: &str = "reloader.stakater.com/bake-time";
const WAVE: &str = "reloader.stakater.com/rollout-wave";
const REQUESTED_AT: &str = "reloader.stakater.com/requested-at";

/// How many restarts wait for that reason.
fn waiting(reason: &str) -> String {
    format!("reloader_deferred_reloads{{reason=\"{reason}\"}}")
}

/// Sets or removes an annotation, as `kubectl annotate` does.
async fn annotate<K>(api: &Api<K>, name: &str, key: &str, value: Option<&str>)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let body = json!({ "metadata": { "annotations": { key: value } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("it is annotated");
}

/// A ConfigMap `settings`, a Secret `token`, and a Deployment `web` that uses both.
async fn create_web(world: &World, annotations: &[(&str, &str)]) {
    world.create(&config_map("settings", "0")).await;
    world.create(&secret("token", "0")).await;
    let annotations: Vec<_> = AUTO.iter().chain(annotations).copied().collect();
    let pod = pod_with(&["settings"], &["token"]);
    world.create(&deployment("web", &annotations, &pod)).await;
}

/// What the controller answers about `web`, and why its restart waits.
async fn why(world: &World, controller: &Controller) -> (Explanation, Option<String>) {
    let path = format!("/v1/workloads/Deployment/{}/web", world.namespace);
    let answer: Explanation = controller.answer(&path).await;
    let reason = answer.sources.iter().find_map(|source| match &source.owes {
        Owes::Restart(owed) => owed.deferred.as_ref().map(|deferred| deferred.reason.clone()),
        Owes::Unknown | Owes::Nothing => None,
    });
    (answer, reason)
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Workload,
    ConfigMap,
    Secret,
}

impl Owner {
    async fn suspend(self, world: &World, value: Option<&str>) {
        match self {
            Self::Workload => annotate(&world.api::<Deployment>(), "web", SUSPEND, value).await,
            Self::ConfigMap => annotate(&world.api::<ConfigMap>(), "settings", SUSPEND, value).await,
            Self::Secret => annotate(&world.api::<Secret>(), "token", SUSPEND, value).await,
        }
    }
}

/// Statement 31, of each owner; namespaces have their own test.
#[rstest]
fn what_is_suspended_restarts_once_when_it_is_not_any_more(
    #[values(Owner::Workload, Owner::ConfigMap, Owner::Secret)] owner: Owner,
    // What is no boolean suspends as well.
    #[values("true", "yes")] value: &str,
) {
    run(async {
        let world = World::new("suspended").await;
        create_web(&world, &[]).await;
        let mut sentinel = Sentinel::new(&world).await;
        owner.suspend(&world, Some(value)).await;
        let controller = world.controller().start().await;

        // The other source suspends nothing: it changes once this one is known to be owed.
        match owner {
            Owner::Workload | Owner::ConfigMap => world.change_config_map("settings", "first").await,
            Owner::Secret => world.change_secret("token", "first").await,
        }
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        for content in ["1", "2", "3"] {
            world.change_config_map("settings", content).await;
            world.change_secret("token", content).await;
            sentinel.pass().await;
        }
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        let (answer, reason) = why(&world, &controller).await;
        assert_eq!(reason.as_deref(), Some("suspended"), "{answer:#?}");
        controller
            .wait_metric("reloader_oldest_pending_reload_seconds", 0.0)
            .await;
        let events = world.wait_for_events("web", "RestartDeferred", 1).await;
        assert!(
            events[0]
                .message
                .as_ref()
                .is_some_and(|text| text.contains(SUSPEND)),
            "{events:?}"
        );

        owner.suspend(&world, None).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        controller.wait_metric(&waiting("suspended"), 0.0).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
        world
            .wait_for_variable("web", "STAKATER_SETTINGS_CONFIGMAP", &digest_of("3"))
            .await;
    });
}

/// Statement 32.
#[test]
fn a_change_that_is_taken_back_while_suspended_restarts_nothing() {
    run(async {
        let world = World::new("taken-back").await;
        create_web(&world, &[(SUSPEND, "true")]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;

        world.change_config_map("settings", "0").await;
        controller.wait_metric(&waiting("suspended"), 0.0).await;
        annotate(&world.api::<Deployment>(), "web", SUSPEND, None).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
    });
}

#[test]
fn a_suspended_source_holds_back_only_those_that_owe_for_it() {
    run(async {
        let world = World::new("other-source").await;
        create_web(&world, &[]).await;
        let other = deployment("other", &AUTO, &pod_with(&["settings"], &[]));
        world.create(&other).await;
        annotate(&world.api::<Secret>(), "token", SUSPEND, Some("true")).await;
        let controller = world.controller().start().await;

        world.change_secret("token", "1").await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        controller.wait_metric("reloader_pending_reloads", 1.0).await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
    });
}

/// Statement 33.
#[test]
fn a_release_does_not_override_a_suspension() {
    run(async {
        let world = World::new("no-release").await;
        create_web(&world, &[(SUSPEND, "true")]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;

        annotate(
            &world.api::<Deployment>(),
            "web",
            REQUESTED_AT,
            Some("2026-01-01T00:00:00Z"),
        )
        .await;
        sentinel.pass().await;
        let (answer, reason) = why(&world, &controller).await;
        assert_eq!(reason.as_deref(), Some("suspended"), "{answer:#?}");
        assert_eq!(world.rollouts("deployments", "web"), 0);
    });
}

#[test]
fn a_suspension_outlives_every_replica() {
    run(async {
        let world = World::new("outlives").await;
        create_web(&world, &[(SUSPEND, "true")]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.wait_for_ledger(4).await;
        world.change_config_map("settings", "1").await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        // The Event says it, and the ledger has what is owed.
        world.wait_for_events("web", "RestartDeferred", 1).await;
        controller.replica.kill();

        world.change_config_map("settings", "2").await;
        let controller = world.controller().start().await;
        controller.wait_metric(&waiting("suspended"), 1.0).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        annotate(&world.api::<Deployment>(), "web", SUSPEND, None).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}
