use std::{collections::VecDeque, sync::Mutex};

use http::StatusCode;

use super::*;
use crate::metrics::MetricsOptions;

fn payload(number: usize) -> Payload {
    Payload {
        content_type: "text/plain",
        body: number.to_string(),
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

/// Posts `count` payloads and waits until all have come to an end.
async fn post_all(receiver: &Arc<Receiver>, count: usize) -> String {
    let metrics = metrics();
    let (outbox, queue) = queue(Channel::Alert, Arc::clone(&metrics), WAITING);
    let shared = Arc::clone(&outbox.shared);
    (0..count).for_each(|number| outbox.post(payload(number)));
    drop(outbox);
    let receiver = Arc::clone(receiver);
    empty(queue, shared, move |payload| {
        std::future::ready(receiver.take(payload))
    })
    .await;
    metrics.encode().unwrap()
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

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_what_is_new_and_never_waits() {
    let metrics = metrics();
    let (outbox, mut queue) = queue(Channel::Alert, Arc::clone(&metrics), 3);
    (0..5).for_each(|number| outbox.post(payload(number)));
    assert!(counted(&metrics.encode().unwrap(), "dropped", 2));
    drop(outbox);
    let mut kept = Vec::new();
    while let Some(queued) = queue.recv().await {
        kept.push(queued.payload.body);
    }
    assert_eq!(kept, ["0", "1", "2"]);
}
