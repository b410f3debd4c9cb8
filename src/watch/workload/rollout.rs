//! How far a workload is with its rollout, by the rules of its kind.
//!
//! Input: parts of its spec, its status. Output: [`Rollout`]. I/O: none.
//!
//! A change of the number of pods is no rollout: a Deployment that is scaled, a DaemonSet that gets a node. Such a
//! workload is unhealthy until the new pods are available.
//!
//! | Kind | In progress | Failed | Held |
//! |---|---|---|---|
//! | Deployment, DeploymentConfig | condition `Progressing` with any reason but "available", or pods of an earlier template | its deadline is exceeded; its rollout was cancelled | paused; no trigger |
//! | StatefulSet | two revisions, or pods of another one than the present | - | `OnDelete`; the pods below a partition |
//! | DaemonSet | pods of an earlier template | - | `OnDelete` |
//! | Rollout | phase `Progressing`, a restart that has not ended | `Degraded` | paused, phase `Paused` |
//! | custom kind | `Reconciling`, not `Ready`, pods of an earlier template | `Stalled` | - |
//!
//! Before any of these: a spec that its controller has not observed. A pause period is a state of its own: that pause ends.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::status::{ConditionType, Observed, Phase, Reason, StatusWire, TextHash, Time, Truth};
use crate::model::{HeldBack, Replacement, Rollout, RolloutState, UnixSeconds, WorkloadKind};

/// The parts of a workload that say what its status is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) kind: WorkloadKind,
    pub(super) replacement: Replacement,
    /// Reloader has paused it, and ends that.
    pub(super) is_paused_by_us: bool,
    /// `metadata.generation`.
    pub(super) generation: Option<i64>,
    /// `spec.replicas`.
    pub(super) replicas: Option<i64>,
    /// `spec.updateStrategy.rollingUpdate.partition`.
    pub(super) partition: Option<i64>,
    /// `spec.restartAt` of a Rollout.
    pub(super) restart_at: Option<UnixSeconds>,
    /// Which ReplicaSet of a Deployment is the present one.
    pub(super) revision: Option<&'a str>,
}

/// How far the workload is.
pub(super) fn rollout(asked: &Asked<'_>, status: &StatusWire) -> Rollout {
    let state = state(asked, status);
    if state == RolloutState::Never {
        return Rollout {
            state,
            ..Rollout::default()
        };
    }
    let (has_pods, is_healthy) = health(asked, status);
    Rollout {
        state,
        is_healthy,
        has_pods,
        completed_at: completed_at(asked.kind, status),
        progress: progress(asked, status),
    }
}

fn state(asked: &Asked<'_>, status: &StatusWire) -> RolloutState {
    match (asked.kind, asked.replacement) {
        (WorkloadKind::Job | WorkloadKind::CronJob, _) => RolloutState::Never,
        _ if asked.is_paused_by_us => RolloutState::Paused,
        (_, Replacement::Partly(HeldBack::Paused | HeldBack::OnDelete | HeldBack::NoTrigger)) => {
            RolloutState::Held
        }
        (WorkloadKind::Custom(_), _) => custom(asked, status),
        _ if is_unobserved(asked, status) => RolloutState::Unobserved,
        (WorkloadKind::Deployment | WorkloadKind::DeploymentConfig, _) => deployment(asked, status),
        (WorkloadKind::StatefulSet, _) => stateful_set(asked, status),
        (WorkloadKind::DaemonSet, _) => rolling_if(is_outdated(status)),
        (WorkloadKind::Rollout, _) => argo_rollout(asked, status),
    }
}

fn rolling_if(is_rolling: bool) -> RolloutState {
    if is_rolling {
        RolloutState::Rolling
    } else {
        RolloutState::Steady
    }
}

/// Of a kind whose controller always says which generation its status is about.
fn is_unobserved(asked: &Asked<'_>, status: &StatusWire) -> bool {
    let generation = asked.generation.unwrap_or_default();
    match status.observed {
        Observed::Never => generation > 0,
        Observed::At(observed) => generation > observed,
        Observed::Unreadable => false,
    }
}

/// The reason stays "available" while a Deployment is scaled, and whatever becomes of its pods later. Without a deadline
/// (`progressDeadlineSeconds` of 2³¹-1) there is no such condition, and only the counts tell.
fn deployment(asked: &Asked<'_>, status: &StatusWire) -> RolloutState {
    let progressing = status.condition(ConditionType::Progressing);
    match progressing.map(|condition| condition.reason) {
        Some(Reason::DeadlineExceeded | Reason::Cancelled) => RolloutState::Failed,
        Some(Reason::Available) => rolling_if(is_outdated(status)),
        Some(Reason::Other) => RolloutState::Rolling,
        None => rolling_if(is_replacing(asked, status)),
    }
}

/// With equal revisions, pods may be left of one that was put right in between: the controller waits for them to become
/// ready ([why](https://github.com/kubernetes/kubernetes/issues/67250)).
fn stateful_set(asked: &Asked<'_>, status: &StatusWire) -> RolloutState {
    let updated = status.updated.unwrap_or_default();
    if let Some(partition) = asked.partition.filter(|partition| *partition > 0) {
        // The revisions stay two.
        let to_update = asked.replicas.unwrap_or(1).saturating_sub(partition);
        return if updated < to_update {
            RolloutState::Rolling
        } else {
            RolloutState::Held
        };
    }
    let [current, update] = status.revisions;
    let differ = current.is_some() && update.is_some() && current != update;
    rolling_if(differ || is_outdated(status))
}

fn argo_rollout(asked: &Asked<'_>, status: &StatusWire) -> RolloutState {
    let Time(restarted_at) = status.restarted_at;
    let is_restarting = asked.restart_at.is_some() && asked.restart_at != restarted_at;
    match status.phase {
        Phase::Degraded => RolloutState::Failed,
        Phase::Paused => RolloutState::Held,
        _ if is_restarting => RolloutState::Rolling,
        Phase::Progressing => RolloutState::Rolling,
        Phase::Healthy => RolloutState::Steady,
        Phase::Other => RolloutState::Opaque,
    }
}

/// By the conventions of [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md), and by
/// the counts that most kinds have from Deployments.
fn custom(asked: &Asked<'_>, status: &StatusWire) -> RolloutState {
    let truth = |wanted| status.condition(wanted).map(|condition| condition.status);
    let ready = truth(ConditionType::Ready);
    let (reconciling, stalled) = (truth(ConditionType::Reconciling), truth(ConditionType::Stalled));
    let tells = status.observed != Observed::Never
        || status.updated.is_some()
        || ready.is_some()
        || reconciling.is_some()
        || stalled.is_some();
    if !tells {
        RolloutState::Opaque
    } else if status.observed != Observed::Never && is_unobserved(asked, status) {
        RolloutState::Unobserved
    } else if stalled == Some(Truth::True) {
        RolloutState::Failed
    } else {
        let says_so = reconciling == Some(Truth::True) || ready == Some(Truth::False);
        rolling_if(says_so || status.updated.is_some() && is_replacing(asked, status))
    }
}

/// Whether pods are left of an earlier template.
fn is_outdated(status: &StatusWire) -> bool {
    status.present.unwrap_or_default() > status.updated.unwrap_or_default()
}

/// The same, or pods of the present one are still to be created.
fn is_replacing(asked: &Asked<'_>, status: &StatusWire) -> bool {
    is_outdated(status) || status.updated.unwrap_or_default() < wanted(asked, status).unwrap_or_default()
}

/// How many pods there should be; `None`: a custom kind that does not say.
fn wanted(asked: &Asked<'_>, status: &StatusWire) -> Option<i64> {
    match asked.kind {
        WorkloadKind::DaemonSet => status.present.or(Some(0)),
        WorkloadKind::Custom(_) => asked.replicas.or(status.present),
        // The default of the API.
        _ => asked.replicas.or(Some(1)),
    }
}

/// Whether there should be pods, and whether all of them are available.
fn health(asked: &Asked<'_>, status: &StatusWire) -> (bool, bool) {
    let is_custom = matches!(asked.kind, WorkloadKind::Custom(_));
    let counts = status.updated.or(status.available).or(status.ready);
    match wanted(asked, status) {
        Some(wanted) if !is_custom || counts.is_some() => {
            let available = if is_custom {
                status.available.or(status.ready)
            } else {
                status.available
            };
            (wanted > 0, available.unwrap_or_default() >= wanted)
        }
        _ => {
            let ready = status.condition(ConditionType::Ready);
            let is_ready = ready.is_some_and(|condition| condition.status == Truth::True);
            (is_ready, is_ready)
        }
    }
}

fn completed_at(kind: WorkloadKind, status: &StatusWire) -> Option<UnixSeconds> {
    let has_condition = matches!(kind, WorkloadKind::Deployment | WorkloadKind::DeploymentConfig);
    let progressing = status.condition(ConditionType::Progressing)?;
    let is_complete = has_condition && progressing.reason == Reason::Available;
    let Time(at) = progressing.last_update_time;
    at.filter(|_| is_complete)
}

/// Readiness is left out, as it comes and goes with each start of a container that fails.
fn progress(asked: &Asked<'_>, status: &StatusWire) -> u32 {
    let mut hasher = DefaultHasher::new();
    for count in [status.present, status.updated, status.available] {
        count.unwrap_or_default().hash(&mut hasher);
    }
    asked.revision.map(TextHash::of).hash(&mut hasher);
    status.revisions.hash(&mut hasher);
    status.phase.hash(&mut hasher);
    let Time(restarted_at) = status.restarted_at;
    restarted_at.hash(&mut hasher);
    if let Observed::At(observed) = status.observed {
        observed.hash(&mut hasher);
    }
    for condition in &status.conditions {
        (condition.r#type, condition.status, condition.reason).hash(&mut hasher);
    }
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
