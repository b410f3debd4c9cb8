//! Resumes paused Deployments whose pause period is over.
//!
//! Input: keys from the queue. Output: patches that resume. I/O: through [`patch`](crate::patch).
//!
//! A pause begins with the restart's own patch ([`decide::pause::with_restart`]). To be resumed is one more thing that a
//! workload owes: the ticket that finds it due resumes it, so that retries, fairness and fencing are those of restarts.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::{
    context::{Context, now},
    round::Round,
    write::{FencedWriter, MAX_CONFLICTS, WriteError},
};
use crate::{
    api_error::Class,
    decide::{self, pause::Resume},
    model::WorkloadKey,
    queue::Retry,
};

/// Resumes Deployments.
#[derive(Clone)]
pub(super) struct Resumer {
    context: Arc<Context>,
    writer: FencedWriter,
}

impl Resumer {
    /// A resumer that writes through `writer`.
    pub(super) const fn new(context: Arc<Context>, writer: FencedWriter) -> Self {
        Self { context, writer }
    }

    /// Resumes the workload if its time has come; `None`: it has not.
    ///
    /// Only ever on the very state that says so: another client that resumed it or took the pause over is respected.
    pub(super) async fn resume(&self, key: &WorkloadKey) -> Option<Round> {
        let (context, index) = (&self.context, self.context.index());
        for _ in 0..MAX_CONFLICTS {
            let workload = index.workload(key)?;
            match decide::pause::resume(&workload, Timestamp::now()) {
                Resume::Never => return None,
                Resume::At(_) => {
                    context.schedule_resume(key);
                    return None;
                }
                Resume::Now => {}
            }
            let plan = decide::pause::resuming(&workload);
            let read = match self.writer.write(&plan).await {
                Ok(_) => {
                    context.reporter().resume_succeeded(key);
                    context.pause_written(&workload, &plan);
                    return Some(Round::Written);
                }
                Err(WriteError::Fenced) => return Some(Round::Failed(Retry::Unavailable)),
                Err(WriteError::Api(error)) if error.class == Class::Conflict => self.writer.read(key).await,
                Err(WriteError::Dropped(dropped)) => Err(dropped.into()),
                Err(WriteError::Api(error)) => Err(error),
            };
            match read {
                // The same object in a newer state: decided upon again.
                Ok(Some(stored)) if stored.uid == workload.uid => {
                    context.enqueue_beside(index.read(stored, now()), key);
                }
                // Another object of that name: the one that was paused is gone.
                Ok(_) => return None,
                Err(error) if error.class == Class::NotFound => return None,
                Err(error) => {
                    context.metrics().failed(error.category());
                    context.reporter().resume_failed(&workload, &error);
                    return Some(Round::failed(&error));
                }
            }
        }
        Some(Round::Failed(Retry::Unavailable))
    }
}
