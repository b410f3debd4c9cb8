//! What is sent outside the cluster: alerts, webhook mode, the meta-info ConfigMap.

mod alerts;
mod events;
mod meta_info;
mod traces;
mod webhook;

use testbed::{Answer, Receiver, eventually};

use crate::harness::PATIENCE;

/// A receiver that takes everything.
async fn taking() -> Receiver {
    receiver(|_| Answer::status("200 OK")).await
}

async fn receiver(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Receiver {
    Receiver::start(answer).await.expect("a receiver")
}

/// Waits until the receiver got that many requests, and returns their bodies.
async fn wait_for_bodies(receiver: &Receiver, count: usize) -> Vec<String> {
    let what = format!("{count} request(s)");
    eventually(PATIENCE, &what, async || -> Result<_, String> {
        let bodies = receiver.bodies();
        if bodies.len() >= count {
            Ok(Some(bodies))
        } else {
            Err(format!("{bodies:?}"))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}
