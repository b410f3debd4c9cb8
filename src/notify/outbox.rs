//! What waits for one receiver, and the task that posts it.
//!
//! Input: messages. Output: POSTs, one after the other: namespaces take turns, and each namespace's messages are in order.
//! I/O: writes, through what it is given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep};

use super::{
    client::{Client, PostError},
    payload::Payload,
    trace_parent::TraceParent,
};
use crate::{
    mailbox::{self, Bounds, Rank},
    metrics::{Metrics, NotificationResult},
};

/// Messages that wait at most, of about 400 bytes each.
const WAITING: Bounds = Bounds {
    namespace: 1000,
    total: 4000,
};
/// How long a message is retried after it was sent to the outbox. Older ones are of no use. Each is tried at least once.
const TRIED_FOR: Duration = Duration::from_mins(5);
/// The first pause before another attempt, doubled up to [`LONGEST_PAUSE`] until one succeeds, with jitter.
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

/// What is posted.
pub(super) trait Message: Send + 'static {
    /// The namespace that it is about.
    fn namespace(&self) -> &Arc<str>;

    /// What is dropped first.
    fn rank(&self) -> Rank;

    /// Its body.
    fn payload(&self) -> Payload;

    /// The span that it belongs to.
    fn trace_parent(&self) -> Option<&TraceParent>;

    /// Takes in a newer message that says what this one says, and more. False: both are to be posted.
    fn absorb(&mut self, newer: &Self) -> bool;
}

/// Accepts messages without blocking. Clones share one queue.
#[derive(Debug)]
pub(super) struct Outbox<M> {
    sender: mailbox::Sender<Queued<M>>,
    shared: Arc<Shared>,
}

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

#[derive(Debug)]
struct Queued<M> {
    message: M,
    at: Instant,
}

#[derive(Debug)]
struct Shared {
    channel: Channel,
    metrics: Arc<Metrics>,
    /// A drop was logged, and no message was delivered since.
    overflowing: AtomicBool,
}

/// An outbox and the task that empties it; the task ends when every clone of the outbox is dropped and nothing waits.
pub(super) fn outbox<M: Message>(
    channel: Channel,
    client: Client,
    metrics: Arc<Metrics>,
) -> (Outbox<M>, impl Future<Output = ()> + Send + 'static) {
    let (outbox, receiver) = queue(channel, metrics);
    let shared = Arc::clone(&outbox.shared);
    let client = Arc::new(client);
    let post = move |payload: Payload, trace_parent: Option<TraceParent>| {
        let client = Arc::clone(&client);
        async move { client.post(&payload, trace_parent.as_ref()).await }
    };
    (outbox, empty(receiver, shared, post))
}

fn queue<M>(channel: Channel, metrics: Arc<Metrics>) -> (Outbox<M>, mailbox::Receiver<Queued<M>>) {
    let (sender, receiver) = mailbox::mailbox(WAITING);
    let shared = Arc::new(Shared {
        channel,
        metrics,
        overflowing: AtomicBool::new(false),
    });
    (Outbox { sender, shared }, receiver)
}

impl<M: Message> Outbox<M> {
    /// Enqueues one message, or lets one that waits absorb it; drops another where too many wait.
    pub(super) fn post(&self, message: M) {
        let at = Instant::now();
        let namespace = Arc::clone(message.namespace());
        let is_absorbed = self.sender.amend(&namespace, |waiting| {
            let is_absorbed = waiting.message.absorb(&message);
            if is_absorbed {
                waiting.at = at;
            }
            is_absorbed
        });
        if is_absorbed {
            self.shared.count(NotificationResult::Replaced);
            return;
        }
        let rank = message.rank();
        if self
            .sender
            .send(&namespace, rank, Queued { message, at })
            .is_some()
        {
            self.shared.dropped();
        }
    }
}

impl Shared {
    fn count(&self, result: NotificationResult) {
        self.metrics.notified(self.channel.as_str(), result);
    }

    fn dropped(&self) {
        self.count(NotificationResult::Dropped);
        if !self.overflowing.swap(true, Ordering::Relaxed) {
            let Bounds { namespace, total } = WAITING;
            tracing::error!(
                "More {}s wait for their receiver than may wait ({namespace} of a namespace, {total} in all): the oldest \
                 of the namespace with most are dropped until it accepts them again; check that it answers",
                self.channel.as_str(),
            );
        }
    }

    fn delivered(&self, answer: &str) {
        self.overflowing.store(false, Ordering::Relaxed);
        if self.channel == Channel::Webhook && !answer.is_empty() {
            tracing::info!("{answer}");
        }
        self.count(NotificationResult::Success);
    }

    fn failed(&self, error: &PostError) {
        match self.channel {
            Channel::Alert => tracing::error!("Error sending alert: {error}"),
            Channel::Webhook => tracing::error!("Error sending webhook: {error}"),
        }
        self.count(NotificationResult::Error);
    }
}

/// Posts what waits until every sender is dropped. Between the attempts of one message those of other namespaces have their
/// turns: the receiver may refuse that one only.
async fn empty<M: Message, P>(
    mut receiver: mailbox::Receiver<Queued<M>>,
    shared: Arc<Shared>,
    post: impl Fn(Payload, Option<TraceParent>) -> P + Send + 'static,
) where
    P: Future<Output = Result<String, PostError>> + Send,
{
    let mut pauses = pauses();
    while let Some(queued) = receiver.next().await {
        let message = &queued.message;
        let error = match post(message.payload(), message.trace_parent().cloned()).await {
            Ok(answer) => {
                pauses = self::pauses();
                shared.delivered(&answer);
                continue;
            }
            Err(error) => error,
        };
        let Some(requested) = error.retry() else {
            shared.failed(&error);
            continue;
        };
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE).max(requested);
        if Instant::now() + pause > queued.at + TRIED_FOR {
            shared.failed(&error);
            continue;
        }
        tracing::debug!("A message could not be delivered, trying again: {error}");
        put_back(&receiver, queued, &shared);
        sleep(pause).await;
    }
}

/// Puts a message back, or replaces it by a newer one that waits.
fn put_back<M: Message>(receiver: &mailbox::Receiver<Queued<M>>, mut older: Queued<M>, shared: &Shared) {
    let namespace = Arc::clone(older.message.namespace());
    let is_absorbed = receiver.amend(&namespace, |newer| {
        let is_absorbed = older.message.absorb(&newer.message);
        if is_absorbed {
            std::mem::swap(&mut older.message, &mut newer.message);
        }
        is_absorbed
    });
    if is_absorbed {
        shared.count(NotificationResult::Replaced);
        return;
    }
    let rank = older.message.rank();
    if receiver.put_back(&namespace, rank, older).is_some() {
        shared.dropped();
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
