//! Kubernetes Events on workloads, as `kubectl describe` shows them.
//!
//! Input: [`Notice`]s. Output: core/v1 Events. I/O: writes.
//!
//! Upstream's roles grant `create` and `patch` on core/v1 Events and nothing on events.k8s.io, so kube's own recorder
//! (which writes the latter) would be refused. Events are best effort: the queue to the writing task is bounded, what
//! does not fit is dropped and counted, and a restart never waits for one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    api_error::ApiError,
    model::{SourceKind, WorkloadKey},
};

/// Events waiting to be written; client-go's queue length.
const WAITING: usize = 1000;
/// An Event that repeats within this time raises the count of the first one instead of becoming another object;
/// client-go's aggregation window.
const SAME_FOR: Duration = Duration::from_mins(10);
/// Events remembered for that; the oldest are forgotten first.
const REMEMBERED: usize = 4096;
/// Timeout of one write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The API server's limit on `message`.
const LONGEST_MESSAGE: usize = 1024;

/// The type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Type `Normal`.
    Normal,
    /// Type `Warning`.
    Warning,
}

/// One Event to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The workload it is about.
    pub workload: WorkloadKey,
    /// `metadata.uid` of the workload.
    pub uid: Box<str>,
    /// The kind of source that led to it: names the reporting component as upstream does.
    pub source: SourceKind,
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// CamelCase, of a fixed set: `Reloaded`, `ReloadFail`, `MarkerDropped`, `ResumeFail`, `InvalidAnnotation`,
    /// `NoPodTemplate`, `RestartReverted`.
    pub reason: &'static str,
    /// The text; cut at 1024 bytes. Never holds object data.
    pub message: String,
}

/// Passes Events to the task that writes them.
#[derive(Clone, Debug)]
pub struct Recorder {
    sink: mpsc::Sender<Notice>,
}

impl Recorder {
    /// A recorder and the task that writes what it is given; the task ends when every recorder is dropped.
    pub fn new(client: Client, instance: String) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sink, notices) = mpsc::channel(WAITING);
        (Self { sink }, write_all(client, instance, notices))
    }

    /// Enqueues one Event. Returns whether it was accepted: it is dropped when the queue is full.
    #[must_use]
    pub fn record(&self, notice: Notice) -> bool {
        self.sink.try_send(notice).is_ok()
    }
}

/// An Event written before, to be raised when it repeats.
struct Written {
    name: String,
    count: i32,
    last: Instant,
}

async fn write_all(client: Client, instance: String, mut notices: mpsc::Receiver<Notice>) {
    let mut written: HashMap<Notice, Written> = HashMap::new();
    // Logged once: there are many Events.
    let mut refusals = 0_u32;
    while let Some(notice) = notices.recv().await {
        let now = Instant::now();
        if written.len() >= REMEMBERED {
            written.retain(|_, earlier| now.duration_since(earlier.last) < SAME_FOR);
            if written.len() >= REMEMBERED {
                written.clear();
            }
        }
        let api: Api<Event> = Api::namespaced(client.clone(), &notice.workload.namespace);
        let repeated = written
            .get_mut(&notice)
            .filter(|earlier| now.duration_since(earlier.last) < SAME_FOR);
        let result = if let Some(earlier) = repeated {
            earlier.count = earlier.count.saturating_add(1);
            earlier.last = now;
            raise(&api, earlier).await
        } else {
            let event = event(&notice, &instance);
            let name = event.metadata.name.clone().unwrap_or_default();
            let result = create(&api, &event).await;
            if result.is_ok() {
                written.insert(
                    notice.clone(),
                    Written {
                        name,
                        count: 1,
                        last: now,
                    },
                );
            }
            result
        };
        if let Err(error) = result {
            if error.is_missing_permission() {
                refusals = refusals.saturating_add(1);
            }
            // Not the first: an API server that has just started refuses all requests until it knows its roles.
            if error.is_missing_permission() && refusals == 2 {
                tracing::warn!(
                    category = error.category(),
                    "Kubernetes Events are not written: {error}. Reloader works without them; to have them, grant create \
                     and patch on events in the namespaces of the workloads"
                );
            }
            tracing::debug!(
                err = %error, category = error.category(), workload = %notice.workload, reason = notice.reason,
                "Kubernetes Event was not written"
            );
            written.remove(&notice);
        }
    }
}

async fn create(api: &Api<Event>, event: &Event) -> Result<(), ApiError> {
    ApiError::within(TIMEOUT, api.create(&PostParams::default(), event))
        .await
        .map(drop)
}

async fn raise(api: &Api<Event>, earlier: &Written) -> Result<(), ApiError> {
    let body = Patch::Strategic(json!({ "count": earlier.count, "lastTimestamp": Time(Timestamp::now()) }));
    ApiError::within(TIMEOUT, api.patch(&earlier.name, &PatchParams::default(), &body))
        .await
        .map(drop)
}

fn event(notice: &Notice, instance: &str) -> Event {
    let now = Time(Timestamp::now());
    let key = &notice.workload;
    let component = format!("reloader-{}", notice.source.resource());
    // Unique within the namespace; client-go uses the time in the same place. Names may have 253 characters.
    let suffix = RandomState::new().hash_one((notice, now.0.as_nanosecond()));
    let stem: String = key.name.chars().take(230).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{stem}.{suffix:016x}")),
            namespace: Some(key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(key.kind.api_version()),
            kind: Some(key.kind.to_string()),
            name: Some(key.name.to_string()),
            namespace: Some(key.namespace.to_string()),
            uid: Some(notice.uid.to_string()),
            ..ObjectReference::default()
        },
        type_: Some(
            match notice.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            }
            .to_owned(),
        ),
        reason: Some(notice.reason.to_owned()),
        message: Some(cut(&notice.message).to_owned()),
        source: Some(EventSource {
            component: Some(component.clone()),
            host: None,
        }),
        reporting_component: Some(component),
        reporting_instance: Some(instance.to_owned()),
        count: Some(1),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        ..Event::default()
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(LONGEST_MESSAGE)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkloadKind;

    #[test]
    fn an_event_names_the_workload_and_upstreams_component() {
        let notice = Notice {
            workload: WorkloadKey::new(WorkloadKind::StatefulSet, "team", "db"),
            uid: "uid-1".into(),
            source: SourceKind::Secret,
            severity: Severity::Warning,
            reason: "ReloadFail",
            message: "ä".repeat(1000),
        };
        let event = event(&notice, "pod-1");
        assert_eq!(event.involved_object.kind.as_deref(), Some("StatefulSet"));
        assert_eq!(event.involved_object.uid.as_deref(), Some("uid-1"));
        assert_eq!(
            event.source.and_then(|source| source.component).as_deref(),
            Some("reloader-secrets")
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.message.map(|message| message.len()), Some(LONGEST_MESSAGE));
        assert!(event.metadata.name.is_some_and(|name| name.starts_with("db.")));
    }
}
