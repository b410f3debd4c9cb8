//! The one way of a worker to write: fenced by the lease, with the answer taken into the index.
//!
//! Input: a [`Plan`]. Output: [`Applied`], or why it was not written. I/O: through [`crate::patch`].

use std::{num::NonZeroU64, sync::Arc};

use super::context::{Context, now};
use crate::{
    api_error::ApiError,
    decide::Plan,
    model::{Workload, WorkloadKey},
    patch::{self, Applied, DroppedMarker, Recreator},
};

/// After so many conflicts in a row another client writes to the workload faster than it can be read.
pub(super) const MAX_CONFLICTS: u32 = 4;

/// Why a plan was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// Another replica may lead from now on.
    #[error("this replica may not write: its lease has expired")]
    Fenced,
    /// The API server accepted it, but stored neither the marker nor another change of the pod template.
    #[error("the API server dropped the marker")]
    Dropped(#[source] DroppedMarker),
    /// The API server refused it, or did not answer.
    #[error("the API server did not accept the write")]
    Api(#[source] ApiError),
}

/// Writes plans while this replica leads.
#[derive(Clone)]
pub(super) struct FencedWriter {
    inner: patch::Writer,
    context: Arc<Context>,
}

impl FencedWriter {
    /// Fences `inner`; its answers go into the index of `context`.
    pub(super) const fn new(inner: patch::Writer, context: Arc<Context>) -> Self {
        Self { inner, context }
    }

    /// Writes the plan. The workload as stored is in the index when this returns. An answer without the plan's markers is
    /// an error: the API server accepted the patch, and something on its way took them out. Unless that changed the pod
    /// template in another way: new pods start.
    pub(super) async fn write(&self, plan: &Plan) -> Result<Applied, WriteError> {
        // The lease is asked before every step of the request, not only once before it.
        let context = &self.context;
        let Some(answer) = context.leadership().fence(self.inner.apply(plan)).await else {
            context.metrics().write_fenced();
            return Err(WriteError::Fenced);
        };
        let mut applied = answer.map_err(WriteError::Api)?;
        // The next decision must not rest on the state before the write.
        if let Some(stored) = applied.stored.take() {
            let checked = patch::check_stored(plan, &stored);
            let (key, after) = (stored.key.clone(), NonZeroU64::new(stored.resource_version));
            context.enqueue_beside(context.index().written(stored, now()), &plan.workload);
            if let Err(dropped) = checked {
                if !self.template_moved(&key, applied.based_on, after).await {
                    return Err(WriteError::Dropped(dropped));
                }
                applied.dropped = Some(dropped);
            }
        }
        Ok(applied)
    }

    /// Where that cannot be read, it has not: a restart too many is better than one too few.
    async fn template_moved(
        &self,
        key: &WorkloadKey,
        before: Option<NonZeroU64>,
        after: Option<NonZeroU64>,
    ) -> bool {
        let (Some(before), Some(after)) = (before, after) else {
            return false;
        };
        let moved = self.inner.template_moved(key, before, after).await;
        moved.unwrap_or_else(|error| {
            tracing::debug!(
                category = error.category(),
                "Earlier states of {key} cannot be read: {error}"
            );
            false
        })
    }

    /// The workload as it is stored now; `None`: the object is not restarted any more.
    pub(super) async fn read(&self, key: &WorkloadKey) -> Result<Option<Workload>, ApiError> {
        self.inner.read(key).await
    }

    /// What finishes the recreations of Jobs that were interrupted.
    pub(super) fn recreator(&self) -> Recreator {
        self.inner.recreator()
    }
}
