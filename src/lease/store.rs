//! The Lease as an object that can be read, created, compared-and-swapped and watched.
//!
//! Input: a [`kube::Client`]. Output: Leases and their changes. I/O: reads and writes one object.

use std::future::Future;

use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;

/// One Lease; the object that the candidates of an election share.
pub trait LeaseStore: Send + Sync + 'static {
    /// The Lease as it is now (a consistent read), or `None` when there is none.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send;

    /// Creates the Lease and returns it as stored; [`StoreError::Conflict`] when there is one already.
    fn create(&self, lease: Lease) -> impl Future<Output = Result<Lease, StoreError>> + Send;

    /// Replaces the Lease if its `metadata.resourceVersion` is still the one in `lease`, and returns it as stored;
    /// [`StoreError::Conflict`] when it is not, or when the Lease is gone.
    fn replace(&self, lease: Lease) -> impl Future<Output = Result<Lease, StoreError>> + Send;

    /// Changes as they happen, forever. Hints only: they may be late, repeated or missing.
    fn watch(&self) -> BoxStream<'static, Change>;
}

/// What a watch of the Lease says.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The Lease exists and looks like this.
    Stored(Box<Lease>),
    /// The Lease was deleted.
    Deleted,
    /// Watching is not permitted; candidates poll more often instead.
    Forbidden,
}

/// Why a request for the Lease failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed, created or deleted the Lease first.
    #[error("the Lease was changed by somebody else in the meantime")]
    Conflict,
    /// RBAC does not allow it.
    #[error(
        "not allowed to {verb} the Lease: {message}; grant the verbs get, create and update (and watch, for a \
         faster takeover) on leases of the API group coordination.k8s.io in that namespace"
    )]
    Forbidden {
        /// The verb that was refused.
        verb: &'static str,
        /// What the API server said.
        message: String,
    },
    /// No answer in time; whether a write took effect is unknown.
    #[error("no answer from the API server in time; check its load and the network between it and this pod")]
    Timeout,
    /// The API server refused for another reason.
    #[error("the API server answered {code} ({reason}) to {verb} of the Lease: {message}")]
    Api {
        /// The verb.
        verb: &'static str,
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason.
        reason: String,
        /// What the API server said.
        message: String,
    },
    /// The request did not get through; whether a write took effect is unknown.
    #[error("the API server could not be reached to {verb} the Lease: {message}")]
    Transport {
        /// The verb.
        verb: &'static str,
        /// What went wrong.
        message: String,
    },
}

impl StoreError {
    /// A static label for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Forbidden { .. } => "forbidden",
            Self::Timeout => "timeout",
            Self::Api { .. } => "api",
            Self::Transport { .. } => "transport",
        }
    }
}

/// The Lease in a cluster.
#[derive(Clone)]
pub struct KubeLeaseStore {
    _api: kube::Api<Lease>,
}

impl KubeLeaseStore {
    /// The Lease `namespace`/`name`, reached through `client`.
    ///
    /// The client should be the election's own, with kube's default retries off (`Config::default_retry = false`):
    /// load on a shared one would delay renewals, and a retried renewal is counted from the wrong moment.
    pub fn new(client: kube::Client, namespace: &str, _name: &str) -> Self {
        Self {
            _api: kube::Api::namespaced(client, namespace),
        }
    }
}

impl LeaseStore for KubeLeaseStore {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        Err(StoreError::Timeout)
    }

    async fn create(&self, _lease: Lease) -> Result<Lease, StoreError> {
        Err(StoreError::Timeout)
    }

    async fn replace(&self, _lease: Lease) -> Result<Lease, StoreError> {
        Err(StoreError::Timeout)
    }

    fn watch(&self) -> BoxStream<'static, Change> {
        Box::pin(futures::stream::pending())
    }
}
