//! The queue's rules, without a lock, a clock or a task.
//!
//! Input: causes, outcomes and the time. Output: the next key due, or when there will be one. I/O: none.
//!
//! Every operation is O(log n) in the number of keys. A key is in exactly one place: waiting for its
//! time (`timers`), due (its namespace's `ready`), or out (`running`). `now` must never go back from call to call.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    limits::Limiter,
    namespace::{Backoff, Entry, Namespace, Pending, Position, State},
    outcome::Outcome,
    priority::Priority,
    settings::Settings,
    standing::Standing,
    stats::Stats,
    turns::Turns,
};
use crate::model::WorkloadKey;

/// The longest window, so that sums of times stay far from overflow.
const MAX_WINDOW: Duration = Duration::from_mins(1);

/// A key handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handout {
    pub key: WorkloadKey,
    pub priority: Priority,
    /// When the first cause came that has not been settled.
    pub waited_since: Instant,
    pub due_since: Instant,
    /// Failures in a row before this attempt.
    pub attempt: u32,
}

/// The state of the whole queue.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    /// Before every event: "at once" among the times of [`Core::next_event`].
    created: Instant,
    namespaces: HashMap<Arc<str>, Namespace>,
    /// Keys that are not due yet.
    timers: BTreeMap<Position, WorkloadKey>,
    /// Namespaces over their limit, by their next free slot.
    passed_over: BTreeMap<Position, Arc<str>>,
    /// Empty namespaces, by the time from which on their limiter need not be kept.
    retiring: BTreeMap<Position, Arc<str>>,
    turns: Turns,
    total: Option<Limiter>,
    /// Set while keys are due but the limit over all is used up: its next free slot.
    total_free_at: Option<Instant>,
    /// Tickets out and since when.
    running: HashMap<WorkloadKey, Instant>,
    /// Hand-outs to come; indexed by [`Priority`].
    depth: [usize; 2],
    /// For [`Position::order`].
    scheduled: u64,
    /// The next failure's jitter.
    seed: u64,
    adds: u64,
    coalesced: u64,
    retries: u64,
}

impl Core {
    /// An empty queue. `seed` determines the jitter of all backoffs.
    pub fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        Self {
            settings: Settings {
                window: settings.window.min(MAX_WINDOW),
                ..settings
            },
            created: now,
            namespaces: HashMap::new(),
            timers: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            retiring: BTreeMap::new(),
            turns: Turns::default(),
            total: settings.total_rate.map(|rate| Limiter::new(rate, now)),
            total_free_at: None,
            running: HashMap::new(),
            depth: [0; 2],
            scheduled: 0,
            seed,
            adds: 0,
            coalesced: 0,
            retries: 0,
        }
    }

    /// Notes a cause.
    pub fn add(&mut self, key: WorkloadKey, priority: Priority, now: Instant) {
        self.cause(key, priority, false, now);
    }

    /// Notes a change of the workload itself: also ends a backoff and forgets the failures.
    pub fn wake(&mut self, key: WorkloadKey, now: Instant) {
        self.cause(key, Priority::High, true, now);
    }

    fn cause(&mut self, key: WorkloadKey, priority: Priority, wakes: bool, now: Instant) {
        self.adds += 1;
        // What is due already must not be put off by this cause.
        self.advance(now);
        let window = self.settings.window;
        let Settings {
            namespace_rate: rate,
            namespace_in_flight: most_out,
            ..
        } = self.settings;
        let namespace = self
            .namespaces
            .entry(Arc::clone(&key.namespace))
            .or_insert_with(|| Namespace::new(rate.map(|rate| Limiter::new(rate, now)), most_out));
        let Some(entry) = namespace.entries.get_mut(&key) else {
            let pending = Pending::new(priority, now, window);
            self.depth[priority as usize] += 1;
            self.wait(key, 0, pending, None, now);
            return;
        };
        if wakes {
            entry.failures = 0;
        }
        match &mut entry.state {
            State::Waiting {
                pending,
                position,
                backoff,
            } => {
                self.coalesced += 1;
                self.depth[pending.priority as usize] -= 1;
                match backoff {
                    // It has waited long enough to coalesce whatever there was.
                    Some(backoff) if wakes => {
                        pending.priority = Priority::High;
                        pending.quiet_at = now;
                        backoff.until = backoff.not_before;
                    }
                    _ => pending.merge(priority, now, window),
                }
                self.depth[pending.priority as usize] += 1;
                let (pending, backoff, failures) = (*pending, *backoff, entry.failures);
                self.timers.remove(position);
                self.wait(key, failures, pending, backoff, now);
            }
            State::Ready { pending, position } => {
                self.coalesced += 1;
                if priority > pending.priority {
                    self.depth[pending.priority as usize] -= 1;
                    self.depth[priority as usize] += 1;
                    namespace.ready[pending.priority as usize].remove(position);
                    pending.priority = priority;
                    let name = Arc::clone(&key.namespace);
                    namespace.ready[priority as usize].insert(*position, key);
                    namespace.line_up(&name, &mut self.turns);
                }
            }
            State::Running { again, outdated, .. } => {
                *outdated |= wakes;
                if let Some(pending) = again {
                    self.coalesced += 1;
                    self.depth[pending.priority as usize] -= 1;
                    pending.merge(priority, now, window);
                    self.depth[pending.priority as usize] += 1;
                } else {
                    *again = Some(Pending::new(priority, now, window));
                    self.depth[priority as usize] += 1;
                }
            }
        }
    }

    /// Puts a key where it waits for its time. It must be in no other place, and its namespace must exist.
    fn wait(
        &mut self,
        key: WorkloadKey,
        failures: u32,
        pending: Pending,
        backoff: Option<Backoff>,
        now: Instant,
    ) {
        let due = backoff.map_or(pending.quiet_at, |backoff| backoff.until.max(pending.quiet_at));
        let position = self.position(due.max(now));
        let state = State::Waiting {
            pending,
            position,
            backoff,
        };
        if let Some(namespace) = self.namespaces.get_mut(&key.namespace) {
            self.timers.insert(position, key.clone());
            namespace.entries.insert(key, Entry { state, failures });
        }
    }

    fn position(&mut self, due: Instant) -> Position {
        self.scheduled += 1;
        Position {
            due,
            order: self.scheduled,
        }
    }

    /// Forgets a key. If it is out, its outcome will not bring it back.
    pub fn remove(&mut self, key: &WorkloadKey, now: Instant) {
        // Its namespace keeps its turn if another of its keys is due.
        self.advance(now);
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        let Some(entry) = namespace.entries.get_mut(key) else {
            return;
        };
        match &mut entry.state {
            State::Waiting {
                pending, position, ..
            } => {
                self.depth[pending.priority as usize] -= 1;
                self.timers.remove(position);
                namespace.entries.remove(key);
            }
            State::Ready { pending, position } => {
                self.depth[pending.priority as usize] -= 1;
                namespace.ready[pending.priority as usize].remove(position);
                namespace.entries.remove(key);
                namespace.line_up(&key.namespace, &mut self.turns);
            }
            State::Running { again, outdated, .. } => {
                if let Some(pending) = again.take() {
                    self.depth[pending.priority as usize] -= 1;
                }
                *outdated = true;
                entry.failures = 0;
            }
        }
        self.retire(&key.namespace, now);
    }

    /// Hands out the next due key; `None` if there is none before [`Core::next_event`].
    pub fn take(&mut self, now: Instant) -> Option<Handout> {
        self.advance(now);
        self.total_free_at = None;
        loop {
            let (priority, name) = self.turns.first()?;
            let namespace = self.namespaces.get_mut(&name)?;
            if let Some(limiter) = &mut namespace.limiter
                && let Err(free_at) = limiter.take(now)
            {
                self.scheduled += 1;
                let position = Position {
                    due: free_at,
                    order: self.scheduled,
                };
                namespace.passed_over = Some(position);
                namespace.line_up(&name, &mut self.turns);
                self.passed_over.insert(position, name);
                continue;
            }
            if let Some(total) = &mut self.total
                && let Err(free_at) = total.take(now)
            {
                if let Some(limiter) = &mut namespace.limiter {
                    limiter.give_back(now);
                }
                self.total_free_at = Some(free_at);
                return None;
            }
            self.turns.served(priority);
            let (_, key) = namespace.ready[priority as usize].pop_first()?;
            namespace.out += 1;
            namespace.end_turn(priority, &name, &mut self.turns);
            let entry = namespace.entries.get_mut(&key)?;
            let State::Ready { pending, position } = entry.state else {
                return None;
            };
            entry.state = State::Running {
                again: None,
                outdated: false,
            };
            self.depth[pending.priority as usize] -= 1;
            self.running.insert(key.clone(), now);
            return Some(Handout {
                key,
                priority: pending.priority,
                waited_since: pending.waited_since,
                due_since: position.due,
                attempt: entry.failures,
            });
        }
    }

    /// Lets the time pass: makes due what is due, gives namespaces their turns back, drops empty ones.
    fn advance(&mut self, now: Instant) {
        while let Some((_, key)) = pop_due(&mut self.timers, now) {
            let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
                continue;
            };
            if let Some(entry) = namespace.entries.get_mut(&key)
                && let State::Waiting {
                    pending, position, ..
                } = entry.state
            {
                entry.state = State::Ready { pending, position };
                let name = Arc::clone(&key.namespace);
                namespace.ready[pending.priority as usize].insert(position, key);
                namespace.line_up(&name, &mut self.turns);
            }
        }
        while let Some((_, name)) = pop_due(&mut self.passed_over, now) {
            if let Some(namespace) = self.namespaces.get_mut(&name) {
                namespace.passed_over = None;
                namespace.line_up(&name, &mut self.turns);
            }
        }
        while let Some((_, name)) = pop_due(&mut self.retiring, now) {
            if let Some(namespace) = self.namespaces.get_mut(&name) {
                namespace.retiring = false;
                self.retire(&name, now);
            }
        }
    }

    /// Drops a namespace if it is empty, or as soon as nothing is lost with its limiter.
    fn retire(&mut self, name: &Arc<str>, now: Instant) {
        let Some(namespace) = self.namespaces.get_mut(name) else {
            return;
        };
        if !namespace.entries.is_empty() || namespace.retiring {
            return;
        }
        match namespace.limiter.as_ref().map(Limiter::full_at) {
            Some(full_at) if full_at > now => {
                namespace.retiring = true;
                let position = self.position(full_at);
                self.retiring.insert(position, Arc::clone(name));
            }
            Some(_) | None => {
                self.namespaces.remove(name);
            }
        }
    }

    /// When [`Core::take`] may have something to hand out: some time past if it may have now, `None` if that takes
    /// another cause or outcome first.
    pub fn next_event(&self) -> Option<Instant> {
        let served = (!self.turns.is_empty()).then(|| self.total_free_at.unwrap_or(self.created));
        let timer = self.timers.first_key_value().map(|(position, _)| position.due);
        let slot = self
            .passed_over
            .first_key_value()
            .map(|(position, _)| position.due);
        [served, timer, slot].into_iter().flatten().min()
    }

    /// Takes a hand-out back, with how it ended.
    pub fn done(&mut self, handout: &Handout, outcome: Outcome, now: Instant) {
        let key = &handout.key;
        let Some(namespace) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        let Some(entry) = namespace.entries.get_mut(key) else {
            return;
        };
        let State::Running { again, outdated, .. } = entry.state else {
            return;
        };
        let taken_at = self.running.remove(key);
        let failures = entry.failures;
        namespace.out = namespace.out.saturating_sub(1);
        if outcome == Outcome::Skipped
            && let Some(taken_at) = taken_at
        {
            if let Some(limiter) = &mut namespace.limiter {
                limiter.give_back(taken_at);
                if let Some(position) = namespace.passed_over.take() {
                    self.passed_over.remove(&position);
                }
            }
            if let Some(total) = &mut self.total {
                total.give_back(taken_at);
                self.total_free_at = None;
            }
        }
        namespace.line_up(&key.namespace, &mut self.turns);
        let requested = match outcome {
            Outcome::Settled | Outcome::Skipped => Duration::ZERO,
            Outcome::Retry(retry) => retry.requested_wait(),
        };
        let not_before = now + requested;
        match outcome {
            Outcome::Retry(retry) if !outdated => {
                let until = now + retry.delay(failures, self.seed);
                self.seed = self.seed.wrapping_add(1);
                self.retries += 1;
                let failures = failures.saturating_add(1);
                let pending = Pending {
                    priority: again.map_or(handout.priority, |again| again.priority.max(handout.priority)),
                    waited_since: handout.waited_since,
                    quiet_at: again.map_or(now, |again| again.quiet_at),
                };
                if let Some(again) = again {
                    self.depth[again.priority as usize] -= 1;
                }
                self.depth[pending.priority as usize] += 1;
                let backoff = Some(Backoff { until, not_before });
                self.wait(key.clone(), failures, pending, backoff, now);
            }
            Outcome::Retry(_) | Outcome::Settled | Outcome::Skipped => {
                if let Some(again) = again {
                    let backoff = (!requested.is_zero()).then_some(Backoff {
                        until: not_before,
                        not_before,
                    });
                    self.wait(key.clone(), 0, again, backoff, now);
                } else {
                    namespace.entries.remove(key);
                    self.retire(&key.namespace, now);
                }
            }
        }
    }

    /// How the key stands.
    pub fn standing(&self, key: &WorkloadKey) -> Option<Standing> {
        let entry = self.namespaces.get(&key.namespace)?.entries.get(key)?;
        Some(Standing {
            failures: entry.failures,
            due: match entry.state {
                State::Waiting { position, .. } | State::Ready { position, .. } => Some(position.due),
                State::Running { .. } => None,
            },
        })
    }

    /// Depths, counters and running times.
    pub fn stats(&self, now: Instant) -> Stats {
        let running = self
            .running
            .values()
            .map(|since| now.saturating_duration_since(*since));
        Stats {
            adds: self.adds,
            coalesced: self.coalesced,
            retries: self.retries,
            depth_high: self.depth[Priority::High as usize],
            depth_low: self.depth[Priority::Low as usize],
            in_flight: self.running.len(),
            longest_running: running.clone().max().unwrap_or_default(),
            unfinished: running.sum(),
            namespaces: self.namespaces.len(),
        }
    }
}

/// Takes out the first item if its time has come.
fn pop_due<T>(by_time: &mut BTreeMap<Position, T>, now: Instant) -> Option<(Position, T)> {
    let first = by_time.first_entry()?;
    (first.key().due <= now).then(|| first.remove_entry())
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
