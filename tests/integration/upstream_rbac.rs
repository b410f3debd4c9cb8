//! The roles of upstream's chart: no `watch` on workloads, no `watch` on leases, Events in the core group only.

use k8s_openapi::api::{apps::v1::Deployment, rbac::v1::ClusterRole};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::proxy::{Fault, Rule};

use crate::harness::{
    EVERYWHERE, World,
    field::catch,
    kinds::{cron_job, job},
    ledger::is_ledger,
    manifests::Shipped,
    objects::{config_map, deployment, plain_pod, pod_with_config_map},
    run,
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");

/// The rules of upstream chart 2.2.16 for what a watched namespace needs.
pub fn watched() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["list", "get", "watch"] },
        {
            "apiGroups": ["apps"], "resources": ["deployments", "daemonsets", "statefulsets"],
            "verbs": ["list", "get", "update", "patch"]
        },
        { "apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["list", "get"] },
        { "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "list", "get"] },
        { "apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"] },
    ])
}

/// The rules of upstream chart 2.2.16 for its own namespace.
pub fn own() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get", "watch", "create", "update"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"] },
    ])
}

/// Replaces the roles that ship with upstream's.
pub async fn replace_rules(world: &World) {
    world.replace_rules("watched", watched()).await;
    world.replace_rules("own", own()).await;
}

/// Lets the world's controllers do in all namespaces what upstream's do in one that is watched.
pub async fn replace_cluster_rules(world: &World) {
    let rules = Patch::Merge(json!({ "rules": watched() }));
    Api::<ClusterRole>::all(world.client.clone())
        .patch(
            &Shipped::read().cluster_role.name_any(),
            &PatchParams::default(),
            &rules,
        )
        .await
        .expect("the ClusterRole changes");
}

/// How many list requests for workloads the world's controllers have sent so far.
fn workload_lists(world: &World) -> usize {
    let lists = world.plane.audit().matching(|entry| {
        entry.user == world.user() && entry.verb == "list" && entry.group == "apps" && entry.succeeded()
    });
    lists.expect("the audit log").len()
}

#[test]
fn everything_works_by_listing_the_affected_namespace() {
    run(async {
        let world = World::new("upstream").await;
        replace_rules(&world).await;
        world.create(&config_map("settings", "0")).await;
        world.create(&config_map("unused", "0")).await;
        world
            .create(&deployment("before", &[AUTO], &pod_with_config_map("settings")))
            .await;
        world
            .create(&deployment("bystander", &[AUTO], &plain_pod()))
            .await;
        let controller = world.controller().elected().start().await;
        for kind in ["statefulsets", "deployments"] {
            controller.wait_log(&format!("Not allowed to watch {kind}")).await;
        }
        controller.wait_log("became leader").await;

        // Created, and deleted, without the controller seeing it.
        world
            .create(&deployment("after", &[AUTO], &pod_with_config_map("settings")))
            .await;
        world
            .create(&deployment("gone", &[AUTO], &pod_with_config_map("settings")))
            .await;
        world
            .api::<Deployment>()
            .delete("gone", &DeleteParams::default())
            .await
            .expect("it is deleted");
        let mut after_the_first = 0;
        let begun = std::time::Instant::now();
        for round in 1..=3 {
            world.change_config_map("settings", &round.to_string()).await;
            for name in ["before", "after"] {
                world.wait_for_rollouts("deployments", name, round).await;
            }
            if round == 1 {
                after_the_first = workload_lists(&world);
            }
        }
        // One list for each of the three kinds and each of the later changes. Before the first a new leader may have
        // looked for what the one before had paused. Twice a minute there is another one, because no status here ever shows
        // that a rollout has ended.
        let further = 3 * usize::try_from(begun.elapsed().as_secs() / 30 + 1).expect("a short time");
        let lists = workload_lists(&world) - after_the_first;
        assert!((6..=6 + further).contains(&lists), "{lists}");
        assert_eq!(world.rollouts("deployments", "bystander"), 0);
        for name in ["before", "after"] {
            assert_eq!(world.rollouts("deployments", name), 3, "{name}");
        }
        let refused = world.plane.audit().matching(|entry| {
            entry.user == world.user() && entry.code == 403 && entry.verb != "watch" && !is_ledger(entry)
        });
        assert_eq!(
            refused.expect("the audit log").len(),
            0,
            "nothing but watching is refused"
        );
        let log = controller.replica.log();
        assert_eq!(log.matches("Not allowed to watch deployments").count(), 1);
        assert!(!log.contains("they are ignored"), "{log}");
    });
}

#[test]
fn a_cron_job_runs_and_a_job_runs_again() {
    run(async {
        let world = World::new("upstream-batch").await;
        world.replace_rules("watched", watched()).await;
        world.replace_rules("own", own()).await;
        world.create(&config_map("settings", "0")).await;
        let pod = pod_with_config_map("settings");
        let migration = world.create(&job("migrate", &[AUTO], &pod)).await;
        let controller = world.controller().start().await;
        controller.wait_log("Not allowed to watch cronjobs").await;
        controller.wait_log("Not allowed to watch jobs").await;
        world.change_config_map("settings", "1").await;
        let migration = world.wait_for_successor(&migration).await;

        // Created without the controller seeing it.
        world.create(&cron_job("backup", &[AUTO], &pod)).await;
        world.change_config_map("settings", "2").await;
        let is_backup = |name: &Option<String>| name.as_ref().is_some_and(|name| name.starts_with("backup-"));
        testbed::eventually(crate::harness::PATIENCE, "both Jobs", async || {
            let jobs = world.jobs().await;
            let backups = jobs.iter().filter(|job| is_backup(&job.metadata.name)).count();
            let again = jobs.iter().any(|job| {
                job.metadata.name == migration.metadata.name && job.metadata.uid != migration.metadata.uid
            });
            (backups == 1 && again && jobs.len() == 2).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.replica.log()));
        controller.wait_idle().await;
    });
}

#[test]
fn a_permission_granted_later_is_used_without_a_restart() {
    run(async {
        let world = World::new("granted").await;
        world.replace_rules("watched", watched()).await;
        world.create(&config_map("settings", "0")).await;
        world
            .create(&deployment("web", &[AUTO], &pod_with_config_map("settings")))
            .await;
        let controller = world.controller().start().await;
        controller.wait_log("Not allowed to watch deployments").await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;

        let mut rules = watched();
        rules[1]["verbs"] = json!(["list", "watch", "patch"]);
        world.replace_rules("watched", rules).await;
        let watching =
            world
                .plane
                .audit()
                .wait_until(crate::harness::PATIENCE, "a watch of deployments", |entries| {
                    let watches = |entry: &&std::sync::Arc<testbed::Entry>| {
                        entry.user == world.user()
                            && entry.verb == "watch"
                            && entry.resource == "deployments"
                            && entry.code == 200
                    };
                    entries.iter().find(watches).cloned()
                });
        watching.await.expect("it watches");
        world.change_config_map("settings", "2").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
    });
}

#[test]
fn created_and_deleted_sources_are_noticed_by_listing() {
    run(async {
        let world = World::new("upstream-create").await;
        world.replace_rules("watched", watched()).await;
        world.replace_rules("own", own()).await;
        let controller = world
            .controller()
            .args(["--reload-on-create=true", "--reload-on-delete=true"])
            .start()
            .await;
        controller.wait_log("Not allowed to watch deployments").await;
        world
            .create(&deployment("web", &[AUTO], &pod_with_config_map("settings")))
            .await;
        world.create(&config_map("settings", "0")).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        let deleted = world
            .api::<k8s_openapi::api::core::v1::ConfigMap>()
            .delete("settings", &DeleteParams::default())
            .await;
        deleted.expect("it is deleted");
        world.wait_for_rollouts("deployments", "web", 2).await;
    });
}

/// No event shows that it has opted in; it is listed only after the change that it must be restarted for.
#[test]
fn a_deployment_that_opts_in_is_restarted_for_the_next_change() {
    run(async {
        let world = World::new("upstream-later").await;
        replace_rules(&world).await;
        world.create(&config_map("app", "0")).await;
        world
            .create(&deployment("web", &[], &pod_with_config_map("app")))
            .await;
        let controller = world.controller().start().await;
        controller.wait_log("Not allowed to watch deployments").await;
        let annotations = Patch::Merge(json!({ "metadata": { "annotations": { AUTO.0: AUTO.1 } } }));
        let api = world.api::<Deployment>();
        api.patch("web", &PatchParams::default(), &annotations)
            .await
            .expect("it opts in");
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.change_config_map("app", "2").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), 2);
    });
}

/// Only the answer to a patch shows that it is gone: retries end there.
#[test]
fn a_deleted_deployment_owes_no_restart() {
    run(async {
        let world = World::new("upstream-gone").await;
        replace_rules(&world).await;
        world.create(&config_map("app", "0")).await;
        world
            .create(&deployment("web", &[AUTO], &pod_with_config_map("app")))
            .await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let controller = world.controller().through(&proxy).start().await;
        let refused = Fault::Status {
            code: 500,
            retry_after: None,
        };
        let refused = proxy.add(Rule::new(refused).method("PATCH").path("/deployments/web"));
        world.change_config_map("app", "1").await;
        catch("an attempt", || refused.hits() > 0).await;
        let deleted = world
            .api::<Deployment>()
            .delete("web", &DeleteParams::default())
            .await;
        deleted.expect("it is deleted");
        refused.remove();
        controller.wait_metric("reloader_pending_reloads", 0.0).await;
        controller
            .wait_metric(r#"reloader_tracked_objects{kind="Deployment"}"#, 0.0)
            .await;
    });
}

/// A new leader lists what may be paused since it listed last; not so where another Reloader looks after it.
#[test]
fn a_paused_deployment_in_an_ignored_namespace_is_never_listed() {
    run(async {
        let here = World::alone("here").await;
        here.permit_everywhere().await;
        replace_cluster_rules(&here).await;
        let ignored = here.another("elsewhere").await;
        let paused_at = (
            "deployment.reloader.stakater.com/paused-at",
            "2020-01-01T00:00:00Z",
        );
        for world in [&here, &ignored] {
            let mut web = deployment("web", &[AUTO, paused_at], &plain_pod());
            web.spec.paused = Some(true);
            world.create(&web).await;
        }
        let flag = format!("--namespaces-to-ignore={}", ignored.namespace);
        let _controller = here
            .controller()
            .elected()
            .args([EVERYWHERE, &flag])
            .start()
            .await;
        catch("the end of the pause", || {
            !here.writes_to("deployments").is_empty()
        })
        .await;
        let of_all = |entry: &testbed::Entry| entry.user == here.user() && entry.resource == "deployments";
        let requests = here.plane.audit().matching(of_all).expect("the audit log");
        for request in requests {
            let leaves_it_out = request.uri.contains(&format!(
                "fieldSelector=metadata.namespace%21%3D{}",
                ignored.namespace
            ));
            assert!(
                leaves_it_out || request.namespace == here.namespace,
                "{}",
                request.uri
            );
        }
    });
}
