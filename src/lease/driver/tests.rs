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

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The one that may write, or nobody.
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
async fn after_a_crash_another_leads_when_the_lease_has_run_out() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b", "c"]).await;
    pass(secs(7), &candidates).await;
    candidates[first].kill();
    let took = pass_until(secs(30), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert!((secs(13)..=secs(16)).contains(&took), "{took:?}");
    assert_eq!(record(&server).transitions, 1);
}

#[rstest]
#[case::watching(true, millis(200))]
#[case::polling(false, millis(1500))]
#[tokio::test(start_paused = true)]
async fn after_a_release_another_leads_at_once(#[case] may_watch: bool, #[case] within: Duration) {
    let server = Server::default();
    let link = || {
        let link = Link::new();
        link.set(|link| link.may_watch = may_watch);
        link
    };
    let mut candidates = vec![Candidate::start(&server, "a")];
    pass_until(secs(5), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    candidates.extend(["b", "c", "d"].map(|identity| Candidate::start_with(&server, identity, link())));
    pass(secs(60), &candidates).await;

    candidates[0].leadership.release().await;
    assert!(!candidates[0].leadership.may_write());
    let took = pass_until(secs(30), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert!(took <= within, "{took:?}");
    assert_eq!(end_of(&mut candidates[0]).await, Ok(Ended::Released));
    assert_eq!(record(&server).transitions, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_release_leaves_behind_is_what_client_go_leaves() {
    let server = Server::default();
    let (candidates, _) = elected(&server, &["a"]).await;
    pass(secs(3), &candidates).await;
    candidates[0].leadership.release().await;
    let released = record(&server);
    assert_eq!(
        (released.holder, released.duration, released.transitions),
        (None, Some(secs(1)), 0)
    );
    assert_eq!(released.acquire_time, released.renew_time);
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_a_lost_answer_and_a_conflict() {
    let server = Server::default();
    let (mut candidates, _) = elected(&server, &["a"]).await;
    pass(secs(3), &candidates).await;
    server.edit(|lease| lease.metadata.labels = Some([("touched".to_owned(), "yes".to_owned())].into()));
    candidates[0].link.set(|link| {
        link.faults
            .extend([Fault::Refused(StoreError::Conflict), Fault::AnswerLost])
    });
    candidates[0].leadership.release().await;
    assert_eq!(end_of(&mut candidates[0]).await, Ok(Ended::Released));
    assert_eq!(record(&server).holder, None);
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_api_server_gives_up() {
    let server = Server::default();
    let (mut candidates, _) = elected(&server, &["a"]).await;
    candidates[0].link.set(|link| link.cut = true);
    let start = Instant::now();
    candidates[0].leadership.release().await;
    assert!(start.elapsed() <= secs(6));
    assert_eq!(end_of(&mut candidates[0]).await, Ok(Ended::LeftToExpire));
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_is_released_leaves_the_lease_alone() {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a", "b"]).await;
    let standby = 1 - first;
    candidates[standby].leadership.release().await;
    assert_eq!(end_of(&mut candidates[standby]).await, Ok(Ended::NotHolding));
    pass(secs(30), &candidates).await;
    assert_eq!(leader(&candidates), Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_stops_gives_back_what_a_write_without_answer_has_taken() {
    let server = Server::default();
    let mut released = held_by("");
    released.spec.as_mut().unwrap().lease_duration_seconds = Some(1);
    server.put(released);
    let mut candidates = vec![Candidate::start(&server, "a")];
    pass(millis(3), &candidates).await; // Its first read is under way; the next request takes the lease.
    candidates[0]
        .link
        .set(|link| link.faults.push_back(Fault::AnswerLost));
    pass_until(secs(2), &candidates, || record(&server).holder.is_some())
        .await
        .unwrap();
    candidates[0].leadership.release().await;
    assert_eq!(end_of(&mut candidates[0]).await, Ok(Ended::Released));
    assert_eq!(record(&server).holder, None);
}

#[rstest]
#[case::no_answer(Fault::RequestLost)]
#[case::answers_lost(Fault::AnswerLost)]
#[case::refused(Fault::Refused(StoreError::Forbidden { verb: "update", message: "no".to_owned() }))]
#[case::overloaded(Fault::Refused(StoreError::Timeout))]
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_takes_over(#[case] fault: Fault) {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a", "b"]).await;
    pass(millis(7300), &candidates).await;
    let renewed_before = Instant::now();
    candidates[first].link.set(|link| link.always = Some(fault));
    let until_stopped = pass_until(secs(20), &candidates, || {
        !candidates[first].leadership.may_write()
    })
    .await
    .unwrap();
    assert!(
        (secs(8)..=millis(10_010)).contains(&until_stopped),
        "{until_stopped:?}"
    );
    let error = end_of(&mut candidates[first]).await.unwrap_err();
    assert_eq!(error.category(), "lease_expired");
    pass_until(secs(60), &candidates, || {
        candidates[1 - first].leadership.may_write()
    })
    .await
    .unwrap();
    assert!(
        renewed_before.elapsed() > until_stopped + secs(4),
        "the margin is lease minus deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_when_the_renewal_was_sent() {
    let server = Server::default();
    let (candidates, _) = elected(&server, &["a"]).await;
    // The answer to every renewal takes 1.9 s, just within the time a request has.
    candidates[0]
        .link
        .set(|link| link.latency = (millis(0), millis(1900)));
    let writes = server.writes().len();
    pass_until(secs(10), &candidates, || server.writes().len() > writes)
        .await
        .unwrap();
    let sent = Instant::now();
    pass(millis(1895), &candidates).await;
    candidates[0]
        .link
        .set(|link| link.always = Some(Fault::RequestLost));
    pass_until(secs(20), &candidates, || !candidates[0].leadership.may_write())
        .await
        .unwrap();
    assert!(sent.elapsed() <= millis(10_010), "{:?}", sent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_takes_nine_seconds_costs_the_lease_in_time() {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a", "b"]).await;
    for candidate in &candidates {
        candidate
            .link
            .set(|link| link.latency = (millis(4500), millis(4500)));
    }
    let took = pass_until(secs(20), &candidates, || {
        !candidates[first].leadership.may_write()
    })
    .await
    .unwrap();
    assert!(took <= millis(10_010), "{took:?}");
    assert_eq!(
        end_of(&mut candidates[first]).await.unwrap_err().category(),
        "lease_expired"
    );
    pass(secs(120), &candidates).await;
    candidates[1 - first]
        .link
        .set(|link| link.latency = (millis(2), millis(2)));
    pass_until(secs(30), &candidates, || {
        candidates[1 - first].leadership.may_write()
    })
    .await
    .unwrap();
}

#[rstest]
#[case::lost_answer(Fault::AnswerLost)]
#[case::lost_request(Fault::RequestLost)]
#[case::conflict(Fault::Refused(StoreError::Conflict))]
#[tokio::test(start_paused = true)]
async fn one_failed_renewal_is_made_up_for_on_the_slow_path(#[case] fault: Fault) {
    let server = Server::default();
    let (candidates, _) = elected(&server, &["a", "b"]).await;
    let first = leader(&candidates).unwrap();
    candidates[first].link.set(|link| link.faults.push_back(fault));
    pass(secs(60), &candidates).await;
    assert_eq!(leader(&candidates), Some(first));
    assert_eq!(candidates[first].leadership.counters().slow_path, 1);
    assert_eq!(record(&server).transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_whose_answer_was_lost_is_recognised() {
    let server = Server::default();
    let candidates = vec![Candidate::start(&server, "a")];
    pass(secs(1), &candidates).await; // The Lease was found missing; the next request creates it.
    candidates[0]
        .link
        .set(|link| link.faults.push_back(Fault::AnswerLost));
    pass_until(secs(12), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert_eq!(record(&server).transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_holder_in_the_record_ends_leadership_at_the_next_renewal() {
    let server = Server::default();
    let (mut candidates, _) = elected(&server, &["a"]).await;
    server.edit(|lease| lease.spec = held_by("intruder").spec);
    let took = pass_until(secs(20), &candidates, || leader(&candidates).is_none())
        .await
        .unwrap();
    assert!(took <= millis(2100), "{took:?}");
    let error = end_of(&mut candidates[0]).await.unwrap_err();
    assert_eq!(error.category(), "lease_taken_over");
    assert!(error.to_string().contains("intruder holds it"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_put_back_by_its_holder_and_elects_nobody_else() {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a", "b", "c"]).await;
    pass(secs(7), &candidates).await;
    server.delete();
    // A process that starts right now has never seen who leads.
    candidates.push(Candidate::start(&server, "d"));
    pass(secs(60), &candidates).await;
    assert_eq!(leader(&candidates), Some(first));
    assert_eq!(record(&server).transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_while_its_holder_is_cut_off_waits_until_the_holder_has_given_up() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b", "c"]).await;
    pass(secs(7), &candidates).await;
    candidates[first].link.set(|link| link.cut = true);
    server.delete();
    pass_until(secs(30), &candidates, || {
        leader(&candidates).is_some_and(|now| now != first)
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_and_created_by_another_ends_leadership() {
    let server = Server::default();
    let (mut candidates, _) = elected(&server, &["a"]).await;
    server.delete();
    server.put(held_by("intruder"));
    let error = end_of(&mut candidates[0]).await.unwrap_err();
    assert_eq!(error.category(), "lease_taken_over");
}

#[rstest]
#[case::hour_ahead(3600)]
#[case::hour_behind(-3600)]
#[tokio::test(start_paused = true)]
async fn wall_clock_jumps_change_nothing(#[case] seconds: i64) {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b"]).await;
    for round in 0..6 {
        candidates[round % 2].clock.put_wall(seconds);
        pass(secs(5), &candidates).await;
        candidates[round % 2].clock.put_wall(0);
        pass(secs(5), &candidates).await;
    }
    assert_eq!(leader(&candidates), Some(first));
    assert_eq!(record(&server).transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_wall_clock_stands_still_is_still_seen_to_renew() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b"]).await;
    candidates[first].clock.stop_wall();
    pass(secs(120), &candidates).await;
    assert_eq!(leader(&candidates), Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_too_slowly_by_a_third_stays_within_the_margin() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b"]).await;
    candidates[first].clock.run_at(715); // Others run 1.4 times as fast.
    pass(secs(3), &candidates).await;
    candidates[first].link.set(|link| link.cut = true);
    pass_until(secs(40), &candidates, || {
        candidates[1 - first].leadership.may_write()
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_knows_at_once_that_its_lease_is_over() {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a"]).await;
    pass(secs(5), &candidates).await;
    candidates[first].clock.jump(secs(60));
    assert!(
        !candidates[first].leadership.may_write(),
        "the clock says so, whatever the timers do"
    );
    let resumed = Instant::now();
    assert_eq!(
        end_of(&mut candidates[first]).await.unwrap_err().category(),
        "lease_expired"
    );
    assert!(resumed.elapsed() <= millis(500), "{:?}", resumed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_wakes_up_and_writes_nothing() {
    let server = Server::default();
    let (mut candidates, first) = elected(&server, &["a", "b"]).await;
    pass(secs(5), &candidates).await;
    candidates[first].freeze(true);
    pass(secs(40), &candidates).await;
    assert_eq!(leader(&candidates), Some(1 - first));
    candidates[first].freeze(false);
    let thawed = Instant::now();
    let _ = end_of(&mut candidates[first]).await.unwrap_err();
    assert!(thawed.elapsed() <= secs(1), "{:?}", thawed.elapsed());
    pass(secs(10), &candidates).await;
    assert_eq!(leader(&candidates), Some(1 - first));
}

#[tokio::test(start_paused = true)]
async fn processes_with_the_same_identity_do_not_take_each_other_for_themselves() {
    let server = Server::default();
    let candidates = vec![Candidate::start(&server, "same")];
    pass_until(secs(5), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    let mut candidates = candidates;
    candidates.push(Candidate::start(&server, "same"));
    pass(secs(60), &candidates).await;
    assert_eq!(leader(&candidates), Some(0));

    candidates[0].freeze(true);
    pass(secs(40), &candidates).await;
    assert_eq!(leader(&candidates), Some(1));
    candidates[0].freeze(false);
    pass(secs(40), &candidates).await;
    assert_eq!(leader(&candidates), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_process_does_not_believe_its_predecessors_record() {
    let server = Server::default();
    server.put(held_by("a"));
    let candidates = vec![Candidate::start(&server, "a")];
    let took = pass_until(secs(30), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert!((secs(15)..=secs(16)).contains(&took), "{took:?}");
}

#[rstest]
#[case::held(json!({"holderIdentity": "x", "leaseDurationSeconds": 15}), secs(15))]
#[case::held_for_longer(json!({"holderIdentity": "x", "leaseDurationSeconds": 60}), secs(60))]
#[case::held_from_the_future(json!({"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "2199-01-01T00:00:00.000000Z"}), secs(15))]
#[case::held_long_ago(json!({"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "1999-01-01T00:00:00.000000Z"}), secs(15))]
#[case::held_without_duration(json!({"holderIdentity": "x"}), secs(15))]
#[case::held_for_nonsense(json!({"holderIdentity": "x", "leaseDurationSeconds": -1}), secs(15))]
#[case::free(json!({"holderIdentity": "", "leaseDurationSeconds": 1}), secs(0))]
#[case::empty(json!({}), secs(0))]
#[tokio::test(start_paused = true)]
async fn an_old_record_is_respected_for_its_duration_from_when_it_was_seen(
    #[case] spec: serde_json::Value,
    #[case] wait: Duration,
) {
    let server = Server::default();
    server.put(serde_json::from_value(json!({"metadata": {"name": "lock"}, "spec": spec})).unwrap());
    let candidates = vec![Candidate::start(&server, "a")];
    let took = pass_until(secs(90), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert!((wait..wait + millis(200)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_go_holder_is_followed_and_then_succeeded() {
    let server = Server::default();
    server.put(held_by("go"));
    let candidates = vec![Candidate::start(&server, "a"), Candidate::start(&server, "b")];
    for second in 1..30 {
        pass(secs(2), &candidates).await;
        let renewed = format!("2025-11-20T08:00:{second:02}.000000Z");
        server.edit(|lease| {
            lease.spec.as_mut().unwrap().renew_time = serde_json::from_value(json!(renewed)).unwrap();
        });
    }
    assert_eq!(leader(&candidates), None);
    assert_eq!(
        candidates[0].leadership.state().borrow().holder.as_deref(),
        Some("go")
    );
    pass_until(secs(16), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert_eq!(record(&server).transitions, 8);
}

#[tokio::test(start_paused = true)]
async fn labelling_the_lease_neither_disturbs_its_holder_nor_keeps_a_dead_one_alive() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b"]).await;
    let label = |round: i32| {
        server.edit(|lease| lease.metadata.labels = Some([("round".to_owned(), round.to_string())].into()));
    };
    for round in 0..30 {
        label(round);
        pass(secs(1), &candidates).await;
    }
    assert_eq!(leader(&candidates), Some(first));
    candidates[first].kill();
    for round in 30..47 {
        label(round);
        pass(secs(1), &candidates).await;
    }
    assert_eq!(leader(&candidates), Some(1 - first));
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_does_not_delay_a_takeover_beyond_a_poll() {
    let server = Server::default();
    let mut candidates = vec![Candidate::start(&server, "a")];
    pass_until(secs(5), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    candidates.push(Candidate::start(&server, "b"));
    pass(secs(20), &candidates).await;
    server.forget_watchers();
    candidates[0].leadership.release().await;
    let took = pass_until(secs(30), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
    assert!(took <= millis(4600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_keeps_asking_while_it_is_refused_and_leads_once_it_is_not() {
    let server = Server::default();
    let candidates = vec![Candidate::start(&server, "a")];
    let forbidden = StoreError::Forbidden {
        verb: "get",
        message: "no".to_owned(),
    };
    candidates[0]
        .link
        .set(|link| link.always = Some(Fault::Refused(forbidden)));
    pass(secs(120), &candidates).await;
    assert!(!candidates[0].task.is_finished());
    candidates[0].link.set(|link| link.always = None);
    pass_until(secs(10), &candidates, || leader(&candidates).is_some())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_freed_lease_is_not_stormed() {
    let server = Server::default();
    let identities: Vec<String> = (0..30).map(|number| format!("candidate-{number}")).collect();
    let (candidates, first) = elected(
        &server,
        &identities.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    pass(secs(20), &candidates).await;
    let before = server.requests();
    candidates[first].leadership.release().await;
    pass(secs(1), &candidates).await;
    let requests = server.requests() - before;
    assert!(leader(&candidates).is_some());
    assert!(
        requests <= 30,
        "{requests} requests in the second after the release, of 29 candidates"
    );
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
