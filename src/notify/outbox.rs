//! The bounded queue in front of one receiver, and the task that empties it.
//!
//! Input: payloads. Output: POSTs, one after the other, in order. I/O: writes, through what it is given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    client::{Client, PostError},
    payload::Payload,
};
use crate::metrics::{Metrics, NotificationResult};

/// Capacity in payloads, of about 400 bytes each.
const WAITING: usize = 1000;
/// How long a payload is retried after it was queued. Older messages are of no use, and those behind it get their turn.
/// Each payload is tried at least once.
const TRIED_FOR: Duration = Duration::from_mins(5);
/// The first pause before another attempt, doubled up to [`LONGEST_PAUSE`], with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The kinds of messages, as metrics and logs name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Alert,
    Webhook,
}

impl Channel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Webhook => "webhook",
        }
    }
}

/// Accepts payloads without blocking. Clones share one queue.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    sink: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Queued {
    payload: Payload,
    at: Instant,
}

#[derive(Debug)]
struct Shared {
    channel: Channel,
    metrics: Arc<Metrics>,
    /// A drop was logged, and no payload was delivered since.
    overflowing: AtomicBool,
}

/// An outbox and the task that empties it; the task ends when every clone of the outbox is dropped and the queue is
/// empty.
pub(super) fn outbox(
    channel: Channel,
    client: Client,
    metrics: Arc<Metrics>,
) -> (Outbox, impl Future<Output = ()> + Send + 'static) {
    let (outbox, queue) = queue(channel, metrics, WAITING);
    let shared = Arc::clone(&outbox.shared);
    let client = Arc::new(client);
    let post = move |payload: Payload| {
        let client = Arc::clone(&client);
        async move { client.post(&payload).await }
    };
    (outbox, empty(queue, shared, post))
}

fn queue(channel: Channel, metrics: Arc<Metrics>, length: usize) -> (Outbox, mpsc::Receiver<Queued>) {
    let (sink, queue) = mpsc::channel(length);
    let shared = Arc::new(Shared {
        channel,
        metrics,
        overflowing: AtomicBool::new(false),
    });
    (Outbox { sink, shared }, queue)
}

impl Outbox {
    /// Enqueues one payload; drops it when the queue is full.
    pub(super) fn post(&self, payload: Payload) {
        let at = Instant::now();
        if self.sink.try_send(Queued { payload, at }).is_ok() {
            return;
        }
        let Shared {
            channel,
            metrics,
            overflowing,
        } = &*self.shared;
        metrics.notified(channel.as_str(), NotificationResult::Dropped);
        if !overflowing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "{} {}s wait for their receiver; further ones are dropped until it accepts them again; \
                 check that it answers",
                WAITING,
                channel.as_str(),
            );
        }
    }
}

/// Posts what waits until every sender is dropped.
async fn empty<P>(
    mut queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
    post: impl Fn(Payload) -> P + Send + 'static,
) where
    P: Future<Output = Result<String, PostError>> + Send,
{
    while let Some(Queued { payload, at }) = queue.recv().await {
        let result = match deliver(&payload, at + TRIED_FOR, &post).await {
            Ok(answer) => {
                shared.overflowing.store(false, Ordering::Relaxed);
                if shared.channel == Channel::Webhook && !answer.is_empty() {
                    tracing::info!("{answer}");
                }
                NotificationResult::Success
            }
            Err(error) => {
                match shared.channel {
                    Channel::Alert => tracing::error!("Error sending alert: {error}"),
                    Channel::Webhook => tracing::error!("Error sending webhook: {error}"),
                }
                NotificationResult::Error
            }
        };
        shared.metrics.notified(shared.channel.as_str(), result);
    }
}

/// Posts until it succeeds, cannot succeed, or the next attempt would come after `until`.
async fn deliver<P>(
    payload: &Payload,
    until: Instant,
    post: impl Fn(Payload) -> P,
) -> Result<String, PostError>
where
    P: Future<Output = Result<String, PostError>>,
{
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build();
    loop {
        let error = match post(payload.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(requested) = error.retry() else {
            return Err(error);
        };
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE).max(requested);
        if Instant::now() + pause > until {
            return Err(error);
        }
        tracing::debug!("A message could not be delivered, trying again: {error}");
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
