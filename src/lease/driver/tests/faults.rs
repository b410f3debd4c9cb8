//! What fails: requests, answers, clocks, the process itself.

use super::*;

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
        "the clock decides, whatever the timers do"
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
async fn a_request_under_way_at_the_deadline_is_not_waited_for() {
    let server = Server::default();
    let (mut candidates, _) = elected(&server, &["a"]).await;
    candidates[0].link.set(|link| {
        link.latency = (millis(500), millis(500));
        link.faults.push_back(Fault::Refused(StoreError::Timeout));
        link.always = Some(Fault::RequestLost);
    });
    let start = Instant::now();
    let _ = end_of(&mut candidates[0]).await.unwrap_err();
    assert!(start.elapsed() <= secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_everything_is_not_stormed() {
    let server = Server::default();
    let (candidates, first) = elected(&server, &["a", "b"]).await;
    for candidate in &candidates {
        candidate
            .link
            .set(|link| link.always = Some(Fault::Refused(StoreError::Timeout)));
    }
    let before = server.requests();
    pass(secs(10), &candidates).await;
    assert!(candidates[first].task.is_finished());
    let requests = server.requests() - before;
    assert!((10..=16).contains(&requests), "{requests} requests in 10 s");
    let before = server.requests();
    pass(secs(300), &candidates).await;
    let requests = server.requests() - before;
    assert!(
        (60..=151).contains(&requests),
        "{requests} requests of the standby in 300 s"
    );
}
