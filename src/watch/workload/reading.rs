//! Reduces a decoded workload by the settings.
//!
//! Input: a [`WorkloadObject`], [`Reading`]. Output: a [`Workload`], or nothing where it is none of Reloader's business.
//! I/O: none.

use std::sync::Arc;

use super::{
    WorkloadObject,
    rollout::{Asked, rollout},
};
use crate::{
    diagnose::{Checker, Finding, WorkloadText},
    model::{
        AnnotationKeys, HeldBack, OptIn, Pause, PodTemplate, Policy, Replacement, Restart, Rollout, Workload,
        WorkloadKind,
        opt_in::{RECREATES, ROLLOUT_STRATEGY, SharedLists},
    },
};

/// Where a Deployment says which of its ReplicaSets is the present one.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The settings for what is kept of a workload.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The configured annotation keys.
    pub keys: Arc<AnnotationKeys>,
    /// Finds mistakes under the same keys.
    pub checker: Arc<Checker>,
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
        let opt_in = self.opt_in(&object, kind)?;
        Some(self.reduced(object, kind, opt_in))
    }

    /// The same, and what is wrong with its annotations.
    pub fn read_and_check(
        &self,
        object: WorkloadObject,
        kind: WorkloadKind,
    ) -> Option<(Workload, Vec<Finding>)> {
        let opt_in = self.opt_in(&object, kind)?;
        let findings = self.findings(&object, kind, &opt_in);
        Some((self.reduced(object, kind, opt_in), findings))
    }

    fn findings(&self, object: &WorkloadObject, kind: WorkloadKind, opt_in: &OptIn) -> Vec<Finding> {
        let (own, template, labels) = (
            &object.annotations,
            &object.template_annotations,
            &object.labels.0,
        );
        // On most clusters that is most workloads.
        if ![own, template, labels]
            .into_iter()
            .any(|pairs| self.checker.concern(pairs))
        {
            return Vec::new();
        }
        self.checker.workload(&WorkloadText {
            kind: Some(kind),
            own,
            template,
            labels,
            opt_in,
            references: &object.references(),
            has_template: object.shows_pods(),
        })
    }

    fn reduced(&self, object: WorkloadObject, kind: WorkloadKind, opt_in: OptIn) -> Workload {
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
            status,
            replicas,
            partition,
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
        let replacement = replacement(kind, paused, held_back, deployer);
        let rollout = if wants_nothing {
            Rollout::default()
        } else {
            let asked = Asked {
                kind,
                replacement,
                is_paused_by_us: pause.as_ref().is_some_and(Pause::is_ours),
                generation: metadata.generation,
                replicas,
                partition,
                restart_at: restart_at.as_ref().map(|time| time.0.into()),
                revision: annotation(REVISION),
            };
            rollout(&asked, &status)
        };
        let pods = status.pods(
            (kind, replacement == Replacement::All),
            replicas,
            metadata.generation,
        );
        Workload {
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
            policy: if wants_nothing {
                None
            } else {
                Policy::parse(annotation)
            },
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
            replacement,
            rollout,
            written_by: written_by.filter(|_| !wants_nothing),
            opt_in,
        }
    }

    /// What the workload opts into; `None`: it is none of Reloader's.
    ///
    /// A finished Job is run again only if its own annotations opt in: a migration that is run a second time because
    /// `--auto-reload-all` was turned on does harm. A Job that a controller owns (a CronJob's, a workflow's) would be
    /// replaced by one that its controller did not create. Neither is kept: there can be thousands of them.
    fn opt_in(&self, object: &WorkloadObject, kind: WorkloadKind) -> Option<OptIn> {
        if object.is_terminating {
            return None;
        }
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
