//! Notifies receivers outside the cluster: chat systems about restarts, or a webhook about changes.
//!
//! Input: what happened, as calls of [`Alerts`] and [`Webhook`]. Output: HTTP POSTs. I/O: writes, to the one URL of
//! the settings and nowhere else.
//!
//! ```text
//! worker ──► Alerts ─┐
//!                    ├─► bounded queue ──► one task: POST, retry ──► receiver
//! intake ─► Webhook ─┘
//! ```
//!
//! A slow, absent or broken receiver never delays a restart: producers enqueue a message without blocking. Namespaces take
//! turns. When too many messages wait, the oldest of the namespace that has most are dropped and counted, and the first
//! drop is logged. Upstream posts in the middle of its work, without a timeout.
//!
//! Where traces are exported, a POST names the span in which it was enqueued (`traceparent`), so that what its receiver does
//! becomes part of the same trace.

mod client;
mod endpoint;
mod message;
mod outbox;
pub mod payload;
mod trace_parent;

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::{
    mailbox::Rank,
    metrics::Metrics,
    model::{SourceKey, WorkloadKey},
};
use client::{Client, Redirects};
use message::{AlertMessage, Changed};
use outbox::{Channel, Outbox};
use payload::Alert;
use trace_parent::TraceParent;

pub use client::BuildError;
pub use endpoint::{Endpoint, EndpointError};
pub use payload::{ChangeKind, Sink, WebhookPayload};

/// Alerts about restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// `ALERT_WEBHOOK_URL`: the receiver.
    pub endpoint: Endpoint,
    /// `ALERT_SINK`: the form of the message.
    pub sink: Sink,
    /// `ALERT_ADDITIONAL_INFO`: the beginning of every message; `None` where the variable does not exist.
    pub additional_info: Option<String>,
    /// `ALERT_WEBHOOK_PROXY`. Without it there is none: as in upstream, `HTTPS_PROXY` and similar variables are
    /// ignored.
    pub proxy: Option<Endpoint>,
    /// `ALERT_ON_RELOAD`: alert about restarts that were written.
    pub on_reload: bool,
    /// `--alert-on-failure`: alert about restarts that were not.
    pub on_failure: bool,
}

/// Webhook mode: changes are posted, nothing is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `--webhook-url`: the receiver.
    pub endpoint: Endpoint,
    /// `--webhook-payload`: how much the body contains.
    pub payload: WebhookPayload,
}

/// Sends alerts about restarts to a chat system. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Alerts(Option<Arc<Alerting>>);

#[derive(Debug)]
struct Alerting {
    settings: AlertSettings,
    outbox: Outbox<AlertMessage>,
}

impl Alerts {
    /// Sends nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Alerts by these settings, and the task that sends them; it ends when every clone is dropped and the queue is
    /// empty. Fails if the HTTP client cannot be built, mostly because the system has no CA certificates.
    pub fn new(
        settings: AlertSettings,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), BuildError> {
        let client = Client::new(&settings.endpoint, settings.proxy.as_ref(), Redirects::Refused)?;
        let (outbox, sending) = outbox::outbox(Channel::Alert, client, metrics);
        Ok((Self(Some(Arc::new(Alerting { settings, outbox }))), sending))
    }

    /// A restart of the workload was written because of the source; `note` ends the message.
    pub fn reloaded(&self, source: &SourceKey, workload: &WorkloadKey, note: &str) {
        if let Some(alerting) = self.0.as_ref().filter(|alerting| alerting.settings.on_reload) {
            alerting.send(Alert::Reloaded(note), source, workload);
        }
    }

    /// A restart of the workload because of the source was not written, or the answer was lost; `reason` holds no
    /// object data.
    pub fn failed(&self, source: &SourceKey, workload: &WorkloadKey, reason: &str) {
        if let Some(alerting) = self.0.as_ref().filter(|alerting| alerting.settings.on_failure) {
            alerting.send(Alert::Failed(reason), source, workload);
        }
    }
}

impl Alerting {
    fn send(&self, about: Alert<'_>, source: &SourceKey, workload: &WorkloadKey) {
        let AlertSettings {
            sink,
            additional_info,
            ..
        } = &self.settings;
        self.outbox.post(AlertMessage {
            namespace: Arc::clone(&workload.namespace),
            rank: match about {
                Alert::Reloaded(_) => Rank::Usual,
                Alert::Failed(_) => Rank::Important,
            },
            trace_parent: TraceParent::current(),
            payload: payload::alert(
                *sink,
                additional_info.as_deref(),
                about,
                source,
                workload,
                Timestamp::now(),
            ),
        });
    }
}

/// Posts changes of sources to a webhook. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Webhook {
    settings: WebhookSettings,
    outbox: Outbox<Changed>,
}

impl Webhook {
    /// A webhook by these settings, and the task that calls it; it ends when every clone is dropped and the queue is
    /// empty. Fails if the HTTP client cannot be built, mostly because the system has no CA certificates.
    pub fn new(
        settings: WebhookSettings,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), BuildError> {
        let client = Client::new(&settings.endpoint, None, Redirects::Followed)?;
        let (outbox, sending) = outbox::outbox(Channel::Webhook, client, metrics);
        Ok((Self { settings, outbox }, sending))
    }

    /// Posts a change of the source that was seen at `seen`.
    pub fn changed(&self, source: &SourceKey, change: ChangeKind, seen: Timestamp) {
        let WebhookSettings { endpoint, payload } = &self.settings;
        tracing::info!(
            "Changes detected in '{}' of type '{}' in namespace '{}', Sending webhook to '{endpoint}'",
            source.name,
            source.kind.type_name(),
            source.namespace,
        );
        self.outbox.post(Changed {
            payload: *payload,
            source: source.clone(),
            change,
            seen,
            trace_parent: TraceParent::current(),
        });
    }
}
