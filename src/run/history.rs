//! Notices that the API server's data is older than what this process has seen.
//!
//! Input: requests for watches. Output: the same, or [`Rewound`]. I/O: a list of one object before a watch is resumed
//! that has ended early.
//!
//! resourceVersions only grow, until etcd is restored from a backup. A watch that is resumed where it was then shows
//! nothing until as many writes have happened as were lost, and the first of them never: the API server takes the version
//! for one that is still to come. Whoever restores etcd restarts the API servers, which ends every watch before its time.
//! So a watch that did is not resumed before a list has shown that its version has been reached. What the index knows is
//! of the lost history, and so is the ledger's version: the process ends, and its successor lists anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;
use tokio::{sync::watch, time::Instant};
use tower::{BoxError, Layer, Service, ServiceExt};

use super::opening::Opening;

/// Names and versions without content: what is asked is how new they are, and a Secret's data is never needed for that.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// How long the list of one object's metadata may be: annotations and managed fields are below 2 MiB.
const LONGEST_ANSWER: usize = 4 << 20;

/// The API server's data is older than what this process has seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API server's data is older than what this process has seen: {path} is at resourceVersion {now} and was at \
     {seen}. etcd was restored from a backup, or the API server's address leads to another cluster now; exiting so that \
     the pod is restarted and lists everything anew"
)]
pub struct Rewound {
    path: String,
    seen: u64,
    now: u64,
}

/// What has been seen of each kind; clones share it.
#[derive(Clone, Debug)]
pub(super) struct History {
    watches: Arc<Mutex<Watches>>,
    rewound: watch::Sender<Option<Rewound>>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            watches: Arc::default(),
            rewound: watch::Sender::new(None),
        }
    }

    /// Completes when older data has been seen.
    pub(super) async fn rewound(&self) -> Rewound {
        let mut receiver = self.rewound.subscribe();
        let found = receiver.wait_for(Option::is_some).await;
        match found.ok().and_then(|found| found.clone()) {
            Some(rewound) => rewound,
            // The sender is part of `self`.
            None => std::future::pending().await,
        }
    }

    fn opens(&self, opening: &Opening) -> Trust {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.opens(opening, Instant::now())
    }

    /// Ends the process; what was asked for is never answered.
    async fn end<T>(&self, rewound: Rewound) -> T {
        self.rewound.send_replace(Some(rewound));
        std::future::pending().await
    }
}

/// The watch of each path that was opened last.
#[derive(Debug, Default)]
struct Watches(HashMap<String, Last>);

#[derive(Debug)]
struct Last {
    version: u64,
    ends: Instant,
}

/// How a watch can be opened.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// At once.
    Open,
    /// Once a list has shown this version or a later one.
    AfterList(u64),
    /// Not at all: its version is below this one, which was seen before.
    Below(u64),
}

impl Watches {
    fn opens(&mut self, opening: &Opening, now: Instant) -> Trust {
        let ends = now + opening.timeout;
        let Some(version) = opening.version else {
            // A list is as new as etcd; what it was is seen when it is resumed.
            self.0
                .entry(opening.path.clone())
                .and_modify(|last| last.ends = ends)
                .or_insert(Last { version: 0, ends });
            return Trust::Open;
        };
        let Some(last) = self.0.insert(opening.path.clone(), Last { version, ends }) else {
            return Trust::Open;
        };
        if version < last.version {
            Trust::Below(last.version)
        } else if now < last.ends {
            Trust::AfterList(version)
        } else {
            Trust::Open
        }
    }
}

impl<S> Layer<S> for History {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            history: self.clone(),
        }
    }
}

/// A client that opens no watch on older data.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    history: History,
}

impl<S, R> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static,
    R: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(opening) = Opening::of(request.uri()) else {
            return self.inner.call(request).boxed();
        };
        let history = self.history.clone();
        let inner = self.inner.clone();
        async move {
            let (path, seen, now) = match (history.opens(&opening), opening.version) {
                (Trust::Below(seen), Some(now)) => (opening.path, seen, now),
                (Trust::AfterList(seen), _) => match newest(inner.clone(), &opening.path).await? {
                    Newest::Unanswered(answer) => return Ok(answer),
                    Newest::Version(now) if now < seen => (opening.path, seen, now),
                    Newest::Version(_) | Newest::Unknown => return inner.oneshot(request).await,
                },
                _ => return inner.oneshot(request).await,
            };
            history.end(Rewound { path, seen, now }).await
        }
        .boxed()
    }
}

/// How new the API server's data is.
enum Newest<A> {
    /// At this resourceVersion.
    Version(u64),
    /// It does not say, or refuses.
    Unknown,
    /// It is out of order or busy, and answers this.
    Unanswered(A),
}

async fn newest<S, R>(client: S, path: &str) -> Result<Newest<Response<R>>, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>, Error = BoxError>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    #[derive(Deserialize)]
    struct List {
        metadata: ListMeta,
    }
    #[derive(Deserialize)]
    struct ListMeta {
        #[serde(rename = "resourceVersion")]
        resource_version: String,
    }

    let request = Request::get(format!("{path}?limit=1"))
        .header(ACCEPT, METADATA_ONLY)
        .body(Body::empty())?;
    let answer = client.oneshot(request).await?;
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Ok(Newest::Unanswered(answer));
    }
    if !status.is_success() {
        return Ok(Newest::Unknown);
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await?;
    let version = serde_json::from_slice::<List>(&body.to_bytes())
        .ok()
        .and_then(|list| list.metadata.resource_version.parse().ok());
    Ok(version.map_or(Newest::Unknown, Newest::Version))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(290);

    fn opening(version: Option<u64>) -> Opening {
        Opening {
            path: "/api/v1/secrets".to_owned(),
            version,
            timeout: TIMEOUT,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_trusted_when_nothing_broke_it() {
        let mut watches = Watches::default();
        let start = Instant::now();
        assert_eq!(watches.opens(&opening(None), start), Trust::Open);
        assert_eq!(watches.opens(&opening(Some(5)), start + TIMEOUT), Trust::Open);
        assert_eq!(watches.opens(&opening(Some(5)), start + 2 * TIMEOUT), Trust::Open);
        // It ends early, and the next attempt fails.
        let early = start + 2 * TIMEOUT + TIMEOUT / 2;
        assert_eq!(watches.opens(&opening(Some(9)), early), Trust::AfterList(9));
        assert_eq!(watches.opens(&opening(Some(9)), early), Trust::AfterList(9));
        // After a new list.
        assert_eq!(watches.opens(&opening(Some(8)), early + TIMEOUT), Trust::Below(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamed_list_that_breaks_off_is_checked_when_it_is_resumed() {
        let mut watches = Watches::default();
        let start = Instant::now();
        watches.opens(&opening(None), start);
        assert_eq!(watches.opens(&opening(Some(5)), start), Trust::AfterList(5));
        // Versions are those of a kind: others may be stored elsewhere.
        let other = Opening {
            path: "/api/v1/configmaps".to_owned(),
            ..opening(Some(3))
        };
        assert_eq!(watches.opens(&other, start), Trust::Open);
    }
}
