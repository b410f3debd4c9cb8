//! Notices that the API server's data is older than what this process has seen.
//!
//! Input: requests for watches. Output: the same, or [`Rewound`]. I/O: a list of one object before a watch is resumed
//! that has ended early.
//!
//! resourceVersions only grow, until etcd is restored from a backup. A watch that is resumed where it was then shows
//! nothing until as many writes have happened as were lost, and the first of them never: the API server takes the version
//! for one that is still to come. Whoever restores etcd restarts the API servers, which ends every watch before its time.
//! So a watch that did is not resumed before a list has shown that its version has been reached. What the index knows is
//! of the lost history, and so is the ledger's version: the process ends, and its successor lists everything again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode, Uri, header::ACCEPT};
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
     the pod is restarted and lists everything again"
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

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process; what was asked for is never answered.
    async fn end<T>(&self, rewound: Rewound) -> T {
        self.rewound.send_replace(Some(rewound));
        std::future::pending().await
    }
}

/// The watch of each path that was open last.
#[derive(Debug, Default)]
struct Watches(HashMap<String, Last>);

#[derive(Debug)]
struct Last {
    /// Where it began; zero where that was a list.
    version: u64,
    /// When the watch that was asked for last is over, open or not.
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
    /// Whether that watch may be opened, which is tried next.
    fn trust(&mut self, opening: &Opening, now: Instant) -> Trust {
        // Of one that was never open nothing is known that may be out of date.
        let Some(last) = self.0.get_mut(&opening.path) else {
            return Trust::Open;
        };
        let ended_early = now < last.ends;
        last.ends = now + opening.timeout;
        match opening.version {
            Some(version) if version < last.version => Trust::Below(last.version),
            Some(version) if ended_early => Trust::AfterList(version),
            // A list is as new as etcd; what it was is seen when its watch is resumed.
            _ => Trust::Open,
        }
    }

    /// The watch that was asked for at that time is open.
    fn opened(&mut self, opening: Opening, sent: Instant) {
        let ends = sent + opening.timeout;
        let version = opening.version.unwrap_or_default();
        let last = self.0.entry(opening.path).or_insert(Last { version, ends });
        last.version = last.version.max(version);
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
            let sent = Instant::now();
            let trust = history.watches().trust(&opening, sent);
            let (seen, now) = match (trust, opening.version) {
                (Trust::Below(seen), Some(now)) => (seen, now),
                (Trust::AfterList(seen), _) => match newest(inner.clone(), request.uri()).await? {
                    Newest::Unanswered(answer) => return Ok(answer),
                    Newest::Version(now) if now < seen => (seen, now),
                    Newest::Version(_) | Newest::Unknown => {
                        return open(inner, request, &history, opening).await;
                    }
                },
                _ => return open(inner, request, &history, opening).await,
            };
            let path = opening.path;
            history.end(Rewound { path, seen, now }).await
        }
        .boxed()
    }
}

async fn open<S, R>(
    client: S,
    request: Request<Body>,
    history: &History,
    opening: Opening,
) -> Result<Response<R>, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>, Error = BoxError>,
{
    let sent = Instant::now();
    let answer = client.oneshot(request).await?;
    if answer.status().is_success() {
        history.watches().opened(opening, sent);
    }
    Ok(answer)
}

/// How new the API server's data is.
enum Newest<A> {
    /// At this resourceVersion.
    Version(u64),
    /// It does not say.
    Unknown,
    /// It is not ready to say, and answers this.
    Unanswered(A),
}

/// Asks for one of the objects that the watch shows.
async fn newest<S, R>(client: S, watch: &Uri) -> Result<Newest<Response<R>>, BoxError>
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

    let selectors = watch.query().unwrap_or_default().split('&');
    let selectors =
        selectors.filter(|pair| pair.starts_with("fieldSelector=") || pair.starts_with("labelSelector="));
    let query: Vec<&str> = selectors.chain(["limit=1"]).collect();
    let request = Request::get(format!("{}?{}", watch.path(), query.join("&")))
        .header(ACCEPT, METADATA_ONLY)
        .body(Body::empty())?;
    let answer = client.oneshot(request).await?;
    match answer.status() {
        status if status.is_success() => {}
        // One that has just started refuses everybody; it may permit the watch a moment later.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            return Ok(Newest::Unanswered(answer));
        }
        status if status.is_server_error() => return Ok(Newest::Unanswered(answer)),
        _ => return Ok(Newest::Unknown),
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await?;
    let version = serde_json::from_slice::<List>(&body.to_bytes())
        .ok()
        .and_then(|list| list.metadata.resource_version.parse().ok());
    Ok(version.map_or(Newest::Unknown, Newest::Version))
}

#[cfg(test)]
mod tests;
