use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::{Replacement, Restart, SourceRef, UnixSeconds, Workload, opt_in::RECREATES};

fn reading() -> Reading {
    Reading::default()
}

fn read(kind: WorkloadKind, object: Value, reading: &Reading) -> Option<Workload> {
    let object: WorkloadObject = serde_json::from_value(object).unwrap();
    reading.read(object, kind)
}

fn uses(workload: &Workload) -> Vec<&SourceRef> {
    workload.template.references().collect()
}

/// A pod template that uses the ConfigMap `app`.
fn template() -> Value {
    json!({ "spec": { "containers": [{ "name": "main", "envFrom": [{ "configMapRef": { "name": "app" } }] }] } })
}

fn auto() -> Value {
    json!({ "name": "web", "namespace": "team", "annotations": { "reloader.stakater.com/auto": "true" } })
}

#[rstest]
fn what_is_being_deleted_is_no_workload(
    #[values(
        WorkloadKind::Deployment,
        WorkloadKind::StatefulSet,
        WorkloadKind::CronJob,
        WorkloadKind::Job,
        WorkloadKind::Rollout,
        WorkloadKind::DeploymentConfig
    )]
    kind: WorkloadKind,
    #[values(true, false)] every_job: bool,
) {
    let reading = Reading {
        every_job,
        ..reading()
    };
    let mut object = json!({ "metadata": auto(), "spec": { "template": template() } });
    assert!(read(kind, object.clone(), &reading).is_some());
    object["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
    assert_eq!(read(kind, object, &reading), None);
}

#[test]
fn a_cron_jobs_template_is_that_of_its_jobs() {
    let object = json!({
        "metadata": auto(),
        "spec": { "suspend": true, "jobTemplate": { "spec": { "template": template() } } },
    });
    let workload = read(WorkloadKind::CronJob, object, &reading()).unwrap();
    assert_eq!(uses(&workload), [&SourceRef::new(SourceKind::ConfigMap, "app")]);
    assert_eq!(workload.restart, Restart::NewJob { suspended: true });
}

#[rstest]
#[case::running(auto(), json!({}), false, true)]
#[case::unfinished_condition(auto(), json!({ "conditions": [{ "type": "Complete", "status": "False" }] }), false, true)]
#[case::complete_and_annotated(auto(), json!({ "conditions": [{ "type": "Complete", "status": "True" }] }), false, true)]
#[case::complete(json!({ "name": "web" }), json!({ "conditions": [{ "type": "Complete", "status": "True" }] }), false, false)]
#[case::failed(json!({ "name": "web" }), json!({ "conditions": [{ "type": "Failed", "status": "True" }] }), false, false)]
#[case::controlled(json!({ "name": "web", "annotations": auto()["annotations"],
    "ownerReferences": [{ "kind": "CronJob", "controller": true }] }), json!({}), false, false)]
#[case::owned(json!({ "name": "web", "ownerReferences": [{ "kind": "Application" }] }), json!({}), false, true)]
#[case::copy(json!({ "name": "web", "annotations": { RECREATES: "{}" } }), json!({}), false, false)]
#[case::every_complete(json!({ "name": "web" }), json!({ "conditions": [{ "type": "Complete", "status": "True" }] }), true, true)]
#[case::every_controlled(json!({ "name": "web", "ownerReferences": [{ "controller": true }] }), json!({}), true, true)]
#[case::never_the_copy(json!({ "name": "web", "annotations": { RECREATES: "{}" } }), json!({}), true, false)]
fn which_jobs_are_run_again(
    #[case] metadata: Value,
    #[case] status: Value,
    #[case] every_job: bool,
    #[case] kept: bool,
) {
    let reading = Reading {
        every_job,
        auto_reload_all: true,
        ..reading()
    };
    let object = json!({ "metadata": metadata, "spec": { "template": template() }, "status": status });
    let workload = read(WorkloadKind::Job, object, &reading);
    assert_eq!(workload.is_some(), kept);
    assert!(
        workload.is_none_or(|workload| workload.restart == Restart::Recreate && !uses(&workload).is_empty())
    );
}

/// The fields of `managedFields` under which the variables of a container lie.
fn of_variables(variables: &Value) -> Value {
    json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {
        "k:{\"name\":\"main\"}": { "f:env": variables }
    } } } } })
}

fn marker() -> Value {
    let variable = json!({ ".": {}, "f:name": {}, "f:value": {} });
    of_variables(&json!({ "k:{\"name\":\"STAKATER_APP_CONFIGMAP\"}": variable }))
}

fn ours(fields: &Value, time: &str) -> Value {
    json!({ "manager": "Reloader", "time": time, "fieldsV1": fields })
}

#[rstest]
#[case::ours_last(json!([ours(&marker(), "2026-01-02T03:04:05Z"), { "manager": "Reloader" },
    ours(&marker(), "2026-01-01T00:00:00Z"), { "manager": "kubectl", "time": "2026-02-01T00:00:00Z", "fieldsV1": marker() }]),
    Some(UnixSeconds(1_767_323_045)))]
#[case::only_others(json!([{ "manager": "kubectl", "time": "2026-02-01T00:00:00Z", "fieldsV1": marker() }, {}, null]), None)]
#[case::no_time(json!([ours(&marker(), "yesterday")]), None)]
#[case::another_has_written_the_text_since(json!([ours(&of_variables(&json!({
    "k:{\"name\":\"STAKATER_APP_CONFIGMAP\"}": { ".": {}, "f:name": {} } })), "2026-01-02T03:04:05Z")]), None)]
#[case::no_marker(json!([ours(&of_variables(&json!({
    "k:{\"name\":\"APP\"}": { "f:value": {} } })), "2026-01-02T03:04:05Z")]), None)]
#[case::the_annotation(json!([ours(&json!({ "f:spec": { "f:template": { "f:metadata": { "f:annotations": {
    "f:reloader.stakater.com/last-reloaded-from": {} } } } } }), "2026-01-02T03:04:05Z")]), Some(UnixSeconds(1_767_323_045)))]
#[case::all_containers_as_one_value(json!([ours(&json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {} } } } }),
    "2026-01-02T03:04:05Z")]), Some(UnixSeconds(1_767_323_045)))]
fn it_is_known_when_reloader_wrote_the_markers(
    #[case] managed_fields: Value,
    #[case] expected: Option<UnixSeconds>,
) {
    let mut metadata = auto();
    metadata["managedFields"] = managed_fields;
    let object = json!({ "metadata": metadata, "spec": { "template": template() } });
    let workload = read(WorkloadKind::Deployment, object, &reading()).unwrap();
    assert_eq!(workload.template.written_at, expected);
}

#[rstest]
#[case::undo(json!({ "f:spec": { "f:template": { "f:spec": {} } } }), "kubectl-rollout", true)]
#[case::an_apply_owns_more(json!({ "f:spec": { "f:template": {}, "f:replicas": {} } }), "kubectl", false)]
#[case::and_of_the_metadata(json!({ "f:spec": { "f:template": {} }, "f:metadata": {} }), "helm", false)]
#[case::ours(json!({ "f:spec": { "f:template": {} } }), "Reloader", false)]
#[case::nothing(json!({}), "kubectl", false)]
fn who_owns_the_template_only_has_written_it_last(
    #[case] fields: Value,
    #[case] manager: &str,
    #[case] expected: bool,
) {
    let mut metadata = auto();
    metadata["managedFields"] =
        json!([{ "manager": manager, "time": "2026-01-02T03:04:05Z", "fieldsV1": fields }]);
    let object = json!({ "metadata": metadata, "spec": { "template": template() } });
    let workload = read(WorkloadKind::Deployment, object, &reading()).unwrap();
    assert_eq!(workload.template.replaced_at.is_some(), expected);
}

#[test]
fn every_field_of_a_template_makes_it_another_one() {
    let of = |template: Value| {
        let object = json!({ "metadata": auto(), "spec": { "replicas": 2, "template": template } });
        read(WorkloadKind::Deployment, object, &reading())
            .unwrap()
            .template
            .fingerprint
    };
    let one = of(template());
    assert!(one.is_same(of(template())));
    let changes: [fn(&mut Value); 3] = [
        |template| template["spec"]["containers"][0]["image"] = json!("app:2"),
        |template| template["metadata"]["annotations"]["checksum/config"] = json!("1"),
        |template| template["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "b" }]),
    ];
    for change in changes {
        let mut other = template();
        change(&mut other);
        assert!(one.differs(of(other.clone())), "{other}");
    }
    assert_eq!(format!("{one:?}"), "Fingerprint", "it is of values");
}

#[rstest]
#[case::none(json!({}), false)]
#[case::all_ready(json!({ "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), false)]
#[case::one_starts(json!({ "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2 }), true)]
#[case::none_is_ready(json!({ "replicas": 2 }), true)]
#[case::rolling(json!({ "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1 }), true)]
#[case::of_a_deployment_config(json!({ "latestVersion": 3, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 0,
    "availableReplicas": 2, "unavailableReplicas": 0 }), true)]
#[case::none_is_updated(json!({ "replicas": 2, "readyReplicas": 2 }), true)]
#[case::on_nodes(json!({ "desiredNumberScheduled": 2, "numberReady": 1 }), true)]
#[case::on_nodes_none_is_updated(json!({ "desiredNumberScheduled": 2, "numberReady": 2 }), true)]
fn a_status_tells_whether_pods_may_start(#[case] status: Value, #[case] are_moving: bool) {
    let of = |status: &Value, replicas: i64| {
        let object = json!({ "metadata": auto(), "spec": { "replicas": replicas, "template": template() }, "status": status });
        read(WorkloadKind::Deployment, object, &reading()).unwrap().pods
    };
    let pods = of(&status, 2);
    assert_eq!(pods.are_moving, are_moving);
    let mut other = status.clone();
    for observed in [json!(9), json!("9")] {
        other["observedGeneration"] = observed;
        let now = of(&other, 2);
        assert_eq!(
            pods.counts, now.counts,
            "a change of the spec moves no pod by itself"
        );
        let all = json!({ "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 });
        assert_eq!(now.are_complete, status == all);
    }
    other["replicas"] = json!(7);
    assert_ne!(pods.counts, of(&other, 2).counts);
    assert_ne!(pods.counts, of(&status, 3).counts);
}

/// After a patch its answer, and for as long as the watch is silent nothing else, has the counts from before.
#[rstest]
#[case::observed(json!({ "observedGeneration": 7, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), false)]
#[case::patched(json!({ "observedGeneration": 6, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), true)]
#[case::of_a_text(json!({ "observedGeneration": "6", "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), true)]
#[case::scaled_from_none(json!({ "observedGeneration": 6 }), true)]
#[case::fewer_than_asked(json!({ "observedGeneration": 7, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1 }), true)]
#[case::none_is_there(json!({ "observedGeneration": 7 }), false)]
#[case::without_a_number(json!({ "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 }), false)]
#[case::new(json!({}), false)]
fn pods_may_start_while_the_spec_is_not_observed(#[case] status: Value, #[case] are_moving: bool) {
    let mut metadata = auto();
    metadata["generation"] = json!(7);
    let object =
        json!({ "metadata": metadata, "spec": { "replicas": 2, "template": template() }, "status": status });
    let pods = read(WorkloadKind::Deployment, object, &reading()).unwrap().pods;
    assert_eq!(pods.are_moving, are_moving);
}

/// Which numbers its controller leaves out is not known.
#[test]
fn a_custom_kind_without_a_number_of_updated_pods_is_not_moving() {
    let of = |kind| {
        let status = json!({ "observedGeneration": 7, "replicas": 2, "readyReplicas": 2 });
        let mut metadata = auto();
        metadata["generation"] = json!(7);
        let object = json!({ "metadata": metadata, "spec": { "replicas": 2, "template": template() }, "status": status });
        read(kind, object, &reading()).unwrap().pods
    };
    assert!(of(WorkloadKind::StatefulSet).are_moving);
    let custom = Box::leak(Box::new("example.com/v1/Clone".parse().unwrap()));
    assert!(!of(WorkloadKind::Custom(custom)).are_moving);
}

/// With none updated an aborted Rollout is settled, and so is what waits for a user.
#[rstest]
#[case::rolling(WorkloadKind::Rollout, json!({ "phase": "Progressing" }), json!({}), true)]
#[case::aborted(WorkloadKind::Rollout, json!({ "phase": "Degraded" }), json!({}), false)]
#[case::on_delete(WorkloadKind::StatefulSet, json!({}), json!({ "updateStrategy": { "type": "OnDelete" } }), false)]
#[case::paused(WorkloadKind::Deployment, json!({}), json!({ "paused": true }), false)]
fn pods_that_nothing_replaces_do_not_move(
    #[case] kind: WorkloadKind,
    #[case] says: Value,
    #[case] asks: Value,
    #[case] are_moving: bool,
) {
    let mut status = json!({ "observedGeneration": 7, "replicas": 2, "readyReplicas": 2 });
    status
        .as_object_mut()
        .unwrap()
        .extend(says.as_object().unwrap().clone());
    let mut spec = json!({ "replicas": 2, "template": template() });
    spec.as_object_mut()
        .unwrap()
        .extend(asks.as_object().unwrap().clone());
    let mut metadata = auto();
    metadata["generation"] = json!(7);
    let object = json!({ "metadata": metadata, "spec": spec, "status": status });
    assert_eq!(
        read(kind, object, &reading()).unwrap().pods.are_moving,
        are_moving
    );
}

#[test]
fn a_rollout_says_how_it_is_restarted() {
    let rollout = |strategy: &str| {
        let mut metadata = auto();
        metadata["annotations"]["reloader.stakater.com/rollout-strategy"] = json!(strategy);
        let object = json!({
            "metadata": metadata,
            "spec": { "restartAt": "2026-01-02T03:04:05Z", "template": template() },
        });
        read(WorkloadKind::Rollout, object, &reading()).unwrap().restart
    };
    assert_eq!(
        rollout("restart"),
        Restart::At {
            last: Some(UnixSeconds(1_767_323_045))
        }
    );
    assert_eq!(rollout("rollout"), Restart::Template);
    assert_eq!(rollout("Restart"), Restart::Template);
}

#[test]
fn a_rollout_may_use_the_template_of_a_deployment_only() {
    let of = |kind: &str| {
        let object =
            json!({ "metadata": auto(), "spec": { "workloadRef": { "kind": kind, "name": "web" } } });
        read(WorkloadKind::Rollout, object, &reading())
            .unwrap()
            .template_of
    };
    assert_eq!(of("Deployment").as_deref(), Some("web"));
    assert_eq!(of("ReplicaSet"), None);
}

#[test]
fn a_deployment_that_asks_for_nothing_keeps_its_template_only_for_rollouts() {
    let object = json!({ "metadata": { "name": "web" }, "spec": { "template": template() } });
    let followed = Reading {
        follow_references: true,
        ..reading()
    };
    let kept = |reading: &Reading| {
        !uses(&read(WorkloadKind::Deployment, object.clone(), reading).unwrap()).is_empty()
    };
    assert!(!kept(&reading()) && kept(&followed));
}

#[rstest]
#[case::by_default("example.com/v1/Clone", json!({ "spec": { "template": template() } }), 1)]
#[case::elsewhere("example.com/v1/Clone:spec.pods.template", json!({ "spec": { "pods": { "template": template() } } }), 1)]
#[case::nowhere("example.com/v1/Clone:spec.pods", json!({ "spec": {} }), 0)]
#[case::of_another_form("example.com/v1/Clone", json!({ "spec": { "template": 7 } }), 0)]
#[case::a_list("example.com/v1/Clone:spec.pods", json!({ "spec": { "pods": [template()] } }), 0)]
#[case::in_a_list("example.com/v1/Clone:spec.pods.template", json!({ "spec": { "pods": [{ "template": template() }] } }), 0)]
#[case::another_object("example.com/v1/Clone:spec", json!({ "spec": { "template": template() } }), 0)]
fn a_custom_resources_template_is_where_the_user_says(
    #[case] kind: &str,
    #[case] mut object: Value,
    #[case] references: usize,
) {
    let kind = WorkloadKind::Custom(Box::leak(Box::new(kind.parse().unwrap())));
    object["metadata"] = auto();
    let object: RawObject = serde_json::from_value(object).unwrap();
    let workload = reading().read(object.into_object(kind), kind).unwrap();
    assert_eq!(uses(&workload).len(), references);
    assert_eq!(workload.lacks_template, references == 0);
    assert_eq!((&*workload.key.namespace, &*workload.key.name), ("team", "web"));
}

#[rstest]
#[case::there(auto(), template(), false, false)]
#[case::null(auto(), json!(null), false, true)]
#[case::no_containers(auto(), json!({ "spec": { "containers": null } }), false, true)]
#[case::wants_nothing(json!({ "name": "web" }), json!(null), false, false)]
#[case::all_are_restarted(json!({ "name": "web" }), json!(null), true, true)]
fn a_deployment_config_that_asks_for_restarts_may_lack_a_template(
    #[case] metadata: Value,
    #[case] template: Value,
    #[case] auto_reload_all: bool,
    #[case] expected: bool,
) {
    let reading = Reading {
        auto_reload_all,
        ..reading()
    };
    let object = json!({ "metadata": metadata, "spec": { "template": template } });
    let of_kind = |kind| read(kind, object.clone(), &reading).unwrap().lacks_template;
    assert_eq!(of_kind(WorkloadKind::DeploymentConfig), expected);
    assert!(!of_kind(WorkloadKind::Deployment));
}

/// What a change of the pod template does to the pods, by the fields of `spec` that say so.
#[rstest]
#[case::deployment(WorkloadKind::Deployment, json!({}), Replacement::All)]
#[case::recreated_at_once(WorkloadKind::Deployment, json!({ "strategy": { "type": "Recreate" } }), Replacement::All)]
#[case::paused(WorkloadKind::Deployment, json!({ "paused": true }), Replacement::Partly(HeldBack::Paused))]
#[case::resumed(WorkloadKind::Deployment, json!({ "paused": false }), Replacement::All)]
#[case::stateful_set(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "type": "RollingUpdate" } }), Replacement::All)]
#[case::partition_of_none(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "rollingUpdate": { "partition": 0 } } }),
    Replacement::All)]
#[case::partition(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "rollingUpdate": { "partition": 1 } } }),
    Replacement::Partly(HeldBack::Partition))]
#[case::partition_of_all(WorkloadKind::StatefulSet, json!({ "replicas": 2, "updateStrategy": { "type": "RollingUpdate",
    "rollingUpdate": { "partition": 5 } } }), Replacement::Partly(HeldBack::Partition))]
#[case::stateful_set_on_delete(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "type": "OnDelete" } }),
    Replacement::Partly(HeldBack::OnDelete))]
#[case::on_delete_before_partition(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "type": "OnDelete",
    "rollingUpdate": { "partition": 1 } } }), Replacement::Partly(HeldBack::OnDelete))]
#[case::daemon_set(WorkloadKind::DaemonSet, json!({ "updateStrategy": { "rollingUpdate": { "partition": 1 } } }),
    Replacement::All)]
#[case::daemon_set_on_delete(WorkloadKind::DaemonSet, json!({ "updateStrategy": { "type": "OnDelete" } }),
    Replacement::Partly(HeldBack::OnDelete))]
#[case::canary(WorkloadKind::Rollout, json!({ "strategy": { "canary": { "steps": [{ "pause": {} }] } } }), Replacement::All)]
#[case::paused_rollout(WorkloadKind::Rollout, json!({ "paused": true }), Replacement::Partly(HeldBack::Paused))]
#[case::deployment_config(WorkloadKind::DeploymentConfig, json!({}), Replacement::All)]
#[case::default_triggers(WorkloadKind::DeploymentConfig, json!({ "triggers": null, "strategy": { "type": "Recreate" } }),
    Replacement::All)]
#[case::config_change(WorkloadKind::DeploymentConfig, json!({ "triggers": [{ "type": "ImageChange" },
    { "type": "ConfigChange" }] }), Replacement::All)]
#[case::no_triggers(WorkloadKind::DeploymentConfig, json!({ "triggers": [] }), Replacement::Partly(HeldBack::NoTrigger))]
#[case::other_triggers(WorkloadKind::DeploymentConfig, json!({ "strategy": { "type": "Custom" },
    "triggers": [{ "type": "ImageChange" }, null, {}, 7] }), Replacement::Partly(HeldBack::NoTrigger))]
#[case::triggers_of_another_form(WorkloadKind::DeploymentConfig, json!({ "triggers": "none" }), Replacement::All)]
#[case::custom_deployer(WorkloadKind::DeploymentConfig, json!({ "strategy": { "type": "Custom" },
    "triggers": [{ "type": "ConfigChange" }] }), Replacement::Unknown)]
#[case::paused_deployment_config(WorkloadKind::DeploymentConfig, json!({ "paused": true, "triggers": [] }),
    Replacement::Partly(HeldBack::Paused))]
#[case::triggers_of_a_deployment(WorkloadKind::Deployment, json!({ "triggers": [], "strategy": { "type": "Custom" } }),
    Replacement::All)]
#[case::of_another_form(WorkloadKind::StatefulSet, json!({ "updateStrategy": ["OnDelete"] }), Replacement::All)]
#[case::no_number(WorkloadKind::StatefulSet, json!({ "updateStrategy": { "rollingUpdate": { "partition": "1" } } }),
    Replacement::All)]
#[case::cron_job(WorkloadKind::CronJob, json!({ "suspend": true }), Replacement::Unknown)]
#[case::job(WorkloadKind::Job, json!({}), Replacement::Unknown)]
fn it_is_known_whether_a_changed_template_replaces_all_pods(
    #[case] kind: WorkloadKind,
    #[case] mut spec: Value,
    #[case] expected: Replacement,
) {
    spec["template"] = template();
    let workload = read(kind, json!({ "metadata": auto(), "spec": spec }), &reading()).unwrap();
    assert_eq!(workload.replacement, expected);
}

#[test]
fn of_a_custom_kind_it_is_not_known_which_pods_are_replaced() {
    let kind = WorkloadKind::Custom(Box::leak(Box::new("example.com/v1/Clone".parse().unwrap())));
    let spec = json!({ "paused": true, "updateStrategy": { "type": "OnDelete" }, "template": template() });
    let object: RawObject = serde_json::from_value(json!({ "metadata": auto(), "spec": spec })).unwrap();
    let workload = reading().read(object.into_object(kind), kind).unwrap();
    assert_eq!(workload.replacement, Replacement::Unknown);
    assert_eq!(size_of::<Replacement>(), 1);
}

#[rstest]
#[case::none(json!(null), false)]
#[case::different(json!([{ "name": "A" }, { "name": "B" }]), false)]
#[case::twice(json!([{ "name": "A", "value": "1" }, { "name": "B" }, { "name": "A", "valueFrom": {} }]), true)]
#[case::no_names(json!([{}, null, { "name": 7 }]), false)]
fn it_is_known_whether_a_variable_is_given_twice(#[case] env: Value, #[case] expected: bool) {
    let template = json!({ "spec": { "containers": [{ "name": "main", "env": env }] } });
    let object = json!({ "metadata": auto(), "spec": { "template": template } });
    let workload = read(WorkloadKind::Deployment, object, &reading()).unwrap();
    assert_eq!(workload.template.containers[0].repeats_variables, expected);
}

#[rstest]
#[case::another(json!([{ "manager": "Reloader", "time": "2026-01-02T00:00:00Z" },
    { "manager": "operator", "time": "2026-01-02T00:00:01Z" }]), Some("operator"))]
#[case::ours(json!([{ "manager": "operator", "time": "2026-01-02T00:00:00Z" },
    { "manager": "Reloader", "time": "2026-01-02T00:00:01Z" }]), None)]
#[case::within_one_second(json!([{ "manager": "operator", "time": "2026-01-02T00:00:00Z" },
    { "manager": "Reloader", "time": "2026-01-02T00:00:00Z" }]), Some("operator"))]
#[case::status_and_scale(json!([{ "manager": "operator", "time": "2026-01-02T00:00:00Z" },
    { "manager": "kube-controller-manager", "time": "2026-01-02T00:00:05Z", "subresource": "status" },
    { "manager": "hpa", "time": "2026-01-02T00:00:06Z", "subresource": "scale" }]), Some("operator"))]
#[case::unknown(json!([{}, null, { "manager": "a" }, { "time": "2026-01-02T00:00:00Z" }]), None)]
fn it_is_known_which_other_manager_wrote_it_last(
    #[case] managed_fields: Value,
    #[case] expected: Option<&str>,
) {
    let mut metadata = auto();
    metadata["managedFields"] = managed_fields;
    let object = json!({ "metadata": metadata, "spec": { "template": template() } });
    let workload = read(WorkloadKind::Deployment, object, &reading()).unwrap();
    let manager = workload.written_by.map(|write| write.manager);
    assert_eq!(manager.as_deref(), expected);
}
