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
    fn watch(&self) -> BoxStream<'static, LeaseEvent>;
}

/// An event of the Lease's watch.
#[derive(Clone, Debug, PartialEq)]
pub enum LeaseEvent {
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
    /// Another client changed, created or deleted the Lease first.
    #[error("the Lease was changed by another client in the meantime")]
    Conflict,
    /// RBAC does not allow it, or a quota or an admission policy.
    #[error("not allowed to {verb} the Lease: {message}{}", advice(message))]
    Forbidden {
        /// The verb that was refused.
        verb: &'static str,
        /// The API server's message.
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
        /// The API server's message.
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
    /// RBAC allows to read the Lease, perhaps, but not to write it.
    pub fn is_refused_write(&self) -> bool {
        matches!(self, Self::Forbidden { verb, .. } if *verb != "get")
    }

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

    fn watch(&self) -> BoxStream<'static, LeaseEvent> {
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
/// The pause after a refusal; permissions rarely change.
const REOPEN_FORBIDDEN: Duration = Duration::from_mins(1);
/// A watch is asked to end after 290 s (kube's default); one that has been silent for longer is a dead connection.
const SILENCE: Duration = Duration::from_mins(5);

/// A watch that is opened again whenever it ends.
struct Watch {
    api: Api<Lease>,
    params: WatchParams,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<Lease>>>>,
    /// How long to wait before opening.
    pause: Duration,
}

impl Watch {
    /// The next change. Cancel safe: cancelled at an `await`, it continues from there.
    async fn next(&mut self) -> LeaseEvent {
        loop {
            let Some(events) = &mut self.events else {
                if let Some(change) = self.open().await {
                    return change;
                }
                continue;
            };
            match timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)))) => {
                    return LeaseEvent::Stored(Box::new(lease));
                }
                Ok(Some(Ok(WatchEvent::Deleted(_)))) => return LeaseEvent::Deleted,
                Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
                Ok(Some(Ok(WatchEvent::Error(_)) | Err(_)) | None) | Err(_) => self.events = None,
            }
        }
    }

    /// Opens the watch. From version 0 it starts with the Lease as the API server's cache has it; that it may be old
    /// does no harm, see [`LeaseStore::watch`], and needs no list before.
    async fn open(&mut self) -> Option<LeaseEvent> {
        sleep(self.pause).await;
        self.pause = REOPEN;
        match timeout(REOPEN, self.api.watch(&self.params, "0")).await {
            Ok(Ok(events)) => self.events = Some(events.boxed()),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                self.pause = REOPEN_FORBIDDEN;
                return Some(LeaseEvent::Forbidden);
            }
            Ok(Err(error)) => debug!(%error, "the watch of the Lease failed, opening it again"),
            Err(_) => debug!("the watch of the Lease did not start in time, opening it again"),
        }
        None
    }
}

/// A quota or an admission policy refuses with 403 as well, but does not name the API group.
fn advice(message: &str) -> &'static str {
    if message.contains(" in API group ") {
        "; grant the verbs get, create and update (and watch, for a faster takeover) on leases of the API group \
         coordination.k8s.io in that namespace"
    } else {
        ""
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
    use std::sync::{Arc, Mutex};

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::client::Body;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(403, "forbidden")]
    #[case(409, "conflict")]
    #[case(404, "api")]
    #[case(500, "api")]
    fn answers_are_distinguished(#[case] code: u16, #[case] category: &str) {
        let status = Status::failure("no", "Reason").with_code(code).boxed();
        assert_eq!(store_error("get", kube::Error::Api(status)).category(), category);
    }

    /// What was sent: method and path, and body.
    type Requests = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

    /// A client whose API server gives this answer to every request, and the requests it got.
    fn client(code: u16, body: serde_json::Value) -> (Client, Requests) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (log, body) = (Arc::clone(&log), body.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let sent = request.into_body().collect_bytes().await?;
                log.lock()
                    .unwrap()
                    .push((line, serde_json::from_slice(&sent).unwrap_or_default()));
                let response = http::Response::builder()
                    .status(code)
                    .body(Body::from(serde_json::to_vec(&body)?))?;
                Ok::<_, tower::BoxError>(response)
            }
        });
        (Client::new(service, "default"), seen)
    }

    fn status(code: u16) -> serde_json::Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "NotFound", "code": code})
    }

    fn lease() -> serde_json::Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "lock", "namespace": "reloader", "uid": "u", "resourceVersion": "5"},
            "spec": {"holderIdentity": "a"}
        })
    }

    #[tokio::test]
    async fn a_replacement_carries_version_and_uid() {
        let (client, seen) = client(200, lease());
        let store = KubeLeaseStore::new(client, "reloader", "lock");
        let stored = store.get().await.unwrap().unwrap();
        assert_eq!(
            store
                .replace(stored)
                .await
                .unwrap()
                .metadata
                .resource_version
                .as_deref(),
            Some("5")
        );
        let path = "/apis/coordination.k8s.io/v1/namespaces/reloader/leases/lock";
        let (line, body) = seen.lock().unwrap()[1].clone();
        assert_eq!(line.trim_end_matches(['?', '&']), format!("PUT {path}"));
        assert_eq!(body, lease());
    }

    #[tokio::test]
    async fn a_missing_lease_is_none_to_a_reader_and_a_conflict_to_a_writer() {
        let store = KubeLeaseStore::new(client(404, status(404)).0, "reloader", "lock");
        assert_eq!(store.get().await, Ok(None));
        assert_eq!(
            store
                .replace(Lease {
                    metadata: named(),
                    spec: None
                })
                .await,
            Err(StoreError::Conflict)
        );
    }

    #[tokio::test]
    async fn a_missing_namespace_is_an_error_to_the_creator() {
        let store = KubeLeaseStore::new(client(404, status(404)).0, "reloader", "lock");
        assert_eq!(
            store
                .create(Lease {
                    metadata: named(),
                    spec: None
                })
                .await
                .unwrap_err()
                .category(),
            "api"
        );
    }

    #[tokio::test]
    async fn a_watch_requests_this_lease_only_and_shows_its_changes() {
        let (client, seen) = client(200, json!({"type": "MODIFIED", "object": lease()}));
        let change = KubeLeaseStore::new(client, "reloader", "lock")
            .watch()
            .next()
            .await
            .unwrap();
        assert_eq!(
            change,
            LeaseEvent::Stored(Box::new(serde_json::from_value(lease()).unwrap()))
        );
        let line = seen.lock().unwrap()[0].0.clone();
        assert!(
            line.contains("watch=true") && line.contains("fieldSelector=metadata.name%3Dlock"),
            "{line}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_forbidden_watch_says_so_and_asks_again_a_minute_later() {
        let (client, seen) = client(403, status(403));
        let mut changes = KubeLeaseStore::new(client, "reloader", "lock").watch();
        let start = tokio::time::Instant::now();
        assert_eq!(changes.next().await, Some(LeaseEvent::Forbidden));
        assert_eq!(changes.next().await, Some(LeaseEvent::Forbidden));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(seen.lock().unwrap().len(), 2);
    }

    fn named() -> ObjectMeta {
        ObjectMeta {
            name: Some("lock".to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_refusal_says_which_permissions_are_missing() {
        let refused = |message: &str| {
            let message = message.to_owned();
            StoreError::Forbidden {
                verb: "update",
                message,
            }
            .to_string()
        };
        assert_eq!(
            refused("exceeded quota: few"),
            "not allowed to update the Lease: exceeded quota: few"
        );
        let text =
            refused("leases is forbidden: User \"a\" cannot update resource \"leases\" in API group \"x\"");
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
