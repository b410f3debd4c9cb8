//! One watch stream: list, watch, survive, start over.
//!
//! Input: an API client. Output: [`Observation`]s into a channel. I/O: reads.

use std::{fmt::Debug, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    runtime::watcher::{self, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    ClassesKnown, Event, Failure, Observation, Selectors, StreamId, Watched,
    csi::{ClassObject, PodStatusObject},
    namespace::NamespaceObject,
    source::{ConfigMapData, SecretData, SourceData, SourceObject},
    workload::{Decoded, RawObject, Reading, WorkloadObject},
};
use crate::{
    api_error::ApiError,
    model::{AnnotationKeys, SourceKind, WorkloadKey, WorkloadKind},
};

/// The first pause after a failure, doubled up to [`LONGEST_PAUSE`]. With jitter, so that several streams and
/// replicas do not come back at the same instant after an API server restart.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two attempts. client-go allows itself 30 s; a reload should not wait that long once the
/// API server is back, and five streams a replica at one attempt each 5 s are no burden.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a refusal (403), and while the kind is not installed (404): whoever grants the permission or
/// installs the `CustomResourceDefinition` expects it to work within a minute.
const REFUSED_PAUSE: Duration = Duration::from_secs(20);

/// How long a streamed list may be silent before it is asked for in pages: an API server that does not know such lists
/// ignores the wish and never says that the list is complete.
const STREAMED_SILENCE: Duration = Duration::from_secs(20);

/// After so long without another failure, a watch that was asked for again is open: twice the time that connecting may
/// take. kube's watcher says nothing of a watch that begins, and keeps bookmarks to itself; without an object that
/// changes, nothing would ever show that the failure is over.
const RESUMED_SILENCE: Duration = Duration::from_secs(10);

/// How much longer than its timeout a watch may be silent before its connection is taken for dead: what kube's watcher
/// allows.
pub const GRACE: Duration = Duration::from_secs(5);

/// What every stream needs to ask for its objects and to reduce them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which objects are asked for.
    pub selectors: Selectors,
    /// What is kept of workloads.
    pub reading: Reading,
    /// Objects a page of a list that is not streamed, 1 to 500. The page is what peaks in memory: 500 Secrets of 1 MiB would be
    /// 500 MiB of JSON at once.
    pub page_size: u32,
    /// How long the API server is asked to keep a watch open.
    pub timeout: Duration,
    /// What streams of statuses wait for; the same for all streams.
    pub classes: ClassesKnown,
}

/// Watches one stream until `sink` is closed. Every failure is reported as [`Event::Failed`] and tried again.
pub async fn watch(client: Client, stream: StreamId, settings: Settings, sink: mpsc::Sender<Observation>) {
    let keys = Arc::clone(&settings.reading.keys);
    let output = Output {
        stream: stream.clone(),
        selected: settings.selectors.config(stream.watched),
        page_size: settings.page_size,
        timeout: settings.timeout,
        classes: settings.classes,
        sink,
    };
    match stream.watched {
        Watched::Source(SourceKind::ConfigMap) => sources::<ConfigMapData>(client, output, keys).await,
        Watched::Source(SourceKind::Secret) => sources::<SecretData>(client, output, keys).await,
        Watched::Source(SourceKind::SecretProviderClass) => {
            output.classes.wait(&output.stream).await;
            let api = output.api(client);
            output.run(api, status_seen, status_gone).await;
        }
        Watched::Class => {
            let seen = move |object: ClassObject| Event::ClassSeen(object.into_annotations(&keys));
            let gone = |object: ClassObject| Event::ClassGone(object.key());
            let api = output.api(client);
            output.run(api, seen, gone).await;
        }
        Watched::Workload(kind @ WorkloadKind::Custom(_)) => {
            workloads::<RawObject>(client, output, kind, settings.reading).await;
        }
        Watched::Workload(kind) => workloads::<WorkloadObject>(client, output, kind, settings.reading).await,
        Watched::Namespace => {
            let seen = |object: NamespaceObject| Event::NamespaceSeen(object.into_name());
            let gone = |object: NamespaceObject| Event::NamespaceGone(object.into_name());
            output.run(Api::all(client), seen, gone).await;
        }
    }
}

async fn sources<D: SourceData>(client: Client, output: Output, keys: Arc<AnnotationKeys>) {
    let seen = move |object: SourceObject<D>| Event::SourceSeen(object.into_source(&keys));
    let gone = |object: SourceObject<D>| Event::SourceGone(object.key());
    let api = output.api(client);
    output.run(api, seen, gone).await;
}

fn status_seen(object: PodStatusObject) -> Event {
    match object.into_status() {
        Ok(status) => Event::PodStatusSeen(status),
        Err((namespace, name)) => Event::PodStatusGone { namespace, name },
    }
}

fn status_gone(object: PodStatusObject) -> Event {
    let (namespace, name) = object.into_name();
    Event::PodStatusGone { namespace, name }
}

async fn workloads<T: Decoded>(client: Client, output: Output, kind: WorkloadKind, reading: Reading) {
    let key = move |object: &T| {
        let meta = object.meta();
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
        WorkloadKey::new(kind, text(&meta.namespace), text(&meta.name))
    };
    let seen = move |object: T| {
        let key = key(&object);
        match reading.read(object.into_object(kind), kind) {
            Some(workload) => Event::WorkloadSeen(Box::new(workload)),
            // It may have been one before: a Job that has finished.
            None => Event::WorkloadGone(key),
        }
    };
    let gone = move |object: T| Event::WorkloadGone(key(&object));
    let api = match &output.stream.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    output.run(api, seen, gone).await;
}

/// Where a stream's events go.
struct Output {
    stream: StreamId,
    /// Which objects are asked for.
    selected: watcher::Config,
    page_size: u32,
    timeout: Duration,
    classes: ClassesKnown,
    sink: mpsc::Sender<Observation>,
}

impl Output {
    fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match &self.stream.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    async fn run<K>(self, api: Api<K>, seen: impl Fn(K) -> Event, gone: impl Fn(K) -> Event)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut listing = Listing::Streamed;
        let mut pauses = pauses();
        loop {
            let mut events = std::pin::pin!(watcher(api.clone(), self.config(listing)));
            let mut resuming = false;
            // The stream itself never ends: an inner loop is left only to start over from a fresh list.
            loop {
                let next = listing.next(&mut events);
                let item = if resuming {
                    let Ok(item) = tokio::time::timeout(RESUMED_SILENCE, next).await else {
                        resuming = false;
                        if self.send(Event::Resumed).await.is_err() {
                            return;
                        }
                        continue;
                    };
                    item
                } else {
                    next.await
                };
                let Some(item) = item else { break };
                resuming = matches!(&item, Err(error) if resumes(error, listing));
                let (event, start_over) = match item {
                    Ok(watcher::Event::Init) => (Event::ListStarted, false),
                    Ok(watcher::Event::InitDone) => {
                        listing = Listing::Paged;
                        (Event::Listed, false)
                    }
                    Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                        (seen(object), false)
                    }
                    Ok(watcher::Event::Delete(object)) => (gone(object), false),
                    Err(error) if listing.is_not_possible(&error) => break,
                    Err(error) => (Event::Failed(failure(&error)), must_start_over(&error)),
                };
                // A list that starts proves nothing: it is announced before the request is sent.
                let flows = !matches!(event, Event::Failed(_) | Event::ListStarted);
                let pause = match &event {
                    // An API server that has just started refuses everybody until it knows its roles, and does not
                    // know a kind at once whose definition has just been applied: soon again.
                    Event::Failed(failure) if failure.denied || failure.not_installed => Some(
                        pauses
                            .next()
                            .filter(|pause| *pause < LONGEST_PAUSE)
                            .unwrap_or(REFUSED_PAUSE),
                    ),
                    Event::Failed(_) => Some(pauses.next().unwrap_or(LONGEST_PAUSE)),
                    _ => None,
                };
                let classes_are_known = ClassesKnown::after(&self.stream, &event);
                if self.send(event).await.is_err() {
                    return;
                }
                if classes_are_known {
                    self.classes.add(&self.stream);
                }
                if flows {
                    pauses = self::pauses();
                }
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                if start_over {
                    break;
                }
            }
            listing = Listing::Paged;
        }
    }

    async fn send(&self, event: Event) -> Result<(), mpsc::error::SendError<Observation>> {
        let stream = self.stream.clone();
        self.sink.send(Observation { stream, event }).await
    }

    fn config(&self, listing: Listing) -> watcher::Config {
        let seconds = u32::try_from(self.timeout.as_secs()).unwrap_or(u32::MAX);
        let config = self.selected.clone().timeout(seconds);
        match listing {
            Listing::Streamed => config.streaming_lists(),
            Listing::Paged => config.page_size(self.page_size),
        }
    }
}

/// How the next complete list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// As the beginning of a watch, object by object: neither side ever holds a page. The first list of a process, when
    /// everything there is comes at once.
    /// [Reference](https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists); in Kubernetes since
    /// 1.32 by default.
    Streamed,
    /// Page by page: after a fault, and where streaming is not possible.
    Paged,
}

impl Listing {
    /// The stream's next item; `None`: it is to be started over.
    async fn next<S: Stream + Unpin>(self, events: &mut S) -> Option<S::Item> {
        match self {
            Self::Streamed => tokio::time::timeout(STREAMED_SILENCE, events.next())
                .await
                .ok()
                .flatten(),
            Self::Paged => events.next().await,
        }
    }

    /// Whether a streamed list was refused: by an older API server, or to a role that may list but not watch.
    fn is_not_possible(self, error: &watcher::Error) -> bool {
        let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else {
            return false;
        };
        self == Self::Streamed && matches!(status.code, 400 | 403 | 405 | 422)
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
/// inside the stream) or with 404 (the kind may be installed anew meanwhile), and reads on past a line that it cannot
/// decode. Each would lose a change for good. After a 410 inside the stream it starts over by itself, with the kind of
/// list that it was made with.
fn must_start_over(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 404 | 410),
        watcher::Error::WatchFailed(error) => !matches!(error, kube::Error::ReadEvents(_)),
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
    }
}

/// Whether the watcher, after this error, asks for a watch from where it was: the list is complete.
fn resumes(error: &watcher::Error, listing: Listing) -> bool {
    listing == Listing::Paged
        && !must_start_over(error)
        && !matches!(
            error,
            watcher::Error::InitialListFailed(_) | watcher::Error::NoResourceVersion
        )
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
        only_watch: error.is_forbidden() && category == "watch_start",
        // No single object was asked for, so it is the kind that is not found.
        not_installed: error.is_not_found(),
        message: error.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(kube::core::Status::failure("", "").with_code(code)))
    }

    #[test]
    fn a_kind_that_the_api_server_does_not_know_is_not_installed() {
        for error in [
            watcher::Error::InitialListFailed,
            watcher::Error::WatchStartFailed,
        ] {
            let not_found = failure(&error(refused(404)));
            assert!(not_found.not_installed && !not_found.denied);
            let forbidden = failure(&error(refused(403)));
            assert!(!forbidden.not_installed && forbidden.denied);
        }
    }

    #[test]
    fn a_streamed_list_that_is_refused_is_asked_for_in_pages() {
        for (code, paged) in [
            (400, true),
            (403, true),
            (405, true),
            (422, true),
            (404, false),
            (500, false),
        ] {
            let error = watcher::Error::WatchStartFailed(refused(code));
            assert_eq!(Listing::Streamed.is_not_possible(&error), paged, "{code}");
            assert!(!Listing::Paged.is_not_possible(&error), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamed_list_that_falls_silent_starts_over() {
        let mut silent = futures::stream::pending::<()>();
        assert_eq!(Listing::Streamed.next(&mut silent).await, None);
    }

    #[test]
    fn a_watch_that_cannot_be_resumed_starts_over() {
        for (code, over) in [(404, true), (410, true), (403, false), (500, false)] {
            let error = watcher::Error::WatchStartFailed(refused(code));
            assert_eq!(must_start_over(&error), over, "{code}");
        }
    }
}
