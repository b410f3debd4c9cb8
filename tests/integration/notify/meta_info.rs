//! The ConfigMap `reloader-meta-info`.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testbed::eventually;

use crate::harness::{Controller, PATIENCE, World, run};

const NAME: &str = "reloader-meta-info";

async fn start(world: &World, name: &str) -> Controller {
    world
        .controller()
        .name(name)
        .env("RELOADER_NAMESPACE", &world.namespace)
        .env("RELOADER_DEPLOYMENT_NAME", "watcher")
        .args(["--reload-strategy=annotations", "--resource-label-selector=a:b"])
        .start()
        .await
}

/// Waits until the ConfigMap satisfies the condition.
async fn wait_for(world: &World, is_so: impl Fn(&ConfigMap) -> bool) -> ConfigMap {
    eventually(PATIENCE, "the meta info", async || -> Result<_, String> {
        let found = world
            .api::<ConfigMap>()
            .get_opt(NAME)
            .await
            .map_err(|error| error.to_string())?;
        match found {
            Some(object) if is_so(&object) => Ok(Some(object)),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_content_is_upstreams_and_is_written_only_when_it_differs() {
    run(async {
        let world = World::new("meta").await;
        let _first = start(&world, "reloader-0").await;
        let published = wait_for(&world, |_| true).await;
        let data = published.data.clone().expect("data");
        let labels = published.metadata.labels.clone().expect("labels");
        assert_eq!(labels["reloader.stakater.com/meta-info"], "reloader");
        assert_eq!(
            data["buildInfo"],
            format!(
                "{{\"goVersion\":\"rust{}\",\"releaseVersion\":\"{}\",\"commitHash\":\"unknown\",\
                 \"commitTime\":\"0001-01-01T00:00:00Z\",\"edition\":\"oss\"}}",
                env!("CARGO_PKG_RUST_VERSION"),
                env!("CARGO_PKG_VERSION"),
            )
        );
        assert_eq!(
            data["deploymentInfo"],
            format!(r#"{{"name":"watcher","namespace":"{}"}}"#, world.namespace)
        );
        assert_eq!(
            data["reloaderOptions"],
            "{\"autoReloadAll\":false,\
             \"configmapUpdateOnChangeAnnotation\":\"configmap.reloader.stakater.com/reload\",\
             \"secretUpdateOnChangeAnnotation\":\"secret.reloader.stakater.com/reload\",\
             \"secretProviderClassUpdateOnChangeAnnotation\":\"secretproviderclass.reloader.stakater.com/reload\",\
             \"reloaderAutoAnnotation\":\"reloader.stakater.com/auto\",\
             \"ignoreResourceAnnotation\":\"reloader.stakater.com/ignore\",\
             \"configmapReloaderAutoAnnotation\":\"configmap.reloader.stakater.com/auto\",\
             \"secretReloaderAutoAnnotation\":\"secret.reloader.stakater.com/auto\",\
             \"secretProviderClassReloaderAutoAnnotation\":\"secretproviderclass.reloader.stakater.com/auto\",\
             \"configmapExcludeReloaderAnnotation\":\"configmaps.exclude.reloader.stakater.com/reload\",\
             \"secretExcludeReloaderAnnotation\":\"secrets.exclude.reloader.stakater.com/reload\",\
             \"secretProviderClassExcludeReloaderAnnotation\":\
             \"secretproviderclasses.exclude.reloader.stakater.com/reload\",\
             \"autoSearchAnnotation\":\"reloader.stakater.com/search\",\
             \"searchMatchAnnotation\":\"reloader.stakater.com/match\",\
             \"rolloutStrategyAnnotation\":\"reloader.stakater.com/rollout-strategy\",\
             \"pauseDeploymentAnnotation\":\"deployment.reloader.stakater.com/pause-period\",\
             \"pauseDeploymentTimeAnnotation\":\"deployment.reloader.stakater.com/paused-at\",\
             \"logFormat\":\"\",\"logLevel\":\"info\",\"isArgoRollouts\":false,\"reloadStrategy\":\"annotations\",\
             \"reloadOnCreate\":false,\"reloadOnDelete\":false,\"syncAfterRestart\":false,\"enableHA\":false,\
             \"leaderElectionLeaseDuration\":\"15s\",\"leaderElectionRenewDeadline\":\"10s\",\
             \"leaderElectionRetryPeriod\":\"2s\",\
             \"enableCSIIntegration\":false,\"webhookUrl\":\"\",\"resourcesToIgnore\":[],\
             \"workloadTypesToIgnore\":[],\"namespaceSelectors\":[],\"resourceSelectors\":[\"a=b\"],\
             \"namespacesToIgnore\":[],\"enablePProf\":false,\"pprofAddr\":\":6060\"}"
        );

        // A second replica says the same, and leaves it alone.
        let second = start(&world, "reloader-1").await;
        let reads = async || {
            let read = |entry: &testbed::Entry| {
                entry.user == world.user() && entry.name == NAME && entry.verb == "get" && entry.code == 200
            };
            let entries = world.plane.audit().matching(read).expect("the audit log");
            (!entries.is_empty()).then_some(())
        };
        eventually(PATIENCE, "the second replica's look", reads)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        drop(second);
        let version = |object: &ConfigMap| object.metadata.resource_version.clone();
        let now = wait_for(&world, |_| true).await;
        assert_eq!(version(&now), version(&published));

        // What differs is written over; what others have put on the object stays.
        let foreign =
            json!({ "metadata": { "labels": { "mine": "yes" } }, "data": { "reloaderOptions": "{}" } });
        world
            .api::<ConfigMap>()
            .patch(NAME, &PatchParams::default(), &Patch::Merge(foreign))
            .await
            .expect("it changes");
        let third = start(&world, "reloader-2").await;
        let repaired = wait_for(&world, |object| object.data.as_ref() == Some(&data)).await;
        assert_eq!(repaired.metadata.labels.expect("labels")["mine"], "yes");
        third
            .wait_log("Meta info configmap already exists, updating it")
            .await;
    });
}

#[test]
fn without_permission_it_is_one_warning_and_everything_else_works() {
    run(async {
        let world = World::new("nometa").await;
        world.revoke("own").await;
        let controller = start(&world, "reloader-0").await;
        controller
            .wait_log("Failed to publish the meta info ConfigMap reloader-meta-info")
            .await;
        let log = controller.replica.log();
        let said = log
            .lines()
            .filter(|line| line.contains("meta info ConfigMap"))
            .count();
        assert_eq!(said, 1, "{log}");
        // Without the ledger, too: that a permission is missing is believed after half a minute.
        controller.wait_ready().await;
    });
}

#[test]
fn without_a_namespace_it_is_skipped_with_upstreams_text() {
    run(async {
        let world = World::new("skipmeta").await;
        let controller = world.controller().start().await;
        controller
            .wait_log("RELOADER_NAMESPACE is not set, skipping meta info configmap creation")
            .await;
    });
}
