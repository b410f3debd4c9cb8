//! How a change that has not happened would reach its workloads.
//!
//! Input: what is seen now, and who would owe a restart ([`Scene`]). Output: [`Forecast`]. I/O: none.
//!
//! It asks [`alone`](super::alone) and [`among`](super::among) for one workload after the other, as the controller does for
//! real debts. Who may begin does; when no other may, all these rollouts succeed and have been healthy for long enough, and the
//! next round begins. Where nothing is under way any more and some wait for a time, that time comes. Meanwhile nothing else
//! happens: no other change, no other rollout, no failure.

mod crowd;
mod scene;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Wait;
use crowd::Crowd;
pub use scene::{Actor, Concerned, Scene};

/// What one forecast may cost, in steps of some nanoseconds: those of a workload that is asked, and of one that is counted.
const MAX_STEPS: usize = 20_000_000;
const ASKED: usize = 16;
/// Times that are waited for, one after the other.
const MAX_TIMES: usize = 16;

/// Restarts that begin before any of them has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The time that had to come first.
    pub from: Option<Timestamp>,
    /// How many restarts.
    pub restarts: usize,
}

/// How a change reaches its workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// What the restart of each one waits for at first, in the order of the scene; `None`: for nothing.
    pub first: Vec<Option<Wait>>,
    /// The restarts that follow each other. The first are those that wait for nothing, if there are any.
    pub rounds: Vec<Round>,
    /// Those that none of these ends and no time reaches, by the word for what they wait for.
    pub stay: BTreeMap<&'static str, usize>,
    /// There are more rounds than could be played.
    pub is_cut: bool,
}

/// Plays it, a part at a time.
#[derive(Debug)]
pub struct Play<'a> {
    crowd: Crowd<'a>,
    /// Those that wait, in the order in which they are asked.
    waiting: Vec<usize>,
    /// The next of these.
    cursor: usize,
    /// So many of this round may begin.
    admitted: usize,
    /// All are to be asked again before the round ends.
    asks_again: bool,
    is_first: bool,
    from: Option<Timestamp>,
    times: usize,
    is_over: bool,
    forecast: Forecast,
}

impl<'a> Play<'a> {
    /// From that moment on.
    pub fn new(scene: Scene<'a>, now: Timestamp) -> Self {
        let crowd = Crowd::new(scene, now);
        let mut waiting: Vec<_> = (0..crowd.roles.len()).collect();
        waiting.retain(|number| crowd.roles[*number].owes);
        waiting.sort_by_key(|number| {
            let workload = crowd.scene.actors[*number].workload;
            (workload.wave(), &workload.key)
        });
        Self {
            crowd,
            waiting,
            cursor: 0,
            admitted: 0,
            asks_again: false,
            is_first: true,
            from: None,
            times: 0,
            is_over: false,
            forecast: Forecast::default(),
        }
    }

    /// Goes on for about so many steps. Returns whether there is more.
    pub fn advance(&mut self, steps: usize) -> bool {
        let until = self.crowd.steps.saturating_add(steps);
        while !self.is_over && self.crowd.steps < until {
            self.crowd.steps += 1;
            if self.crowd.steps >= MAX_STEPS {
                self.forecast.is_cut = true;
                self.is_over = true;
            } else if let Some(actor) = self.waiting.get(self.cursor).copied() {
                self.turn(actor);
            } else if std::mem::take(&mut self.asks_again) {
                self.cursor = 0;
            } else {
                self.end_round();
            }
        }
        !self.is_over
    }

    /// The forecast, as far as it has come.
    pub fn finish(mut self) -> Forecast {
        if self.is_first {
            self.note_first();
        }
        if !self.forecast.is_cut {
            let waits = self.waiting.iter().map(|number| &self.crowd.roles[*number].wait);
            for wait in waits.flatten() {
                *self.forecast.stay.entry(wait.reason.as_str()).or_default() += 1;
            }
        }
        self.forecast
    }

    /// One workload asks.
    fn turn(&mut self, number: usize) {
        self.crowd.steps += ASKED;
        let (wait, is_sick) = self.crowd.ask(number);
        let is_admitted = wait.is_none();
        let was_stuck = self.crowd.stuck_for(number);
        self.crowd.roles[number].wait = wait;
        if is_admitted {
            self.waiting.remove(self.cursor);
            self.admitted += 1;
            let role = &mut self.crowd.roles[number];
            (role.is_reserved, role.was_sick) = (true, is_sick);
            // What the others wait for reads as they find it after that.
            self.asks_again |= self.is_first;
        } else {
            self.cursor += 1;
            // Others do not wait for it any more, or do again.
            self.asks_again |= self.crowd.stuck_for(number) != was_stuck;
        }
        if is_admitted || self.crowd.stuck_for(number) != was_stuck {
            self.crowd.moved(number);
        }
    }

    fn note_first(&mut self) {
        self.is_first = false;
        let restarting = self.crowd.roles.iter().take(self.crowd.scene.restarting);
        self.forecast.first = restarting.map(|role| role.wait.clone()).collect();
    }

    /// Who may begin has begun: all of it ends, or the next time comes.
    fn end_round(&mut self) {
        if self.is_first {
            self.note_first();
        }
        self.cursor = 0;
        let restarts = std::mem::take(&mut self.admitted);
        if restarts > 0 {
            let from = self.from.take();
            self.forecast.rounds.push(Round { from, restarts });
        }
        let has_moved = self.crowd.settle();
        if self.waiting.is_empty() {
            self.is_over = true;
        } else if !has_moved && restarts == 0 {
            self.wait_for_a_time();
        }
    }

    fn wait_for_a_time(&mut self) {
        let waits = self.waiting.iter().map(|number| &self.crowd.roles[*number].wait);
        let next = waits.flatten().filter_map(|wait| wait.until).min();
        match next.filter(|at| *at > self.crowd.now && self.times < MAX_TIMES) {
            Some(at) => {
                self.times += 1;
                (self.crowd.now, self.from) = (at, Some(at));
            }
            None => self.is_over = true,
        }
    }
}
