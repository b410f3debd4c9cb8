use std::{collections::VecDeque, sync::Mutex};

use http::StatusCode;

use super::*;
use crate::metrics::MetricsOptions;

/// A message about a namespace; one with the same text is absorbed.
#[derive(Clone, Debug)]
struct Note {
    namespace: Arc<str>,
    rank: Rank,
    text: String,
}

impl Message for Note {
    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn rank(&self) -> Rank {
        self.rank
    }

    fn payload(&self) -> Payload {
        Payload {
            content_type: "text/plain",
            body: self.text.clone(),
        }
    }

    fn trace_parent(&self) -> Option<&TraceParent> {
        None
    }

    fn absorb(&mut self, newer: &Self) -> bool {
        self.text == newer.text
    }
}

fn note(namespace: &str, text: impl Into<String>) -> Note {
    Note {
        namespace: namespace.into(),
        rank: Rank::Usual,
        text: text.into(),
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(MetricsOptions::default()))
}

fn status(code: u16, retry_after: Option<u64>) -> PostError {
    PostError::Status {
        status: StatusCode::from_u16(code).unwrap(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// A receiver that gives these answers, then only successes; notes what arrived and when.
#[derive(Default)]
struct Receiver {
    answers: Mutex<VecDeque<PostError>>,
    arrived: Mutex<Vec<(String, Instant)>>,
}

impl Receiver {
    fn answering(answers: impl IntoIterator<Item = PostError>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            arrived: Mutex::default(),
        })
    }

    fn bodies(&self) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().map(|(body, _)| body.clone()).collect()
    }

    fn take(&self, payload: Payload) -> Result<String, PostError> {
        self.arrived.lock().unwrap().push((payload.body, Instant::now()));
        self.answers
            .lock()
            .unwrap()
            .pop_front()
            .map_or(Ok("ok".to_owned()), Err)
    }
}

/// Posts these and waits until all have come to an end.
async fn post_notes(receiver: &Arc<Receiver>, notes: impl IntoIterator<Item = Note>) -> String {
    let metrics = metrics();
    let (outbox, queue) = queue(Channel::Alert, Arc::clone(&metrics));
    let shared = Arc::clone(&outbox.shared);
    notes.into_iter().for_each(|note| outbox.post(note));
    drop(outbox);
    let receiver = Arc::clone(receiver);
    empty(queue, shared, move |payload, _| {
        std::future::ready(receiver.take(payload))
    })
    .await;
    metrics.encode().unwrap()
}

/// The same with `count` messages of one namespace.
async fn post_all(receiver: &Arc<Receiver>, count: usize) -> String {
    post_notes(
        receiver,
        (0..count).map(|number| note("shop", number.to_string())),
    )
    .await
}

fn counted(metrics: &str, result: &str, count: usize) -> bool {
    metrics.contains(&format!(
        "reloader_notifications_total{{channel=\"alert\",result=\"{result}\"}} {count}\n"
    ))
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_order_is_kept() {
    let receiver = Receiver::answering([
        PostError::Transport("refused".to_owned()),
        status(500, None),
        status(503, None),
        status(429, None),
        status(408, None),
    ]);
    let metrics = post_all(&receiver, 2).await;
    assert_eq!(receiver.bodies(), ["0", "0", "0", "0", "0", "0", "1"]);
    assert!(counted(&metrics, "success", 2), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_given_up_at_once() {
    let receiver = Receiver::answering([status(400, None), status(404, Some(1)), PostError::Redirected]);
    let metrics = post_all(&receiver, 4).await;
    assert_eq!(receiver.bodies(), ["0", "1", "2", "3"]);
    assert!(
        counted(&metrics, "error", 3) && counted(&metrics, "success", 1),
        "{metrics}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_receiver_may_ask_for_a_pause_within_reason() {
    let receiver = Receiver::answering([status(429, Some(40)), status(503, Some(86_400))]);
    let begun = Instant::now();
    post_all(&receiver, 1).await;
    let arrived = receiver.arrived.lock().unwrap();
    let at: Vec<u64> = arrived
        .iter()
        .map(|(_, at)| at.duration_since(begun).as_secs())
        .collect();
    assert_eq!(at, [0, 40, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_away_is_not_waited_for_without_end_but_each_payload_is_tried() {
    let away = std::iter::repeat_with(|| PostError::Transport("refused".to_owned())).take(100);
    let receiver = Receiver::answering(away);
    let begun = Instant::now();
    let metrics = post_all(&receiver, 3).await;
    assert!(counted(&metrics, "error", 3), "{metrics}");
    let took = begun.elapsed();
    assert!(
        took <= TRIED_FOR && took + LONGEST_PAUSE * 2 > TRIED_FOR,
        "{took:?}"
    );
    let bodies = receiver.bodies();
    // 0.5 s doubled up to 30 s: some fifteen attempts in five minutes, then a few for those that waited as long.
    assert!((10..40).contains(&bodies.len()), "{bodies:?}");
    assert!(bodies.is_sorted(), "{bodies:?}");
    for body in ["0", "1", "2"] {
        assert!(bodies.iter().any(|arrived| arrived == body), "{bodies:?}");
    }
}

/// The receiver may refuse what one namespace says, and nothing else.
#[tokio::test(start_paused = true)]
async fn while_one_message_is_retried_other_namespaces_have_their_turns() {
    let receiver = Receiver::answering([status(500, None)]);
    let notes = [note("a", "0"), note("a", "1"), note("b", "2"), note("c", "3")];
    let metrics = post_notes(&receiver, notes).await;
    assert_eq!(receiver.bodies(), ["0", "2", "3", "0", "1"]);
    assert!(counted(&metrics, "success", 4), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_namespace_drops_its_own_oldest_and_failures_last() {
    let receiver = Receiver::answering([]);
    let failure = Note {
        rank: Rank::Important,
        ..note("flood", "failure")
    };
    let flood = (0..=WAITING.namespace).map(|number| note("flood", number.to_string()));
    let notes = [failure, note("calm", "single")].into_iter().chain(flood);
    let metrics = post_notes(&receiver, notes).await;
    assert!(counted(&metrics, "dropped", 2), "{metrics}");
    let bodies = receiver.bodies();
    assert_eq!(bodies[..3], ["failure", "single", "2"]);
    assert_eq!(bodies.len(), WAITING.namespace + 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_waiting_message_absorbs_is_posted_once() {
    let receiver = Receiver::answering([]);
    let metrics = post_notes(&receiver, ["a", "b", "a", "a"].map(|text| note("shop", text))).await;
    assert_eq!(receiver.bodies(), ["a", "b"]);
    assert!(
        counted(&metrics, "replaced", 2) && counted(&metrics, "success", 2),
        "{metrics}"
    );
}

/// Also one that is already being tried.
#[tokio::test(start_paused = true)]
async fn a_newer_message_replaces_one_that_is_retried() {
    let (outbox, queue) = queue(Channel::Webhook, metrics());
    let shared = Arc::clone(&outbox.shared);
    outbox.post(note("shop", "a"));
    let first = queue.take().unwrap();
    outbox.post(note("shop", "a"));
    put_back(&queue, first, &shared);
    assert!(queue.take().is_some() && queue.take().is_none());
}
