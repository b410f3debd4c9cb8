use rstest::rstest;

use super::super::body::tests::{DIGEST, plan};
use super::*;
use crate::decide::Strategy;

fn seal() -> Seal {
    Seal::new(&[7; 32])
}

fn env_vars() -> Plan {
    plan(Strategy::EnvVars, &[("main", "app")])
}

fn marker() -> Value {
    json!([{ "name": "STAKATER_APP_CONFIGMAP", "value": DIGEST }])
}

fn cron_job(job_metadata: &Value) -> Value {
    json!({
        "metadata": { "name": "backup", "namespace": "team", "uid": "cron-1", "resourceVersion": "3" },
        "spec": {
            "schedule": "@daily",
            "jobTemplate": {
                "metadata": job_metadata,
                "spec": { "backoffLimit": 2, "template": { "spec": { "containers": [{ "name": "main" }] } } },
            },
        },
    })
}

#[test]
fn a_cron_jobs_job_belongs_to_it() {
    let template = json!({ "labels": { "app": "backup" }, "annotations": { "team": "a" } });
    let job = of_cron_job(
        &cron_job(&template),
        "backup-1",
        OwnerReference::Blocking,
        &env_vars(),
    )
    .unwrap();
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "backup-1",
            "namespace": "team",
            "labels": { "app": "backup" },
            "annotations": { "cronjob.kubernetes.io/instantiate": "manual", "team": "a" },
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "cron-1",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "backoffLimit": 2,
            "template": { "spec": { "containers": [{ "name": "main", "env": marker() }] } },
        },
    });
    assert_eq!(job, expected);
}

#[test]
fn the_templates_annotations_win_and_the_owner_need_not_block() {
    let template = json!({ "annotations": { "cronjob.kubernetes.io/instantiate": "never" } });
    let job = of_cron_job(
        &cron_job(&template),
        "backup-1",
        OwnerReference::NonBlocking,
        &env_vars(),
    )
    .unwrap();
    assert_eq!(
        job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"],
        "never"
    );
    assert!(
        job["metadata"]["ownerReferences"][0]
            .get("blockOwnerDeletion")
            .is_none()
    );
}

fn job(selector: bool, suspend: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "migrate", "namespace": "team", "uid": "old", "resourceVersion": "3", "generation": 4,
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}],
            "labels": { "app": "x" }, "annotations": { "a": "b" }, "finalizers": ["f/g"],
            "ownerReferences": [{ "kind": "Application" }],
        },
        "spec": {
            "selector": { "matchLabels": { "controller-uid": "old" } },
            "fieldOfTomorrow": 1,
            "template": {
                "metadata": { "labels": {
                    "app": "x", "controller-uid": "old", "batch.kubernetes.io/controller-uid": "old",
                    "job-name": "migrate", "batch.kubernetes.io/job-name": "migrate",
                } },
                "spec": { "containers": [{ "name": "main" }] },
            },
        },
        "status": { "succeeded": 1 },
    });
    if selector {
        job["spec"]["manualSelector"] = true.into();
    }
    if !suspend.is_null() {
        job["spec"]["suspend"] = suspend.clone();
    }
    job
}

#[test]
fn a_successor_is_the_same_without_what_the_api_server_gives() {
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "migrate", "namespace": "team", "labels": { "app": "x" }, "annotations": { "a": "b" },
            "finalizers": ["f/g"], "ownerReferences": [{ "kind": "Application" }],
        },
        "spec": {
            "fieldOfTomorrow": 1,
            "template": {
                "metadata": { "labels": { "app": "x" } },
                "spec": { "containers": [{ "name": "main", "env": marker() }] },
            },
        },
    });
    assert_eq!(successor(&job(false, &Value::Null), &env_vars()), Ok(expected));
}

#[test]
fn a_job_that_selects_its_pods_keeps_its_selector() {
    let job = job(true, &Value::Null);
    let successor = successor(&job, &env_vars()).unwrap();
    assert_eq!(successor["spec"]["selector"], job["spec"]["selector"]);
    assert_eq!(
        successor["spec"]["template"]["metadata"],
        job["spec"]["template"]["metadata"]
    );
}

/// The API server gives the copy a selector and labels of its own.
#[rstest]
fn a_copy_runs_nothing_and_holds_everything(
    #[values(Value::Null, json!(false), json!(true))] suspend: Value,
    #[values(false, true)] selector: bool,
) {
    let recreation = Recreation {
        old_uid: "old".to_owned(),
        successor: successor(&job(selector, &suspend), &env_vars()).unwrap(),
    };
    let mut copy = stored(&recreation, &seal());
    assert_eq!(copy["spec"]["suspend"], true);
    assert_eq!(
        copy["metadata"]["name"],
        recreation.rehearsal()["metadata"]["name"]
    );
    for absent in ["finalizers", "ownerReferences"] {
        assert!(copy["metadata"].get(absent).is_none());
    }
    copy["metadata"]["uid"] = "copy".into();
    if !selector {
        copy["spec"]["selector"] = json!({ "matchLabels": { "controller-uid": "copy" } });
        copy["spec"]["template"]["metadata"]["labels"]["controller-uid"] = "copy".into();
    }
    assert_eq!(Recreation::of_copy(&copy, &seal()), Some(recreation));
}

fn recreation() -> Recreation {
    Recreation {
        old_uid: "old".to_owned(),
        successor: successor(&job(false, &Value::Null), &env_vars()).unwrap(),
    }
}

/// When copies are sealed here.
const SEALED_AT: UnixSeconds = UnixSeconds(1_767_225_600);

/// The copy as the API server stores it at once.
fn stored(recreation: &Recreation, seal: &Seal) -> Value {
    let mut copy = recreation.copy(seal, SEALED_AT);
    copy["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z".into();
    copy
}

/// What another client can do to a genuine copy.
#[rstest]
#[case::another_job(|copy: &mut Value| change(copy, RECREATES, |said| said.replace("migrate", "payroll")))]
#[case::another_uid(|copy: &mut Value| change(copy, RECREATES, |said| said.replace("\"old\"", "\"other\"")))]
#[case::another_image(|copy: &mut Value| change(copy, RECREATES, |said| said.replace("main", "evil")))]
#[case::another_seal(|copy: &mut Value| change(copy, SEAL, str::to_uppercase))]
#[case::no_seal(|copy: &mut Value| remove(&mut copy["metadata"]["annotations"], &[SEAL]))]
#[case::another_namespace(|copy: &mut Value| copy["metadata"]["namespace"] = "other".into())]
#[case::later(|copy: &mut Value| copy["metadata"]["creationTimestamp"] = "2026-01-01T01:00:00Z".into())]
#[case::at_no_time(|copy: &mut Value| copy["metadata"]["creationTimestamp"] = Value::Null)]
#[case::another_name(|copy: &mut Value| copy["metadata"]["name"] = "migrate-1".into())]
fn a_forged_copy_is_not_trusted(#[case] forge: fn(&mut Value)) {
    let mut copy = stored(&recreation(), &seal());
    assert!(Recreation::of_copy(&copy, &seal()).is_some());
    forge(&mut copy);
    assert_eq!(Recreation::of_copy(&copy, &seal()), None);
}

fn change(copy: &mut Value, annotation: &str, change: impl Fn(&str) -> String) {
    let text = &mut copy["metadata"]["annotations"][annotation];
    *text = change(text.as_str().unwrap()).into();
}

#[test]
fn a_copy_of_another_key_is_not_trusted() {
    let other = Seal::new(&[8; 32]);
    let copy = stored(&recreation(), &other);
    assert_eq!(Recreation::of_copy(&copy, &seal()), None);
}

/// Version 0.1.0 removes the copy by its name: one that it did not find would be taken for interrupted at every start.
#[test]
fn the_copy_has_the_name_that_0_1_0_gives_it() {
    assert_eq!(
        recreation().copy_name(),
        unique_name("migrate", &Sha1::digest("old"))
    );
}

/// What is created is what was sealed, whatever else the copy says.
#[test]
fn the_spec_beside_the_annotation_does_not_count() {
    let mut copy = stored(&recreation(), &seal());
    copy["spec"]["template"]["spec"]["containers"][0]["image"] = "evil".into();
    assert_eq!(Recreation::of_copy(&copy, &seal()), Some(recreation()));
}

#[test]
fn a_name_that_cannot_be_one_reaches_no_url() {
    let mut recreation = recreation();
    recreation.successor["metadata"]["name"] = "../secrets/a".into();
    let copy = stored(&recreation, &seal());
    assert_eq!(Recreation::of_copy(&copy, &seal()), None);
}

/// Policies by labels admit it as they admitted the Job; neither a queue starts it nor does Argo CD prune it.
#[test]
fn a_copy_keeps_the_labels_that_select_no_job() {
    let mut successor = successor(&job(false, &Value::Null), &env_vars()).unwrap();
    successor["metadata"]["labels"] = json!({
        "team": "a", "job-name": "x", "batch.kubernetes.io/job-name": "x", "controller-uid": "x",
        "batch.kubernetes.io/controller-uid": "x", "kueue.x-k8s.io/queue-name": "q",
    });
    let recreation = Recreation {
        old_uid: "old".to_owned(),
        successor,
    };
    let metadata = stored(&recreation, &seal())["metadata"].clone();
    assert_eq!(metadata["labels"], json!({ "team": "a", RECREATES: "job" }));
    assert_eq!(
        metadata["annotations"]["argocd.argoproj.io/sync-options"],
        "Prune=false"
    );
}

#[rstest]
#[case("no JSON")]
#[case("{}")]
#[case(r#"{"uid":"1","metadata":{}}"#)]
fn what_is_no_copy_is_left_alone(#[case] said: &str) {
    let annotations = json!({ RECREATES: said, SEAL: seal().of(said) });
    let job = json!({ "metadata": { "annotations": annotations } });
    assert_eq!(Recreation::of_copy(&job, &seal()), None);
    assert_eq!(Recreation::of_copy(&json!({}), &seal()), None);
}

#[test]
fn only_a_rehearsal_is_not_suspended() {
    let recreation = Recreation {
        old_uid: "old".to_owned(),
        successor: successor(&job(false, &Value::Null), &env_vars()).unwrap(),
    };
    let mut rehearsal = recreation.rehearsal();
    assert_ne!(rehearsal["metadata"]["name"], "migrate");
    rehearsal["metadata"]["name"] = "migrate".into();
    assert_eq!(rehearsal, recreation.successor);
}

/// What `kubectl apply` writes beside the spec holds the spec once more.
#[test]
fn a_large_jobs_copy_fits_beside_its_own_annotations() {
    let script = "x".repeat(130 << 10);
    let spec = json!({ "template": { "spec": { "containers": [{ "name": "main", "args": [script] }] } } });
    let applied = json!({ "apiVersion": "batch/v1", "kind": "Job", "spec": spec }).to_string();
    let job = |annotations: &Value| {
        json!({
            "metadata": { "name": "migrate", "namespace": "team", "uid": "1", "annotations": annotations },
            "spec": spec,
        })
    };
    let recreation = |annotations: &Value| Recreation {
        old_uid: "1".to_owned(),
        successor: successor(&job(annotations), &env_vars()).unwrap(),
    };
    let whole = recreation(&json!({ LAST_APPLIED: applied, "team": "a" }));
    let copy = stored(&whole, &seal());
    let annotations = copy["metadata"]["annotations"].as_object().unwrap();
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().unwrap().len())
        .sum();
    assert!(bytes < 256 << 10, "{bytes}");
    let restored = Recreation::of_copy(&copy, &seal()).unwrap();
    assert_eq!(restored, recreation(&json!({ "team": "a" })));
    // What fits stays.
    let small = Recreation {
        successor: json!({ "metadata": { "name": "migrate", "namespace": "team", "annotations": { LAST_APPLIED: "{}" } } }),
        ..whole
    };
    let restored = Recreation::of_copy(&stored(&small, &seal()), &seal()).unwrap();
    assert_eq!(restored.successor["metadata"], small.successor["metadata"]);
}
