//! Runs the election: asks [`super::election`] what to do, does it, reports back.
//!
//! Input: a [`LeaseStore`], [`Settings`], a [`Clock`]. Output: [`Leadership`]. I/O: reads and writes the Lease.

use std::{
    future::{self, Future},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use tracing::{debug, info, warn};

use super::{
    clock::{Clock, Moment, sleep_until},
    election::{Election, ElectionOutcome, Step},
    leadership::{Leadership, Publisher},
    role::Role,
    settings::Settings,
    store::{LeaseEvent, LeaseStore, StoreError},
};

/// How an election ended without an error, after [`Leadership::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The Lease no longer names this process; another replica can take it at once.
    Released,
    /// This process did not hold the lease.
    NotHolding,
    /// The lease could not be released; it expires after the lease duration.
    LeftToExpire,
}

/// Why this process no longer leads. It must end: nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No renewal succeeded in time.
    #[error(
        "lost the lease {namespace}/{name}: no renewal succeeded within {renew_deadline:?}; the last error was: \
         {last_error}"
    )]
    Expired {
        /// The Lease's namespace.
        namespace: String,
        /// The Lease's name.
        name: String,
        /// How long renewals were tried.
        renew_deadline: Duration,
        /// Why the last request failed.
        last_error: String,
    },
    /// Another process holds the lease.
    #[error(
        "lost the lease {namespace}/{name}: {holder} now; unless a replica was suspended or cut off for long, \
         look for another program or person that changes this Lease"
    )]
    TakenOver {
        /// The Lease's namespace.
        namespace: String,
        /// The Lease's name.
        name: String,
        /// The new holder, as half a sentence.
        holder: String,
    },
}

impl Error {
    /// A static label for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "lease_expired",
            Self::TakenOver { .. } => "lease_taken_over",
        }
    }
}

/// Takes part in the election for the Lease in `store`.
///
/// The future does all the work and must be polled. It ends with an error when the lease was held and is lost, or with
/// [`Ended`] after [`Leadership::release`]; either way the process should end. While this process waits for its turn,
/// requests that fail are logged and retried without end. It logs the leader (`new leader is <id>`, `still the
/// leader!`), at level info.
pub fn elect<S: LeaseStore>(
    store: S,
    settings: Settings,
    clock: Arc<dyn Clock>,
) -> (
    Leadership,
    impl Future<Output = Result<Ended, Error>> + Send + 'static,
) {
    let seed = RandomState::new().build_hasher().finish();
    elect_seeded(store, settings, clock, seed)
}

/// [`elect`] with repeatable random waits.
pub(super) fn elect_seeded<S: LeaseStore>(
    store: S,
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> (
    Leadership,
    impl Future<Output = Result<Ended, Error>> + Send + 'static,
) {
    let (leadership, publisher) = Leadership::new(Arc::clone(&clock));
    let driver = Driver {
        changes: Some(store.watch()),
        store,
        election: Election::new(settings.clone(), seed),
        settings,
        clock,
        publisher,
        reported_holder: None,
        watch_refusals: 0,
        refusals: 0,
        last_error: None,
    };
    (leadership, driver.run())
}

/// How many refusals (403) are logged as a missing permission: an API server that has just started refuses all requests
/// until it knows its roles.
const BELIEVED_REFUSALS: u32 = 2;

struct Driver<S> {
    store: S,
    /// The watch of the Lease; closed once this process is no longer a candidate.
    changes: Option<BoxStream<'static, LeaseEvent>>,
    election: Election,
    settings: Settings,
    clock: Arc<dyn Clock>,
    publisher: Publisher,
    /// The holder that the log named last.
    reported_holder: Option<Arc<str>>,
    /// How often watching was refused.
    watch_refusals: u32,
    /// How often requests were refused in a row.
    refusals: u32,
    /// The failure of the last request; `None` when it succeeded.
    last_error: Option<StoreError>,
}

impl<S: LeaseStore> Driver<S> {
    async fn run(mut self) -> Result<Ended, Error> {
        let Settings {
            name,
            namespace,
            identity,
            ..
        } = &self.settings;
        info!(namespace, name, identity, "taking part in the leader election");
        loop {
            if self.publisher.is_released() {
                self.election.release(self.clock.now());
            }
            let step = self.election.next(self.clock.now(), self.clock.wall());
            self.publisher.publish(&self.election);
            self.report_holder();
            if self.election.role() != Role::Standby {
                self.changes = None;
            }
            let cut_off = self.cut_off();
            match step {
                Step::Done(outcome) => return self.ended(outcome),
                Step::Wait(until) => self.wait(until).await,
                Step::Get => {
                    let answer = within_time(self.clock.as_ref(), cut_off, self.store.get()).await;
                    // Each attempt to write begins with a read: permission to read does not imply that a refused write
                    // works now.
                    let unwritable = self.last_error.as_ref().is_some_and(StoreError::is_refused_write);
                    if answer.is_err() || !unwritable {
                        self.note(answer.as_ref().err());
                    }
                    self.election.read(self.clock.now(), answer);
                }
                Step::Create(lease) => {
                    let sent = self.clock.now();
                    let answer = within_time(self.clock.as_ref(), cut_off, self.store.create(*lease)).await;
                    self.note(answer.as_ref().err());
                    self.election.wrote(sent, self.clock.now(), answer);
                }
                Step::Replace(lease) => {
                    let sent = self.clock.now();
                    let answer = within_time(self.clock.as_ref(), cut_off, self.store.replace(*lease)).await;
                    self.note(answer.as_ref().err());
                    self.election.wrote(sent, self.clock.now(), answer);
                }
            }
        }
    }

    /// Waits for the moment, a watch event, or a request to stop. Such a request interrupts only waiting: a request
    /// under way may take effect, so its answer decides whether there is something to release.
    async fn wait(&mut self, until: Moment) {
        let stop = async {
            if self.publisher.is_released() {
                future::pending::<()>().await;
            }
            self.publisher.released().await;
        };
        let change = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => future::pending().await,
            }
        };
        let change = tokio::select! {
            biased;
            () = stop => return,
            () = sleep_until(self.clock.as_ref(), until) => return,
            change = change => change,
        };
        let Some(change) = change else {
            self.changes = None;
            return;
        };
        // An API server that has just started refuses all requests until it knows its roles.
        if change == LeaseEvent::Forbidden {
            self.watch_refusals = self.watch_refusals.saturating_add(1);
        }
        if change == LeaseEvent::Forbidden && self.watch_refusals == BELIEVED_REFUSALS {
            info!(
                "not permitted to watch the Lease, polling it every second instead; grant the verb watch on leases \
                 of the API group coordination.k8s.io in this namespace for a faster takeover"
            );
        }
        self.election.changed(self.clock.now(), change);
    }

    /// When a request sent now is given up: after one retry period, or at the end of the claim.
    fn cut_off(&self) -> Moment {
        let latest = self.clock.now() + self.settings.timings.retry_period();
        self.election
            .deadline()
            .map_or(latest, |deadline| deadline.min(latest))
    }

    /// Logs a failure once, not once per retry.
    fn note(&mut self, error: Option<&StoreError>) {
        match error {
            // Losing a race is normal in an election.
            None | Some(StoreError::Conflict) => {
                self.refusals = 0;
                if self.last_error.take().is_some() {
                    info!("requests for the Lease succeed again");
                }
            }
            Some(error) => {
                let is_refusal = matches!(error, StoreError::Forbidden { .. });
                self.refusals = if is_refusal {
                    self.refusals.saturating_add(1)
                } else {
                    0
                };
                let last = self.last_error.replace(error.clone());
                let is_news = if is_refusal {
                    self.refusals == BELIEVED_REFUSALS
                } else {
                    last.is_none_or(|last| last.category() != error.category())
                };
                if is_news {
                    let leading = self.election.role() == Role::Leader;
                    warn!(category = error.category(), %error, leading, "a request for the Lease failed, retrying");
                } else {
                    debug!(category = error.category(), %error, "a request for the Lease failed again, retrying");
                }
            }
        }
    }

    fn report_holder(&mut self) {
        let Some(holder) = self.election.holder() else {
            return;
        };
        if self.reported_holder.as_ref() == Some(holder) {
            return;
        }
        if **holder == *self.settings.identity {
            info!("still the leader!");
        } else {
            info!("new leader is {holder}");
        }
        self.reported_holder = Some(Arc::clone(holder));
    }

    fn ended(self, outcome: ElectionOutcome) -> Result<Ended, Error> {
        let Settings {
            name,
            namespace,
            timings,
            ..
        } = self.settings;
        match outcome {
            ElectionOutcome::Released => Ok(Ended::Released),
            ElectionOutcome::NotHolding => Ok(Ended::NotHolding),
            ElectionOutcome::LeftToExpire => Ok(Ended::LeftToExpire),
            ElectionOutcome::Expired => Err(Error::Expired {
                namespace,
                name,
                renew_deadline: timings.renew_deadline(),
                last_error: self.last_error.map_or_else(
                    || {
                        "none; this process or its machine stood still, or others kept changing the Lease"
                            .to_owned()
                    },
                    |error| error.to_string(),
                ),
            }),
            ElectionOutcome::TakenOver(holder) => Err(Error::TakenOver {
                namespace,
                name,
                holder: holder.map_or_else(
                    || "no process holds it".to_owned(),
                    |holder| format!("{holder} holds it"),
                ),
            }),
        }
    }
}

/// The answer to `request`, or [`StoreError::Timeout`] at `cut_off`.
async fn within_time<T>(
    clock: &dyn Clock,
    cut_off: Moment,
    request: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        answer = request => answer,
        () = sleep_until(clock, cut_off) => Err(StoreError::Timeout),
    }
}

#[cfg(test)]
mod tests;
