//! Who is told of what happens: a chat system of restarts, or a webhook of changes.
//!
//! Input: [`Config`]. Output: [`Telling`]. I/O: none yet; the task in it posts.

use std::{pin::Pin, sync::Arc};

use crate::{
    config::{Config, ReloadOn},
    metrics::Metrics,
    notify::{Alerts, BuildError, Webhook},
    worker::{
        Context,
        announce::{Announced, Announcer},
    },
};

/// The task that posts; it ends when nobody is left who could tell it something.
pub(super) type Sending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The two ways to tell, at most one of which is in use: in webhook mode nothing is restarted.
pub(super) struct Telling {
    /// Told of restarts.
    pub(super) alerts: Alerts,
    /// Told of changes: webhook mode.
    pub(super) webhook: Option<Webhook>,
    /// Posts what they are told.
    pub(super) sending: Option<Sending>,
}

/// Without a webhook, webhook mode would do nothing at all: an error. Without alerts everything else still works: it is
/// said once.
pub(super) fn telling(config: &Config, metrics: &Arc<Metrics>) -> Result<Telling, BuildError> {
    if let Some(settings) = &config.webhook {
        let (webhook, sending) = Webhook::new(settings.clone(), Arc::clone(metrics))?;
        return Ok(Telling {
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
                tracing::error!(category = error.category(), "No alerts are sent: {error}");
                (Alerts::none(), None)
            }
        },
    };
    Ok(Telling {
        alerts,
        webhook: None,
        sending,
    })
}

/// Decides which changes the webhook is told of.
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
