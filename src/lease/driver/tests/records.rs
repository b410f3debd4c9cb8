//! What others do to the Lease: client-go's holders, people with kubectl, processes of the same name.

use super::*;

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
async fn a_deleted_lease_is_put_back_by_its_holder_and_elects_no_other() {
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
async fn a_new_process_does_not_trust_its_predecessors_record() {
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
