//! Writes: what restarts a workload, and the Events about it.
//!
//! Input: a [`Plan`]. Output: the workload as stored, or an [`ApiError`] that says how to retry. I/O: writes.

pub mod body;
mod cause;
pub mod events;
pub mod job;
mod jobs;
mod past;
mod request;
pub mod seal;
mod seal_key;
mod stored;
pub mod template;

use std::num::NonZeroU64;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api_error::{ApiError, Class},
    decide::{Plan, Write},
    model::{FIELD_MANAGER, Workload, WorkloadKey, WorkloadKind},
    watch::workload::{Decoded, RawObject, Reading, WorkloadObject},
};

use job::OwnerReference;
use request::{post, stale};

use jobs::Progress;
pub use jobs::{Recreated, Recreator};
pub use request::REQUEST_TIMEOUT;
pub use seal_key::KeyPlace;
pub use stored::{DroppedMarker, check as check_stored};

/// The result of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The object that was patched, as the API server stored it: the workload, or the Deployment whose template it uses.
    /// `None` where nothing was patched.
    pub stored: Option<Workload>,
    /// The resourceVersion of that object which the patch was based on; `None` where it named none.
    pub based_on: Option<NonZeroU64>,
    /// The template changed without this marker: pods start with the new content all the same.
    pub dropped: Option<DroppedMarker>,
    /// `metadata.uid` of the Job that took the workload's place.
    pub successor: Option<Box<str>>,
    /// The Job is deleted and its finalizers hold it: it is created again later, and [`Recreated`] says when.
    pub is_waiting: bool,
}

/// Writes plans.
///
/// The client must not retry by itself (kube's default does, 15 times): a retry after the lease's deadline would be a
/// write of a replica that no longer leads.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    reading: Reading,
    recreator: Recreator,
    notes_causes: bool,
}

impl Writer {
    /// A writer that reads the workloads in its answers as the watch would. `key`: where the key is stored that signs
    /// copies of Jobs; `None`: nowhere.
    pub fn new(client: Client, reading: Reading, key: Option<KeyPlace>) -> Self {
        let recreator = Recreator::new(client.clone(), reading.clone(), key);
        Self {
            client,
            reading,
            recreator,
            notes_causes: false,
        }
    }

    /// The same, which notes in workloads what they were restarted for, if `notes_causes`.
    #[must_use]
    pub fn noting_causes(self, notes_causes: bool) -> Self {
        Self { notes_causes, ..self }
    }

    /// Finishes recreations of Jobs that were interrupted.
    pub fn recreator(&self) -> Recreator {
        self.recreator.clone()
    }

    /// Writes the plan.
    pub async fn apply(&self, plan: &Plan) -> Result<Applied, ApiError> {
        let mut based_on = plan.resource_version;
        let stored = match &plan.write {
            Write::Strategic => {
                let cause = self.cause(plan);
                let body =
                    Patch::Strategic(body::strategic_merge(plan, &self.reading.keys, cause.as_deref()));
                self.patch(&plan.workload, &body).await?
            }
            Write::Live(target) => {
                let live = self.read_live(target, plan).await?;
                based_on = live.metadata_text("resourceVersion").parse().ok();
                self.patch_live(target, plan, live).await?
            }
            Write::RestartAt(at) => {
                let at = Timestamp::from(*at);
                let mut body = json!({ "spec": { "restartAt": at.to_string() } });
                if let Some(version) = plan.resource_version {
                    body["metadata"]["resourceVersion"] = version.to_string().into();
                }
                self.patch(&plan.workload, &Patch::Merge(body)).await?
            }
            Write::CreateJob { name } => {
                self.create_job(name, plan).await?;
                None
            }
            Write::RecreateJob => {
                return Ok(match self.recreator.recreate(plan).await? {
                    Progress::Done(successor) => Applied {
                        successor,
                        ..Applied::default()
                    },
                    Progress::Waits(_) => Applied {
                        is_waiting: true,
                        ..Applied::default()
                    },
                });
            }
        };
        Ok(Applied {
            stored,
            based_on,
            ..Applied::default()
        })
    }

    /// Whether the write of that object, from one resourceVersion to the other, changed its pod template.
    pub async fn template_moved(
        &self,
        key: &WorkloadKey,
        before: NonZeroU64,
        after: NonZeroU64,
    ) -> Result<bool, ApiError> {
        past::template_moved(&self.api(key), key, before, after).await
    }

    fn cause(&self, plan: &Plan) -> Option<String> {
        cause::of(plan).filter(|_| self.notes_causes)
    }

    async fn patch<P: serde::Serialize + std::fmt::Debug>(
        &self,
        key: &WorkloadKey,
        body: &Patch<P>,
    ) -> Result<Option<Workload>, ApiError> {
        match key.kind {
            WorkloadKind::Custom(_) => self.patch_as::<RawObject, P>(key, body).await,
            _ => self.patch_as::<WorkloadObject, P>(key, body).await,
        }
    }

    /// The workload as it is stored now: after a conflict the watch may still be behind. `None`: it is no longer a
    /// workload that can be restarted.
    pub async fn read(&self, key: &WorkloadKey) -> Result<Option<Workload>, ApiError> {
        match key.kind {
            WorkloadKind::Custom(_) => self.read_as::<RawObject>(key).await,
            _ => self.read_as::<WorkloadObject>(key).await,
        }
    }

    async fn read_as<T: Decoded>(&self, key: &WorkloadKey) -> Result<Option<Workload>, ApiError> {
        let object = ApiError::within(REQUEST_TIMEOUT, self.api::<T>(key).get(&key.name)).await?;
        Ok(self.reading.read(object.into_object(key.kind), key.kind))
    }

    async fn patch_as<T: Decoded, P: serde::Serialize + std::fmt::Debug>(
        &self,
        key: &WorkloadKey,
        body: &Patch<P>,
    ) -> Result<Option<Workload>, ApiError> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api: Api<T> = self.api(key);
        let object = ApiError::within(REQUEST_TIMEOUT, api.patch(&key.name, &params, body)).await?;
        Ok(self.reading.read(object.into_object(key.kind), key.kind))
    }

    /// Reads the object whose pod template the plan marks.
    async fn read_live(&self, target: &WorkloadKey, plan: &Plan) -> Result<RawObject, ApiError> {
        let api: Api<RawObject> = self.api(target);
        let live = ApiError::within(REQUEST_TIMEOUT, api.get(&target.name)).await?;
        if *target == plan.workload && live.metadata_text("uid") != &*plan.uid {
            return Err(stale(RECREATED));
        }
        if live.is_terminating() {
            return Err(stale(TERMINATING));
        }
        let version = plan.resource_version.map(|version| version.to_string());
        if plan.pause.is_some()
            && version.is_some_and(|version| version != live.metadata_text("resourceVersion"))
        {
            // Another client may have taken the pause over.
            return Err(stale(CHANGED));
        }
        Ok(live)
    }

    /// Patches what was read.
    async fn patch_live(
        &self,
        target: &WorkloadKey,
        plan: &Plan,
        live: RawObject,
    ) -> Result<Option<Workload>, ApiError> {
        let (path, keys) = (target.kind.template_path(), &self.reading.keys);
        let mut body = template::merge(live.value(), &path, plan, keys).map_err(stale)?;
        let cause = self.cause(plan).filter(|_| *target == plan.workload);
        if let (Some(body), Some(cause)) = (&mut body, cause) {
            body["metadata"]["annotations"][cause::ANNOTATION] = cause.into();
        }
        match body {
            Some(body) => self.patch(target, &Patch::Merge(body)).await,
            // Another client, or an attempt whose answer was lost, has done it.
            None => Ok(self.reading.read(live.into_object(target.kind), target.kind)),
        }
    }

    /// Creates the Job of a CronJob. A Job of that name is the one that an earlier attempt has created.
    async fn create_job(&self, name: &str, plan: &Plan) -> Result<(), ApiError> {
        let key = &plan.workload;
        let cron_jobs: Api<RawObject> = self.api(key);
        let cron_job = ApiError::within(REQUEST_TIMEOUT, cron_jobs.get(&key.name)).await?;
        if cron_job.metadata_text("uid") != &*plan.uid {
            return Err(stale(RECREATED));
        }
        if cron_job.is_terminating() {
            return Err(stale(TERMINATING));
        }
        let jobs: Api<RawObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &WorkloadKind::Job);
        let create = async |owner| {
            let job = job::of_cron_job(cron_job.value(), name, owner, plan).map_err(stale)?;
            ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &RawObject::from(job))).await
        };
        let created = match create(OwnerReference::Blocking).await {
            Err(error) if error.is_forbidden() && error.message.contains("finalizers") => {
                create(OwnerReference::NonBlocking).await
            }
            created => created,
        };
        match created {
            Err(error) if error.class == Class::Exists => Ok(()),
            created => created.map(drop),
        }
    }

    fn api<T: Decoded>(&self, key: &WorkloadKey) -> Api<T> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &key.kind)
    }
}

/// Its pods are new.
const RECREATED: &str = "it was deleted and created again; trying again";
/// Its pause was decided on another state.
const CHANGED: &str = "it has changed; trying again";
/// Nothing restarts it any more.
const TERMINATING: &str = "it is being deleted; trying again";
