//! Whether a workload has to wait for the restarts of others.
//!
//! Input: the workload, the tally of each source that concerns it, how many are in flight. Output: [`Wait`]. I/O: none.
//!
//! Everything is counted from what is seen at the time: no wave number and no halt is kept, so that a new leader goes on
//! where the last one was, and a halt ends by itself when its cause does.
//!
//! - **Halt.** More of the served ones have failed than may.
//! - **Wave.** A workload of a lower wave is to be restarted still, or its pods are not ready yet.
//! - **Canary.** As many as have been proved may be in flight or on trial, and the canary's number at least. Until that many
//!   are proved, those go first that can show that the content is good.
//! - **Budgets.** Of a source, a namespace and the cluster, all at once. That of a source counts for every workload that it
//!   concerns, whatever that restarts for.
//!
//! A workload that is rolling already reads the content anyway, and holds its place already: nothing of this concerns it. One
//! that is sick is not held back by canaries, for it may be what the content is to mend; it takes a place of the budgets.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    candidate::Candidate,
    census::{Rules, Tally, can_prove, is_sick},
    reason::{Behind, Halt, Reason, Scope, UsedUp, Wait},
};
use crate::model::{RolloutState, SourceRef};

/// A source that concerns a workload, and all whom it concerns.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Which source.
    pub source: &'a SourceRef,
    /// What holds for its restarts.
    pub rules: Rules,
    /// What the others are doing.
    pub tally: &'a Tally,
    /// The workload owes a restart for it.
    pub is_owed: bool,
    /// A user has released the change.
    pub is_released: bool,
}

/// How many are in flight, and how many may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// So many are.
    pub in_flight: usize,
    /// So many may be; `None`: any number.
    pub limit: Option<usize>,
}

/// What others are doing, as far as that matters to one workload.
#[derive(Clone, Debug, Default)]
pub struct Others<'a> {
    /// Each source that concerns the workload.
    pub groups: &'a [Group<'a>],
    /// Of its namespace.
    pub namespace: Budget,
    /// Of all namespaces.
    pub cluster: Budget,
    /// The workload itself was admitted before, so that all of these count it.
    pub is_reserved: bool,
    /// How long a rollout may be without progress until the namespace and the cluster do not count it any more.
    pub rollout_timeout: Duration,
    /// Until then at least, what others are doing is not known.
    pub unknown_until: Option<Timestamp>,
}

/// One rule: why the workload has to wait for others, if it has to.
pub(super) type Stage = fn(&Candidate<'_>, &Others<'_>) -> Option<Wait>;

/// The rules, in the order in which they are asked.
pub(super) const STAGES: [Stage; 5] = [unknown, halt, wave, canary, budgets];

/// Why the workload has to wait for others; `None`: it need not.
pub(super) fn wait(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    STAGES.into_iter().find_map(|stage| stage(candidate, others))
}

impl Candidate<'_> {
    /// Its pods are being replaced already, or will be when a pause period ends, by revision: those of a workload which was
    /// only scaled are not. One that has not moved for that long holds no place any more.
    fn is_rolling(&self, timeout: Duration) -> bool {
        let state = self.workload.rollout.state;
        matches!(state, RolloutState::Rolling | RolloutState::Paused)
            && state.takes_a_place(self.unmoved_for, timeout)
    }

    /// Its pods are not well before the restart.
    pub fn is_sick(&self, timeout: Duration) -> bool {
        let rollout = &self.workload.rollout;
        is_sick(
            rollout.state,
            rollout.is_healthy,
            rollout.has_pods,
            self.unmoved_for >= timeout,
        )
    }

    /// The restarts of others for the source are no reason to wait.
    fn goes_ahead(&self, group: &Group<'_>) -> bool {
        let timeout = group.rules.rollout_timeout;
        self.is_rolling(timeout) || self.is_sick(timeout)
    }

    /// A Job or CronJob: what it starts ends by itself.
    fn takes_no_place(&self) -> bool {
        self.workload.rollout.state == RolloutState::Never
    }

    fn wave(&self) -> i32 {
        self.workload.wave()
    }
}

impl<'a> Others<'a> {
    /// Those whose change the workload would restart for, and that may keep it from doing so.
    fn asked(&self, candidate: &Candidate<'_>) -> impl Iterator<Item = &Group<'a>> {
        let owed = self.groups.iter().filter(|group| group.is_owed);
        owed.filter(|group| !candidate.goes_ahead(group))
    }

    /// Whether the workload is not well, by the rules of a source that it owes a restart for.
    pub fn find_sick(&self, candidate: &Candidate<'_>) -> bool {
        let mut owed = self.groups.iter().filter(|group| group.is_owed);
        owed.any(|group| candidate.is_sick(group.rules.rollout_timeout))
    }

    /// How many of those in flight are the workload itself, where what makes no progress for that long does not count.
    fn own(&self, candidate: &Candidate<'_>, timeout: Duration) -> usize {
        let state = candidate.workload.rollout.state;
        usize::from(self.is_reserved || state.takes_a_place(candidate.unmoved_for, timeout))
    }
}

const fn waits(reason: Reason, until: Option<Timestamp>) -> Wait {
    Wait { reason, until }
}

fn unknown(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    let has_budget = others.namespace.limit.is_some()
        || others.cluster.limit.is_some()
        || others.groups.iter().any(|group| group.rules.bind());
    let until = others.unknown_until?;
    (has_budget && !candidate.takes_no_place()).then(|| waits(Reason::Unknown, Some(until)))
}

fn halt(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    let halted = others.asked(candidate).find_map(Group::halt)?;
    Some(waits(Reason::Halted(halted), None))
}

impl Group<'_> {
    /// Why the restarts of the source are held back; `None`: they are not.
    pub fn halt(&self) -> Option<Halt> {
        let Tally {
            concerned,
            served,
            failed,
            ..
        } = *self.tally;
        let allowed = self.rules.max_failures.of(concerned);
        (self.rules.bind() && !self.is_released && failed > allowed).then(|| Halt {
            source: self.source.clone(),
            failed,
            allowed,
            names: self.tally.failed_names.clone(),
            served,
            concerned,
        })
    }
}

fn wave(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    let wave = candidate.wave();
    others.asked(candidate).find_map(|group| {
        let lowest = group.tally.lowest_unfinished?;
        (lowest < wave).then(|| {
            let source = group.source.clone();
            waits(Reason::Wave { source, wave, lowest }, None)
        })
    })
}

fn canary(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    let rollout = &candidate.workload.rollout;
    let proves = can_prove(rollout.state, rollout.has_pods);
    others.asked(candidate).find_map(|group| {
        let (tally, canary) = (group.tally, group.rules.canary?);
        let allowed = tally.cap(canary, group.is_released);
        let own = if candidate.takes_no_place() {
            0
        } else {
            others.own(candidate, group.rules.rollout_timeout)
        };
        let in_flight = tally.in_flight.saturating_sub(tally.sick_in_flight + own);
        // A user's word stands for what these have not shown yet.
        let on_trial = if group.is_released { 0 } else { tally.on_trial };
        let shown = tally.shown(group.is_released);
        let is_first = shown < canary.at_least_one(tally.concerned);
        let others_first = !proves
            && is_first
            && tally
                .lowest_hopeful
                .is_some_and(|lowest| lowest <= candidate.wave());
        let is_full = in_flight + on_trial >= allowed && !candidate.takes_no_place();
        (others_first || is_full).then(|| {
            let names = if in_flight > 0 {
                &tally.in_flight_names
            } else {
                &tally.on_trial_names
            };
            let behind = Behind {
                source: group.source.clone(),
                in_flight,
                on_trial,
                allowed,
                proved: tally.proved,
                names: names.clone(),
                served: tally.served,
                concerned: tally.concerned,
            };
            let proof = tally.next_proof.filter(|_| in_flight == 0);
            let until = proof.and_then(|at| Timestamp::from_second(at.0).ok());
            waits(Reason::Canary(behind), until)
        })
    })
}

fn budgets(candidate: &Candidate<'_>, others: &Others<'_>) -> Option<Wait> {
    if candidate.takes_no_place() {
        return None;
    }
    let of_sources = others.groups.iter().filter_map(|group| {
        let share = group.rules.max_concurrent?;
        let limit = Some(share.at_least_one(group.tally.concerned));
        let in_flight = group.tally.in_flight;
        let scope = Scope::Source(group.source.clone());
        Some((scope, Budget { in_flight, limit }, group.rules.rollout_timeout))
    });
    let wider = [
        (Scope::Namespace, others.namespace, others.rollout_timeout),
        (Scope::Cluster, others.cluster, others.rollout_timeout),
    ];
    let asked = of_sources.chain(wider);
    // It holds its place already.
    let mut asked = asked.filter(|(_, _, timeout)| !candidate.is_rolling(*timeout));
    asked.find_map(|(scope, budget, timeout)| {
        let in_flight = budget.in_flight.saturating_sub(others.own(candidate, timeout));
        let limit = budget.limit?;
        (in_flight >= limit).then(|| {
            let used_up = UsedUp {
                scope,
                in_flight,
                limit,
            };
            waits(Reason::Budget(used_up), None)
        })
    })
}
