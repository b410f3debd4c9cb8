//! What the controllers have done so far: read from the API server's audit log and its objects.

use std::sync::Arc;

use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::OwnerReference};
use testbed::{Entry, Stage};

use super::cases::{CLONE_SET, Case, Kind};
use crate::harness::{
    World,
    kinds::{DEPLOYMENT_CONFIG, ROLLOUT},
};

/// What the controllers have done in the namespace so far. Read at once: the audit log is that of every test.
pub struct State {
    writes: Vec<Arc<Entry>>,
    jobs: Vec<Job>,
}

impl State {
    pub async fn of(world: &World) -> Self {
        let is_write = |entry: &Entry| {
            entry.user == world.user()
                && entry.namespace == world.namespace
                && entry.stage == Stage::ResponseComplete
                && entry.is_write()
                && entry.succeeded()
        };
        Self {
            writes: world.plane.audit().matching(is_write).expect("the audit log"),
            jobs: world.jobs().await,
        }
    }

    /// How often the workload was restarted, whatever that means for its kind.
    pub fn restarts(&self, case: Case) -> usize {
        let name = case.name();
        match case.kind {
            Kind::Deployment => self.writes("patch", "deployments", &name),
            Kind::StatefulSet => self.writes("patch", "statefulsets", &name),
            Kind::DaemonSet => self.writes("patch", "daemonsets", &name),
            Kind::Rollout => self.writes("patch", ROLLOUT.plural, &name),
            Kind::DeploymentConfig => self.writes("patch", DEPLOYMENT_CONFIG.plural, &name),
            Kind::CloneSet => self.writes("patch", CLONE_SET.plural, &name),
            Kind::CronJob => {
                let is_owner = |owner: &OwnerReference| owner.name == name;
                let is_run = |job: &&Job| job.metadata.owner_references.iter().flatten().any(is_owner);
                self.jobs.iter().filter(is_run).count()
            }
            Kind::Job => {
                let is_it = |job: &Job| job.metadata.name.as_ref() == Some(&name);
                // Between the two steps it is not restarted yet.
                let is_there = self.jobs.iter().any(is_it);
                self.writes("delete", "jobs", &name)
                    .saturating_sub(usize::from(!is_there))
            }
        }
    }

    fn writes(&self, verb: &str, resource: &str, name: &str) -> usize {
        let is_it = |write: &&Arc<Entry>| {
            (write.verb.as_str(), write.resource.as_str(), write.name.as_str()) == (verb, resource, name)
        };
        self.writes.iter().filter(is_it).count()
    }
}
