//! Kubernetes Events on workloads and sources, as `kubectl describe` shows them.
//!
//! Input: [`Notice`]s. Output: core/v1 Events. I/O: writes.
//!
//! Upstream's roles grant `create` and `patch` on core/v1 Events and nothing on events.k8s.io, so kube's own recorder
//! (which writes the latter) would be refused. Events are best effort: what waits for the writing task is bounded, what
//! does not fit is dropped and counted, warnings last, and a restart never waits for one.

mod notice;
mod writer;
mod writers;
mod written;

use std::{
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use crate::{
    api_error::{ApiError, Class},
    mailbox::{self, Rank},
};
use notice::{Queued, WAITING};
use written::Written;

pub use notice::{Fate, Notice, Severity, Subject};

/// Timeout of one write.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The API server's limit on `message`.
const LONGEST_MESSAGE: usize = 1024;
/// Its limit on `reportingInstance`.
const LONGEST_INSTANCE: usize = 128;
/// In place of an instance that is not known: with `eventTime`, there has to be one.
const NO_INSTANCE: &str = "reloader";
/// Bytes of a hash in an Event's name.
const HASH_BYTES: usize = 8;

type Report = Arc<dyn Fn(Fate) + Send + Sync>;

/// Passes Events to the task that writes them.
#[derive(Clone)]
pub struct Recorder {
    sender: mailbox::Sender<Queued>,
    report: Report,
}

impl Recorder {
    /// A recorder and the task that writes what it is given; the task ends when every recorder is dropped. What became of
    /// each Event goes to `report`.
    pub fn new(
        client: Client,
        mut instance: String,
        report: impl Fn(Fate) + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        instance.truncate(instance.floor_char_boundary(LONGEST_INSTANCE));
        if instance.is_empty() {
            NO_INSTANCE.clone_into(&mut instance);
        }
        let report: Report = Arc::new(report);
        let (sender, waiting) = mailbox::mailbox(WAITING);
        let recorder = Self {
            sender,
            report: Arc::clone(&report),
        };
        let write = move |queued: Queued, earlier| write(client.clone(), instance.clone(), queued, earlier);
        (recorder, async move {
            writer::write_all(waiting, write, move |fate| report(fate)).await;
        })
    }

    /// Enqueues one Event; where too many wait, one is dropped.
    pub fn record(&self, mut notice: Notice) {
        notice.message = cut(notice.message);
        let rank = match notice.severity {
            Severity::Normal => Rank::Usual,
            Severity::Warning => Rank::Important,
        };
        let namespace = Arc::clone(notice.about.namespace());
        if self.sender.send(&namespace, rank, Queued::now(notice)).is_some() {
            (self.report)(Fate::Dropped);
        }
    }
}

/// Writes an Event, or raises the count of the one that was written before.
async fn write(
    client: Client,
    instance: String,
    queued: Queued,
    earlier: Option<Written>,
) -> Result<Written, ApiError> {
    let api: Api<Event> = Api::namespaced(client.clone(), queued.notice.about.namespace());
    let last = Instant::now();
    if let Some(Written { name, count, .. }) = earlier {
        let count = count.saturating_add(1);
        let body = Patch::Strategic(json!({ "count": count, "lastTimestamp": Time(queued.at) }));
        match ApiError::within(TIMEOUT, api.patch(&name, &PatchParams::default(), &body)).await {
            // The API server keeps Events for a while only.
            Err(error) if error.is_not_found() => {}
            raised => return raised.map(|_| Written { name, count, last }),
        }
    }
    let mut event = event(&queued, &instance);
    if let Subject::Source(key) = &queued.notice.about
        && let Some(text) = writers::last_written_by(client, key).await
    {
        event.message = event.message.map(|message| cut(message + &text));
    }
    match ApiError::within(TIMEOUT, api.create(&PostParams::default(), &event)).await {
        // It was said: by the leader before, or by this one and the answer was lost.
        Err(error) if error.class == Class::Exists && queued.notice.once.is_some() => {}
        created => drop(created?),
    }
    Ok(Written {
        name: event.metadata.name.unwrap_or_default(),
        count: 1,
        last,
    })
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
    message
}

fn event(Queued { notice, at }: &Queued, instance: &str) -> Event {
    let event_time = MicroTime(*at);
    let at = Time(*at);
    let about = &notice.about;
    let component = format!("reloader-{}", notice.source.resource());
    // Unique within the namespace; client-go uses the time in the same place. Names may have 253 characters.
    let suffix = match &notice.once {
        Some(said) => hash_of(&[&notice.uid, notice.reason, said]),
        None => format!(
            "{:016x}",
            RandomState::new().hash_one((notice, at.0.as_nanosecond()))
        ),
    };
    let stem: String = about.name().chars().take(230).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{stem}.{suffix}")),
            namespace: Some(about.namespace().to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(about.api_version()),
            kind: Some(about.kind().to_owned()),
            name: Some(about.name().to_string()),
            namespace: Some(about.namespace().to_string()),
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
        related: notice.related.as_ref().map(|source| ObjectReference {
            api_version: Some(source.kind.api_version().to_owned()),
            kind: Some(source.kind.to_string()),
            name: Some(source.name.to_string()),
            namespace: Some(source.namespace.to_string()),
            ..ObjectReference::default()
        }),
        action: Some(notice.action().to_owned()),
        reason: Some(notice.reason.to_owned()),
        message: Some(notice.message.clone()),
        source: Some(EventSource {
            component: Some(component.clone()),
            host: None,
        }),
        reporting_component: Some(component),
        reporting_instance: Some(instance.to_owned()),
        count: Some(1),
        event_time: Some(event_time),
        first_timestamp: Some(at.clone()),
        last_timestamp: Some(at),
        ..Event::default()
    }
}

/// The same for the same parts, in every process.
fn hash_of(parts: &[&str]) -> String {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut digits = String::new();
    for byte in hash.finalize().iter().take(HASH_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SourceKey, SourceKind, WorkloadKey, WorkloadKind};

    fn notice(about: Subject) -> Notice {
        Notice {
            about,
            uid: "uid-1".into(),
            related: Some(SourceKey::new(SourceKind::Secret, "team", "password")),
            once: None,
            source: SourceKind::Secret,
            severity: Severity::Warning,
            reason: "ReloadFail",
            message: "ä".repeat(1000),
        }
    }

    #[test]
    fn an_event_names_the_object_and_upstreams_component() {
        let workload = Subject::Workload(WorkloadKey::new(WorkloadKind::StatefulSet, "team", "db"));
        let source = Subject::Source(SourceKey::new(SourceKind::Secret, "team", "db"));
        for (about, kind, api_version) in [(workload, "StatefulSet", "apps/v1"), (source, "Secret", "v1")] {
            let event = event(&Queued::now(notice(about)), "pod-1");
            assert_eq!(event.involved_object.kind.as_deref(), Some(kind));
            assert_eq!(event.involved_object.api_version.as_deref(), Some(api_version));
            assert_eq!(event.involved_object.uid.as_deref(), Some("uid-1"));
            assert_eq!(
                event.source.and_then(|source| source.component).as_deref(),
                Some("reloader-secrets")
            );
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            assert_eq!(event.action.as_deref(), Some("Restart"));
            assert_eq!(
                event.event_time.map(|at| at.0),
                event.first_timestamp.map(|at| at.0)
            );
            let related = event.related.unwrap();
            assert_eq!(
                (related.kind.as_deref(), related.name.as_deref(), related.uid),
                (Some("Secret"), Some("password"), None)
            );
            assert!(event.metadata.name.is_some_and(|name| name.starts_with("db.")));
        }
    }

    #[test]
    fn what_is_said_once_has_the_same_name_in_every_process() {
        let name = |uid: &str, said: Option<&str>| {
            let notice = Notice {
                uid: uid.into(),
                once: said.map(Into::into),
                ..notice(workload())
            };
            event(&Queued::now(notice), "pod-1").metadata.name.unwrap()
        };
        assert_eq!(name("u", Some("a")), name("u", Some("a")));
        assert_eq!(name("u", Some("a")).len(), "db.".len() + 2 * HASH_BYTES);
        assert_ne!(name("u", Some("a")), name("u", Some("b")));
        assert_ne!(name("u", Some("a")), name("v", Some("a")));
        assert_ne!(name("u", None), name("u", None));
    }

    fn recorder() -> (Recorder, mailbox::Receiver<Queued>) {
        let (sender, waiting) = mailbox::mailbox(WAITING);
        let report: Report = Arc::new(|_| {});
        (Recorder { sender, report }, waiting)
    }

    fn workload() -> Subject {
        Subject::Workload(WorkloadKey::new(WorkloadKind::StatefulSet, "team", "db"))
    }

    #[test]
    fn a_message_is_cut_before_it_waits() {
        let (recorder, waiting) = recorder();
        recorder.record(notice(workload()));
        let queued = waiting.take().unwrap();
        assert_eq!(queued.notice.message.len(), LONGEST_MESSAGE);
    }

    #[test]
    fn no_warning_is_dropped_while_a_normal_event_waits() {
        let (recorder, waiting) = recorder();
        for number in 0..3 * WAITING.namespace {
            let severity = if number % 4 == 0 {
                Severity::Warning
            } else {
                Severity::Normal
            };
            recorder.record(Notice {
                severity,
                ..notice(workload())
            });
        }
        let kept: Vec<Queued> = std::iter::from_fn(|| waiting.take()).collect();
        let is_warning = |queued: &&Queued| queued.notice.severity == Severity::Warning;
        assert_eq!(kept.len(), WAITING.namespace);
        assert_eq!(kept.iter().filter(is_warning).count(), 3 * WAITING.namespace / 4);
    }
}
