use std::num::NonZeroU32;

use rstest::rstest;

use super::*;
use crate::{
    model::WorkloadKind,
    queue::{Rate, Retry},
};

const FAILED: Outcome = Outcome::Retry(Retry::Rejected);

/// A core with a clock to turn.
struct Bench {
    core: Core,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let start = Instant::now();
        Self {
            core: Core::new(settings, 7, start),
            start,
            now: start,
        }
    }

    /// Everything is due at once.
    fn eager() -> Self {
        Self::new(Settings {
            window: Duration::ZERO,
            ..Settings::default()
        })
    }

    /// Goes to that many milliseconds after the start.
    fn at(&mut self, ms: u64) -> &mut Self {
        let then = self.start + Duration::from_millis(ms);
        assert!(then >= self.now);
        self.now = then;
        self
    }

    fn add(&mut self, name: &str) {
        self.core.add(key(name), Priority::High, self.now);
    }

    fn add_low(&mut self, name: &str) {
        self.core.add(key(name), Priority::Low, self.now);
    }

    fn wake(&mut self, name: &str) {
        self.core.wake(key(name), self.now);
    }

    /// Makes due what is due, without handing it out.
    fn let_time_pass(&mut self) {
        self.core.advance(self.now);
    }

    fn take(&mut self) -> Option<Handout> {
        self.core.take(self.now)
    }

    /// Takes what is due, up to `most`, as `namespace/name`.
    fn take_names(&mut self, most: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < most
            && let Some(handout) = self.take()
        {
            names.push(format!("{}/{}", handout.key.namespace, handout.key.name));
        }
        names
    }

    fn done(&mut self, handout: &Handout, outcome: Outcome) {
        self.core.done(handout, outcome, self.now);
    }

    /// Milliseconds after the start of the next event.
    fn next_event(&self) -> Option<u128> {
        let at = self.core.next_event()?;
        Some(at.saturating_duration_since(self.start).as_millis())
    }

    fn stats(&self) -> Stats {
        self.core.stats(self.now)
    }

    /// Nothing is left of anything that ever was in the queue.
    fn assert_empty(&self) {
        assert_eq!(self.core.namespaces.len(), 0);
        assert_eq!(self.core.timers.len(), 0);
        assert_eq!(self.core.passed_over.len(), 0);
        assert_eq!(self.core.retiring.len(), 0);
        assert_eq!(self.core.running.len(), 0);
        assert_eq!(self.core.depth, [0, 0]);
        assert!(self.core.turns.is_empty());
        assert_eq!(self.core.next_event(), None);
    }
}

/// `namespace/name`, a Deployment.
fn key(name: &str) -> WorkloadKey {
    let (namespace, name) = name.split_once('/').unwrap();
    WorkloadKey::new(WorkloadKind::Deployment, namespace, name)
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    })
}

mod dedupe {
    use super::*;

    #[test]
    fn added_often_is_handed_out_once() {
        let mut bench = Bench::eager();
        for _ in 0..5 {
            bench.add("a/x");
        }
        let handout = bench.take().unwrap();
        assert_eq!(bench.take(), None);
        bench.done(&handout, Outcome::Settled);
        assert_eq!(bench.take(), None);
        bench.assert_empty();
        assert_eq!((bench.stats().adds, bench.stats().coalesced), (5, 4));
    }

    #[test]
    fn added_while_out_is_handed_out_once_more_but_only_afterwards() {
        let mut bench = Bench::eager();
        bench.add("a/x");
        let first = bench.take().unwrap();
        bench.add("a/x");
        bench.at(3).add("a/x");
        assert_eq!(bench.take(), None);
        assert_eq!(bench.stats().depth_high, 1);
        bench.at(9).done(&first, Outcome::Settled);
        let again = bench.take().unwrap();
        assert_eq!(again.waited_since, bench.start);
        assert_eq!(again.due_since, bench.now, "its own run is not part of its wait");
        assert_eq!(bench.stats().coalesced, 1);
        bench.done(&again, Outcome::Settled);
        bench.assert_empty();
    }

    #[test]
    fn equal_names_of_other_kinds_and_namespaces_are_other_keys() {
        let mut bench = Bench::eager();
        bench.add("a/x");
        bench.add("b/x");
        bench.core.add(
            WorkloadKey::new(WorkloadKind::StatefulSet, "a", "x"),
            Priority::High,
            bench.now,
        );
        assert_eq!(bench.take_names(9).len(), 3);
    }
}

mod order {
    use super::*;

    #[test]
    fn first_due_first_out() {
        let mut bench = Bench::eager();
        for name in ["a/3", "a/1", "a/2"] {
            bench.add(name);
        }
        bench.add("a/3");
        assert_eq!(bench.take_names(9), ["a/3", "a/1", "a/2"]);
    }

    #[test]
    fn high_before_low_of_whichever_namespace() {
        let mut bench = Bench::eager();
        bench.add_low("a/low");
        bench.add_low("b/low");
        bench.add("a/high");
        bench.add("c/high");
        assert_eq!(bench.take_names(9), ["a/high", "c/high", "a/low", "b/low"]);
    }

    #[test]
    fn one_in_five_is_left_to_the_low_ones() {
        let mut bench = Bench::eager();
        for n in 0..12 {
            bench.add(&format!("a/high{n}"));
            bench.add_low(&format!("b/low{n}"));
        }
        let low: Vec<_> = bench
            .take_names(15)
            .iter()
            .map(|name| name.starts_with("b/low"))
            .collect();
        let expected: Vec<_> = (1..=15).map(|n| n % 5 == 0).collect();
        assert_eq!(low, expected);
    }

    #[rstest]
    #[case::waiting(100, false)]
    #[case::due(0, true)]
    fn the_higher_of_two_priorities_counts(#[case] window: u64, #[case] due: bool) {
        let mut bench = Bench::new(Settings {
            window: Duration::from_millis(window),
            ..Settings::default()
        });
        bench.add_low("a/first");
        bench.add_low("a/raised");
        if due {
            bench.let_time_pass();
        }
        bench.add("a/raised");
        bench.add_low("a/raised");
        assert_eq!((bench.stats().depth_high, bench.stats().depth_low), (1, 1));
        bench.at(window);
        let raised = bench.take().unwrap();
        assert_eq!((&raised.key, raised.priority), (&key("a/raised"), Priority::High));
        assert_eq!(bench.take_names(9), ["a/first"]);
    }

    #[test]
    fn namespaces_take_turns() {
        let mut bench = Bench::eager();
        for name in ["a/1", "a/2", "a/3", "b/1", "b/2", "c/1"] {
            bench.add(name);
        }
        assert_eq!(bench.take_names(9), ["a/1", "b/1", "c/1", "a/2", "b/2", "a/3"]);
    }

    #[test]
    fn a_storm_in_one_namespace_delays_another_by_one_hand_out() {
        let mut bench = Bench::eager();
        for n in 0..10_000 {
            bench.add(&format!("a/{n}"));
        }
        assert_eq!(bench.take_names(100).len(), 100);
        bench.add("b/only");
        assert!(bench.take_names(2).contains(&"b/only".to_owned()));
    }
}

mod coalescing {
    use super::*;

    #[test]
    fn due_when_the_causes_were_quiet_for_a_window() {
        let mut bench = Bench::new(Settings::default());
        bench.add("a/x");
        assert_eq!(bench.next_event(), Some(100));
        bench.at(60).add("a/x");
        assert_eq!(bench.next_event(), Some(160));
        assert_eq!(bench.at(159).take(), None);
        let handout = bench.at(160).take().unwrap();
        assert_eq!(
            (handout.waited_since, handout.due_since),
            (bench.start, bench.now)
        );
    }

    #[test]
    fn due_after_ten_windows_at_the_latest() {
        let mut bench = Bench::new(Settings::default());
        for ms in (0..1_000).step_by(50) {
            bench.at(ms).add("a/x");
            assert_eq!(bench.take(), None);
        }
        assert_eq!(bench.next_event(), Some(1_000));
        assert!(bench.at(1_000).take().is_some());
    }

    #[test]
    fn a_due_key_is_not_put_off_again() {
        let mut bench = Bench::new(Settings::default());
        bench.add("a/x");
        bench.at(100).let_time_pass();
        bench.add("a/x");
        assert!(bench.take().is_some());
    }

    #[test]
    fn causes_while_out_are_coalesced_as_well() {
        let mut bench = Bench::new(Settings::default());
        bench.add("a/x");
        let first = bench.at(100).take().unwrap();
        bench.at(110).add("a/x");
        bench.at(190).add("a/x");
        bench.at(200).done(&first, Outcome::Settled);
        assert_eq!(bench.next_event(), Some(290));
        assert!(bench.at(290).take().is_some());
    }

    #[test]
    fn a_window_of_ages_is_one_minute() {
        let mut bench = Bench::new(Settings {
            window: Duration::MAX,
            ..Settings::default()
        });
        bench.add("a/x");
        assert_eq!(bench.next_event(), Some(60_000));
    }
}

mod retries {
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
}

mod forgetting {
    use super::*;

    #[test]
    fn a_removed_key_is_gone_wherever_it_was() {
        let mut bench = Bench::new(Settings::default());
        bench.add("a/due");
        bench.at(100).let_time_pass();
        bench.add("a/waiting");
        for name in ["a/due", "a/waiting", "a/unknown", "b/unknown"] {
            bench.core.remove(&key(name), bench.now);
        }
        bench.assert_empty();
        assert_eq!(bench.at(9_000).take(), None);
    }

    #[test]
    fn a_removed_key_that_is_out_does_not_come_back() {
        let mut bench = Bench::eager();
        bench.add("a/x");
        let handout = bench.take().unwrap();
        bench.add("a/x");
        bench.core.remove(&key("a/x"), bench.now);
        assert_eq!(bench.stats().depth_high, 0);
        bench.done(&handout, FAILED);
        bench.assert_empty();
    }

    #[test]
    fn a_key_removed_and_added_again_is_never_out_twice() {
        let mut bench = Bench::eager();
        bench.add("a/x");
        let handout = bench.take().unwrap();
        bench.core.remove(&key("a/x"), bench.now);
        bench.add("a/x");
        assert_eq!(bench.take(), None);
        bench.done(&handout, FAILED);
        assert_eq!(
            bench.take().unwrap().attempt,
            0,
            "the failure was the old workload's"
        );
    }

    #[test]
    fn clear_forgets_everything() {
        let mut bench = Bench::eager();
        for name in ["a/1", "a/2", "b/1", "c/1"] {
            bench.add(name);
        }
        let handout = bench.take().unwrap();
        bench.core.clear(bench.now);
        assert_eq!(bench.take(), None);
        bench.done(&handout, FAILED);
        bench.assert_empty();
    }
}

mod limits {
    use super::*;

    fn limited(namespace_rate: Option<Rate>, total_rate: Option<Rate>) -> Bench {
        Bench::new(Settings {
            window: Duration::ZERO,
            namespace_rate,
            total_rate,
        })
    }

    #[test]
    fn a_namespace_over_its_limit_holds_up_nobody() {
        let mut bench = limited(rate(10, 2), None);
        for name in ["a/1", "a/2", "a/3", "a/4", "b/1"] {
            bench.add(name);
        }
        assert_eq!(bench.take_names(9), ["a/1", "b/1", "a/2"]);
        assert_eq!(bench.next_event(), Some(100));
        bench.at(50).add("b/2");
        assert_eq!(bench.take_names(9), ["b/2"]);
        assert_eq!(bench.at(100).take_names(9), ["a/3"]);
        assert_eq!(bench.at(200).take_names(9), ["a/4"]);
    }

    #[test]
    fn the_limit_over_all_costs_no_namespace_a_slot() {
        let mut bench = limited(rate(10, 2), rate(100, 1));
        for name in ["a/1", "a/2", "b/1", "b/2"] {
            bench.add(name);
        }
        // Asked over and over between two slots.
        let mut names = Vec::new();
        for ms in 0..=30 {
            names.extend(bench.at(ms).take_names(9));
            assert_eq!(bench.take(), None);
        }
        assert_eq!(names, ["a/1", "b/1", "a/2", "b/2"]);
    }

    #[test]
    fn sleeps_until_the_next_slot_of_all() {
        let mut bench = limited(None, rate(10, 1));
        bench.add("a/1");
        bench.add("b/1");
        assert_eq!(bench.take_names(9), ["a/1"]);
        assert_eq!(bench.next_event(), Some(100));
        assert_eq!(bench.at(100).take_names(9), ["b/1"]);
        assert_eq!(bench.next_event(), None);
    }

    #[test]
    fn an_empty_namespace_is_kept_until_its_limit_is_full_again() {
        let mut bench = limited(rate(10, 5), None);
        for round in 0..3 {
            bench.at(round);
            bench.add("a/x");
            let handout = bench.take().unwrap();
            bench.done(&handout, Outcome::Settled);
        }
        assert_eq!(bench.next_event(), None, "nobody is woken to tidy up");
        assert_eq!(bench.at(299).take(), None);
        assert_eq!(bench.stats().namespaces, 1);
        assert_eq!(bench.at(300).take(), None);
        bench.assert_empty();
    }

    #[test]
    fn a_namespace_cannot_shake_off_its_limit_by_being_empty() {
        let mut bench = limited(rate(10, 1), None);
        let mut handed_out = 0;
        for ms in 0..1_000 {
            bench.at(ms).add("a/x");
            if let Some(handout) = bench.take() {
                handed_out += 1;
                bench.done(&handout, Outcome::Settled);
            }
        }
        assert_eq!(handed_out, 10);
    }
}

#[test]
fn running_times_are_those_of_the_tickets_out() {
    let mut bench = Bench::eager();
    bench.add("a/1");
    bench.add("a/2");
    let first = bench.take().unwrap();
    bench.at(40).take().unwrap();
    let stats = bench.at(100).stats();
    assert_eq!(stats.in_flight, 2);
    assert_eq!(stats.longest_running, Duration::from_millis(100));
    assert_eq!(stats.unfinished, Duration::from_millis(160));
    bench.done(&first, Outcome::Settled);
    assert_eq!(bench.stats().longest_running, Duration::from_millis(60));
}

#[test]
fn a_hundred_thousand_keys_come_out_once_each() {
    let mut bench = Bench::eager();
    for n in 0..100_000 {
        bench.add(&format!("ns{}/{n}", n % 1_000));
    }
    let names = bench.take_names(usize::MAX);
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!((names.len(), distinct.len()), (100_000, 100_000));
}
