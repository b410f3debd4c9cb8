//! The core against a reference that keeps everything in one flat list and looks through all of it each time.

use std::{collections::HashSet, num::NonZeroU32};

use proptest::prelude::*;

use super::*;
use crate::{
    model::WorkloadKind,
    queue::{Rate, Retry, turns::HIGH_IN_A_ROW},
};

const WINDOW: Duration = Duration::from_millis(100);
const SEED: u64 = 42;

/// One thing that happens to the queue. Numbers choose among few keys, so that they meet often.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, Priority),
    Wake(usize),
    Remove(usize),
    Take,
    /// Ends one of the tickets out.
    Done(usize, Outcome),
    /// Milliseconds.
    Pass(u64),
    /// To the next event, if there is one.
    PassToEvent,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::High)];
    let outcome = prop_oneof![
        2 => Just(Outcome::Settled),
        2 => Just(Outcome::Skipped),
        1 => Just(Outcome::Retry(Retry::Unavailable)),
        1 => Just(Outcome::Retry(Retry::Rejected)),
        1 => (0_u64..3_000).prop_map(|ms| Outcome::Retry(Retry::After(Duration::from_millis(ms)))),
    ];
    let step = prop_oneof![
        60 => (0_usize..24, priority).prop_map(|(key, priority)| Step::Add(key, priority)),
        6 => (0_usize..24).prop_map(Step::Wake),
        6 => (0_usize..24).prop_map(Step::Remove),
        60 => Just(Step::Take),
        40 => (any::<usize>(), outcome).prop_map(|(ticket, outcome)| Step::Done(ticket, outcome)),
        20 => prop_oneof![0_u64..60, 90_u64..700].prop_map(Step::Pass),
        20 => Just(Step::PassToEvent),
    ];
    prop::collection::vec(step, 1..250)
}

/// Twelve keys in a storming namespace, twelve in six others.
fn key(number: usize) -> WorkloadKey {
    let namespace = if number < 12 { 0 } else { number % 6 + 1 };
    WorkloadKey::new(
        WorkloadKind::Deployment,
        format!("ns{namespace}"),
        format!("w{number}"),
    )
}

/// What the reference knows of one key.
#[derive(Clone, Debug)]
struct Known {
    key: WorkloadKey,
    out: bool,
    /// (priority, first cause, quiet at) of the hand-out to come.
    pending: Option<(Priority, Instant, Instant)>,
    /// When it was scheduled last, as a rank.
    rank: u64,
    /// Due from then on; meaningful while it is not out.
    due: Instant,
    /// Was seen to be due: causes do not put it off any more.
    settled_due: bool,
    failures: u32,
    retry_at: Option<Instant>,
    not_before: Option<Instant>,
    outdated: bool,
}

struct Reference {
    known: Vec<Known>,
    rank: u64,
    seed: u64,
    high_in_a_row: u32,
    /// (who waits, who was served, how often since): at one priority.
    overtaken: HashMap<(Priority, Arc<str>, Arc<str>), u32>,
}

impl Reference {
    fn find(&mut self, key: &WorkloadKey) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.key == *key)
    }

    fn schedule(&mut self, key: &WorkloadKey, now: Instant) {
        self.rank += 1;
        let rank = self.rank;
        let known = self.find(key).unwrap();
        let (_, _, quiet_at) = known.pending.unwrap();
        known.rank = rank;
        known.due = [Some(quiet_at), known.retry_at, known.not_before, Some(now)]
            .into_iter()
            .flatten()
            .max()
            .unwrap();
        known.settled_due = false;
    }

    /// What is due from now on stays due.
    fn see(&mut self, now: Instant) {
        for known in &mut self.known {
            known.settled_due |= !known.out && known.due <= now;
        }
    }

    fn cause(&mut self, key: &WorkloadKey, priority: Priority, wakes: bool, now: Instant) {
        self.see(now);
        if self.find(key).is_none() {
            self.known.push(Known {
                key: key.clone(),
                out: false,
                pending: Some((priority, now, now + WINDOW)),
                rank: 0,
                due: now,
                settled_due: false,
                failures: 0,
                retry_at: None,
                not_before: None,
                outdated: false,
            });
            self.schedule(key, now);
            return;
        }
        let known = self.find(key).unwrap();
        if wakes {
            known.failures = 0;
            known.outdated |= known.out;
        }
        known.pending = Some(match known.pending {
            None => (priority, now, now + WINDOW),
            Some((before, first, quiet_at)) if known.settled_due => (before.max(priority), first, quiet_at),
            Some((_, first, _)) if wakes && known.retry_at.is_some() => (Priority::High, first, now),
            Some((before, first, _)) => {
                let quiet_at = (now + WINDOW).min(first + 10 * WINDOW);
                (before.max(priority), first, quiet_at)
            }
        });
        if wakes && known.retry_at.is_some() {
            known.retry_at = known.not_before;
        }
        if !known.out && !known.settled_due {
            self.schedule(key, now);
        }
    }

    fn remove(&mut self, key: &WorkloadKey) {
        if let Some(known) = self.find(key)
            && known.out
        {
            known.pending = None;
            known.failures = 0;
            known.outdated = true;
        } else {
            self.known.retain(|known| known.key != *key);
        }
    }

    fn is_due(known: &Known, priority: Priority, now: Instant) -> bool {
        !known.out && known.due <= now && known.pending.is_some_and(|(pending, ..)| pending == priority)
    }

    /// Namespaces that wait for a turn at this priority.
    fn waiting(&self, priority: Priority, now: Instant) -> Vec<Arc<str>> {
        let due = self
            .known
            .iter()
            .filter(|known| Self::is_due(known, priority, now));
        let mut names: Vec<_> = due.map(|known| Arc::clone(&known.key.namespace)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Checks a hand-out against the rules and notes it.
    fn took(&mut self, taken: Option<&Handout>, now: Instant) -> Result<(), TestCaseError> {
        self.see(now);
        let waiting = Priority::ALL.map(|priority| self.waiting(priority, now));
        let Some(handout) = taken else {
            prop_assert!(
                waiting.iter().all(Vec::is_empty),
                "due, but not handed out: {:?}",
                waiting
            );
            return Ok(());
        };
        // The right priority.
        let low_waits = !waiting[Priority::Low as usize].is_empty();
        let high_waits = !waiting[Priority::High as usize].is_empty();
        let low_first = low_waits && self.high_in_a_row >= HIGH_IN_A_ROW;
        let expected = if high_waits && !low_first {
            Priority::High
        } else {
            Priority::Low
        };
        prop_assert_eq!(handout.priority, expected);
        self.high_in_a_row = match expected {
            Priority::High if low_waits => self.high_in_a_row + 1,
            Priority::High | Priority::Low => 0,
        };
        // First due, first out, within the namespace.
        let first = self
            .known
            .iter()
            .filter(|known| known.key.namespace == handout.key.namespace)
            .filter(|known| Self::is_due(known, expected, now))
            .min_by_key(|known| (known.due, known.rank));
        let Some(first) = first.cloned() else {
            return Err(TestCaseError::fail("handed out, but nothing of it is due"));
        };
        let (_, waited_since, _) = first.pending.unwrap();
        let model = Handout {
            key: first.key,
            priority: expected,
            waited_since,
            due_since: first.due,
            attempt: first.failures,
        };
        prop_assert_eq!(handout, &model);
        // Between two turns of a namespace every other that waits has one.
        let served = Arc::clone(&handout.key.namespace);
        self.overtaken
            .retain(|(priority, waits, _), _| *priority != expected || *waits != served);
        for waits in waiting[expected as usize]
            .iter()
            .filter(|waits| **waits != served)
        {
            let pair = (expected, Arc::clone(waits), Arc::clone(&served));
            let times = self.overtaken.entry(pair).or_default();
            *times += 1;
            prop_assert!(*times <= 1, "{} was served twice while {} waited", served, waits);
        }
        let known = self.find(&handout.key).unwrap();
        known.out = true;
        known.settled_due = false;
        known.pending = None;
        known.retry_at = None;
        known.not_before = None;
        known.outdated = false;
        Ok(())
    }

    fn done(&mut self, handout: &Handout, outcome: Outcome, now: Instant) {
        let seed = self.seed;
        let known = self.find(&handout.key).unwrap();
        known.out = false;
        if let Outcome::Retry(retry) = outcome {
            known.not_before = Some(now + retry.requested_wait());
        }
        match outcome {
            Outcome::Retry(retry) if !known.outdated => {
                known.retry_at = Some(now + retry.delay(known.failures, seed));
                known.failures += 1;
                let (priority, quiet_at) = match known.pending {
                    Some((priority, _, quiet_at)) => (priority.max(handout.priority), quiet_at),
                    None => (handout.priority, now),
                };
                known.pending = Some((priority, handout.waited_since, quiet_at));
                self.seed += 1;
            }
            Outcome::Retry(_) | Outcome::Settled | Outcome::Skipped => {
                known.failures = 0;
                let asked = matches!(outcome, Outcome::Retry(retry) if !retry.requested_wait().is_zero());
                known.retry_at = known.not_before.filter(|_| asked);
                if known.pending.is_none() {
                    self.known.retain(|known| known.key != handout.key);
                    return;
                }
            }
        }
        self.schedule(&handout.key, now);
    }

    /// A namespace with nothing due no longer waits for a turn.
    fn leave_turns(&mut self, now: Instant) {
        let waiting = Priority::ALL.map(|priority| self.waiting(priority, now));
        self.overtaken
            .retain(|(priority, waits, _), _| waiting[*priority as usize].contains(waits));
    }

    fn depth(&self, priority: Priority) -> usize {
        let pending = self.known.iter().filter_map(|known| known.pending);
        pending.filter(|(pending, ..)| *pending == priority).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_reference(steps in steps()) {
        let start = Instant::now();
        let mut now = start;
        let settings = Settings { window: WINDOW, ..Settings::default() };
        let mut core = Core::new(settings, SEED, start);
        let mut reference = Reference {
            known: Vec::new(),
            rank: 0,
            seed: SEED,
            high_in_a_row: 0,
            overtaken: HashMap::new(),
        };
        let mut out: Vec<Handout> = Vec::new();
        for step in steps {
            match step {
                Step::Add(number, priority) => {
                    core.add(key(number), priority, now);
                    reference.cause(&key(number), priority, false, now);
                }
                Step::Wake(number) => {
                    core.wake(key(number), now);
                    reference.cause(&key(number), Priority::High, true, now);
                }
                Step::Remove(number) => {
                    core.remove(&key(number), now);
                    reference.remove(&key(number));
                }
                Step::Take => {
                    let taken = core.take(now);
                    prop_assert!(taken.iter().all(|taken| out.iter().all(|out| out.key != taken.key)));
                    reference.took(taken.as_ref(), now)?;
                    out.extend(taken);
                }
                Step::Done(ticket, outcome) => {
                    if !out.is_empty() {
                        let handout = out.swap_remove(ticket % out.len());
                        core.done(&handout, outcome, now);
                        reference.done(&handout, outcome, now);
                    }
                }
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::PassToEvent => now = core.next_event().unwrap_or(now).max(now),
            }
            reference.leave_turns(now);
            let stats = core.stats(now);
            prop_assert_eq!(stats.in_flight, out.len());
            prop_assert_eq!(stats.depth_high, reference.depth(Priority::High));
            prop_assert_eq!(stats.depth_low, reference.depth(Priority::Low));
            let earliest = reference.known.iter().filter(|known| !known.out).map(|known| known.due).min();
            prop_assert_eq!(core.next_event().map(|at| at.max(now)), earliest.map(|at| at.max(now)));
        }
        // Nothing is lost: whatever is still owed comes out, and then nothing is left.
        for handout in out.drain(..) {
            core.done(&handout, Outcome::Settled, now);
            reference.done(&handout, Outcome::Settled, now);
        }
        while let Some(event) = core.next_event() {
            now = now.max(event);
            let handout = core.take(now);
            reference.took(handout.as_ref(), now)?;
            reference.leave_turns(now);
            let handout = handout.unwrap();
            core.done(&handout, Outcome::Settled, now);
            reference.done(&handout, Outcome::Settled, now);
        }
        prop_assert!(reference.known.is_empty());
        prop_assert_eq!(core.namespaces.len(), 0);
    }

    /// Limits put hand-outs off: they lose none, they hand out nothing twice, and the queue knows when to go on.
    #[test]
    fn limits_lose_nothing(
        steps in steps(),
        namespace_rate in prop::option::of((1_u32..50, 1_u32..4)),
        total_rate in prop::option::of((1_u32..50, 1_u32..4)),
    ) {
        let rate = |(per_second, burst): (u32, u32)| Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        };
        let mut now = Instant::now();
        let settings = Settings {
            window: WINDOW,
            namespace_rate: namespace_rate.map(rate),
            total_rate: total_rate.map(rate),
            namespace_in_flight: 2,
        };
        let mut core = Core::new(settings, SEED, now);
        let mut owed = HashSet::new();
        let mut out: Vec<Handout> = Vec::new();
        for step in steps {
            match step {
                Step::Add(number, priority) => {
                    core.add(key(number), priority, now);
                    owed.insert(key(number));
                }
                Step::Take => {
                    let taken = core.take(now);
                    prop_assert!(taken.is_some() || core.next_event().is_none_or(|event| event > now));
                    if let Some(handout) = taken {
                        prop_assert!(owed.remove(&handout.key));
                        prop_assert!(out.iter().all(|out| out.key != handout.key));
                        out.push(handout);
                    }
                }
                Step::Done(ticket, _) if !out.is_empty() => {
                    let handout = out.swap_remove(ticket % out.len());
                    core.done(&handout, Outcome::Settled, now);
                }
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::PassToEvent => now = core.next_event().unwrap_or(now).max(now),
                Step::Wake(_) | Step::Remove(_) | Step::Done(..) => {}
            }
        }
        for handout in out {
            core.done(&handout, Outcome::Settled, now);
        }
        while let Some(event) = core.next_event() {
            now = now.max(event);
            if let Some(handout) = core.take(now) {
                prop_assert!(owed.remove(&handout.key));
                core.done(&handout, Outcome::Settled, now);
            }
        }
        prop_assert!(owed.is_empty());
        // Once every limiter is full again nothing is left.
        core.take(now + Duration::from_secs(10));
        prop_assert_eq!(core.namespaces.len(), 0);
    }
}
