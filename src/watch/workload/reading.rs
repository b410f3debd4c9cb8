//! Reduces a decoded workload by the settings.
//!
//! Input: a [`WorkloadObject`], [`Reading`]. Output: a [`Workload`], or nothing where it is none of Reloader's business.
//! I/O: none.

use std::sync::Arc;

use super::WorkloadObject;
use crate::model::{
    AnnotationKeys, HeldBack, OptIn, Pause, PodTemplate, Replacement, Restart, Workload, WorkloadKind,
    opt_in::{ROLLOUT_STRATEGY, SharedLists},
};

/// On a Job that is the copy of another one which is being deleted and created: the Job to create, as JSON. Such a Job
/// is not a workload.
pub const RECREATES: &str = "reloader.stakater.com/recreates";

/// The settings for what is kept of a workload.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The configured annotation keys.
    pub keys: Arc<AnnotationKeys>,
    /// What workloads list, each list once.
    pub lists: Arc<SharedLists>,
    /// Workloads without annotations are opted in, so their pod templates matter.
    pub auto_reload_all: bool,
    /// Rollouts are watched, which can use the pod template of a Deployment that opts into nothing itself.
    pub follow_references: bool,
    /// Finished Jobs, and Jobs that another controller owns, are run again like any other.
    pub every_job: bool,
}

impl Reading {
    /// The workload, with its annotations read under the configured keys; `None` for a Job that is never run again, and
    /// for what is being deleted: it counts as gone, and what comes back under its name as new. A workload that opts into
    /// nothing keeps no pod template: on most clusters that is most of them.
    pub fn read(&self, object: WorkloadObject, kind: WorkloadKind) -> Option<Workload> {
        if object.is_terminating {
            return None;
        }
        let opt_in = self.opt_in(&object, kind)?;
        let key = object.key(kind);
        let WorkloadObject {
            metadata,
            annotations,
            paused,
            held_back,
            deployer,
            template,
            is_suspended,
            restart_at,
            template_of,
            pods,
            written_by,
            lacks_template,
            ..
        } = object;
        let annotation = |key: &str| annotations.get(key).map(String::as_str);
        let pause = Pause::parse(
            kind,
            annotation(&self.keys.pause_period),
            annotation(&self.keys.paused_at),
            paused,
        );
        let wants_nothing = opt_in.is_empty() && !self.auto_reload_all;
        let is_followed = self.follow_references && kind == WorkloadKind::Deployment;
        Some(Workload {
            key,
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: metadata
                .resource_version
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            generation: metadata.generation.unwrap_or(0),
            pods,
            // It may be null where the user is not asked for a path.
            lacks_template: lacks_template
                || kind == WorkloadKind::DeploymentConfig && !wants_nothing && template.containers.is_empty(),
            created_at: metadata.creation_timestamp.map(|time| time.0.into()),
            template: if wants_nothing && !is_followed {
                PodTemplate::default()
            } else {
                template
            },
            pause: pause.map(Box::new),
            template_of: template_of.map(Arc::from).filter(|_| !wants_nothing),
            restart: match kind {
                WorkloadKind::CronJob => Restart::NewJob {
                    suspended: is_suspended,
                },
                WorkloadKind::Job => Restart::Recreate,
                WorkloadKind::Rollout
                    if annotations
                        .get(ROLLOUT_STRATEGY)
                        .is_some_and(|text| text == "restart") =>
                {
                    Restart::At {
                        last: restart_at.map(|time| time.0.into()),
                    }
                }
                _ => Restart::Template,
            },
            replacement: replacement(kind, paused, held_back, deployer),
            written_by: written_by.filter(|_| !wants_nothing),
            opt_in,
        })
    }

    /// What the workload opts into.
    ///
    /// A finished Job is run again only if its own annotations opt in: a migration that is run a second time because
    /// `--auto-reload-all` was turned on does harm. A Job that a controller owns (a CronJob's, a workflow's) would be
    /// replaced by one that its controller did not create. Neither is kept: there can be thousands of them.
    fn opt_in(&self, object: &WorkloadObject, kind: WorkloadKind) -> Option<OptIn> {
        let own = |key: &str| object.annotations.get(key).map(String::as_str);
        let of_template = |key: &str| object.template_annotations.get(key).map(String::as_str);
        let is_job = kind == WorkloadKind::Job;
        let by_itself_only = is_job && !self.every_job;
        if is_job && object.annotations.contains_key(RECREATES) || by_itself_only && object.is_controlled {
            return None;
        }
        if by_itself_only && object.is_finished {
            let opt_in = OptIn::parse_shared(&self.lists, &self.keys, own, |_| None);
            return (!opt_in.is_empty()).then(|| opt_in.explicit());
        }
        Some(OptIn::parse_shared(&self.lists, &self.keys, own, of_template))
    }
}

/// What a change of the pod template does to the pods of that kind.
fn replacement(
    kind: WorkloadKind,
    paused: bool,
    by_strategy: Option<HeldBack>,
    deployer: Replacement,
) -> Replacement {
    let held_back = match kind {
        WorkloadKind::Deployment | WorkloadKind::Rollout => paused.then_some(HeldBack::Paused),
        WorkloadKind::DeploymentConfig if !paused => return deployer,
        WorkloadKind::DeploymentConfig => Some(HeldBack::Paused),
        WorkloadKind::StatefulSet => by_strategy,
        WorkloadKind::DaemonSet => by_strategy.filter(|held_back| *held_back == HeldBack::OnDelete),
        WorkloadKind::CronJob | WorkloadKind::Job | WorkloadKind::Custom(_) => return Replacement::Unknown,
    };
    held_back.map_or(Replacement::All, Replacement::Partly)
}
