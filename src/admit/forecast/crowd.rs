//! The workloads at one moment of a forecast, and what one of them is told.
//!
//! Input: a [`Scene`], and what has happened since. Output: a [`Wait`]. I/O: none.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::{
        Admission, Budget, Candidate, ChangedSource, Group, Others, Rules, Seat, Tally, Wait, alone, among,
        census::is_in_flight,
    },
    scene::{Actor, Scene},
};
use crate::model::{Rollout, RolloutState, SourceRef, UnixSeconds};

/// Long before any time of a question.
const LONG_AGO: UnixSeconds = UnixSeconds(0);

/// What a workload is doing at that moment.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Role<'a> {
    pub(super) rollout: Rollout,
    pub(super) healthy_since: Option<UnixSeconds>,
    pub(super) moved_at: Option<UnixSeconds>,
    /// It is to restart.
    pub(super) owes: bool,
    /// It may begin, or has begun, in this round.
    pub(super) is_reserved: bool,
    pub(super) was_sick: bool,
    /// What it is doing when the forecast begins ends with the first round.
    pub(super) may_end: bool,
    /// What it waits for.
    pub(super) wait: Option<Wait>,
    changes: Vec<ChangedSource<'a>>,
}

impl<'a> Role<'a> {
    pub(super) fn new(actor: &Actor<'a>, scene: &Scene<'a>) -> Self {
        Self {
            rollout: actor.workload.rollout,
            healthy_since: actor.healthy_since,
            moved_at: actor.moved_at,
            owes: !actor.owes.is_empty(),
            is_reserved: false,
            was_sick: false,
            may_end: true,
            wait: None,
            changes: actor
                .owes
                .iter()
                .map(|source| scene.sources[*source].changed)
                .collect(),
        }
    }

    fn unmoved_for(&self, now: UnixSeconds) -> Duration {
        self.moved_at.map_or(Duration::MAX, |at| at.elapsed(now))
    }
}

/// All workloads at that moment.
#[derive(Debug)]
pub(super) struct Crowd<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) roles: Vec<Role<'a>>,
    pub(super) now: Timestamp,
    /// What was asked and counted so far.
    pub(super) steps: usize,
    rules: Vec<Rules>,
    /// Restarts depend on what others are doing.
    is_limited: bool,
    /// The actors that each source concerns.
    members: Vec<Vec<usize>>,
    tallies: Vec<Option<Tally>>,
    /// In flight in the namespace and in the cluster, without the actors.
    elsewhere: (usize, usize),
    /// Actors in flight, as long as that is known.
    in_flight: Option<usize>,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(scene: Scene<'a>, now: Timestamp) -> Self {
        let rules: Vec<_> = scene.sources.iter().map(|source| scene.rules(source)).collect();
        let mut members = vec![Vec::new(); rules.len()];
        for (number, actor) in scene.actors.iter().enumerate() {
            for source in &actor.concerned_by {
                members[*source].push(number);
            }
        }
        let mut crowd = Self {
            roles: scene
                .actors
                .iter()
                .map(|actor| Role::new(actor, &scene))
                .collect(),
            now,
            steps: 0,
            is_limited: scene.is_limited(),
            tallies: vec![None; rules.len()],
            rules,
            members,
            elsewhere: (0, 0),
            in_flight: None,
            scene,
        };
        let ours = crowd.count_in_flight();
        let elsewhere = |all: usize| all.saturating_sub(ours);
        crowd.elsewhere = (
            elsewhere(crowd.scene.in_namespace.in_flight),
            elsewhere(crowd.scene.in_all.in_flight),
        );
        crowd
    }

    /// What it waits for, and whether it is not well.
    pub(super) fn ask(&mut self, number: usize) -> (Option<Wait>, bool) {
        for source in 0..self.rules.len() {
            if self.is_limited && self.scene.actors[number].concerned_by.contains(&source) {
                self.count(source);
            }
        }
        let budgets = if self.is_limited {
            self.budgets()
        } else {
            <[Budget; 2]>::default()
        };
        let (actor, role) = (&self.scene.actors[number], &self.roles[number]);
        let candidate = Candidate {
            workload: actor.workload,
            sources: &role.changes,
            namespace: self.scene.namespace,
            last: actor.last,
            unmoved_for: role.unmoved_for(self.now.into()),
        };
        let admission = alone(candidate, self.scene.texts, self.scene.flags, self.now);
        if admission != Admission::Now || !self.is_limited {
            return (admission.wait(), false);
        }
        let groups = actor.concerned_by.iter().filter_map(|source| {
            let concerned = &self.scene.sources[*source];
            let is_owed = actor.owes.contains(source);
            Some(Group {
                source: &concerned.reference,
                rules: self.rules[*source],
                tally: self.tallies[*source].as_ref()?,
                is_owed,
                is_released: is_owed && candidate.releases(&concerned.changed, self.now),
            })
        });
        let groups: Vec<_> = groups.collect();
        let [namespace, cluster] = budgets;
        let others = Others {
            groups: &groups,
            namespace,
            cluster,
            is_reserved: false,
            rollout_timeout: self.scene.flags.timeout(),
            unknown_until: None,
        };
        (among(candidate, &others).wait(), others.find_sick(&candidate))
    }

    /// Counts what the workloads of a source are doing, unless nothing has changed since.
    fn count(&mut self, source: usize) {
        if self.tallies[source].is_some() {
            return;
        }
        let members = &self.members[source];
        self.steps += members.len();
        let seats = members.iter().map(|number| self.seat(*number, source));
        let tally = Tally::of(seats, &self.rules[source], self.now.into());
        self.tallies[source] = Some(tally);
    }

    fn seat(&self, number: usize, source: usize) -> Seat<'_> {
        let (actor, role) = (&self.scene.actors[number], &self.roles[number]);
        let owes = role.owes && actor.owes.contains(&source);
        Seat {
            key: &actor.workload.key,
            owes,
            state: role.rollout.state,
            is_healthy: role.rollout.is_healthy,
            has_pods: role.rollout.has_pods,
            healthy_since: role.healthy_since,
            moved_at: role.moved_at,
            wave: actor.workload.wave(),
            is_reserved: role.is_reserved,
            was_sick: role.was_sick,
            is_stuck: owes && self.is_stuck(number, &self.scene.sources[source].reference),
        }
    }

    fn is_stuck(&self, number: usize, source: &SourceRef) -> bool {
        let actor = &self.scene.actors[number];
        let wait = self.roles[number].wait.as_ref();
        actor.workload.is_suspended() || wait.is_some_and(|wait| wait.reason.is_stuck(source))
    }

    /// For which of its sources no rollout of theirs ends its wait: one bit each.
    pub(super) fn stuck_for(&self, number: usize) -> Vec<bool> {
        let sources = self.scene.actors[number].concerned_by.iter();
        sources
            .map(|source| self.is_stuck(number, &self.scene.sources[*source].reference))
            .collect()
    }

    /// Of the namespace and of the cluster.
    fn budgets(&mut self) -> [Budget; 2] {
        let limits = [self.scene.in_namespace.limit, self.scene.in_all.limit];
        if limits == [None, None] {
            return <[Budget; 2]>::default();
        }
        let ours = self.count_in_flight();
        let (in_namespace, in_all) = self.elsewhere;
        let budget = |limit, elsewhere: usize| Budget {
            in_flight: elsewhere + ours,
            limit,
        };
        [budget(limits[0], in_namespace), budget(limits[1], in_all)]
    }

    fn count_in_flight(&mut self) -> usize {
        if let Some(known) = self.in_flight {
            return known;
        }
        self.steps += self.roles.len();
        let (now, timeout) = (self.now.into(), self.scene.flags.timeout());
        let is_in_flight = |role: &&Role<'_>| {
            is_in_flight(
                role.rollout.state,
                role.is_reserved,
                role.unmoved_for(now),
                timeout,
            )
        };
        let count = self.roles.iter().filter(is_in_flight).count();
        self.in_flight = Some(count);
        count
    }

    /// What was counted of it is another.
    pub(super) fn moved(&mut self, number: usize) {
        self.in_flight = None;
        for source in &self.scene.actors[number].concerned_by {
            self.tallies[*source] = None;
        }
    }

    /// All that is in flight is well, and has been for as long as asked for. Returns whether there was anything.
    pub(super) fn settle(&mut self) -> bool {
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
