//! A leader goes, by a crash or in good order, and another follows.

use super::*;

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
            .extend([Fault::Refused(StoreError::Conflict), Fault::AnswerLost]);
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
