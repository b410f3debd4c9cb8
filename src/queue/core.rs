//! The queue's rules, without a lock, a clock or a task.

use std::time::{Duration, Instant};

use super::{Outcome, Priority, Settings, Stats};
use crate::model::WorkloadKey;

/// A key handed out.
#[derive(Debug)]
pub struct Handout {
    pub key: WorkloadKey,
    pub priority: Priority,
    pub waited_since: Instant,
    pub due_since: Instant,
    pub attempt: u32,
}

#[derive(Debug)]
pub struct Core {}

impl Core {
    pub fn new(_settings: Settings, _seed: u64, _now: Instant) -> Self {
        Self {}
    }
    pub fn add(&mut self, _key: WorkloadKey, _priority: Priority, _now: Instant) {}
    pub fn wake(&mut self, _key: WorkloadKey, _now: Instant) {}
    pub fn remove(&mut self, _key: &WorkloadKey, _now: Instant) {}
    pub fn clear(&mut self) {}
    pub fn take(&mut self, _now: Instant) -> Option<Handout> {
        None
    }
    pub fn next_event(&self) -> Option<Instant> {
        None
    }
    pub fn done(&mut self, _handout: &Handout, _outcome: Outcome, _now: Instant) {}
    pub fn stats(&self, _now: Instant) -> Stats {
        Stats {
            unfinished: Duration::ZERO,
            ..Stats::default()
        }
    }
}
