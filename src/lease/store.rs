//! The Lease as an object that can be read, created, compared-and-swapped and watched.
//!
//! Input: a [`kube::Client`]. Output: Leases and their changes. I/O: reads and writes one object.

use std::{future::Future, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{PostParams, WatchEvent, WatchParams},
    core::Status,
};
use tokio::time::{sleep, timeout};
use tracing::debug;

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
    api: Api<Lease>,
    name: String,
}

impl KubeLeaseStore {
    /// The Lease `namespace`/`name`, reached through `client`.
    ///
    /// The client should be the election's own, with kube's default retries off (`Config::default_retry = false`):
    /// load on a shared one would delay renewals, and a retried renewal would be counted from the wrong moment.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }
}

impl LeaseStore for KubeLeaseStore {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.api
            .get_opt(&self.name)
            .await
            .map_err(|error| store_error("get", error))
    }

    async fn create(&self, lease: Lease) -> Result<Lease, StoreError> {
        self.api
            .create(&PostParams::default(), &lease)
            .await
            .map_err(|error| store_error("create", error))
    }

    async fn replace(&self, lease: Lease) -> Result<Lease, StoreError> {
        let answer = self.api.replace(&self.name, &PostParams::default(), &lease).await;
        answer.map_err(|error| match store_error("update", error) {
            StoreError::Api { code: 404, .. } => StoreError::Conflict,
            error => error,
        })
    }

    fn watch(&self) -> BoxStream<'static, Change> {
        let watch = Watch {
            api: self.api.clone(),
            params: WatchParams::default()
                .fields(&format!("metadata.name={}", self.name))
                .disable_bookmarks(),
            events: None,
            pause: Duration::ZERO,
        };
        stream::unfold(
            watch,
            |mut watch| async move { Some((watch.next().await, watch)) },
        )
        .boxed()
    }
}

/// The pause before a watch is opened again: also the cap on how often an API server in trouble is asked.
const REOPEN: Duration = Duration::from_secs(2);
/// The pause after a refusal; permissions change seldom.
const REOPEN_FORBIDDEN: Duration = Duration::from_secs(60);
/// A watch is asked to end after 290 s (kube's default); one that has been silent for longer is a dead connection.
const SILENCE: Duration = Duration::from_secs(300);

/// A watch that is opened again whenever it ends.
struct Watch {
    api: Api<Lease>,
    params: WatchParams,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<Lease>>>>,
    /// How long to wait before opening.
    pause: Duration,
}

impl Watch {
    /// The next change. Cut off at an `await`, it goes on where it was.
    async fn next(&mut self) -> Change {
        loop {
            let Some(events) = &mut self.events else {
                if let Some(change) = self.open().await {
                    return change;
                }
                continue;
            };
            match timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)))) => {
                    return Change::Stored(Box::new(lease));
                }
                Ok(Some(Ok(WatchEvent::Deleted(_)))) => return Change::Deleted,
                Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
                Ok(Some(Ok(WatchEvent::Error(_)) | Err(_)) | None) | Err(_) => self.events = None,
            }
        }
    }

    /// Opens the watch. From version 0 it starts with the Lease as the API server's cache has it; that it may be old
    /// does no harm, see [`LeaseStore::watch`], and needs no list before.
    async fn open(&mut self) -> Option<Change> {
        sleep(self.pause).await;
        self.pause = REOPEN;
        match timeout(REOPEN, self.api.watch(&self.params, "0")).await {
            Ok(Ok(events)) => self.events = Some(events.boxed()),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                self.pause = REOPEN_FORBIDDEN;
                return Some(Change::Forbidden);
            }
            Ok(Err(error)) => debug!(%error, "the watch of the Lease failed, opening it again"),
            Err(_) => debug!("the watch of the Lease did not start in time, opening it again"),
        }
        None
    }
}

fn store_error(verb: &'static str, error: kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) => {
            let Status {
                code,
                reason,
                message,
                ..
            } = *status;
            match code {
                403 => StoreError::Forbidden { verb, message },
                409 => StoreError::Conflict,
                _ => StoreError::Api {
                    verb,
                    code,
                    reason,
                    message,
                },
            }
        }
        error => StoreError::Transport {
            verb,
            message: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(403, "forbidden")]
    #[case(409, "conflict")]
    #[case(404, "api")]
    #[case(500, "api")]
    fn answers_are_told_apart(#[case] code: u16, #[case] category: &str) {
        let status = Status::failure("no", "Reason").with_code(code).boxed();
        assert_eq!(store_error("get", kube::Error::Api(status)).category(), category);
    }

    #[test]
    fn a_refusal_says_which_permissions_are_missing() {
        let error = StoreError::Forbidden {
            verb: "update",
            message: "leases is forbidden".to_owned(),
        };
        let text = error.to_string();
        for word in [
            "update",
            "leases is forbidden",
            "get, create and update",
            "coordination.k8s.io",
        ] {
            assert!(text.contains(word), "{word:?} is missing in {text:?}");
        }
    }
}
