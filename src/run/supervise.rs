//! Supervises the loops, starts what only the leader runs, and shuts down in order.
//!
//! Input: running loops. Output: why one of them ended; or an orderly end. I/O: the last write of the ledger, the
//! release of the lease.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{error::RunError, notifications::Sending, selectors::selectors, surroundings::Tasks, takeover};
use crate::{
    config::{Config, Scope},
    lease,
    model::WorkloadKind,
    watch::Watched,
    worker::Worker,
};

const JOBS: Watched = Watched::Workload(WorkloadKind::Job);
/// How long the patches in flight may take after SIGTERM; below the 30 s a pod is given, and below the lease duration,
/// since no other replica writes before the lease is released or has expired.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the last write of the ledger may take, and releasing the lease; after that it expires by itself.
const RELEASE: Duration = Duration::from_secs(2);
/// How long the last Events may take to be written, beside the last alerts.
const LAST_EVENTS: Duration = Duration::from_secs(5);
/// How long the last alerts or webhook calls may take to be posted, as long as one may take; with the rest it stays
/// below the 30 s a pod is given.
const LAST_POSTS: Duration = Duration::from_secs(10);

/// The election's future.
pub(super) type Election = Pin<Box<dyn Future<Output = Result<lease::Ended, lease::Error>> + Send>>;

/// The loops of this process. Dropped, they end where they are.
pub(super) struct Running {
    worker: Worker,
    tasks: Tasks,
    /// Loops that never end by themselves.
    loops: JoinSet<&'static str>,
    /// The leader's workers; none on a standby.
    workers: JoinSet<()>,
    election: AbortOnDropHandle<Result<lease::Ended, lease::Error>>,
    /// Writes Events until every recorder is dropped.
    recording: AbortOnDropHandle<()>,
    /// Posts alerts or calls the webhook until every producer is dropped.
    sending: Option<AbortOnDropHandle<()>>,
}

impl Running {
    pub(super) fn new(
        worker: Worker,
        tasks: Tasks,
        election: Election,
        recording: impl Future<Output = ()> + Send + 'static,
        sending: Option<Sending>,
    ) -> Self {
        Self {
            worker,
            loops: JoinSet::new(),
            workers: JoinSet::new(),
            election: AbortOnDropHandle::new(tokio::spawn(tasks.task(election))),
            recording: AbortOnDropHandle::new(tokio::spawn(tasks.task(recording))),
            sending: sending.map(|sending| AbortOnDropHandle::new(tokio::spawn(tasks.task(sending)))),
            tasks,
        }
    }

    /// Adds a loop.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.loops.spawn(self.tasks.task(async move {
            task.await;
            name
        }));
    }

    /// Starts acting once this replica leads. Completes when a loop ended that should not have.
    pub(super) async fn supervise(
        &mut self,
        ledger: Option<takeover::Unread>,
        config: &Arc<Config>,
        selection_known: watch::Receiver<bool>,
    ) -> RunError {
        let leadership = self.worker.context().leadership().clone();
        let mut candidate = Some(ledger);
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = self.loops.join_next() => return match ended {
                    Ok(name) => RunError::LoopEnded(name),
                    Err(error) => panicked(&error),
                },
                Some(ended) = self.workers.join_next() => return match ended {
                    Ok(()) => RunError::LoopEnded("worker"),
                    Err(error) => panicked(&error),
                },
                ended = &mut self.election => return match ended {
                    Ok(Ok(_)) => RunError::LoopEnded("leader election"),
                    Ok(Err(error)) => RunError::LeadershipLost(error),
                    Err(error) => panicked(&error),
                },
                _ = &mut self.recording => return RunError::LoopEnded("events"),
                () = ended(&mut self.sending) => return RunError::LoopEnded("notifications"),
                // Reading the ledger can take long, comparing it too, and the loops must be supervised meanwhile.
                () = leadership.acquired(), if candidate.is_some() => {
                    let context = Arc::clone(self.worker.context());
                    let ledger = candidate.take().flatten();
                    let takeover =
                        takeover::take_over(context, Arc::clone(config), ledger, selection_known.clone());
                    reading.spawn(self.tasks.task(takeover));
                }
                Some(read) = reading.join_next() => match read {
                    // Workers start last: what they write rests on the debts that the ledger has.
                    Ok(writing) => {
                        self.spawn("ledger", writing);
                        if config.webhook.is_none() && config.kinds().contains(&WorkloadKind::Job) {
                            let namespaces = match &config.scope {
                                Scope::All => None,
                                Scope::Namespaces(names) => Some(names.clone()),
                            };
                            let fields = selectors(&config.filters).fields(JOBS);
                            self.spawn("jobs", self.worker.clone().finish_recreations(namespaces, fields));
                        }
                        for _ in 0..config.workers {
                            self.workers.spawn(self.tasks.task(self.worker.clone().run()));
                        }
                    }
                    Err(error) => return panicked(&error),
                },
            }
        }
    }

    /// Drains the workers, writes what is settled into the ledger, releases the lease: in this order, so that the next
    /// leader can trust what it reads.
    pub(super) async fn shut_down(self) {
        let Self {
            worker,
            tasks: _,
            mut loops,
            mut workers,
            election,
            recording,
            sending,
        } = self;
        let context = worker.context();
        context.queue().shutdown();
        if timeout(DRAIN, async { while workers.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            tracing::warn!(
                in_flight = context.queue().in_flight(),
                "Patches in flight did not finish in time"
            );
            workers.shutdown().await;
        }
        if timeout(RELEASE, context.ledger().close()).await.is_err() {
            tracing::warn!(
                "The ledger could not be written in time; the markers on the workloads show what was done"
            );
        }
        if timeout(RELEASE, context.leadership().release()).await.is_err() {
            tracing::warn!("The lease could not be released in time; it expires by itself");
        }
        election.abort();
        // Intake and workers hold the recorders: once they are gone, the queued Events and messages are the last ones.
        loops.shutdown().await;
        drop(worker);
        let events = async {
            if timeout(LAST_EVENTS, recording).await.is_err() {
                tracing::warn!("The last Events could not be written in time");
            }
        };
        let posts = async {
            if let Some(sending) = sending
                && timeout(LAST_POSTS, sending).await.is_err()
            {
                tracing::warn!(
                    "The last alerts or webhook calls could not be delivered in time; check that their receiver answers"
                );
            }
        };
        tokio::join!(events, posts);
    }
}

/// Completes when the task, if there is one, has ended.
async fn ended(task: &mut Option<AbortOnDropHandle<()>>) {
    match task {
        Some(task) => _ = task.await,
        None => std::future::pending().await,
    }
}

fn panicked(error: &JoinError) -> RunError {
    RunError::Panicked(error.to_string())
}
