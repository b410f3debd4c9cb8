//! Whether a workload may restart for what it owes, by all that this replica sees.
//!
//! Input: what is pending. Output: [`Admission`]. I/O: none but the clock.
//!
//! A look asks only; a claim takes a place among the restarts in flight if it may have one, until it is given back. With no
//! limit set anywhere neither counts anything, nor takes a lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::slots::{Inner, Slots};
use crate::{
    admit::{
        self, Admission, Budget, Candidate, ChangedSource, Flags, Group, Last, Others, Rules, Seat, Tally,
        Texts,
    },
    index::{Horizon, Index, Member, Pending},
    model::{
        Policy, RolloutState, Source, SourceKey, SourceRef, UnixSeconds, Workload, WorkloadKey,
        limits::{Limits, Share},
    },
};

/// How long a new leader looks before it lets the first restart take a place that is limited: restarts that the last one wrote
/// in its last moment are seen by then.
const LOOKS_FIRST: Duration = Duration::from_secs(2);
/// Without a complete list of workloads it goes on after this time: of some nothing may be seen at all.
const LISTS_WAIT: Duration = Duration::from_mins(1);
/// A watch of workloads that fails for so long shows too little of what is in flight.
const FAILING: Duration = Duration::from_mins(1);
/// Sources whose tallies are kept at most.
const TALLIES: usize = 4096;

/// What the workers say about workloads that wait: whether that is for something which other restarts do not end.
pub(super) type IsStuck = Arc<dyn Fn(&WorkloadKey, &SourceRef) -> bool + Send + Sync>;

/// Asks [`admit`]. Clones share everything.
#[derive(Clone)]
pub struct Gate {
    index: Arc<Index>,
    texts: Arc<Texts>,
    flags: Flags,
    slots: Arc<Slots>,
    tallies: Arc<Mutex<HashMap<SourceKey, Counted>>>,
    /// When the first place was asked for.
    begun: Arc<OnceLock<Instant>>,
    is_stuck: IsStuck,
}

/// A tally, and what it was counted from.
#[derive(Debug)]
struct Counted {
    tally: Arc<Tally>,
    of: Basis,
}

/// With the same basis a tally comes out the same.
#[derive(Debug, PartialEq, Eq)]
struct Basis {
    namespace: u64,
    slots: u64,
    rules: Rules,
    /// Bake times and timeouts pass.
    second: i64,
}

/// A source of a workload, as it is needed to count.
struct Concern {
    reference: SourceRef,
    rules: Rules,
    tally: Arc<Tally>,
    is_owed: bool,
    is_released: bool,
}

impl Gate {
    /// A gate that looks policies of namespaces up there, with these windows and flags.
    pub(super) fn new(index: Arc<Index>, texts: Arc<Texts>, flags: Flags, is_stuck: IsStuck) -> Self {
        Self {
            index,
            texts,
            flags,
            slots: Arc::default(),
            tallies: Arc::default(),
            begun: Arc::default(),
            is_stuck,
        }
    }

    /// What is written about windows.
    pub const fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }

    /// What flags say about how many restarts may be under way.
    pub const fn flags(&self) -> &Flags {
        &self.flags
    }

    /// The budgets of a namespace and of the cluster, and how many are in flight.
    pub fn budgets(&self, namespace: &Arc<str>, policy: Option<&Policy>, now: Timestamp) -> [Budget; 2] {
        let slots = self.slots.lock();
        [
            self.of_namespace(namespace, policy, now, &slots),
            self.of_cluster(now, &slots),
        ]
    }

    /// Whether the workload may restart for what it owes.
    pub fn admission(&self, pending: &Pending) -> Admission {
        self.ask(pending, false)
    }

    /// The same for a restart that follows: if it may, it has its place from now on.
    pub(super) fn claim(&self, pending: &Pending) -> Admission {
        self.ask(pending, true)
    }

    /// The restart is written or is not to come: the place is free, unless the workload is seen to take it.
    /// Returns whether it had one.
    pub(super) fn give_back(&self, key: &WorkloadKey) -> bool {
        self.slots.give_back(key)
    }

    /// There is no answer to the workload's patch. Returns whether it has a place, which is to be kept until
    /// [`Self::is_unclear`] says otherwise.
    pub(super) fn answer_is_lost(&self, key: &WorkloadKey) -> bool {
        self.slots.answer_is_lost(key)
    }

    /// The workload was read: what its last patch did is in the index.
    pub(super) fn seen(&self, key: &WorkloadKey) {
        self.slots.seen(key);
    }

    /// Whether it has a place, and may hold another one that is not seen.
    pub(super) fn is_unclear(&self, key: &WorkloadKey) -> bool {
        self.slots.is_unclear(key)
    }

    /// The workload was restarted for that.
    pub(super) fn restarted(&self, pending: &Pending, now: UnixSeconds) {
        let namespace = self.index.policy_of(&pending.workload.key.namespace);
        let candidate = Candidate {
            workload: &pending.workload,
            sources: &[],
            namespace: namespace.as_deref(),
            last: None,
            unmoved_for: Duration::ZERO,
        };
        self.slots
            .restarted(&pending.workload.key, now, candidate.interval(&self.flags));
    }

    /// How far the restarts for a source are that has a limit; `None`: it has none.
    pub(super) fn progress(&self, source: &Source) -> Option<(Rules, Arc<Tally>)> {
        let namespace = self.index.policy_of(&source.key.namespace);
        let rules = self.rules(source, namespace.as_deref());
        rules
            .bind()
            .then(|| (rules, self.tally(&source.key, rules, &mut self.slots.lock())))
    }

    /// The workload is gone.
    pub(super) fn forget(&self, key: &WorkloadKey) {
        self.slots.forget(key);
    }

    fn ask(&self, pending: &Pending, claims: bool) -> Admission {
        let key = &pending.workload.key;
        let namespace = self.index.policy_of(&key.namespace);
        let sources: Vec<_> = pending.owed.iter().map(ChangedSource::of).collect();
        let now = Timestamp::now();
        let mut candidate = Candidate {
            workload: &pending.workload,
            sources: &sources,
            namespace: namespace.as_deref(),
            last: None,
            unmoved_for: Duration::ZERO,
        };
        if !candidate.interval(&self.flags).is_zero() {
            candidate.last = self.last(&pending.workload);
        }
        let admission = admit::alone(candidate, &self.texts, &self.flags, now);
        if admission != Admission::Now || !self.are_limited(&key.namespace, namespace.as_deref()) {
            return admission;
        }
        candidate.unmoved_for = self.index.unmoved_for(key, now.into()).unwrap_or_default();
        let mut slots = self.slots.lock();
        let (admission, is_sick) = self.among(&candidate, pending, claims, now, &mut slots);
        if claims && admission == Admission::Now && pending.workload.rollout.state != RolloutState::Never {
            self.slots.take(&mut slots, key, is_sick);
        }
        admission
    }

    /// The last restart: as this process remembers, or as the workload shows.
    pub fn last(&self, workload: &Workload) -> Option<Last> {
        let known = self.slots.lock().last(&workload.key);
        let shown = workload.template.written_at;
        known.or_else(|| shown.map(|at| Last { at, streak: 0 }))
    }

    /// Whether restarts depend on what others are doing.
    pub fn are_limited(&self, namespace: &str, policy: Option<&Policy>) -> bool {
        self.flags.are_shared()
            || self.index.has_limits_in(namespace)
            || Policy::limits_of(policy).is_some_and(Limits::are_shared)
    }

    /// Whether it may restart, and whether it is sick for any source that it owes a restart for.
    fn among(
        &self,
        candidate: &Candidate<'_>,
        pending: &Pending,
        claims: bool,
        now: Timestamp,
        slots: &mut Inner,
    ) -> (Admission, bool) {
        let key = &pending.workload.key;
        let mut concerns = Vec::new();
        // The candidate's sources are those that it owes a restart for, in their order.
        for (owed, changed) in pending.owed.iter().zip(candidate.sources) {
            let is_released = candidate.releases(changed, now);
            concerns.push(self.concern(&owed.source, true, is_released, candidate.namespace, slots));
        }
        for source in self.index.sources_concerning(key) {
            let is_owed = concerns
                .iter()
                .any(|concern| concern.reference == source.key.reference());
            // Of those that it owes nothing for, the budget counts.
            if !is_owed && self.rules(&source, candidate.namespace).max_concurrent.is_some() {
                concerns.push(self.concern(&source, false, false, candidate.namespace, slots));
            }
        }
        let groups: Vec<_> = concerns.iter().map(Concern::group).collect();
        let others = Others {
            groups: &groups,
            namespace: self.of_namespace(&key.namespace, candidate.namespace, now, slots),
            cluster: self.of_cluster(now, slots),
            is_reserved: slots.is_reserved(key),
            rollout_timeout: self.flags.timeout(),
            unknown_until: claims.then(|| self.looks_until(&key.namespace, now)).flatten(),
        };
        (admit::among(*candidate, &others), others.find_sick(candidate))
    }

    /// Until when this leader looks, because it has not led for long enough to know what is in flight, or a watch fails.
    fn looks_until(&self, namespace: &Arc<str>, now: Timestamp) -> Option<Timestamp> {
        if self.index.workloads_fail_for(namespace, FAILING, Instant::now()) {
            return Some(now + LOOKS_FIRST);
        }
        let begun = self.begun.get_or_init(Instant::now).elapsed();
        let left = LOOKS_FIRST.saturating_sub(begun);
        let lacks_lists = begun < LISTS_WAIT && !self.index.has_listed_workloads();
        let left = if lacks_lists { left.max(LOOKS_FIRST) } else { left };
        (!left.is_zero()).then(|| now + left)
    }

    /// What holds for the restarts of a source.
    pub fn rules(&self, source: &Source, namespace: Option<&Policy>) -> Rules {
        let of_source = Policy::limits_of(source.policy.as_deref());
        Rules::of(of_source, Policy::limits_of(namespace), &self.flags.limits)
    }

    fn concern(
        &self,
        source: &Source,
        is_owed: bool,
        is_released: bool,
        namespace: Option<&Policy>,
        slots: &mut Inner,
    ) -> Concern {
        let rules = self.rules(source, namespace);
        // Without a rule for the source, and without waves, none of its counts decides anything.
        let counts = rules.bind() || self.index.has_limits_in(&source.key.namespace);
        Concern {
            tally: if counts {
                self.tally(&source.key, rules, slots)
            } else {
                Arc::default()
            },
            reference: source.key.reference(),
            rules,
            is_owed,
            is_released,
        }
    }

    fn tally(&self, source: &SourceKey, rules: Rules, slots: &mut Inner) -> Arc<Tally> {
        let now = Timestamp::now().as_second();
        let of = Basis {
            namespace: self.index.version_of(&source.namespace),
            slots: slots.version(),
            rules,
            second: now,
        };
        if let Some(counted) = self.tallies().get(source)
            && counted.of == of
        {
            return Arc::clone(&counted.tally);
        }
        let members = self.index.members(source);
        let reference = source.reference();
        let seats = members.iter().map(|member| self.seat(member, &reference, slots));
        let tally = Arc::new(Tally::of(seats.collect::<Vec<_>>(), &rules, UnixSeconds(now)));
        let mut tallies = self.tallies();
        if tallies.len() >= TALLIES {
            tallies.clear();
        }
        let counted = Counted {
            tally: Arc::clone(&tally),
            of,
        };
        tallies.insert(source.clone(), counted);
        drop(tallies);
        tally
    }

    fn seat<'a>(&self, member: &'a Member, source: &SourceRef, slots: &mut Inner) -> Seat<'a> {
        let workload = &member.workload;
        let rollout = &workload.rollout;
        let key = &workload.key;
        Seat {
            key,
            owes: member.owes,
            state: rollout.state,
            is_healthy: rollout.is_healthy,
            has_pods: rollout.has_pods,
            healthy_since: member.healthy_since,
            moved_at: member.moved_at,
            wave: workload.wave(),
            is_reserved: slots.is_reserved(key),
            was_sick: slots.was_sick(key, rollout.state == RolloutState::Steady && rollout.is_healthy),
            is_stuck: member.owes && (workload.is_suspended() || (self.is_stuck)(key, source)),
        }
    }

    fn of_namespace(
        &self,
        namespace: &Arc<str>,
        policy: Option<&Policy>,
        now: Timestamp,
        slots: &Inner,
    ) -> Budget {
        let asked = Policy::limits_of(policy).and_then(|limits| limits.max_concurrent);
        let asked = asked.map(|share| {
            let all = match share {
                Share::Count(_) => 0,
                Share::Percent(_) => self.index.tally(namespace).opted_in,
            };
            share.at_least_one(all)
        });
        let limit = asked.into_iter().chain(self.flags.per_namespace).min();
        let reserved = slots.reserved().filter(|other| other.namespace == *namespace);
        self.budget(limit, now, reserved, |horizon| {
            self.index.in_progress_in(namespace, horizon)
        })
    }

    fn of_cluster(&self, now: Timestamp, slots: &Inner) -> Budget {
        self.budget(self.flags.in_all, now, slots.reserved(), |horizon| {
            self.index.in_progress(horizon)
        })
    }

    /// What makes no progress holds no place for ever.
    fn budget<'a>(
        &self,
        limit: Option<usize>,
        now: Timestamp,
        reserved: impl Iterator<Item = &'a WorkloadKey>,
        seen: impl Fn(Horizon) -> usize,
    ) -> Budget {
        let horizon = Horizon {
            now: now.into(),
            timeout: self.flags.timeout(),
        };
        let in_flight = limit.map_or(0, |_| {
            // These first: one that the index sees meanwhile is counted twice, not missed.
            let unseen = reserved
                .filter(|key| !self.index.is_in_progress(key, horizon))
                .count();
            unseen + seen(horizon)
        });
        Budget { in_flight, limit }
    }

    fn tallies(&self) -> MutexGuard<'_, HashMap<SourceKey, Counted>> {
        // A panic while the lock was held ends the process through supervision; until then the tallies are still right.
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Concern {
    fn group(&self) -> Group<'_> {
        Group {
            source: &self.reference,
            rules: self.rules,
            tally: &self.tally,
            is_owed: self.is_owed,
            is_released: self.is_released,
        }
    }
}
