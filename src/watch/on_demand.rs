//! The fallback where workloads may be listed but not watched: lists one namespace when its sources have changed.
//!
//! Input: namespaces whose workloads are needed. Output: [`Event::NamespaceListed`]. I/O: reads.
//!
//! Upstream's roles grant `list` on workloads and no `watch`. A live list costs up to 100 ms in the API server (it
//! waits for its watch cache) and a request for each kind and batch of changes, so the shipped roles allow watching.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use kube::{Api, Client, api::ListParams};
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

use super::{
    Event, Failure, Found, Observation, Settings, StreamId, Watched,
    workload::{Decoded, RawObject, WorkloadObject},
};
use crate::{
    api_error::ApiError,
    model::{Workload, WorkloadKind},
};

/// How many namespaces are listed at the same time.
const AT_ONCE: usize = 4;
/// How long one page may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The pause before a namespace that could not be listed is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// The streams whose workloads are needed, by namespace; `None` is all of them.
type Wanted = HashMap<Option<Arc<str>>, BTreeSet<StreamId>>;

/// Requests new lists. Clones share one queue.
#[derive(Clone, Debug, Default)]
pub struct Lister {
    wanted: Arc<Mutex<Wanted>>,
    news: Arc<Notify>,
}

impl Lister {
    /// The workloads of these streams in the namespace are needed as they are now.
    pub fn request(&self, namespace: &Arc<str>, streams: impl IntoIterator<Item = StreamId>) {
        self.want(Some(Arc::clone(namespace)), streams);
    }

    /// All workloads of this stream are needed as they are now.
    pub fn request_all(&self, stream: StreamId) {
        self.want(stream.namespace.clone(), [stream]);
    }

    fn want(&self, namespace: Option<Arc<str>>, streams: impl IntoIterator<Item = StreamId>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.entry(namespace).or_default().extend(streams);
        drop(wanted);
        self.news.notify_one();
    }

    /// Lists what is requested until `sink` is closed; requests within `window` of each other are one list.
    pub async fn run(
        self,
        client: Client,
        settings: Settings,
        window: Duration,
        sink: mpsc::Sender<Observation>,
    ) {
        while !sink.is_closed() {
            self.news.notified().await;
            sleep(window).await;
            let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
            let lists = wanted.into_iter().flat_map(|(namespace, streams)| {
                streams.into_iter().map(move |stream| (namespace.clone(), stream))
            });
            let list = async |(namespace, stream): (Option<Arc<str>>, StreamId)| {
                match list(&client, &settings, &stream, namespace.as_deref()).await {
                    Ok(listed) => {
                        for (namespace, Listed { workloads, found }) in by_namespace(namespace, listed) {
                            let event = Event::NamespaceListed { namespace, workloads };
                            let stream = stream.clone();
                            let observation = Observation { stream, event, found };
                            // An error means that the process is ending.
                            let _ = sink.send(observation).await;
                        }
                    }
                    // No task may wait for what is not permitted.
                    Err(error) if error.is_forbidden() => {
                        let event = Event::Failed(Failure {
                            category: "list",
                            denied: true,
                            only_watch: false,
                            not_installed: false,
                            code: error.code,
                            retry_after: error.pause(Duration::ZERO),
                            message: error.message,
                        });
                        let found = Vec::new();
                        let _ = sink.send(Observation { stream, event, found }).await;
                    }
                    Err(error) => self.ask_again(namespace, stream, &error).await,
                }
            };
            stream::iter(lists).for_each_concurrent(AT_ONCE, list).await;
        }
    }

    async fn ask_again(&self, namespace: Option<Arc<str>>, stream: StreamId, error: &ApiError) {
        tracing::warn!(
            category = error.category(),
            "Failed to list {} in {}, trying again: {error}",
            stream.watched.resource(),
            namespace.as_ref().map_or_else(
                || "all namespaces".to_owned(),
                |name| format!("namespace '{name}'")
            ),
        );
        sleep(error.pause(PAUSE)).await;
        self.want(namespace, [stream]);
    }
}

/// Workloads, and what is wrong with some of them.
#[derive(Default)]
struct Listed {
    workloads: Vec<Workload>,
    found: Vec<Found>,
}

/// The workloads of one namespace, even if there are none; or those of every namespace that has some.
fn by_namespace(namespace: Option<Arc<str>>, listed: Listed) -> impl Iterator<Item = (Arc<str>, Listed)> {
    let mut grouped: HashMap<Arc<str>, Listed> = HashMap::new();
    grouped.extend(namespace.map(|name| (name, Listed::default())));
    for workload in listed.workloads {
        let of_namespace = grouped.entry(Arc::clone(&workload.key.namespace)).or_default();
        of_namespace.workloads.push(workload);
    }
    for found in listed.found {
        let of_namespace = grouped.entry(Arc::clone(found.about.namespace())).or_default();
        of_namespace.found.push(found);
    }
    grouped.into_iter()
}

async fn list(
    client: &Client,
    settings: &Settings,
    stream: &StreamId,
    namespace: Option<&str>,
) -> Result<Listed, ApiError> {
    match stream.watched {
        Watched::Workload(kind @ WorkloadKind::Custom(_)) => {
            pages::<RawObject>(client, settings, kind, namespace).await
        }
        Watched::Workload(kind) => pages::<WorkloadObject>(client, settings, kind, namespace).await,
        // Sources must be watched: otherwise there is nothing to react to.
        Watched::Source(_) | Watched::Class | Watched::Namespace => Ok(Listed::default()),
    }
}

async fn pages<T: Decoded>(
    client: &Client,
    settings: &Settings,
    kind: WorkloadKind,
    namespace: Option<&str>,
) -> Result<Listed, ApiError> {
    let api: Api<T> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let fields = settings.selectors.fields(Watched::Workload(kind));
    let mut params = ListParams::default().fields(&fields).limit(settings.page_size);
    let mut listed = Listed::default();
    loop {
        let page = ApiError::within(TIMEOUT, api.list(&params)).await?;
        for object in page.items {
            let read = settings.reading.read_and_check(object.into_object(kind), kind);
            if let Some((workload, findings)) = read {
                listed.found.extend(Found::in_workload(&workload, findings));
                listed.workloads.push(workload);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(listed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OptIn, PodTemplate, WorkloadKey};

    fn workload(namespace: &str, name: &str) -> Workload {
        Workload {
            key: WorkloadKey::new(WorkloadKind::Deployment, namespace, name),
            uid: "uid".into(),
            resource_version: 1,
            template_of: None,
            restart: crate::model::Restart::default(),
            replacement: crate::model::Replacement::default(),
            generation: 1,
            pods: crate::model::Pods::default(),
            rollout: crate::model::Rollout::default(),
            written_by: None,
            policy: None,
            lacks_template: false,
            created_at: None,
            opt_in: OptIn::default(),
            pause: None,
            template: PodTemplate::default(),
        }
    }

    #[test]
    fn a_list_of_all_namespaces_is_one_for_each() {
        let listed = Listed {
            workloads: vec![workload("a", "1"), workload("b", "1"), workload("a", "2")],
            found: Vec::new(),
        };
        let mut grouped: Vec<_> = by_namespace(None, listed)
            .map(|(namespace, listed)| (namespace.to_string(), listed.workloads.len()))
            .collect();
        grouped.sort();
        assert_eq!(grouped, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn a_namespace_without_workloads_is_reported_too() {
        let grouped: Vec<_> = by_namespace(Some("a".into()), Listed::default()).collect();
        assert_eq!(grouped.len(), 1);
        assert!(grouped[0].1.workloads.is_empty());
    }
}
