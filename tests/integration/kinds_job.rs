//! Jobs: deleted and created again under their names, and never lost on the way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    batch::v1::Job,
    core::v1::ResourceQuota,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::{
    Proxy, eventually,
    proxy::{ActiveRule, Fault, Rule},
};

use crate::harness::{
    EVERYWHERE, PATIENCE, World,
    field::catch,
    kinds::{job, variable},
    objects::{config_map, deployment, from, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

const MARKER: &str = "STAKATER_APP_CONFIGMAP";
const RECREATES: &str = "reloader.stakater.com/recreates";

/// A world with a ConfigMap `app` and a Job `migrate` that uses it.
async fn world(name: &str) -> (World, Job) {
    let world = World::new(name).await;
    let job = create_app(&world).await;
    (world, job)
}

async fn create_app(world: &World) -> Job {
    world.create(&config_map("app", "0")).await;
    world
        .create(&job("migrate", &AUTO, &pod_with_config_map("app")))
        .await
}

fn template(job: &Job) -> Value {
    serde_json::to_value(&job.spec.as_ref().expect("a spec").template).expect("JSON")
}

#[rstest]
fn a_change_runs_a_job_again(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let (world, old) = world("job").await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(strategy).start().await;
        world.change_config_map("app", "1").await;
        let new = world.wait_for_successor(&old).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await, std::slice::from_ref(&new), "it is run once");

        if strategy.ends_with("env-vars") {
            assert_eq!(variable(&template(&new), MARKER), Some(digest_of("1")));
        }
        assert_eq!(new.metadata.annotations, old.metadata.annotations);
        let writes = world.writes_to("jobs");
        let steps: Vec<(&str, bool, bool)> = writes
            .iter()
            .map(|write| {
                (
                    &*write.verb,
                    write.uri.contains("dryRun=All"),
                    write.name == "migrate",
                )
            })
            .collect();
        // A dry run, the copy, the deletion, the Job, the copy's deletion. The name of what is created is in its body.
        let expected = [
            ("create", true, false),
            ("create", false, false),
            ("delete", false, true),
            ("create", false, false),
            ("delete", false, false),
        ];
        assert_eq!(
            steps.iter().map(|step| (step.0, step.1)).collect::<Vec<_>>(),
            expected.iter().map(|step| (step.0, step.1)).collect::<Vec<_>>()
        );
        assert!(writes.iter().all(|write| write.succeeded()), "{writes:#?}");
        let deletion = writes[2].request_object.as_ref().expect("a body");
        assert_eq!(writes[2].name, "migrate");
        assert_eq!(deletion["preconditions"]["uid"], json!(old.metadata.uid));
        assert_eq!(deletion["propagationPolicy"], "Background");
        let copy = &writes[1].request_object.as_ref().expect("a body")["spec"];
        assert_eq!(copy["suspend"], true);

        let events = world.wait_for_events("migrate", "Reloaded", 1).await;
        assert_eq!(
            events[0].involved_object.uid, new.metadata.uid,
            "the Event is on the new Job"
        );
        assert_eq!(events[0].involved_object.api_version.as_deref(), Some("batch/v1"));
    });
}

/// Which Jobs a change runs again under `--auto-reload-all`; upstream's would be all of them.
#[rstest]
#[case::by_default(&[], &["asked", "own"])]
#[case::as_upstream(&["--reload-every-job"], &["asked", "controlled", "finished", "own"])]
fn finished_and_controlled_jobs_are_left_alone(#[case] flags: &[&str], #[case] expected: &[&str]) {
    run(async {
        let world = World::new("job-which").await;
        world.create(&config_map("app", "0")).await;
        let pod = pod_with_config_map("app");
        world.create(&job("own", &[], &pod)).await;
        world.create(&job("finished", &[], &pod)).await;
        world.create(&job("asked", &AUTO, &pod)).await;
        let mut controlled = job("controlled", &AUTO, &pod);
        controlled.metadata.owner_references = from(json!([{
            "apiVersion": "example.com/v1", "kind": "Workflow", "name": "w", "uid": "1", "controller": true,
        }]));
        world.create(&controlled).await;
        for name in ["finished", "asked"] {
            world.complete(name).await;
        }
        let uids = async || -> Vec<(String, String)> {
            let jobs = world.jobs().await.into_iter();
            jobs.map(|job| {
                (
                    job.metadata.name.unwrap_or_default(),
                    job.metadata.uid.unwrap_or_default(),
                )
            })
            .collect()
        };
        let before = uids().await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .arg("--auto-reload-all")
            .args(flags.iter().copied())
            .start()
            .await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller
            .wait_metric(
                "reloader_action_total{workload_kind=\"Job\",result=\"success\"}",
                f64::from(u8::try_from(expected.len()).expect("a few")),
            )
            .await;
        controller.wait_idle().await;
        let after = uids().await;
        assert_eq!(after.len(), 4, "{after:?}");
        let run: Vec<&str> = before
            .iter()
            .filter(|job| !after.contains(job))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(run, expected);
    });
}

/// A quota that is used up refuses the new Job. Upstream deletes the old one first, and loses it.
#[test]
fn a_job_that_could_not_be_created_again_is_not_deleted() {
    run(async {
        let (world, old) = world("job-quota").await;
        let quota: ResourceQuota = from(json!({
            "metadata": { "name": "jobs" }, "spec": { "hard": { "count/jobs.batch": "1" } },
        }));
        world.create(&quota).await;
        let used =
            json!({ "status": { "hard": { "count/jobs.batch": "1" }, "used": { "count/jobs.batch": "1" } } });
        world
            .api::<ResourceQuota>()
            .patch_status("jobs", &PatchParams::default(), &Patch::Merge(used))
            .await
            .expect("a status");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        let events = world.wait_for_events("migrate", "ReloadFail", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains("exceeded quota") && message.contains("a second, suspended Job"),
            "{message}"
        );
        sentinel.pass().await;
        assert_eq!(world.jobs().await[0].metadata.uid, old.metadata.uid);
        assert!(
            world
                .writes_to("jobs")
                .iter()
                .all(|write| write.verb == "create" && !write.succeeded())
        );

        // It is tried until it succeeds.
        world
            .api::<ResourceQuota>()
            .delete("jobs", &kube::api::DeleteParams::default())
            .await
            .expect("it is gone");
        world.wait_for_successor(&old).await;
        controller.wait_idle().await;
    });
}

/// A policy that asks every Job for a label: what admitted the Job admits its copy.
#[test]
fn a_policy_by_labels_admits_the_copy_of_what_it_admits() {
    run(async {
        let world = World::new("job-policy").await;
        world.create(&config_map("app", "0")).await;
        let mut labelled = job("migrate", &AUTO, &pod_with_config_map("app"));
        labelled.metadata.labels = from(json!({ "team": "a", "kueue.x-k8s.io/queue-name": "q" }));
        let old = world.create(&labelled).await;
        let name = format!("{}-team", world.namespace);
        let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
        let rule = json!({
            "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"],
        });
        let policy: ValidatingAdmissionPolicy = from(json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "namespaceSelector": namespace, "resourceRules": [rule] },
                "validations": [{
                    "expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
                    "message": "Jobs need label team",
                }],
            },
        }));
        let binding: ValidatingAdmissionPolicyBinding = from(json!({
            "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] },
        }));
        let post = PostParams::default();
        let client = world.client.clone();
        Api::all(client.clone())
            .create(&post, &policy)
            .await
            .expect("a policy");
        Api::all(client).create(&post, &binding).await.expect("a binding");
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let plain = job("plain", &[], &pod_with_config_map("app"));
        eventually(PATIENCE, "the policy to be in force", async || {
            world
                .api::<Job>()
                .create(&dry_run, &plain)
                .await
                .is_err()
                .then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));

        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        let new = world.wait_for_successor(&old).await;
        controller.wait_idle().await;
        assert_eq!(new.metadata.labels, old.metadata.labels);
        let copy = world.writes_to("jobs")[1]
            .request_object
            .as_ref()
            .expect("a body")["metadata"]
            .clone();
        assert_eq!(
            copy["labels"],
            json!({ "team": "a", "reloader.stakater.com/recreates": "job" })
        );
        assert!(world.events("migrate", "ReloadFail").await.is_empty());
    });
}

/// Lets the request of that number, counted from 1, of a recreation's requests with that method meet the fault.
fn nth(proxy: &Proxy, method: &'static str, number: usize, fault: Fault) -> ActiveRule {
    let seen = Arc::new(AtomicUsize::new(0));
    let rule = Rule::new(fault).method(method).path("/jobs");
    proxy.add(
        rule.when(move |_| seen.fetch_add(1, Ordering::SeqCst) + 1 == number)
            .times(1),
    )
}

/// A controller of a world with that many sources, which dies when it sends that request for `app`'s new content.
async fn killed_at(world: &World, sources: usize, (method, number): (&'static str, usize)) {
    let proxy = world.plane.proxy().await.expect("a proxy");
    let controller = world.controller().through(&proxy).start().await;
    world.wait_for_ledger(sources).await;
    let rule = nth(&proxy, method, number, Fault::Stall);
    world.change_config_map("app", "1").await;
    catch("the step", || rule.hits() == 1).await;
    controller.replica.kill();
}

/// The leader dies at every step: the next one ends with one new Job and no copy.
#[rstest]
#[case::before_the_dry_run("POST", 1)]
#[case::before_the_copy("POST", 2)]
#[case::before_the_deletion("DELETE", 1)]
#[case::before_the_creation("POST", 3)]
#[case::before_the_copys_deletion("DELETE", 2)]
fn a_leader_killed_in_between_loses_no_job(#[case] method: &'static str, #[case] number: usize) {
    run(async {
        let (world, old) = world("job-killed").await;
        let mut sentinel = Sentinel::new(&world).await;
        killed_at(&world, 3, (method, number)).await;
        if (method, number) == ("POST", 3) {
            let left = world.jobs().await;
            assert_eq!(left.len(), 1, "the Job is gone, its copy is there");
            assert_ne!(left[0].metadata.name, old.metadata.name);
            assert_eq!(left[0].spec.as_ref().and_then(|spec| spec.suspend), Some(true));
        }

        let controller = world.controller().start().await;
        let new = world.wait_for_successor(&old).await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await, std::slice::from_ref(&new));
        assert_eq!(variable(&template(&new), MARKER), Some(digest_of("1")));
        assert_eq!(new.spec.as_ref().and_then(|spec| spec.suspend), Some(false));
        if (method, number) != ("DELETE", 2) {
            // Whichever replica created it.
            let name = new.metadata.name.as_deref().unwrap_or_default();
            let events = world.wait_for_events(name, "Reloaded", 1).await;
            assert_eq!(events[0].involved_object.uid, new.metadata.uid);
        }
    });
}

/// What a leader left behind is finished by a leader that watches its namespace, and by no other.
#[test]
fn a_copy_in_an_ignored_namespace_is_left_to_its_own_reloader() {
    run(async {
        let here = World::alone("here").await;
        here.permit_everywhere().await;
        // Before the other one in every list.
        let ignored = here.another("elsewhere").await;
        let (old_here, old_ignored) = (create_app(&here).await, create_app(&ignored).await);
        for world in [&here, &ignored] {
            killed_at(world, 1, ("POST", 3)).await;
        }
        let left = ignored.jobs().await;
        assert_eq!(left.len(), 1, "the copy");

        let flag = format!("--namespaces-to-ignore={}", ignored.namespace);
        let controller = here.controller().args([EVERYWHERE, &flag]).start().await;
        here.wait_for_successor(&old_here).await;
        controller.wait_idle().await;
        assert_eq!(ignored.jobs().await, left);

        let _controller = ignored.controller().start().await;
        ignored.wait_for_successor(&old_ignored).await;
    });
}

/// A request that fails, or whose answer is lost, is repeated by the same process.
#[rstest]
#[case::creation_refused("POST", 3, Fault::Status { code: 403, retry_after: None })]
// As a ResourceQuota answers that another creation has just changed.
#[case::creation_in_conflict("POST", 3, Fault::Status { code: 409, retry_after: None })]
#[case::copy_in_conflict("POST", 2, Fault::Status { code: 409, retry_after: None })]
#[case::deletion_in_conflict("DELETE", 1, Fault::Status { code: 409, retry_after: None })]
#[case::creation_broken("POST", 3, Fault::Status { code: 500, retry_after: None })]
#[case::creation_unanswered("POST", 3, Fault::DropAnswer)]
#[case::deletion_unanswered("DELETE", 1, Fault::DropAnswer)]
#[case::copy_unanswered("POST", 2, Fault::DropAnswer)]
fn a_step_that_fails_is_repeated(#[case] method: &'static str, #[case] number: usize, #[case] fault: Fault) {
    run(async {
        let (world, old) = world("job-failing").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().through(&proxy).start().await;
        let rule = nth(&proxy, method, number, fault);
        world.change_config_map("app", "1").await;
        let new = world.wait_for_successor(&old).await;
        assert_eq!(rule.hits(), 1);
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await, std::slice::from_ref(&new));
        assert_eq!(variable(&template(&new), MARKER), Some(digest_of("1")));
    });
}

#[test]
fn a_job_held_by_a_finalizer_is_created_when_it_is_gone() {
    run(async {
        let world = World::new("job-finalizer").await;
        world.create(&config_map("app", "0")).await;
        let mut held = job("migrate", &AUTO, &pod_with_config_map("app"));
        held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
        let old = world.create(&held).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        eventually(PATIENCE, "the deletion", async || {
            let job = world.api::<Job>().get("migrate").await.ok()?;
            job.metadata.deletion_timestamp
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        world
            .api::<Job>()
            .patch("migrate", &PatchParams::default(), &release)
            .await
            .expect("the finalizer goes");
        let new = world.wait_for_successor(&old).await;
        assert_eq!(new.metadata.finalizers, held.metadata.finalizers);
        controller.wait_idle().await;
    });
}

/// A copy as version 0.1.0 wrote it, or as any client that may create Jobs can write it: of `migrate`, with another image.
fn forged(name: &str, uid: Option<&str>, annotations: &Value) -> Job {
    let mut copy = job(name, &[], &pod_with_config_map("app"));
    let spec = copy.spec.as_mut().expect("a spec");
    spec.suspend = Some(true);
    let said = json!({
        "uid": uid, "suspend": null, "metadata": { "name": "migrate", "namespace": null }, "spec": &spec,
    });
    copy.metadata.labels = from(json!({ RECREATES: "job" }));
    copy.metadata.annotations = from(json!({ RECREATES: said.to_string() }));
    let more: std::collections::BTreeMap<String, String> = from(annotations.clone());
    copy.metadata.annotations.get_or_insert_default().extend(more);
    copy
}

/// A copy that this Reloader did not make deletes nothing and creates nothing, whatever it says.
#[rstest]
#[case::of_0_1_0(json!({}))]
#[case::with_a_made_up_seal(json!({ "reloader.stakater.com/recreates-seal": "A".repeat(43) }))]
fn a_forged_copy_deletes_and_creates_nothing(#[case] annotations: Value) {
    run(async {
        let (world, old) = world("job-forged").await;
        let forged = world
            .create(&forged("migrate-0", old.metadata.uid.as_deref(), &annotations))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        catch("the warning", || {
            controller
                .replica
                .log()
                .contains("not the seal of this Reloader's key")
        })
        .await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await, [old.clone(), forged.clone()]);
        assert!(world.writes_to("jobs").is_empty());

        // It is in no way an obstacle.
        world.change_config_map("app", "1").await;
        let is_new =
            |job: &Job| job.metadata.name == old.metadata.name && job.metadata.uid != old.metadata.uid;
        eventually(PATIENCE, "the Job's successor", async || {
            let jobs = world.jobs().await;
            (jobs.len() == 2 && jobs.iter().any(is_new)).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        controller.wait_idle().await;
        assert!(world.jobs().await.contains(&forged), "it is left alone");
    });
}

/// One of which the Job is missing is left alone as well: nothing shows its origin.
#[test]
fn a_forged_copy_of_a_missing_job_creates_nothing() {
    run(async {
        let world = World::new("job-forged-missing").await;
        world.create(&config_map("app", "0")).await;
        let forged = world.create(&forged("migrate-0", Some("1"), &json!({}))).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.jobs().await, [forged]);
        assert!(world.writes_to("jobs").is_empty());
    });
}

/// Jobs whose finalizers nothing removes hold no worker: another namespace's restart is written meanwhile.
#[test]
fn held_jobs_delay_no_other_namespace() {
    run(async {
        let world = World::alone("held-calm").await;
        world.permit_everywhere().await;
        let busy = [world.another("held-a").await, world.another("held-b").await];
        for tenant in &busy {
            tenant.create(&config_map("app", "0")).await;
            for number in 0..20 {
                let mut held = job(&format!("migrate-{number}"), &AUTO, &pod_with_config_map("app"));
                held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
                tenant.create(&held).await;
            }
        }
        world.create(&config_map("app", "0")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let controller = world.controller().arg(EVERYWHERE).start().await;
        for tenant in &busy {
            tenant.change_config_map("app", "1").await;
        }
        // Every deletion is asked for, although none of them ends: far sooner than 40 waits of 20 s.
        for tenant in &busy {
            eventually(PATIENCE, "20 deletions", async || {
                let jobs = tenant.jobs().await;
                let going = jobs
                    .iter()
                    .filter(|job| job.metadata.deletion_timestamp.is_some());
                (going.count() == 20).then_some(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        }
        let begun = std::time::Instant::now();
        world.change_config_map("app", "1").await;
        world.wait_for_variable("web", MARKER, &digest_of("1")).await;
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");

        let tenant = &busy[0];
        let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        tenant
            .api::<Job>()
            .patch("migrate-7", &PatchParams::default(), &release)
            .await
            .expect("the finalizer goes");
        let events = tenant.wait_for_events("migrate-7", "Reloaded", 1).await;
        let new = tenant.api::<Job>().get("migrate-7").await.expect("the new Job");
        assert_eq!(events[0].involved_object.uid, new.metadata.uid);
        assert!(new.metadata.deletion_timestamp.is_none());
        assert_eq!(variable(&template(&new), MARKER), Some(digest_of("1")));
        drop(controller);
    });
}
