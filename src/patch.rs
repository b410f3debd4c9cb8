//! Writes: one PATCH a rollout, and the Events that tell about it.
//!
//! Input: a [`Plan`]. Output: the workload as stored, or an [`ApiError`] that says how to go on. I/O: writes.

pub mod body;
pub mod events;

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};

use crate::{
    api_error::ApiError,
    decide::Plan,
    model::{AnnotationKeys, Workload, WorkloadKey, WorkloadKind},
    watch::workload::{DaemonSet, Deployment, StatefulSet, WorkloadObject, WorkloadType},
};

/// The field manager of every write to a workload; upstream's, so that `managedFields` name one owner.
pub const FIELD_MANAGER: &str = "Reloader";

/// How long one request may take. The API server's own limit is 60 s; a worker that waits longer than this for one
/// workload keeps others waiting, and the repeat is harmless.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends patches.
///
/// The client must not retry by itself (kube's default does, 15 times): a retry that fires later than the lease's
/// deadline would be a write of a replica that no longer leads.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    keys: Arc<AnnotationKeys>,
    auto_reload_all: bool,
}

impl Writer {
    /// A writer that reads the workloads in its answers as the watch would.
    pub fn new(client: Client, keys: Arc<AnnotationKeys>, auto_reload_all: bool) -> Self {
        Self {
            client,
            keys,
            auto_reload_all,
        }
    }

    /// The key of the pause period's annotation.
    pub fn pause_period_key(&self) -> &str {
        &self.keys.pause_period
    }

    /// Sends the plan's one patch and returns the workload as the API server stored it.
    pub async fn apply(&self, plan: &Plan) -> Result<Workload, ApiError> {
        match plan.workload.kind {
            WorkloadKind::Deployment => self.patch::<Deployment>(plan).await,
            WorkloadKind::DaemonSet => self.patch::<DaemonSet>(plan).await,
            WorkloadKind::StatefulSet => self.patch::<StatefulSet>(plan).await,
        }
    }

    /// The workload as it is stored now: after a conflict the watch may still be behind.
    pub async fn read(&self, key: &WorkloadKey) -> Result<Workload, ApiError> {
        match key.kind {
            WorkloadKind::Deployment => self.get::<Deployment>(key).await,
            WorkloadKind::DaemonSet => self.get::<DaemonSet>(key).await,
            WorkloadKind::StatefulSet => self.get::<StatefulSet>(key).await,
        }
    }

    async fn get<T: WorkloadType>(&self, key: &WorkloadKey) -> Result<Workload, ApiError> {
        let object = ApiError::within(REQUEST_TIMEOUT, self.api::<T>(key).get(&key.name)).await?;
        Ok(object.into_workload(&self.keys, self.auto_reload_all))
    }

    fn api<T: WorkloadType>(&self, key: &WorkloadKey) -> Api<WorkloadObject<T>> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    async fn patch<T: WorkloadType>(&self, plan: &Plan) -> Result<Workload, ApiError> {
        let api = self.api::<T>(&plan.workload);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let body = Patch::Strategic(body::strategic_merge(plan, &self.keys));
        let object =
            ApiError::within(REQUEST_TIMEOUT, api.patch(&plan.workload.name, &params, &body)).await?;
        Ok(object.into_workload(&self.keys, self.auto_reload_all))
    }
}
