use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    model::{CustomKind, Workload},
    watch::workload::{Decoded, RawObject, Reading},
};

const DEPLOYMENT: WorkloadKind = WorkloadKind::Deployment;
const STATEFUL_SET: WorkloadKind = WorkloadKind::StatefulSet;
const DAEMON_SET: WorkloadKind = WorkloadKind::DaemonSet;
const ROLLOUT: WorkloadKind = WorkloadKind::Rollout;
const CONFIG: WorkloadKind = WorkloadKind::DeploymentConfig;

/// As the watch decodes it; it opts in by `auto`.
fn read(kind: WorkloadKind, spec: &Value, status: &Value) -> Workload {
    let object: RawObject = serde_json::from_value(json!({
        "metadata": {
            "name": "web", "namespace": "team", "generation": 7,
            "annotations": { "reloader.stakater.com/auto": "true", "deployment.kubernetes.io/revision": "3" },
        },
        "spec": spec,
        "status": status,
    }))
    .unwrap();
    Reading::default().read(object.into_object(kind), kind).unwrap()
}

fn state(kind: WorkloadKind, spec: &Value, status: &Value) -> RolloutState {
    read(kind, spec, status).rollout.state
}

fn custom() -> WorkloadKind {
    let kind: CustomKind = "apps.kruise.io/v1alpha1/CloneSet".parse().unwrap();
    WorkloadKind::Custom(Box::leak(Box::new(kind)))
}

fn progressing(status: &str, reason: &str) -> Value {
    json!([
        { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
          "lastUpdateTime": "2026-01-02T03:00:00Z" },
        { "type": "Progressing", "status": status, "reason": reason, "lastUpdateTime": "2026-01-02T03:04:05Z" },
    ])
}

/// The status of three pods of a Deployment, so many of them of the present template.
fn counts(observed: i64, updated: i64, available: i64, conditions: Value) -> Value {
    let mut status = json!({
        "observedGeneration": observed, "replicas": 3, "updatedReplicas": updated,
        "readyReplicas": available, "availableReplicas": available,
    });
    status["conditions"] = conditions;
    status
}

#[rstest]
#[case::complete(json!({}), counts(7, 3, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Steady)]
#[case::new(json!({}), json!({}), RolloutState::Unobserved)]
#[case::patched(json!({}), counts(6, 3, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Unobserved)]
#[case::new_replica_set(json!({}), counts(7, 0, 3, progressing("True", "NewReplicaSetCreated")), RolloutState::Rolling)]
#[case::old_pods_left(json!({}), counts(7, 2, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Rolling)]
#[case::updated(json!({}), counts(7, 3, 2, progressing("True", "ReplicaSetUpdated")), RolloutState::Rolling)]
#[case::refused_by_a_quota(json!({}), counts(7, 1, 3, progressing("False", "ReplicaSetCreateError")), RolloutState::Rolling)]
#[case::resumed(json!({}), counts(7, 0, 3, progressing("Unknown", "DeploymentResumed")), RolloutState::Rolling)]
#[case::given_up(json!({}), counts(7, 1, 3, progressing("False", "ProgressDeadlineExceeded")), RolloutState::Failed)]
#[case::patched_again(json!({}), counts(6, 1, 3, progressing("False", "ProgressDeadlineExceeded")), RolloutState::Unobserved)]
#[case::paused(json!({ "paused": true }), counts(7, 0, 3, progressing("Unknown", "DeploymentPaused")), RolloutState::Held)]
#[case::pausing(json!({ "paused": true }), counts(6, 3, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Held)]
#[case::scaled_up(json!({ "replicas": 9 }), counts(7, 3, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Steady)]
#[case::scaled_down(json!({ "replicas": 1 }), counts(7, 3, 3, progressing("True", "NewReplicaSetAvailable")), RolloutState::Steady)]
#[case::a_pod_fails_later(json!({}), counts(7, 3, 2, progressing("True", "NewReplicaSetAvailable")), RolloutState::Steady)]
#[case::without_a_deadline(json!({}), counts(7, 3, 3, json!([])), RolloutState::Steady)]
#[case::without_a_deadline_rolling(json!({}), counts(7, 2, 3, json!([])), RolloutState::Rolling)]
#[case::without_a_deadline_recreated(json!({}), json!({ "observedGeneration": 7, "replicas": 0 }), RolloutState::Rolling)]
fn a_deployment(#[case] mut spec: Value, #[case] status: Value, #[case] expected: RolloutState) {
    if spec["replicas"].is_null() {
        spec["replicas"] = 3.into();
    }
    assert_eq!(state(DEPLOYMENT, &spec, &status), expected);
}

#[test]
fn a_pause_of_ours_is_a_state_of_its_own() {
    let object: RawObject = serde_json::from_value(json!({
        "metadata": {
            "name": "web", "namespace": "team", "generation": 7,
            "annotations": {
                "reloader.stakater.com/auto": "true",
                "deployment.reloader.stakater.com/pause-period": "1h",
                "deployment.reloader.stakater.com/paused-at": "2026-01-01T00:00:00Z",
            },
        },
        "spec": { "paused": true },
        "status": counts(7, 0, 3, progressing("Unknown", "DeploymentPaused")),
    }))
    .unwrap();
    let workload = Reading::default()
        .read(object.into_object(DEPLOYMENT), DEPLOYMENT)
        .unwrap();
    assert_eq!(workload.rollout.state, RolloutState::Paused);
}

#[rstest]
#[case::complete(json!({}), counts(7, 3, 3, progressing("True", "NewReplicationControllerAvailable")), RolloutState::Steady)]
#[case::patched(json!({}), counts(6, 3, 3, progressing("True", "NewReplicationControllerAvailable")), RolloutState::Unobserved)]
#[case::created(json!({}), counts(7, 0, 3, progressing("True", "NewReplicationControllerCreated")), RolloutState::Rolling)]
#[case::updated(json!({}), counts(7, 2, 3, progressing("True", "ReplicationControllerUpdated")), RolloutState::Rolling)]
#[case::given_up(json!({}), counts(7, 0, 3, progressing("False", "ProgressDeadlineExceeded")), RolloutState::Failed)]
#[case::cancelled(json!({}), counts(7, 0, 3, progressing("False", "RolloutCancelled")), RolloutState::Failed)]
#[case::paused(json!({ "paused": true }), counts(7, 3, 3, json!([])), RolloutState::Held)]
#[case::not_triggered(json!({ "triggers": [] }), counts(7, 0, 3, progressing("True", "NewReplicationControllerAvailable")), RolloutState::Held)]
fn a_deployment_config(#[case] mut spec: Value, #[case] status: Value, #[case] expected: RolloutState) {
    spec["replicas"] = 3.into();
    assert_eq!(state(CONFIG, &spec, &status), expected);
}

fn stateful(current: &str, update: &str, updated: i64, available: i64) -> Value {
    json!({
        "observedGeneration": 7, "replicas": 3, "readyReplicas": available, "availableReplicas": available,
        "updatedReplicas": updated, "currentRevision": current, "updateRevision": update,
    })
}

fn partition(partition: i64) -> Value {
    json!({ "replicas": 3, "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": partition } } })
}

fn on_delete() -> Value {
    json!({ "replicas": 3, "updateStrategy": { "type": "OnDelete" } })
}

#[rstest]
#[case::complete(json!({ "replicas": 3 }), stateful("web-a", "web-a", 3, 3), RolloutState::Steady, true)]
#[case::new(json!({ "replicas": 3 }), json!({ "replicas": 0, "availableReplicas": 0 }), RolloutState::Unobserved, false)]
#[case::rolling(json!({ "replicas": 3 }), stateful("web-a", "web-b", 1, 2), RolloutState::Rolling, false)]
#[case::all_are_updated(json!({ "replicas": 3 }), stateful("web-a", "web-b", 3, 2), RolloutState::Rolling, false)]
#[case::stuck_after_it_was_put_right(json!({ "replicas": 3 }), stateful("web-a", "web-a", 2, 2), RolloutState::Rolling, false)]
#[case::a_pod_fails(json!({ "replicas": 3 }), stateful("web-a", "web-a", 3, 2), RolloutState::Steady, false)]
#[case::scaled_up(json!({ "replicas": 5 }), stateful("web-a", "web-a", 3, 3), RolloutState::Steady, false)]
#[case::no_partition(partition(0), stateful("web-a", "web-b", 1, 2), RolloutState::Rolling, false)]
#[case::above_the_partition(partition(1), stateful("web-a", "web-b", 1, 3), RolloutState::Rolling, true)]
#[case::below_the_partition(partition(1), stateful("web-a", "web-b", 2, 3), RolloutState::Held, true)]
#[case::all_below(partition(9), stateful("web-a", "web-b", 0, 3), RolloutState::Held, true)]
#[case::on_delete(on_delete(), stateful("web-a", "web-b", 0, 3), RolloutState::Held, true)]
fn a_stateful_set(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] expected: RolloutState,
    #[case] is_healthy: bool,
) {
    let rollout = read(STATEFUL_SET, &spec, &status).rollout;
    assert_eq!((rollout.state, rollout.is_healthy), (expected, is_healthy));
}

fn daemon(observed: i64, desired: i64, updated: i64, available: i64) -> Value {
    json!({
        "observedGeneration": observed, "desiredNumberScheduled": desired, "currentNumberScheduled": desired,
        "numberReady": available, "numberAvailable": available, "updatedNumberScheduled": updated, "numberMisscheduled": 0,
    })
}

#[rstest]
#[case::complete(json!({}), daemon(7, 4, 4, 4), RolloutState::Steady, true)]
#[case::new(json!({}), json!({ "desiredNumberScheduled": 0 }), RolloutState::Unobserved, true)]
#[case::patched(json!({}), daemon(6, 4, 4, 4), RolloutState::Unobserved, true)]
#[case::rolling(json!({}), daemon(7, 4, 1, 3), RolloutState::Rolling, false)]
#[case::a_node_is_added(json!({}), daemon(7, 5, 5, 4), RolloutState::Steady, false)]
#[case::no_node(json!({}), json!({ "observedGeneration": 7, "desiredNumberScheduled": 0 }), RolloutState::Steady, true)]
#[case::on_delete(on_delete(), daemon(7, 4, 0, 4), RolloutState::Held, true)]
fn a_daemon_set(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] expected: RolloutState,
    #[case] is_healthy: bool,
) {
    let rollout = read(DAEMON_SET, &spec, &status).rollout;
    assert_eq!((rollout.state, rollout.is_healthy), (expected, is_healthy));
}

fn argo(observed: &str, phase: &str) -> Value {
    json!({ "observedGeneration": observed, "phase": phase, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3 })
}

fn restarting(restarted_at: &str) -> Value {
    let mut status = argo("7", "Healthy");
    status["restartedAt"] = restarted_at.into();
    status
}

#[rstest]
#[case::complete(json!({}), argo("7", "Healthy"), RolloutState::Steady)]
#[case::new(json!({}), json!({}), RolloutState::Unobserved)]
#[case::patched(json!({}), argo("6", "Healthy"), RolloutState::Unobserved)]
#[case::a_hash_of_old_versions(json!({}), argo("5f8d7c", "Healthy"), RolloutState::Steady)]
#[case::rolling(json!({}), argo("7", "Progressing"), RolloutState::Rolling)]
#[case::given_up(json!({}), argo("7", "Degraded"), RolloutState::Failed)]
#[case::between_steps(json!({}), argo("7", "Paused"), RolloutState::Held)]
#[case::paused(json!({ "paused": true }), argo("7", "Healthy"), RolloutState::Held)]
#[case::restarting(json!({ "restartAt": "2026-01-02T03:04:05Z" }), restarting("2026-01-01T00:00:00Z"), RolloutState::Rolling)]
#[case::restarted(json!({ "restartAt": "2026-01-02T03:04:05Z" }), restarting("2026-01-02T03:04:05Z"), RolloutState::Steady)]
#[case::without_a_phase(json!({}), json!({ "observedGeneration": "7" }), RolloutState::Opaque)]
#[case::of_another_phase(json!({}), argo("7", "Dreaming"), RolloutState::Opaque)]
fn an_argo_rollout(#[case] mut spec: Value, #[case] status: Value, #[case] expected: RolloutState) {
    spec["replicas"] = 3.into();
    assert_eq!(state(ROLLOUT, &spec, &status), expected);
}

fn condition(kind: &str, status: &str) -> Value {
    json!({ "observedGeneration": 7, "conditions": [{ "type": kind, "status": status }] })
}

#[rstest]
#[case::nothing(json!({}), RolloutState::Opaque, false)]
#[case::no_status(Value::Null, RolloutState::Opaque, false)]
#[case::pods_alone(json!({ "replicas": 3, "readyReplicas": 3 }), RolloutState::Opaque, true)]
#[case::observed(json!({ "observedGeneration": 7 }), RolloutState::Steady, false)]
#[case::behind(json!({ "observedGeneration": 6 }), RolloutState::Unobserved, false)]
#[case::ready(condition("Ready", "True"), RolloutState::Steady, true)]
#[case::not_ready(condition("Ready", "False"), RolloutState::Rolling, false)]
#[case::reconciling(condition("Reconciling", "True"), RolloutState::Rolling, false)]
#[case::reconciled(condition("Reconciling", "False"), RolloutState::Steady, false)]
#[case::stalled(condition("Stalled", "True"), RolloutState::Failed, false)]
#[case::like_a_deployment(counts(7, 3, 3, json!([])), RolloutState::Steady, true)]
#[case::old_pods_left(counts(7, 2, 3, json!([])), RolloutState::Rolling, true)]
#[case::not_available(counts(7, 3, 2, json!([])), RolloutState::Steady, false)]
fn a_custom_kind(#[case] status: Value, #[case] expected: RolloutState, #[case] is_healthy: bool) {
    let rollout = read(custom(), &json!({}), &status).rollout;
    assert_eq!((rollout.state, rollout.is_healthy), (expected, is_healthy));
    assert_eq!(rollout.has_pods, is_healthy || status["replicas"] == 3);
}

#[rstest]
fn a_job_has_no_rollout(#[values(WorkloadKind::Job, WorkloadKind::CronJob)] kind: WorkloadKind) {
    let never = Rollout {
        state: RolloutState::Never,
        ..Rollout::default()
    };
    let status = json!({ "active": 1, "conditions": [{ "type": "Complete", "status": "False" }] });
    assert_eq!(read(kind, &json!({}), &status).rollout, never);
}

#[rstest]
#[case(json!({ "replicas": 3 }), 3, true, true)]
#[case(json!({ "replicas": 3 }), 4, true, true)]
#[case(json!({ "replicas": 3 }), 2, true, false)]
#[case(json!({ "replicas": 0 }), 0, false, true)]
// The default of the API.
#[case(json!({}), 1, true, true)]
#[case(json!({}), 0, true, false)]
fn pods_that_are_asked_for_are_available(
    #[case] spec: Value,
    #[case] available: i64,
    #[case] has_pods: bool,
    #[case] is_healthy: bool,
) {
    let status = counts(
        7,
        available,
        available,
        progressing("True", "NewReplicaSetAvailable"),
    );
    let rollout = read(DEPLOYMENT, &spec, &status).rollout;
    assert_eq!((rollout.has_pods, rollout.is_healthy), (has_pods, is_healthy));
}

#[rstest]
#[case(DEPLOYMENT, "NewReplicaSetAvailable", Some(1_767_323_045))]
#[case(CONFIG, "NewReplicationControllerAvailable", Some(1_767_323_045))]
#[case(DEPLOYMENT, "ReplicaSetUpdated", None)]
#[case(STATEFUL_SET, "NewReplicaSetAvailable", None)]
fn a_deployment_says_when_its_rollout_ended(
    #[case] kind: WorkloadKind,
    #[case] reason: &str,
    #[case] at: Option<i64>,
) {
    let status = counts(7, 3, 3, progressing("True", reason));
    let completed_at = read(kind, &json!({ "replicas": 3 }), &status)
        .rollout
        .completed_at;
    assert_eq!(completed_at, at.map(UnixSeconds));
}

#[test]
fn progress_is_what_changes_in_a_rollout() {
    let spec = json!({ "replicas": 3 });
    let progress = |status: &Value| read(DEPLOYMENT, &spec, status).rollout.progress;
    let base = counts(7, 1, 3, progressing("True", "ReplicaSetUpdated"));
    let with = |field: &str, value: Value| {
        let mut status = base.clone();
        status[field] = value;
        progress(&status)
    };
    assert_eq!(
        with("readyReplicas", 1.into()),
        progress(&base),
        "a container restarts"
    );
    assert_eq!(with("collisionCount", 1.into()), progress(&base));
    for other in [
        with("updatedReplicas", 2.into()),
        with("availableReplicas", 2.into()),
        with("replicas", 4.into()),
        with("conditions", progressing("True", "NewReplicaSetAvailable")),
        with("updateRevision", "b".into()),
    ] {
        assert_ne!(other, progress(&base));
    }
}

#[test]
fn nothing_is_kept_of_a_workload_that_opts_into_nothing() {
    let object: RawObject = serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "team", "generation": 7 },
        "status": counts(6, 1, 3, progressing("False", "ProgressDeadlineExceeded")),
    }))
    .unwrap();
    let workload = Reading::default()
        .read(object.into_object(DEPLOYMENT), DEPLOYMENT)
        .unwrap();
    assert_eq!(workload.rollout, Rollout::default());
}

#[rstest]
#[case::status_of_a_text(json!("broken"), RolloutState::Unobserved)]
#[case::observed_of_a_list(json!({ "observedGeneration": [7] }), RolloutState::Unobserved)]
#[case::conditions_of_a_number(json!({ "observedGeneration": 7, "replicas": 3, "updatedReplicas": 3, "conditions": 5 }), RolloutState::Steady)]
#[case::conditions_of_texts(json!({ "observedGeneration": 7, "replicas": 3, "updatedReplicas": 3, "conditions": ["Progressing", null] }), RolloutState::Steady)]
#[case::a_reason_of_a_number(json!({ "observedGeneration": 7, "replicas": 3, "updatedReplicas": 3,
    "conditions": [{ "type": "Progressing", "reason": 1 }] }), RolloutState::Rolling)]
fn a_half_decoded_status_is_read_as_far_as_it_goes(#[case] status: Value, #[case] expected: RolloutState) {
    assert_eq!(state(DEPLOYMENT, &json!({ "replicas": 3 }), &status), expected);
}

fn any_status() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["Progressing", "True", "7", "2026-01-02T03:04:05Z", ""])
            .prop_map(Value::from),
    ];
    let value = scalar.clone().prop_recursive(3, 12, 4, move |inner| {
        let field = prop::sample::select(vec!["type", "status", "reason", "lastUpdateTime", "other"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field, inner, 0..4).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    });
    let field = prop::sample::select(vec![
        "observedGeneration",
        "conditions",
        "replicas",
        "updatedReplicas",
        "availableReplicas",
        "readyReplicas",
        "currentRevision",
        "updateRevision",
        "phase",
        "restartedAt",
        "desiredNumberScheduled",
        "updatedNumberScheduled",
        "numberAvailable",
        "other",
    ]);
    prop_oneof![
        scalar,
        prop::collection::hash_map(field, value, 0..9).prop_map(|fields| {
            fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()
        }),
    ]
}

proptest! {
    #[test]
    fn no_status_makes_it_panic(
        kind in prop::sample::select(vec![
            DEPLOYMENT, STATEFUL_SET, DAEMON_SET, ROLLOUT, CONFIG, custom(), WorkloadKind::Job, WorkloadKind::CronJob,
        ]),
        spec in prop_oneof![
            any_status(),
            (any::<i64>(), any::<i64>()).prop_map(|(replicas, partition)| json!({
                "replicas": replicas, "updateStrategy": { "rollingUpdate": { "partition": partition } },
            })),
        ],
        status in any_status(),
    ) {
        let rollout = read(kind, &spec, &status).rollout;
        prop_assert_eq!(rollout, read(kind, &spec, &status).rollout);
        let is_job = matches!(kind, WorkloadKind::Job | WorkloadKind::CronJob);
        prop_assert_eq!(rollout.state == RolloutState::Never, is_job);
    }
}
