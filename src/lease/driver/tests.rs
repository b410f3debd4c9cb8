//! Whole elections over a simulated API server, in virtual time.

use std::{future::Future, time::Duration};

use k8s_openapi::serde_json::{self, json};
use rstest::rstest;
use tokio::time::Instant;

use super::*;
use crate::lease::{
    leadership::Counters,
    record::Record,
    testing::{Candidate, Fault, Link, Server, pass, pass_until},
};

mod chaos;
mod faults;
mod handover;
mod records;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The one that may write, if any.
fn leader(candidates: &[Candidate]) -> Option<usize> {
    candidates
        .iter()
        .position(|candidate| candidate.leadership.may_write())
}

/// `identities` take part; gives them with the index of the first leader.
async fn elected(server: &Server, identities: &[&str]) -> (Vec<Candidate>, usize) {
    let candidates: Vec<_> = identities
        .iter()
        .map(|identity| Candidate::start(server, identity))
        .collect();
    pass_until(secs(5), &candidates, || leader(&candidates).is_some())
        .await
        .expect("a leader within 5 s");
    let first = leader(&candidates).unwrap();
    (candidates, first)
}

fn record(server: &Server) -> Record {
    Record::of(&server.lease().unwrap())
}

/// A Lease as client-go's holder would store it now.
fn held_by(holder: &str) -> k8s_openapi::api::coordination::v1::Lease {
    serde_json::from_value(json!({
        "metadata": {"name": "lock", "namespace": "reloader"},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 7,
            "acquireTime": "2025-11-20T08:00:00.000000Z", "renewTime": "2025-11-20T08:00:00.000000Z"
        }
    }))
    .unwrap()
}

async fn end_of(candidate: &mut Candidate) -> Result<Ended, Error> {
    (&mut candidate.task).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_of_three_leads_and_goes_on_leading() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b", "c"]).await;
    pass(secs(300), &candidates).await;
    assert_eq!(leader(&candidates), Some(first));
    let record = record(&server);
    assert_eq!((record.transitions, record.duration), (0, Some(secs(15))));
    assert_eq!(
        candidates[first].leadership.counters(),
        Counters {
            master: true,
            slow_path: 0,
            transitions: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_fleet_of_three_costs_less_than_one_request_a_second() {
    let server = Server::default();
    let (candidates, _) = elected(&server, &["a", "b", "c"]).await;
    let before = server.requests();
    pass(secs(300), &candidates).await;
    let requests = server.requests() - before;
    assert!((100..300).contains(&requests), "{requests} requests in 300 s");
}

#[tokio::test(start_paused = true)]
async fn renewing_keeps_the_acquire_time_and_changes_the_renew_time() {
    let server = Server::default();
    let (candidates, _) = elected(&server, &["a"]).await;
    let before = record(&server);
    pass(secs(30), &candidates).await;
    let after = record(&server);
    assert_eq!(
        (&after.acquire_time, after.transitions),
        (&before.acquire_time, before.transitions)
    );
    assert!(after.renew_time > before.renew_time);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_it_learn_of_leadership_and_of_its_end() {
    let server = Server::default();
    let candidate = Candidate::start(&server, "a");
    let leadership = candidate.leadership.clone();
    within(secs(5), leadership.acquired()).await;
    assert!(leadership.may_write() && leadership.is_leader());
    candidate.kill();
    within(secs(1), leadership.lost()).await;
    assert!(!leadership.may_write() && !leadership.is_leader());
}

#[tokio::test]
async fn without_election_one_always_leads_until_released() {
    let leadership = Leadership::always();
    leadership.acquired().await;
    assert!(leadership.may_write() && leadership.is_leader());
    assert!(futures::FutureExt::now_or_never(leadership.lost()).is_none());
    leadership.release().await;
    assert!(!leadership.may_write());
}

async fn within(time: Duration, future: impl Future<Output = ()>) {
    tokio::time::timeout(time, future).await.expect("in time");
}
