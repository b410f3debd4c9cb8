//! One watch stream: list, watch, survive, start over.
//!
//! Input: an API client. Output: [`Observation`]s into a channel. I/O: reads.

use std::{fmt::Debug, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    runtime::watcher::{self, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, time::timeout};

use super::{
    Event, Failure, Observation, StreamId, Watched,
    source::{ConfigMapData, SecretData, SourceData, SourceObject},
    workload::{DaemonSet, Deployment, StatefulSet, WorkloadObject, WorkloadType},
};
use crate::{
    api_error::ApiError,
    model::{AnnotationKeys, SourceKind, WorkloadKind},
};

/// The first pause after a failure, doubled up to [`LONGEST_PAUSE`]. With jitter, so that several streams and
/// replicas do not come back at the same instant after an API server restart.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two attempts. client-go allows itself 30 s; a reload should not wait that long once the
/// API server is back, and five streams a replica at one attempt each 5 s are no burden.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a streamed list may show nothing before pages are asked for instead: servers are known that accept the
/// request and then never send its end (kubernetes#138557).
const STREAMED_LIST_SILENCE: Duration = Duration::from_secs(20);

/// What every stream needs to reduce its objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configured annotation keys.
    pub keys: Arc<AnnotationKeys>,
    /// Workloads without annotations are opted in, so their pod templates matter.
    pub auto_reload_all: bool,
    /// Objects a page of a list that is not streamed, 1 to 500. The page is what peaks in memory: 500 Secrets of 1 MiB would be
    /// 500 MiB of JSON at once.
    pub page_size: u32,
}

/// Watches one stream until `sink` is closed. Every failure is reported as [`Event::Failed`] and tried again.
pub async fn watch(client: Client, stream: StreamId, settings: Settings, sink: mpsc::Sender<Observation>) {
    let keys = Arc::clone(&settings.keys);
    let all = settings.auto_reload_all;
    let output = Output {
        stream: stream.clone(),
        page_size: settings.page_size,
        sink,
    };
    match stream.watched {
        Watched::Source(SourceKind::ConfigMap) => sources::<ConfigMapData>(client, output, keys).await,
        Watched::Source(SourceKind::Secret) => sources::<SecretData>(client, output, keys).await,
        Watched::Workload(WorkloadKind::Deployment) => {
            workloads::<Deployment>(client, output, keys, all).await
        }
        Watched::Workload(WorkloadKind::DaemonSet) => workloads::<DaemonSet>(client, output, keys, all).await,
        Watched::Workload(WorkloadKind::StatefulSet) => {
            workloads::<StatefulSet>(client, output, keys, all).await
        }
    }
}

async fn sources<D: SourceData>(client: Client, output: Output, keys: Arc<AnnotationKeys>) {
    let seen = move |object: SourceObject<D>| Event::SourceSeen(object.into_source(&keys));
    let gone = |object: SourceObject<D>| Event::SourceGone(object.key());
    output.run(client, seen, gone).await;
}

async fn workloads<T: WorkloadType>(client: Client, output: Output, keys: Arc<AnnotationKeys>, all: bool) {
    let seen =
        move |object: WorkloadObject<T>| Event::WorkloadSeen(Box::new(object.into_workload(&keys, all)));
    let gone = |object: WorkloadObject<T>| Event::WorkloadGone(object.key());
    output.run(client, seen, gone).await;
}

/// Where a stream's events go.
struct Output {
    stream: StreamId,
    page_size: u32,
    sink: mpsc::Sender<Observation>,
}

impl Output {
    async fn run<K>(self, client: Client, seen: impl Fn(K) -> Event, gone: impl Fn(K) -> Event)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let api: Api<K> = match &self.stream.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let mut lists = Lists::Streamed;
        let mut pauses = pauses();
        loop {
            let mut events = std::pin::pin!(watcher(api.clone(), lists.config(self.page_size)));
            let mut listing = true;
            // The stream itself never ends: an inner loop is left only to start over from a fresh list.
            loop {
                let next = events.next();
                let item = if listing && lists == Lists::Streamed {
                    match timeout(STREAMED_LIST_SILENCE, next).await {
                        Ok(Some(Err(error))) if cannot_stream(&error) => None,
                        Ok(item) => item,
                        Err(_) => None,
                    }
                } else {
                    next.await
                };
                let Some(item) = item else {
                    if listing && lists == Lists::Streamed {
                        tracing::debug!(
                            "The API server does not stream the list of {}: asking for pages",
                            self.stream
                        );
                        lists = Lists::Paged;
                    }
                    break;
                };
                match &item {
                    Ok(watcher::Event::Init) => listing = true,
                    Ok(watcher::Event::InitDone) => listing = false,
                    _ => {}
                }
                let (event, start_over) = match item {
                    Ok(watcher::Event::Init) => (Event::ListStarted, false),
                    Ok(watcher::Event::InitDone) => (Event::Listed, false),
                    Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                        (seen(object), false)
                    }
                    Ok(watcher::Event::Delete(object)) => (gone(object), false),
                    Err(error) => (Event::Failed(failure(&error)), must_start_over(&error)),
                };
                // A list that starts proves nothing: it is announced before the request is sent.
                let (failed, flows) = match &event {
                    Event::Failed(_) => (true, false),
                    Event::ListStarted => (false, false),
                    _ => (false, true),
                };
                if self
                    .sink
                    .send(Observation {
                        stream: self.stream.clone(),
                        event,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
                if failed {
                    tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                } else if flows {
                    pauses = self::pauses();
                }
                if start_over {
                    break;
                }
            }
        }
    }
}

/// How a complete list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    /// As the beginning of the watch
    /// ([streaming lists](https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists)): one object
    /// in memory at a time instead of a page, one request instead of one a page. On by default from Kubernetes 1.34.
    Streamed,
    /// In pages; every API server can.
    Paged,
}

impl Lists {
    fn config(self, page_size: u32) -> watcher::Config {
        let config = watcher::Config::default();
        match self {
            Self::Streamed => config.streaming_lists(),
            Self::Paged => config.page_size(page_size),
        }
    }
}

/// Whether the API server refuses to stream a list, in one of the ways of those that do not know it or have it
/// switched off: 422 with the feature off, 400 from proxies, 404 and 405 from aggregated servers.
fn cannot_stream(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            matches!(status.code, 400 | 404 | 405 | 422)
        }
        _ => false,
    }
}

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Whether the watcher would go on from a place that may have skipped something.
///
/// kube's watcher keeps its resourceVersion when the *start* of a watch is answered with HTTP 410 (it expects 410
/// inside the stream), and reads on past a line that it cannot decode. Both would lose a change for good.
fn must_start_over(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        watcher::Error::WatchFailed(error) => !matches!(error, kube::Error::ReadEvents(_)),
        _ => false,
    }
}

fn failure(error: &watcher::Error) -> Failure {
    let (category, error) = match error {
        watcher::Error::InitialListFailed(error) => ("list", ApiError::from_client(error)),
        watcher::Error::WatchStartFailed(error) => ("watch_start", ApiError::from_client(error)),
        watcher::Error::WatchFailed(error) => ("watch", ApiError::from_client(error)),
        watcher::Error::WatchError(status) => ("watch", ApiError::from_status(status)),
        watcher::Error::NoResourceVersion => return Failure::other("the API server sent no resourceVersion"),
    };
    Failure {
        category,
        denied: error.is_forbidden(),
        message: error.message,
    }
}
