//! CronJobs: a change runs one Job, once, whatever happens on the way.

use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::proxy::{Fault, Rule};

use crate::harness::{
    World,
    field::catch,
    kinds::{cron_job, variable},
    objects::{config_map, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

/// A world with a ConfigMap `app` and a CronJob `backup` that uses it.
async fn world(name: &str) -> World {
    let world = World::new(name).await;
    world.create(&config_map("app", "0")).await;
    world
        .create(&cron_job("backup", &AUTO, &pod_with_config_map("app")))
        .await;
    world
}

#[rstest]
fn one_change_is_one_job(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = world("cron").await;
        let before = world.api::<CronJob>().get("backup").await.expect("it exists");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(strategy).start().await;
        world.change_config_map("app", "1").await;
        let jobs = world.wait_for_jobs(1).await;
        let job = serde_json::to_value(&jobs[0]).expect("JSON");
        let metadata = &job["metadata"];
        assert!(
            metadata["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("backup-")),
            "{metadata}"
        );
        assert_eq!(metadata["labels"], json!({ "made-by": "backup" }));
        assert_eq!(
            metadata["annotations"],
            json!({ "cronjob.kubernetes.io/instantiate": "manual", "team": "a" })
        );
        let owner = json!([{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": before.metadata.uid,
            "controller": true, "blockOwnerDeletion": true,
        }]);
        assert_eq!(metadata["ownerReferences"], owner);
        assert_eq!(metadata["managedFields"][0]["manager"], "Reloader");
        let template = &job["spec"]["template"];
        if strategy.ends_with("env-vars") {
            assert_eq!(variable(template, "STAKATER_APP_CONFIGMAP"), Some(digest_of("1")));
        } else {
            let marker = &template["metadata"]["annotations"]["reloader.stakater.com/last-reloaded-from"];
            let marker: Value = serde_json::from_str(marker.as_str().expect("a text")).expect("JSON");
            assert_eq!(marker["hash"], digest_of("1"));
        }

        // Neither the same content nor a change of the ConfigMap's metadata is a change.
        world.change_config_map("app", "1").await;
        world
            .api::<k8s_openapi::api::core::v1::ConfigMap>()
            .patch(
                "app",
                &PatchParams::default(),
                &Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } })),
            )
            .await
            .expect("the ConfigMap changes");
        sentinel.pass().await;
        // A Job of a CronJob is its CronJob's: a change does not run it again.
        world.change_config_map("app", "2").await;
        world.wait_for_jobs(2).await;
        // Back to an earlier content is another change.
        world.change_config_map("app", "1").await;
        world.wait_for_jobs(3).await;
        sentinel.pass().await;
        controller.wait_idle().await;

        assert_eq!(world.writes_to("jobs").len(), 3);
        assert_eq!(
            world.api::<CronJob>().get("backup").await.expect("it exists"),
            before
        );
        let events = world.wait_for_events("backup", "Reloaded", 1).await;
        assert_eq!(events[0].involved_object.uid, before.metadata.uid);
        controller
            .wait_metric(
                "reloader_action_total{workload_kind=\"CronJob\",result=\"success\"}",
                3.0,
            )
            .await;
    });
}

#[rstest]
#[case::by_default(&[], 0)]
#[case::as_upstream(&["--reload-suspended-cronjobs"], 1)]
fn a_suspended_cron_job_does_not_run(#[case] flags: &[&str], #[case] jobs: usize) {
    run(async {
        let world = world("cron-suspended").await;
        let suspend = Patch::Merge(json!({ "spec": { "suspend": true } }));
        world
            .api::<CronJob>()
            .patch("backup", &PatchParams::default(), &suspend)
            .await
            .expect("it is suspended");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().args(flags.iter().copied()).start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await.len(), jobs);
        let skipped = controller
            .metric("reloader_skipped_total{reason=\"suspended\"}")
            .await;
        assert_eq!(skipped > 0.0, jobs == 0);
    });
}

#[test]
fn ignored_cron_jobs_are_never_requested() {
    run(async {
        let world = world("cron-ignored").await;
        let mut sentinel = Sentinel::new(&world).await;
        let flag = "--ignored-workload-types=cronjobs,jobs";
        let controller = world.controller().arg(flag).start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        let batch = |entry: &testbed::Entry| entry.user == world.user() && entry.group == "batch";
        assert_eq!(
            world.plane.audit().matching(batch).expect("the audit log").len(),
            0
        );
    });
}

/// Nothing on the CronJob shows that the Job was created; only the Job's name does.
#[rstest]
#[case::dropped(Fault::DropAnswer)]
#[case::cut(Fault::TruncateBody(100))]
fn a_job_whose_answer_is_lost_is_created_once(#[case] fault: Fault) {
    run(async {
        let world = world("cron-lost").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().through(&proxy).start().await;
        let rule = proxy.add(Rule::new(fault).method("POST").path("/jobs").times(2));
        world.change_config_map("app", "1").await;
        catch("the faults", || rule.hits() == 2).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await.len(), 1);
        assert!(world.writes_to("jobs").len() >= 3);
    });
}

/// A `ResourceQuota` that another creation has just changed answers so: nothing was created.
#[test]
fn a_job_whose_creation_meets_a_conflict_is_created() {
    run(async {
        let world = world("cron-conflict").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().through(&proxy).start().await;
        let conflict = Fault::Status {
            code: 409,
            retry_after: None,
        };
        let rule = proxy.add(Rule::new(conflict).method("POST").path("/jobs").times(2));
        world.change_config_map("app", "1").await;
        world.wait_for_jobs(1).await;
        assert_eq!(rule.hits(), 2);
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await.len(), 1);
    });
}

#[test]
fn a_leader_killed_after_creating_a_job_does_not_create_another() {
    run(async {
        let world = world("cron-killed").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().through(&proxy).start().await;
        world.wait_for_ledger(3).await;
        // The ledger cannot tell that the Job was created: it is never written again.
        let unwritten = proxy.add(Rule::new(Fault::Stall).method("PUT").path("/configmaps/"));
        world.change_config_map("app", "1").await;
        world.wait_for_jobs(1).await;
        controller.replica.kill();
        unwritten.remove();

        let controller = world.controller().start().await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await.len(), 1);
        let attempts = world.writes_to("jobs");
        assert_eq!(
            attempts.len(),
            2,
            "it is tried again, under the same name: {attempts:#?}"
        );
        // The ledger is written before anything else may happen.
        world.wait_for_ledger(3).await;
        controller.replica.kill();
        let controller = world.controller().start().await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.writes_to("jobs").len(), 2);
    });
}

/// Where `OwnerReferencesPermissionEnforcement` is on (as on `OpenShift`), blocking the owner's deletion needs a
/// permission that upstream's roles do not grant.
#[test]
fn a_job_that_may_not_block_its_owners_deletion_does_without() {
    run(async {
        let flag = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement";
        let world = World::with_apiserver_flag(flag, "cron-blocking").await;
        world.create(&config_map("app", "0")).await;
        world
            .create(&cron_job("backup", &AUTO, &pod_with_config_map("app")))
            .await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        let jobs = world.wait_for_jobs(1).await;
        let owners = jobs[0].metadata.owner_references.as_ref().expect("an owner");
        assert_eq!(
            (owners[0].controller, owners[0].block_owner_deletion),
            (Some(true), None)
        );
        controller.wait_idle().await;
        let codes: Vec<u16> = world.writes_to("jobs").iter().map(|entry| entry.code).collect();
        assert_eq!(codes, [403, 201]);
    });
}
