//! How a change that has not happened would reach its workloads.
//!
//! Input: what is seen now, and who would owe a restart ([`Scene`]). Output: [`Forecast`]. I/O: none.
//!
//! It asks [`alone`] and [`among`] for one workload after the other, as the controller does for real debts. Who may begin does;
//! when no other may, all these rollouts succeed and have been healthy for long enough, and the next round begins. Where nothing is
//! under way any more and some wait for a time, that time comes. Meanwhile nothing else happens: no other change, no other rollout,
//! no failure.

mod ask;
mod scene;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Rules, Tally, Wait};
use crate::model::{RolloutState, UnixSeconds};
use ask::Role;
pub use scene::{Actor, Concerned, Scene};

/// What one forecast may cost, in steps of some nanoseconds: those of a workload that is asked, and of one that is counted.
const MAX_STEPS: usize = 20_000_000;
const ASKED: usize = 16;
/// Times that are waited for, one after the other.
const MAX_TIMES: usize = 16;
/// Long before any time of a question.
const LONG_AGO: UnixSeconds = UnixSeconds(0);

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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Play<'a> {
    scene: Scene<'a>,
    rules: Vec<Rules>,
    /// Restarts depend on what others are doing.
    is_limited: bool,
    roles: Vec<Role<'a>>,
    /// The actors that each source concerns.
    members: Vec<Vec<usize>>,
    tallies: Vec<Option<Tally>>,
    /// In flight in the namespace and in the cluster, without the actors.
    elsewhere: (usize, usize),
    /// Actors in flight, as long as that is known.
    in_flight: Option<usize>,
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
    now: Timestamp,
    steps: usize,
    is_over: bool,
    forecast: Forecast,
}

impl<'a> Play<'a> {
    /// From that moment on.
    pub fn new(scene: Scene<'a>, now: Timestamp) -> Self {
        let rules: Vec<_> = scene.sources.iter().map(|source| scene.rules(source)).collect();
        let cast: Vec<_> = scene
            .actors
            .iter()
            .map(|actor| Role::new(actor, &scene))
            .collect();
        let mut members = vec![Vec::new(); rules.len()];
        for (number, actor) in scene.actors.iter().enumerate() {
            for source in &actor.concerned_by {
                members[*source].push(number);
            }
        }
        let mut waiting: Vec<_> = (0..cast.len()).filter(|number| cast[*number].owes).collect();
        waiting.sort_by_key(|number| {
            let workload = scene.actors[*number].workload;
            (workload.wave(), &workload.key)
        });
        let mut play = Self {
            is_limited: scene.is_limited(),
            tallies: vec![None; rules.len()],
            rules,
            roles: cast,
            members,
            elsewhere: (0, 0),
            in_flight: None,
            waiting,
            cursor: 0,
            admitted: 0,
            asks_again: false,
            is_first: true,
            from: None,
            times: 0,
            now,
            steps: 0,
            is_over: false,
            forecast: Forecast::default(),
            scene,
        };
        let ours = play.count_in_flight();
        let elsewhere = |all: usize| all.saturating_sub(ours);
        play.elsewhere = (
            elsewhere(play.scene.in_namespace.in_flight),
            elsewhere(play.scene.in_all.in_flight),
        );
        play
    }

    /// Goes on for about so many steps. Returns whether there is more.
    pub fn advance(&mut self, steps: usize) -> bool {
        let until = self.steps.saturating_add(steps);
        while !self.is_over && self.steps < until {
            self.steps += 1;
            if self.steps >= MAX_STEPS {
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
            let waits = self.waiting.iter().map(|number| &self.roles[*number].wait);
            for wait in waits.flatten() {
                *self.forecast.stay.entry(wait.reason.as_str()).or_default() += 1;
            }
        }
        self.forecast
    }

    /// One workload asks.
    fn turn(&mut self, number: usize) {
        self.steps += ASKED;
        let (wait, is_sick) = self.ask(number);
        let is_admitted = wait.is_none();
        let was_stuck = self.stuck_for(number);
        self.roles[number].wait = wait;
        if is_admitted {
            self.waiting.remove(self.cursor);
            self.admitted += 1;
            let role = &mut self.roles[number];
            (role.is_reserved, role.was_sick) = (true, is_sick);
            // What the others wait for reads as they find it after that.
            self.asks_again |= self.is_first;
        } else {
            self.cursor += 1;
            // Others do not wait for it any more, or do again.
            self.asks_again |= self.stuck_for(number) != was_stuck;
        }
        if is_admitted || self.stuck_for(number) != was_stuck {
            self.moved(number);
        }
    }

    /// What was counted of it is another.
    fn moved(&mut self, number: usize) {
        self.in_flight = None;
        for source in &self.scene.actors[number].concerned_by {
            self.tallies[*source] = None;
        }
    }

    fn note_first(&mut self) {
        self.is_first = false;
        let restarting = self.roles.iter().take(self.scene.restarting);
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
        let has_moved = self.settle();
        if self.waiting.is_empty() {
            self.is_over = true;
        } else if !has_moved && restarts == 0 {
            self.wait_for_a_time();
        }
    }

    fn wait_for_a_time(&mut self) {
        let waits = self.waiting.iter().map(|number| &self.roles[*number].wait);
        let next = waits.flatten().filter_map(|wait| wait.until).min();
        match next.filter(|at| *at > self.now && self.times < MAX_TIMES) {
            Some(at) => {
                self.times += 1;
                (self.now, self.from) = (at, Some(at));
            }
            None => self.is_over = true,
        }
    }

    /// All that is in flight is well, and has been for as long as asked for. Returns whether there was anything.
    fn settle(&mut self) -> bool {
        let mut has_moved = self.elsewhere != (0, 0);
        for role in &mut self.roles {
            let is_rolling =
                role.rollout.state.is_in_progress() || role.rollout.state == RolloutState::Failed;
            let ends = role.may_end && role.rollout.state.is_in_progress();
            if !role.is_reserved && !ends {
                continue;
            }
            has_moved = true;
            role.may_end = false;
            role.owes &= !role.is_reserved;
            (role.is_reserved, role.was_sick) = (false, false);
            if is_rolling {
                role.rollout.state = RolloutState::Steady;
            }
            if role.rollout.state == RolloutState::Steady {
                role.rollout.is_healthy = true;
                role.healthy_since = Some(LONG_AGO);
            }
            role.moved_at = Some(LONG_AGO);
        }
        if has_moved {
            self.elsewhere = (0, 0);
            self.in_flight = None;
            self.tallies.fill(None);
        }
        has_moved
    }
}
