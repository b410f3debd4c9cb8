use std::num::NonZeroU32;

use rstest::rstest;

use super::*;
use crate::{
    model::WorkloadKind,
    queue::{Rate, Retry},
};

mod limits;
mod retries;

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

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    }
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
