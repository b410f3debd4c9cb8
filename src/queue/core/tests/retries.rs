use super::*;

/// Adds `a/x` at low priority and lets it fail `times`; gives the time of the next attempt.
fn failed(bench: &mut Bench, times: u32, retry: Retry) -> Instant {
    bench.add_low("a/x");
    for attempt in 0..times {
        bench.now = bench.core.next_event().unwrap().max(bench.now);
        let handout = bench.take().unwrap();
        assert_eq!(handout.attempt, attempt);
        assert_eq!(handout.waited_since, bench.start);
        assert_eq!(handout.priority, Priority::Low, "a retry keeps its priority");
        bench.done(&handout, Outcome::Retry(retry));
        assert_eq!(bench.take(), None);
    }
    bench.core.next_event().unwrap()
}

#[rstest]
#[case::unavailable(Retry::Unavailable, 20, 2_500, 5_000)]
#[case::rejected(Retry::Rejected, 20, 30_000, 60_000)]
#[case::first(Retry::Rejected, 1, 250, 500)]
#[case::third(Retry::Rejected, 3, 1_000, 2_000)]
#[case::retry_after(Retry::After(Duration::from_secs(9)), 3, 9_000, 9_000)]
fn come_back_later_and_later(
    #[case] retry: Retry,
    #[case] times: u32,
    #[case] least: u64,
    #[case] most: u64,
) {
    let mut bench = Bench::eager();
    let wait = failed(&mut bench, times, retry) - bench.now;
    assert!(
        Duration::from_millis(least) <= wait && wait <= Duration::from_millis(most),
        "{wait:?}"
    );
    assert_eq!(bench.stats().retries, u64::from(times));
}

#[test]
fn are_forgotten_when_settled() {
    let mut bench = Bench::eager();
    bench.now = failed(&mut bench, 3, Retry::Rejected);
    let handout = bench.take().unwrap();
    bench.done(&handout, Outcome::Settled);
    bench.assert_empty();
    bench.add("a/x");
    assert_eq!(bench.take().unwrap().attempt, 0);
}

#[test]
fn are_forgotten_when_settled_although_added_meanwhile() {
    let mut bench = Bench::eager();
    bench.now = failed(&mut bench, 3, Retry::Rejected);
    let handout = bench.take().unwrap();
    bench.add("a/x");
    bench.done(&handout, Outcome::Settled);
    assert_eq!(bench.take().unwrap().attempt, 0);
}

#[test]
fn a_changed_source_does_not_shorten_the_wait() {
    let mut bench = Bench::eager();
    let due = failed(&mut bench, 5, Retry::Rejected);
    bench.add("a/x");
    assert_eq!(bench.core.next_event(), Some(due));
    assert_eq!(bench.take(), None);
    bench.now = due;
    let handout = bench.take().unwrap();
    assert_eq!((handout.priority, handout.attempt), (Priority::High, 5));
    assert_eq!(bench.take(), None);
}

#[test]
fn added_while_out_and_failed_is_due_once_after_the_backoff() {
    let mut bench = Bench::eager();
    bench.add_low("a/x");
    let handout = bench.take().unwrap();
    bench.add("a/x");
    bench.done(&handout, FAILED);
    assert_eq!((bench.stats().depth_high, bench.stats().depth_low), (1, 0));
    assert!(bench.next_event().unwrap() >= 250);
    bench.at(500);
    let again = bench.take().unwrap();
    assert_eq!((again.priority, again.attempt), (Priority::High, 1));
    bench.done(&again, Outcome::Settled);
    bench.assert_empty();
}

#[test]
fn a_changed_workload_is_due_at_once_without_its_failures() {
    let mut bench = Bench::new(Settings::default());
    failed(&mut bench, 9, Retry::Rejected);
    bench.wake("a/x");
    let handout = bench.take().unwrap();
    assert_eq!((handout.attempt, handout.priority), (0, Priority::High));
    assert_eq!(handout.waited_since, bench.start);
    assert_eq!(handout.due_since, bench.now);
}

#[test]
fn a_changed_workload_does_not_shorten_retry_after() {
    let mut bench = Bench::eager();
    let due = failed(&mut bench, 9, Retry::After(Duration::from_secs(3)));
    bench.wake("a/x");
    let woken = bench.core.next_event().unwrap();
    assert_eq!(woken, bench.now + Duration::from_secs(3));
    assert!(woken <= due);
    bench.now = woken;
    assert_eq!(bench.take().unwrap().attempt, 0);
}

#[test]
fn a_workload_that_changed_while_out_does_not_back_off() {
    let mut bench = Bench::eager();
    bench.now = failed(&mut bench, 4, Retry::Rejected);
    let handout = bench.take().unwrap();
    bench.wake("a/x");
    bench.done(&handout, FAILED);
    assert_eq!(bench.take().unwrap().attempt, 0);
}

#[test]
fn a_workload_that_changed_while_out_waits_for_retry_after() {
    let mut bench = Bench::eager();
    bench.add("a/x");
    let handout = bench.take().unwrap();
    bench.wake("a/x");
    bench.done(&handout, Outcome::Retry(Retry::After(Duration::from_secs(3))));
    assert_eq!(bench.next_event(), Some(3_000));
}

#[test]
fn waking_what_did_not_fail_is_adding_it() {
    let mut bench = Bench::new(Settings::default());
    bench.wake("a/x");
    bench.at(50).wake("a/x");
    assert_eq!(bench.next_event(), Some(150));
    assert_eq!(bench.at(150).take().unwrap().priority, Priority::High);
}

#[test]
fn are_shown_with_their_time() {
    let mut bench = Bench::eager();
    assert_eq!(bench.core.standing(&key("a/x")), None);
    let next = failed(&mut bench, 3, Retry::Rejected);
    let standing = bench.core.standing(&key("a/x")).unwrap();
    assert_eq!((standing.failures, standing.due), (3, Some(next)));
    bench.now = next;
    let handout = bench.take().unwrap();
    assert_eq!(bench.core.standing(&key("a/x")).unwrap().due, None);
    bench.done(&handout, Outcome::Settled);
    assert_eq!(bench.core.standing(&key("a/x")), None);
}
