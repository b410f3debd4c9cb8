//! Workloads that are being deleted are left alone; what comes back under their names is new.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use testbed::{Entry, eventually};

use crate::harness::{
    PATIENCE, World,
    kinds::{ROLLOUT, cron_job, job},
    objects::{config_map, deployment, pod_with_config_map, stateful_set, workload},
    observe::{AUTO, Barrier},
    run,
};

/// Holds the objects of this test.
const FINALIZER: &str = "example.com/hold";

/// Creates the workload with a finalizer, and deletes it: it stays.
async fn create_terminating<K>(world: &World, mut object: K)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    object.finalizers_mut().push(FINALIZER.to_owned());
    let created = world.create(&object).await;
    delete::<K>(world, &created.name_any()).await;
}

async fn delete<K>(world: &World, name: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    world
        .api::<K>()
        .delete(name, &DeleteParams::default())
        .await
        .expect("it is deleted");
}

/// The controllers' writes to workloads other than the barrier's, and Events about them.
async fn writes(world: &World) -> Vec<String> {
    let is_about_workload = |entry: &Entry| {
        let kinds = ["deployments", "statefulsets", "cronjobs", "jobs", "rollouts"];
        entry.user == world.user()
            && entry.is_write()
            && entry.namespace == world.namespace
            && kinds.contains(&&*entry.resource)
            && entry.name != "barrier"
    };
    let entries = world
        .plane
        .audit()
        .matching(is_about_workload)
        .expect("the audit log");
    let mut found: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name))
        .collect();
    for reason in ["Reloaded", "ReloadFail"] {
        for name in ["web", "db", "backup", "migrate", "canary"] {
            let events = world.events(name, reason).await;
            found.extend(
                events
                    .iter()
                    .map(|event| format!("{reason} {name} {:?}", event.message)),
            );
        }
    }
    found
}

#[test]
fn a_workload_that_is_being_deleted_is_left_alone() {
    run(async {
        let world = World::new("terminating").await;
        world.define(ROLLOUT).await;
        world.create(&config_map("app", "0")).await;
        let pod = pod_with_config_map("app");
        // Half of them before the controller starts, half while it watches.
        create_terminating::<Deployment>(&world, deployment("web", &AUTO, &pod)).await;
        create_terminating::<CronJob>(&world, cron_job("backup", &AUTO, &pod)).await;
        let mut canary = workload("canary", &AUTO, &[], &pod);
        canary["metadata"]["finalizers"] = json!([FINALIZER]);
        world.create_custom(ROLLOUT, canary).await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().arg("--is-argo-rollouts=true").start().await;
        world
            .custom(ROLLOUT)
            .delete("canary", &DeleteParams::default())
            .await
            .expect("it is deleted");
        create_terminating::<StatefulSet>(&world, stateful_set("db", &AUTO, &pod)).await;
        create_terminating::<Job>(&world, job("migrate", &AUTO, &pod)).await;

        barrier.pass(&world, &controller).await;
        world.change_config_map("app", "1").await;
        barrier.pass(&world, &controller).await;
        assert_eq!(writes(&world).await, [""; 0]);
        assert!(controller.metric("reloader_retries").await < 1.0);

        // The same key comes back: its pods have the present content, and only a further change restarts it.
        let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        let api = world.api::<Deployment>();
        api.patch("web", &PatchParams::default(), &release)
            .await
            .expect("the finalizer goes");
        eventually(PATIENCE, "the Deployment to be gone", async || {
            api.get_opt("web").await.ok()?.is_none().then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        world.create(&deployment("web", &AUTO, &pod)).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(writes(&world).await, [""; 0]);
        world.change_config_map("app", "2").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(writes(&world).await.len(), 2, "one patch and its Event");
    });
}

/// The deletion begins after the decision: the patch is refused, and nothing follows from that.
#[test]
fn a_deletion_that_crosses_the_patch_is_no_failure() {
    run(async {
        let world = World::new("terminating-race").await;
        world.create(&config_map("app", "0")).await;
        let pod = pod_with_config_map("app");
        let mut web = deployment("web", &AUTO, &pod);
        web.finalizers_mut().push(FINALIZER.to_owned());
        world.create::<Deployment>(&web).await;
        let mut migrate = job("migrate", &AUTO, &pod);
        migrate.finalizers_mut().push(FINALIZER.to_owned());
        world.create::<Job>(&migrate).await;
        let mut barrier = Barrier::create(&world).await;
        let controller = world.controller().start().await;
        // Within the window the workloads owe a restart, and wait.
        world.change_config_map("app", "1").await;
        delete::<Deployment>(&world, "web").await;
        delete::<Job>(&world, "migrate").await;
        barrier.pass(&world, &controller).await;
        let failures = writes(&world).await;
        assert!(
            failures.iter().all(|line| !line.starts_with("ReloadFail")),
            "{failures:?}"
        );
    });
}
