//! What the workloads that one source concerns are doing, counted.
//!
//! Input: a [`Seat`] for each of them, the [`Rules`] for the source, the time. Output: [`Tally`]. I/O: none.
//!
//! | word | meaning |
//! |---|---|
//! | served | owes no restart for the source |
//! | in flight | its pods are being replaced, whoever asked for that; or its restart was admitted, and is not seen yet |
//! | on trial | served, and either healthy for less than the bake time, or not ready yet although nothing is being replaced |
//! | proved | served, and healthy for the bake time |
//! | failed | served, and its pods do not get ready. Who was sick before its restart does not count |
//! | stuck | owes a restart that waits for something which no rollout of this source can end |

use std::time::Duration;

use crate::model::{
    RolloutState, UnixSeconds, WorkloadKey,
    limits::{Limits, Share},
};

/// Names that a tally keeps of each sort.
const NAMES: usize = 3;

/// Without progress for so long a rollout counts as failed: the default deadline of a Deployment.
pub(super) const ROLLOUT_TIMEOUT: Duration = Duration::from_mins(10);

/// What holds for the restarts of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many may be in flight.
    pub max_concurrent: Option<Share>,
    /// How many go first; none: all may.
    pub canary: Option<Share>,
    /// How long one has to be healthy until it is proved.
    pub bake_time: Duration,
    /// How many may fail.
    pub max_failures: Share,
    /// How long one may be without progress.
    pub rollout_timeout: Duration,
}

impl Rules {
    /// The source counts before its Namespace, and that before the flags.
    pub fn of(source: Option<&Limits>, namespace: Option<&Limits>, flags: &Limits) -> Self {
        fn first<T>(of: impl Fn(&Limits) -> Option<T>, levels: [Option<&Limits>; 3]) -> Option<T> {
            levels.into_iter().flatten().find_map(of)
        }
        let levels = [source, namespace, Some(flags)];
        Self {
            // That of the Namespace is a budget of its own.
            max_concurrent: first(|limits| limits.max_concurrent, [source, None, Some(flags)]),
            canary: first(|limits| limits.canary, levels).filter(|share| !share.is_none()),
            bake_time: first(|limits| limits.bake_time, levels).unwrap_or_default(),
            max_failures: first(|limits| limits.max_failures, levels).unwrap_or(Share::Count(0)),
            rollout_timeout: first(|limits| limits.rollout_timeout, levels).unwrap_or(ROLLOUT_TIMEOUT),
        }
    }

    /// Whether failures hold others back.
    pub const fn bind(&self) -> bool {
        self.max_concurrent.is_some() || self.canary.is_some()
    }
}

/// One of the workloads that a source concerns.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Seat<'a> {
    /// Which workload.
    pub key: &'a WorkloadKey,
    /// It owes a restart for the source.
    pub owes: bool,
    /// What it is doing.
    pub state: RolloutState,
    /// All its pods are available.
    pub is_healthy: bool,
    /// It asks for pods.
    pub has_pods: bool,
    /// Since when it is healthy with its present template.
    pub healthy_since: Option<UnixSeconds>,
    /// When its pods moved last; `None`: nothing shows that they ever did.
    pub moved_at: Option<UnixSeconds>,
    /// Lower ones go first.
    pub wave: i32,
    /// It was admitted, and its restart is not seen yet.
    pub is_reserved: bool,
    /// It was sick when it was admitted.
    pub was_sick: bool,
    /// No rollout of this source ends its wait.
    pub is_stuck: bool,
}

/// How many do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub concerned: usize,
    /// Those that owe nothing for the source.
    pub served: usize,
    /// Those in flight.
    pub in_flight: usize,
    /// Of these, those that were sick before.
    pub sick_in_flight: usize,
    /// Those on trial.
    pub on_trial: usize,
    /// The proved ones.
    pub proved: usize,
    /// When the next one may be proved.
    pub next_proof: Option<UnixSeconds>,
    /// The failed ones.
    pub failed: usize,
    /// Some of these.
    pub failed_names: Vec<WorkloadKey>,
    /// Some of those in flight.
    pub in_flight_names: Vec<WorkloadKey>,
    /// Some of those on trial.
    pub on_trial_names: Vec<WorkloadKey>,
    /// The lowest wave that has not come to its end.
    pub lowest_unfinished: Option<i32>,
    /// The lowest wave in which one may be proved that is not.
    pub lowest_hopeful: Option<i32>,
}

impl Seat<'_> {
    fn unmoved_for(&self, now: UnixSeconds) -> Duration {
        self.moved_at.map_or(Duration::MAX, |at| at.elapsed(now))
    }

    /// Whether its pods are being replaced, as far as that may take.
    pub fn is_in_flight(&self, rules: &Rules, now: UnixSeconds) -> bool {
        is_in_flight(
            self.state,
            self.is_reserved,
            self.unmoved_for(now),
            rules.rollout_timeout,
        )
    }

    fn is_failed(&self, rules: &Rules, now: UnixSeconds) -> bool {
        !self.is_reserved && self.is_sick(rules, now)
    }

    fn is_sick(&self, rules: &Rules, now: UnixSeconds) -> bool {
        is_sick(
            self.state,
            self.is_healthy,
            self.has_pods,
            self.unmoved_for(now) >= rules.rollout_timeout,
        )
    }

    /// Whether its restart may show that the content is good.
    fn can_prove(&self, rules: &Rules, now: UnixSeconds) -> bool {
        can_prove(self.state, self.has_pods) && !self.was_sick && !self.is_sick(rules, now)
    }
}

/// Whether a workload in that state takes a place that has not moved for so long, or was admitted and is not seen yet.
pub(super) fn is_in_flight(
    state: RolloutState,
    is_reserved: bool,
    unmoved_for: Duration,
    timeout: Duration,
) -> bool {
    state != RolloutState::Never && (is_reserved || state.takes_a_place(unmoved_for, timeout))
}

/// Whether a workload in that state shows, in the end, whether its pods are well.
pub(super) const fn can_prove(state: RolloutState, has_pods: bool) -> bool {
    has_pods
        && !matches!(
            state,
            RolloutState::Held | RolloutState::Opaque | RolloutState::Never
        )
}

/// Whether the pods of a workload in that state are not well, and nothing under way may change that. Pods that are missing for
/// a moment, because a node is drained or there are to be more of them, make no workload sick.
pub(super) const fn is_sick(state: RolloutState, is_healthy: bool, has_pods: bool, is_late: bool) -> bool {
    match state {
        RolloutState::Failed => true,
        RolloutState::Unobserved | RolloutState::Rolling => is_late,
        RolloutState::Steady => has_pods && !is_healthy && is_late,
        RolloutState::Paused | RolloutState::Held | RolloutState::Opaque | RolloutState::Never => false,
    }
}

impl Tally {
    /// Counts them.
    pub fn of<'a>(seats: impl IntoIterator<Item = Seat<'a>>, rules: &Rules, now: UnixSeconds) -> Self {
        let mut tally = Self::default();
        for seat in seats {
            tally.add(&seat, rules, now);
        }
        tally
    }

    fn add(&mut self, seat: &Seat<'_>, rules: &Rules, now: UnixSeconds) {
        self.concerned += 1;
        self.served += usize::from(!seat.owes);
        let is_in_flight = seat.is_in_flight(rules, now);
        if is_in_flight {
            self.in_flight += 1;
            self.sick_in_flight += usize::from(seat.was_sick);
            note(&mut self.in_flight_names, seat.key);
        }
        let is_failed = !seat.owes && !seat.was_sick && seat.is_failed(rules, now);
        if is_failed {
            self.failed += 1;
            note(&mut self.failed_names, seat.key);
        }
        let (mut is_baking, mut is_proved) = (false, false);
        if !seat.owes && seat.state == RolloutState::Steady && seat.is_healthy && seat.has_pods {
            let bakes = rules.bake_time.as_secs();
            match seat.healthy_since {
                Some(since) if since.elapsed(now).as_secs() >= bakes => {
                    is_proved = true;
                    self.proved += 1;
                }
                since => {
                    is_baking = true;
                    let bakes = i64::try_from(bakes).unwrap_or(i64::MAX);
                    let proof = since.unwrap_or(now).saturating_add(bakes);
                    self.next_proof = Some(self.next_proof.map_or(proof, |next| next.min(proof)));
                }
            }
        }
        let is_over = is_in_flight || is_failed || is_proved || seat.was_sick;
        if !seat.owes && !is_over && can_prove(seat.state, seat.has_pods) {
            self.on_trial += 1;
            note(&mut self.on_trial_names, seat.key);
        }
        let is_unwell = !seat.is_healthy && seat.has_pods && !seat.was_sick && !is_failed;
        let is_coming = is_in_flight
            || if seat.owes {
                !seat.is_stuck
            } else {
                seat.state == RolloutState::Steady && is_unwell
            };
        if is_coming {
            lower(&mut self.lowest_unfinished, seat.wave);
        }
        let is_hopeful = if seat.owes {
            seat.can_prove(rules, now) && !seat.is_stuck
        } else {
            can_prove(seat.state, seat.has_pods) && !seat.was_sick && (is_in_flight || is_baking)
        };
        if is_hopeful {
            lower(&mut self.lowest_hopeful, seat.wave);
        }
    }

    /// Whether all have been restarted, and none of them is unwell or still to show how it does.
    pub fn is_complete(&self) -> bool {
        self.served == self.concerned && self.in_flight + self.on_trial + self.failed == 0
    }

    /// How many of those count that may be in flight under a canary.
    pub(super) fn cap(&self, canary: Share, is_released: bool) -> usize {
        canary.at_least_one(self.concerned).max(self.shown(is_released))
    }

    /// How many have shown that the content is good; a user's word stands for what the served ones have not shown yet.
    pub(super) const fn shown(&self, is_released: bool) -> usize {
        if is_released { self.served } else { self.proved }
    }
}

fn note(names: &mut Vec<WorkloadKey>, key: &WorkloadKey) {
    if names.len() < NAMES {
        names.push(key.clone());
    }
}

fn lower(lowest: &mut Option<i32>, wave: i32) {
    *lowest = Some(lowest.map_or(wave, |lowest| lowest.min(wave)));
}
