//! One watch stream: list, watch, survive, start over.
//!
//! Input: an API client. Output: [`Observation`]s into a channel. I/O: reads.
//!
//! The loop here only awaits and sends; what each item of kube's watcher leads to is decided in [`course`].

mod course;
mod discovery;

use std::{fmt::Debug, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    runtime::watcher::{self, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    ClassesKnown, Event, Failure, Found, Observation, Selectors, StreamId, Watched,
    csi::{ClassObject, PodStatusObject},
    namespace::NamespaceObject,
    source::{ConfigMapData, SecretData, SourceData, SourceObject},
    workload::{Decoded, RawObject, Reading, WorkloadObject},
};
use crate::{
    api_error::ApiError,
    model::{ObjectKey, SourceKind, WorkloadKey, WorkloadKind},
};
pub use discovery::Discovery;

use course::{Course, Item, Listing, Point, Step, Then};
use discovery::Found as Kind;

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
    /// The kind that is watched only once discovery shows it; the same for all streams.
    pub discovery: Option<Discovery>,
}

/// Watches one stream until `sink` is closed. Every failure is reported as [`Event::Failed`] and tried again.
pub async fn watch(client: Client, stream: StreamId, settings: Settings, sink: mpsc::Sender<Observation>) {
    let reading = settings.reading;
    let output = Output {
        stream: stream.clone(),
        selected: settings.selectors.config(stream.watched),
        page_size: settings.page_size,
        timeout: settings.timeout,
        classes: settings.classes,
        sink,
    };
    match stream.watched {
        Watched::Source(SourceKind::ConfigMap) => sources::<ConfigMapData>(client, output, reading).await,
        Watched::Source(SourceKind::Secret) => sources::<SecretData>(client, output, reading).await,
        Watched::Source(SourceKind::SecretProviderClass) => {
            output.classes.wait(&output.stream).await;
            let api = output.api(client);
            output
                .run(api, |object| status_seen(object).into(), status_gone)
                .await;
        }
        Watched::Class => {
            let seen = move |object: ClassObject| {
                let findings = object.findings(&reading.checker);
                let found = Found::new(|| ObjectKey::Source(object.key()), object.uid(), findings);
                Shown {
                    event: Event::ClassSeen(object.into_annotations(&reading.keys)),
                    found,
                }
            };
            let gone = |object: ClassObject| Event::ClassGone(object.key());
            let api = output.api(client);
            output.run(api, seen, gone).await;
        }
        Watched::Workload(kind @ WorkloadKind::Custom(_)) => {
            workloads::<RawObject>(client, output, kind, reading).await;
        }
        Watched::Workload(kind) => {
            if let Some(discovery) = settings.discovery.filter(|discovery| discovery.kind() == kind)
                && output.wait_for(&discovery).await.is_err()
            {
                return;
            }
            workloads::<WorkloadObject>(client, output, kind, reading).await;
        }
        Watched::Namespace => {
            let seen = |object: NamespaceObject| {
                let (name, policy) = object.into_parts();
                Event::NamespaceSeen { name, policy }.into()
            };
            let gone = |object: NamespaceObject| Event::NamespaceGone(object.into_parts().0);
            output.run(Api::all(client), seen, gone).await;
        }
    }
}

/// What an object leads to.
struct Shown {
    event: Event,
    found: Option<Found>,
}

impl From<Event> for Shown {
    fn from(event: Event) -> Self {
        Self { event, found: None }
    }
}

async fn sources<D: SourceData>(client: Client, output: Output, reading: Reading) {
    let seen = move |object: SourceObject<D>| {
        let findings = object.findings(&reading.checker);
        let source = object.into_source(&reading.keys);
        let found = Found::in_source(&source, findings);
        Shown {
            event: Event::SourceSeen(source),
            found,
        }
    };
    let gone = |object: SourceObject<D>| Event::SourceGone {
        key: object.key(),
        version: object.version(),
    };
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
        let object = object.into_object(kind);
        let is_orphaning = object.is_orphaning();
        match reading.read_and_check(object, kind) {
            Some((workload, findings)) => Shown {
                found: Found::in_workload(&workload, findings),
                event: Event::WorkloadSeen(Box::new(workload)),
            },
            None if is_orphaning => Event::WorkloadReleased(key).into(),
            // It may have been one before: a Job that has finished.
            None => Event::WorkloadGone(key).into(),
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

    /// Returns when the kind is served; an error means that the process is ending.
    async fn wait_for(&self, discovery: &Discovery) -> Result<(), mpsc::error::SendError<Observation>> {
        let mut found = discovery.found();
        loop {
            let known = found.borrow_and_update().clone();
            match known {
                Kind::Served => return Ok(()),
                Kind::Unknown => {}
                Kind::Absent => self.send(Event::NotServed, None).await?,
                Kind::Failed(failure) => self.send(Event::Failed(failure), None).await?,
            }
            // `discovery` keeps the sender.
            let _ = found.changed().await;
        }
    }

    async fn run<K>(self, api: Api<K>, seen: impl Fn(K) -> Shown, gone: impl Fn(K) -> Event)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        // Jitter, so that streams and replicas do not come back at the same instant after a restart of the API server.
        let mut course = Course::new(course::backoff().with_jitter());
        loop {
            let mut events = std::pin::pin!(watcher(api.clone(), self.config(&course)));
            // The watcher never ends by itself: this loop is left only to start over from a fresh list.
            loop {
                let next = match course.patience() {
                    Some(patience) => tokio::time::timeout(patience, events.next()).await,
                    None => Ok(events.next().await),
                };
                let mut found = None;
                let item = match next {
                    Ok(Some(Ok(watcher::Event::Init))) => Item::ListStarted,
                    Ok(Some(Ok(watcher::Event::InitDone))) => Item::Listed,
                    Ok(Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)))) => {
                        let shown = seen(object);
                        found = shown.found;
                        Item::Object(shown.event)
                    }
                    Ok(Some(Ok(watcher::Event::Delete(object)))) => Item::Object(gone(object)),
                    Ok(Some(Err(error))) => Item::Failed {
                        failure: failure(&error),
                        at: point(&error),
                    },
                    Ok(None) => Item::Ended,
                    Err(_) => Item::Silence,
                };
                let Step { event, pause, then } = course.on(item);
                if let Some(event) = event
                    && self.send(event, found).await.is_err()
                {
                    return;
                }
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                if then == Then::StartOver {
                    break;
                }
            }
        }
    }

    async fn send(
        &self,
        event: Event,
        found: Option<Found>,
    ) -> Result<(), mpsc::error::SendError<Observation>> {
        let classes_are_known = ClassesKnown::after(&self.stream, &event);
        let stream = self.stream.clone();
        let found = found.into_iter().collect();
        let observation = Observation { stream, event, found };
        self.sink.send(observation).await?;
        // Not before the intake has been sent the classes: statuses that are seen first would not find them.
        if classes_are_known {
            self.classes.add(&self.stream);
        }
        Ok(())
    }

    fn config(&self, course: &Course) -> watcher::Config {
        let seconds = u32::try_from(self.timeout.as_secs()).unwrap_or(u32::MAX);
        let config = self.selected.clone().timeout(seconds);
        match course.listing() {
            Listing::Streamed => config.streaming_lists(),
            Listing::Paged => config.page_size(self.page_size.saturating_mul(course.page_factor())),
        }
    }
}

/// Where the watcher was when it failed.
fn point(error: &watcher::Error) -> Point {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 410 => {
            Point::ListExpired
        }
        watcher::Error::InitialListFailed(_) | watcher::Error::NoResourceVersion => Point::List,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Point::Open(Some(status.code)),
        watcher::Error::WatchStartFailed(_) => Point::Open(None),
        watcher::Error::WatchFailed(kube::Error::ReadEvents(_)) => Point::Connection,
        watcher::Error::WatchFailed(_) => Point::Line,
        watcher::Error::WatchError(status) => Point::Sent(status.code),
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
        only_watch: error.is_forbidden() && category == "watch_start",
        // No single object was asked for, so it is the kind that is not found.
        not_installed: error.is_not_found(),
        code: error.code,
        retry_after: error.pause(Duration::ZERO),
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
    fn a_failure_has_a_point_in_the_stream() {
        let cut = kube::Error::ReadEvents(std::io::Error::other("cut"));
        let unreadable = kube::Error::SerdeError(serde_json::from_str::<u8>("x").unwrap_err());
        let sent = kube::core::Status::failure("", "").with_code(410);
        for (error, expected) in [
            (
                watcher::Error::InitialListFailed(refused(410)),
                Point::ListExpired,
            ),
            (watcher::Error::InitialListFailed(refused(500)), Point::List),
            (watcher::Error::NoResourceVersion, Point::List),
            (
                watcher::Error::WatchStartFailed(refused(410)),
                Point::Open(Some(410)),
            ),
            (
                watcher::Error::WatchStartFailed(kube::Error::LinesCodecMaxLineLengthExceeded),
                Point::Open(None),
            ),
            (watcher::Error::WatchFailed(cut), Point::Connection),
            (watcher::Error::WatchFailed(unreadable), Point::Line),
            (watcher::Error::WatchError(Box::new(sent)), Point::Sent(410)),
        ] {
            assert_eq!(point(&error), expected, "{error:?}");
        }
    }
}
