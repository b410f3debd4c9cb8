//! Why a restart leaves pods as they are.
//!
//! Input: the workload before the write, what the write does to its pause. Output: words for Event and alert. I/O: none.

use crate::{
    decide::PauseChange,
    model::{HeldBack, Replacement, Workload},
    patch::DroppedMarker,
};

/// What a restart was beside what upstream says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::worker) struct Restarted<'a> {
    /// What [`kept_pods`] says.
    pub(in crate::worker) kept: &'static str,
    /// The template changed without this marker.
    pub(in crate::worker) dropped: Option<&'a DroppedMarker>,
}

impl Restarted<'_> {
    /// What follows upstream's words.
    pub(super) fn note(&self) -> String {
        let dropped = self.dropped.map(|dropped| {
            format!("; {dropped}. It changed the pod template otherwise, which counts as the restart")
        });
        format!("{}{}", self.kept, dropped.unwrap_or_default())
    }
}

/// What follows upstream's words about a restart that replaces not every pod; empty where it does, or where that is not
/// known.
pub(in crate::worker) fn kept_pods(before: &Workload, change: Option<PauseChange>) -> &'static str {
    let is_ours = before.pause.as_ref().is_some_and(|pause| pause.is_ours());
    match (change, before.replacement) {
        (Some(PauseChange::Begin(_)), _) => PAUSE_PERIOD,
        (Some(PauseChange::End), _) | (None, Replacement::All | Replacement::Unknown) => "",
        (None, Replacement::Partly(HeldBack::Paused)) if is_ours => PAUSE_PERIOD,
        (None, Replacement::Partly(HeldBack::Paused)) => {
            "; its pods are not replaced while spec.paused is true: set it to false to replace them"
        }
        (None, Replacement::Partly(HeldBack::NoTrigger)) => {
            "; its pods are not replaced, because spec.triggers has no ConfigChange: run `oc rollout latest` to replace them"
        }
        (None, Replacement::Partly(HeldBack::OnDelete)) => {
            "; its pods are not replaced, because spec.updateStrategy.type is OnDelete: delete them to replace them"
        }
        (None, Replacement::Partly(HeldBack::Partition)) => {
            "; its pods below the ordinal spec.updateStrategy.rollingUpdate.partition are not replaced: lower it to replace \
             them"
        }
    }
}

const PAUSE_PERIOD: &str = "; its pods are replaced when its pause period ends";

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        model::WorkloadKind,
        watch::workload::{Decoded, Reading, WorkloadObject},
    };

    const BEGIN: Option<PauseChange> = Some(PauseChange::Begin(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
    const END: Option<PauseChange> = Some(PauseChange::End);

    /// A Deployment that is paused, since a time that Reloader has noted where `ours`.
    fn paused(ours: bool) -> Workload {
        let time = ours.then_some("2026-01-01T00:00:00Z");
        let annotations = json!({ "deployment.reloader.stakater.com/paused-at": time });
        read(
            WorkloadKind::Deployment,
            &json!({ "metadata": { "annotations": annotations }, "spec": { "paused": true } }),
        )
    }

    fn read(kind: WorkloadKind, object: &Value) -> Workload {
        let object: WorkloadObject = serde_json::from_value(object.clone()).unwrap();
        Reading::default().read(object.into_object(kind), kind).unwrap()
    }

    #[rstest]
    #[case::rolling(read(WorkloadKind::Deployment, &json!({})), None, "")]
    #[case::paused_with_the_restart(read(WorkloadKind::Deployment, &json!({})), BEGIN, "pause period")]
    #[case::paused_before(paused(true), None, "pause period")]
    #[case::resumed_with_the_restart(paused(true), END, "")]
    #[case::paused_by_a_user(paused(false), None, "spec.paused")]
    #[case::on_delete(
        read(WorkloadKind::DaemonSet, &json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } })), None, "OnDelete"
    )]
    #[case::partition(
        read(WorkloadKind::StatefulSet, &json!({ "spec": { "updateStrategy": { "rollingUpdate": { "partition": 2 } } } })),
        None,
        "partition"
    )]
    #[case::deployment_config(read(WorkloadKind::DeploymentConfig, &json!({})), None, "")]
    #[case::no_trigger(
        read(WorkloadKind::DeploymentConfig, &json!({ "spec": { "triggers": [{ "type": "ImageChange" }] } })), None, "ConfigChange"
    )]
    #[case::paused_deployment_config(
        read(WorkloadKind::DeploymentConfig, &json!({ "spec": { "paused": true, "triggers": [] } })), None, "spec.paused"
    )]
    #[case::job(read(WorkloadKind::Job, &json!({})), None, "")]
    fn it_says_why(#[case] before: Workload, #[case] change: Option<PauseChange>, #[case] reason: &str) {
        let words = kept_pods(&before, change);
        assert!(
            words.contains(reason) && words.is_empty() == reason.is_empty(),
            "{words}"
        );
    }
}
