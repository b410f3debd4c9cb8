//! The bodies of alerts and webhook calls, equal byte for byte to upstream's, which Go's `encoding/json` writes.
//!
//! Input: what happened. Output: text and media type. I/O: none.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::model::{SourceKey, WorkloadKey, go_values::escape_json};

/// The media type of JSON.
const JSON: &str = "application/json";

/// A body to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The header `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Payload {
    fn json(value: &impl Serialize) -> Self {
        // Text in structs always serializes; an empty body would be refused by every receiver.
        let json = serde_json::to_string(value).unwrap_or_default();
        Self {
            content_type: JSON,
            body: escape_json(&json),
        }
    }
}

/// The chat system that alerts are written for (`ALERT_SINK`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sink {
    /// An attachment in Slack's form.
    Slack,
    /// Microsoft Teams.
    Teams,
    /// Google Chat.
    GoogleChat,
    /// Plain text, for anything else.
    #[default]
    Raw,
    /// JSON, for anything else (`--alert-structured`): the fields of upstream's version 2.
    RawJson,
}

impl Sink {
    /// Upstream's names in any case, spaces around them ignored; everything else is [`Sink::Raw`], or [`Sink::RawJson`]
    /// where it is to be `structured`.
    pub fn parse(text: &str, structured: bool) -> Self {
        match text.trim().to_lowercase().as_str() {
            "slack" => Self::Slack,
            "teams" => Self::Teams,
            "gchat" => Self::GoogleChat,
            _ if structured => Self::RawJson,
            _ => Self::Raw,
        }
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert<'a> {
    /// A restart was written; this ends the message, which is upstream's where it is empty.
    Reloaded(&'a str),
    /// A restart was refused, or its outcome is not known; this is why. Not in upstream.
    Failed(&'a str),
}

#[derive(Serialize)]
struct SlackMessage<'a> {
    attachments: [SlackAttachment<'a>; 1],
}

/// Its fields in alphabetical order, as Go writes maps.
#[derive(Serialize)]
struct SlackAttachment<'a> {
    author_name: &'a str,
    color: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct TextMessage<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StructuredMessage<'a> {
    /// `reload`, or `reloadFailed`, which upstream does not send.
    event: &'a str,
    workload_kind: String,
    workload_name: &'a str,
    workload_namespace: &'a str,
    resource_kind: &'a str,
    resource_name: &'a str,
    resource_namespace: &'a str,
    /// RFC 3339, whole seconds.
    timestamp: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    additional: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// An alert. `additional_info` (`ALERT_ADDITIONAL_INFO`) is put in front, even where it is empty, as upstream
/// does. `at` is shown by [`Sink::RawJson`] alone.
pub fn alert(
    sink: Sink,
    additional_info: Option<&str>,
    about: Alert<'_>,
    source: &SourceKey,
    workload: &WorkloadKey,
    at: Timestamp,
) -> Payload {
    let changed = format!(
        "Reloader detected changes in *{}* of type *{}* in namespace *{}*.",
        source.name,
        source.kind.type_name(),
        source.namespace,
    );
    let restarted = format!(
        "*{}* of type *{}* in namespace *{}*",
        workload.name, workload.kind, workload.namespace
    );
    let message = match about {
        Alert::Reloaded(note) => format!("{changed} Hence reloaded {restarted}{note}"),
        Alert::Failed(reason) => format!("{changed} Failed to reload {restarted}: {reason}"),
    };
    let text = match additional_info {
        Some(info) => format!("{} : {message}", info.trim()),
        None => message,
    };
    match sink {
        Sink::Slack => Payload::json(&SlackMessage {
            attachments: [SlackAttachment {
                author_name: "Reloader",
                color: match about {
                    Alert::Reloaded(_) => "good",
                    Alert::Failed(_) => "danger",
                },
                text: &text,
            }],
        }),
        Sink::Teams | Sink::GoogleChat => Payload::json(&TextMessage { text: &text }),
        Sink::Raw => Payload {
            content_type: "text/plain",
            body: text.replace('*', ""),
        },
        Sink::RawJson => Payload::json(&StructuredMessage {
            event: match about {
                Alert::Reloaded(_) => "reload",
                Alert::Failed(_) => "reloadFailed",
            },
            workload_kind: workload.kind.to_string(),
            workload_name: &workload.name,
            workload_namespace: &workload.namespace,
            resource_kind: source.kind.type_name(),
            resource_name: &source.name,
            resource_namespace: &source.namespace,
            timestamp: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            additional: additional_info.unwrap_or_default().trim(),
            reason: match about {
                Alert::Reloaded(_) => None,
                Alert::Failed(reason) => Some(reason),
            },
        }),
    }
}

/// What happened to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Create,
    /// Its content changed.
    Update,
    /// It is gone.
    Delete,
}

impl ChangeKind {
    /// The change as the payload spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// How much a webhook call contains (`--webhook-payload`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookPayload {
    /// Upstream's constant body.
    #[default]
    Constant,
    /// The same, and which source changed, how and when. Never its digest: a reader could try out short Secrets.
    Details,
}

/// Upstream's body: what its `webhook` field says.
const UPDATE_SUCCESSFUL: &str = "update successful";

#[derive(Serialize)]
struct WebhookBody<'a> {
    webhook: &'a str,
    #[serde(flatten)]
    details: Option<WebhookDetails<'a>>,
}

#[derive(Serialize)]
struct WebhookDetails<'a> {
    event: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    time: Timestamp,
}

/// A webhook call for a change of `source` that was seen at `time`.
pub fn webhook(payload: WebhookPayload, source: &SourceKey, change: ChangeKind, time: Timestamp) -> Payload {
    let details = WebhookDetails {
        event: change.as_str(),
        kind: source.kind.as_str(),
        namespace: &source.namespace,
        name: &source.name,
        time,
    };
    Payload::json(&WebhookBody {
        webhook: UPDATE_SUCCESSFUL,
        details: (payload == WebhookPayload::Details).then_some(details),
    })
}

#[cfg(test)]
mod tests;
