//! What notifies receivers outside the cluster: alerts about restarts, or a webhook for changes.
//!
//! Input: [`Config`]. Output: [`Notifications`]. I/O: none yet; the task in it posts.

use std::{pin::Pin, sync::Arc};

use crate::{
    config::{Config, ReloadOn},
    metrics::{Metrics, NotificationResult},
    notify::{Alerts, BuildError, Webhook},
    patch::events::Fate,
    worker::{
        Context,
        announce::{Announced, Announcer},
    },
};

/// The task that posts. It ends when every producer is dropped and what waits is posted.
pub(super) type Sending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The two kinds of notifications, of which at most one is in use: webhook mode restarts nothing.
pub(super) struct Notifications {
    /// Alerts about restarts.
    pub(super) alerts: Alerts,
    /// The webhook that changes are posted to; set in webhook mode.
    pub(super) webhook: Option<Webhook>,
    /// Posts what they enqueue.
    pub(super) sending: Option<Sending>,
}

/// Counts what becomes of Events.
pub(super) fn count_events(metrics: &Arc<Metrics>) -> impl Fn(Fate) + Send + Sync + 'static {
    let metrics = Arc::clone(metrics);
    move |fate| {
        let result = match fate {
            Fate::Written => NotificationResult::Success,
            Fate::Failed => NotificationResult::Error,
            Fate::Dropped => NotificationResult::Dropped,
            Fate::Moot => return,
        };
        metrics.notified("event", result);
    }
}

/// The notifications that the settings ask for.
///
/// A webhook that cannot be called is an error, because webhook mode does nothing else. Alerts that cannot be sent are
/// logged once, because everything else still works.
pub(super) fn notifications(config: &Config, metrics: &Arc<Metrics>) -> Result<Notifications, BuildError> {
    if let Some(settings) = &config.webhook {
        let (webhook, sending) = Webhook::new(settings.clone(), Arc::clone(metrics))?;
        return Ok(Notifications {
            alerts: Alerts::none(),
            webhook: Some(webhook),
            sending: Some(Box::pin(sending)),
        });
    }
    let (alerts, sending) = match &config.alerts {
        None => (Alerts::none(), None),
        Some(settings) => match Alerts::new(settings.clone(), Arc::clone(metrics)) {
            Ok((alerts, sending)) => (alerts, Some(Box::pin(sending) as Sending)),
            Err(error) => {
                tracing::error!(category = "http_client", "No alerts are sent: {error}");
                (Alerts::none(), None)
            }
        },
    };
    Ok(Notifications {
        alerts,
        webhook: None,
        sending,
    })
}

/// Selects the changes that are posted to the webhook.
pub(super) fn announcer(webhook: Webhook, config: &Config, context: &Context) -> Announcer {
    let ReloadOn {
        create,
        delete,
        sync_after_restart,
    } = config.reload_on;
    let announced = Announced {
        creations: create,
        deletions: delete,
        first_list: sync_after_restart,
    };
    let (index, leadership) = (Arc::clone(context.index()), context.leadership().clone());
    Announcer::new(webhook, announced, index, leadership, config.lease.as_ref())
}
