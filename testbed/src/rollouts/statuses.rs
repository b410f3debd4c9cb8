//! What the controllers of the kinds write into statuses.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    UnderWay,
    Complete,
    /// Its pods do not get ready.
    Failed,
}

/// The generation that a status is about: a number, or as Argo Rollouts has it, a text.
pub(super) fn observed(status: &Value) -> Option<i64> {
    let observed = status.get("observedGeneration")?;
    observed.as_i64().or_else(|| observed.as_str()?.parse().ok())
}

/// The status of a workload of that kind, which asks for one pod.
pub(super) fn status(kind: &str, generation: i64, stage: Stage) -> Value {
    match kind {
        "Deployment" => deployment(generation, stage),
        "StatefulSet" => stateful_set(generation, stage),
        "DaemonSet" => daemon_set(generation, stage),
        "Rollout" => rollout(generation, stage),
        _ => custom(generation, stage),
    }
}

/// Pods of the present template, and how many of them are available.
fn pods(stage: Stage) -> (u32, u32) {
    match stage {
        Stage::UnderWay => (0, 0),
        Stage::Complete => (1, 1),
        Stage::Failed => (1, 0),
    }
}

fn deployment(generation: i64, stage: Stage) -> Value {
    let now = Timestamp::now().to_string();
    let (replicas, truth, reason) = match stage {
        Stage::UnderWay => (2, "True", "ReplicaSetUpdated"),
        Stage::Complete => (1, "True", "NewReplicaSetAvailable"),
        Stage::Failed => (2, "False", "ProgressDeadlineExceeded"),
    };
    json!({
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "conditions": [{
            "type": "Progressing",
            "status": truth,
            "reason": reason,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }],
    })
}

fn stateful_set(generation: i64, stage: Stage) -> Value {
    let (updated, available) = pods(stage);
    let revision = |generation: i64| format!("revision-{generation}");
    let current = match stage {
        Stage::Complete => generation,
        Stage::UnderWay | Stage::Failed => generation - 1,
    };
    json!({
        "observedGeneration": generation,
        "replicas": 1,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "currentRevision": revision(current),
        "updateRevision": revision(generation),
    })
}

fn daemon_set(generation: i64, stage: Stage) -> Value {
    let (updated, available) = pods(stage);
    json!({
        "observedGeneration": generation,
        "desiredNumberScheduled": 1,
        "currentNumberScheduled": 1,
        "numberMisscheduled": 0,
        "updatedNumberScheduled": updated,
        "numberReady": available,
        "numberAvailable": available,
    })
}

fn rollout(generation: i64, stage: Stage) -> Value {
    let (updated, available) = pods(stage);
    let phase = match stage {
        Stage::UnderWay => "Progressing",
        Stage::Complete => "Healthy",
        Stage::Failed => "Degraded",
    };
    json!({
        "observedGeneration": generation.to_string(),
        "phase": phase,
        "replicas": 1,
        "updatedReplicas": updated,
        "availableReplicas": available,
    })
}

fn custom(generation: i64, stage: Stage) -> Value {
    let (updated, available) = pods(stage);
    let stalled = if stage == Stage::Failed { "True" } else { "False" };
    json!({
        "observedGeneration": generation,
        "replicas": 1,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "conditions": [{ "type": "Stalled", "status": stalled, "reason": "Pods" }],
    })
}
