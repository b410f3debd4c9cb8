//! Many workloads and a few sources, played to the end: limits hold, and whoever can be served is.
//!
//! What is allowed is counted here anew for every admission, from the workloads themselves. Each rule is taken out once, and
//! that has to be noticed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    admit::{
        census::{Rules, Seat, Tally},
        progress::{Group, STAGES, Stage},
    },
    model::{Rollout, limits::Share},
};

const RUNS: u64 = 10_000;
/// Enough for one run to come to its end: 30 workloads, one after the other.
const TICKS: i64 = 900;
/// After so many in which nothing happens, nothing will: it is longer than any bake time.
const QUIET: u32 = 8;

/// xorshift64*: the same numbers for the same seed.
struct Random(u64);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    WithoutStage(usize),
    /// What was admitted and is not seen yet takes no place.
    ForgetsAdmissions,
    /// A workload that waits for something else holds higher waves up.
    WaitsForStuck,
    /// Failures count that are older than the content.
    CountsTheSick,
    /// Whatever proves nothing may go first.
    TriesOnAny,
    /// Who is healthy for a moment has proved the content.
    DoesNotBake,
    /// Who was restarted has proved the content.
    ServedAreProved,
    /// Those that have to show how they do take no place.
    ForgetsTrials,
    /// A user's word counts for nothing.
    IgnoresReleases,
    /// Whom a content may mend waits for its proof.
    HoldsTheSick,
    /// Whose pods start anyway waits for others.
    HoldsTheRolling,
    /// What starts a pod and ends by itself takes a place.
    JobsTakePlaces,
}

#[derive(Debug)]
struct Source {
    reference: SourceRef,
    rules: Rules,
    is_good: bool,
    is_released: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Member {
    workload: Workload,
    uses: BTreeSet<usize>,
    owes: BTreeSet<usize>,
    /// Never restarted: suspended, or refused by an admission webhook.
    is_stuck: bool,
    /// Not well, whatever the sources hold.
    is_sick: bool,
    is_reserved: bool,
    was_sick: bool,
    healthy_since: Option<UnixSeconds>,
    moved_at: i64,
    /// When its rollout ends.
    ends_at: i64,
    restarts: usize,
}

impl Member {
    const fn state(&self) -> RolloutState {
        self.workload.rollout.state
    }

    const fn proves(&self) -> bool {
        self.workload.rollout.has_pods && !matches!(self.state(), RolloutState::Never | RolloutState::Held)
    }

    const fn is_in_flight(&self) -> bool {
        !matches!(self.state(), RolloutState::Never) && (self.is_reserved || self.state().is_in_progress())
    }

    /// As it is when it asks: sick ones are noted then.
    fn is_unwell(&self) -> bool {
        let Rollout {
            state,
            is_healthy,
            has_pods,
            ..
        } = self.workload.rollout;
        state == RolloutState::Failed || state == RolloutState::Steady && has_pods && !is_healthy
    }
}

struct Crowd {
    random: Random,
    mutant: Mutant,
    now: i64,
    sources: Vec<Source>,
    members: Vec<Member>,
    /// Of the namespace, which is the cluster as well.
    limit: Option<usize>,
    broken: Vec<String>,
}

impl Crowd {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let mut random = Random::new(seed);
        let share = |random: &mut Random| {
            if random.one_in(3) {
                Share::Percent(u8::try_from(5 + random.below(40)).unwrap())
            } else {
                Share::Count(u32::try_from(1 + random.below(4)).unwrap())
            }
        };
        let sources: Vec<_> = (0..=random.below(4))
            .map(|number| {
                let limits = Limits {
                    max_concurrent: (!random.one_in(3)).then(|| share(&mut random)),
                    canary: (!random.one_in(3)).then(|| share(&mut random)),
                    bake_time: Some(Duration::from_secs(random.below(5) as u64)),
                    max_failures: random.one_in(4).then_some(Share::Count(1)),
                    rollout_timeout: Some(Duration::from_mins(1)),
                    ..Limits::default()
                };
                Source {
                    reference: SourceRef::new(SourceKind::Secret, format!("secret-{number}")),
                    rules: Rules::of(Some(&limits), None, &Limits::default()),
                    is_good: true,
                    is_released: false,
                }
            })
            .collect();
        let has_waves = random.one_in(2);
        let has_odd_ones = random.one_in(2);
        let members = (0..=random.below(30))
            .map(|number| {
                let wave = if has_waves { random.below(3) } else { 0 };
                let wave = wave.to_string();
                let mut workload = workload(&[("reloader.stakater.com/rollout-wave", &wave)]);
                workload.key.name = format!("web-{number}").into();
                let state = match random.below(8) {
                    0 if has_odd_ones => RolloutState::Never,
                    1 if has_odd_ones => RolloutState::Held,
                    _ => RolloutState::Steady,
                };
                let is_sick = state == RolloutState::Steady && random.one_in(12);
                workload.rollout = Rollout {
                    state: if is_sick { RolloutState::Failed } else { state },
                    is_healthy: !is_sick,
                    has_pods: state == RolloutState::Steady && !(has_odd_ones && random.one_in(10)),
                    ..Rollout::default()
                };
                let uses = (0..sources.len()).filter(|_| !random.one_in(2)).collect();
                Member {
                    workload,
                    uses,
                    owes: BTreeSet::new(),
                    is_stuck: random.one_in(12),
                    is_sick,
                    is_reserved: false,
                    was_sick: false,
                    healthy_since: Some(UnixSeconds(-1000)),
                    moved_at: -1000,
                    ends_at: 0,
                    restarts: 0,
                }
            })
            .collect();
        let limit = random.one_in(2).then(|| 1 + random.below(5));
        Self {
            random,
            mutant,
            now: 0,
            sources,
            members,
            limit,
            broken: Vec::new(),
        }
    }

    fn change(&mut self, source: usize, is_good: bool) {
        self.sources[source].is_good = is_good;
        self.sources[source].is_released = false;
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.uses.contains(&source))
        {
            member.owes.insert(source);
        }
    }

    /// Its pods start anew, with what all sources hold now.
    fn roll(&mut self, number: usize) {
        let takes = 1 + i64::try_from(self.random.below(5)).unwrap();
        let member = &mut self.members[number];
        member.owes.clear();
        member.restarts += 1;
        if matches!(member.state(), RolloutState::Never | RolloutState::Held) {
            return;
        }
        member.workload.rollout.state = RolloutState::Rolling;
        // Pods of the template before may be enough.
        member.workload.rollout.is_healthy = self.random.one_in(2);
        member.healthy_since = None;
        member.moved_at = self.now;
        member.ends_at = self.now + takes;
    }

    /// Rollouts come to their end.
    fn settle(&mut self) {
        for number in 0..self.members.len() {
            if self.members[number].is_reserved {
                self.members[number].is_reserved = false;
                self.roll(number);
            }
            let member = &mut self.members[number];
            if member.state() == RolloutState::Rolling && member.ends_at <= self.now {
                let runs_bad = member.uses.iter().any(|source| !self.sources[*source].is_good);
                let is_well = !member.is_sick && !runs_bad || !member.workload.rollout.has_pods;
                member.workload.rollout.is_healthy |= is_well;
                member.workload.rollout.state = if is_well {
                    RolloutState::Steady
                } else {
                    RolloutState::Failed
                };
                member.healthy_since = is_well.then_some(UnixSeconds(self.now));
                member.was_sick &= !is_well;
            }
        }
    }

    fn tally(&self, source: usize) -> Tally {
        let concerned = self.members.iter().filter(|member| member.uses.contains(&source));
        let seats = concerned.map(|member| Seat {
            key: &member.workload.key,
            owes: member.owes.contains(&source),
            state: member.state(),
            is_healthy: member.workload.rollout.is_healthy,
            has_pods: member.workload.rollout.has_pods,
            healthy_since: member.healthy_since,
            moved_at: Some(UnixSeconds(member.moved_at)),
            wave: member.workload.wave(),
            is_reserved: member.is_reserved && self.mutant != Mutant::ForgetsAdmissions,
            was_sick: member.was_sick && self.mutant != Mutant::CountsTheSick,
            is_stuck: self.is_stuck(member, source) && self.mutant != Mutant::WaitsForStuck,
        });
        let mut rules = self.sources[source].rules;
        if self.mutant == Mutant::DoesNotBake {
            rules.bake_time = Duration::ZERO;
        }
        let mut tally = Tally::of(seats, &rules, UnixSeconds(self.now));
        match self.mutant {
            Mutant::ServedAreProved => tally.proved = tally.served,
            Mutant::ForgetsTrials => tally.on_trial = 0,
            _ => {}
        }
        tally
    }

    /// As the rules see it.
    fn shown(&self, member: &Member) -> Workload {
        let mut workload = member.workload.clone();
        let rollout = &mut workload.rollout;
        match self.mutant {
            Mutant::TriesOnAny if rollout.state == RolloutState::Steady => rollout.has_pods = true,
            Mutant::HoldsTheSick if member.is_unwell() => {
                (rollout.state, rollout.is_healthy) = (RolloutState::Steady, true);
            }
            Mutant::HoldsTheRolling if rollout.state == RolloutState::Rolling => {
                rollout.state = RolloutState::Steady;
            }
            Mutant::JobsTakePlaces if rollout.state == RolloutState::Never => {
                rollout.state = RolloutState::Held;
            }
            _ => {}
        }
        workload
    }

    /// It waits for what no rollout of that source can end: a suspension, or a halt of another source.
    fn is_stuck(&self, member: &Member, source: usize) -> bool {
        let mut others = member.owes.iter().filter(|other| **other != source);
        member.is_stuck || others.any(|other| self.failed(*other) > self.allowed(*other))
    }

    fn allowed(&self, source: usize) -> usize {
        let Source {
            rules, is_released, ..
        } = &self.sources[source];
        let concerned = self.members.iter().filter(|member| member.uses.contains(&source));
        if rules.bind() && !is_released {
            rules.max_failures.of(concerned.count())
        } else {
            usize::MAX
        }
    }

    fn failed(&self, source: usize) -> usize {
        let served = self.members.iter().filter(|member| {
            member.uses.contains(&source) && !member.owes.contains(&source) && !member.was_sick
        });
        served
            .filter(|member| member.state() == RolloutState::Failed && !member.is_reserved)
            .count()
    }

    fn asks(&mut self, number: usize) {
        let member = &self.members[number];
        let tallies: BTreeMap<_, _> = member
            .uses
            .iter()
            .map(|source| (*source, self.tally(*source)))
            .collect();
        let groups: Vec<_> = member
            .uses
            .iter()
            .map(|source| Group {
                source: &self.sources[*source].reference,
                rules: self.sources[*source].rules,
                tally: &tallies[source],
                is_owed: member.owes.contains(source),
                is_released: self.sources[*source].is_released && self.mutant != Mutant::IgnoresReleases,
            })
            .collect();
        let counts = |member: &&Member| {
            member.state().is_in_progress()
                || member.is_reserved && self.mutant != Mutant::ForgetsAdmissions && member.is_in_flight()
        };
        let others = Others {
            groups: &groups,
            namespace: Budget {
                in_flight: self.members.iter().filter(counts).count(),
                limit: self.limit,
            },
            rollout_timeout: Duration::from_mins(1),
            ..Others::default()
        };
        let workload = self.shown(member);
        let candidate = candidate(&workload);
        let stages = STAGES
            .iter()
            .enumerate()
            .filter(|(stage, _)| self.mutant != Mutant::WithoutStage(*stage));
        let mut stages = stages.map(|(_, stage): (usize, &Stage)| stage);
        if let Some(wait) = stages.find_map(|stage| stage(&candidate, &others)) {
            let never_waits = match member.state() {
                RolloutState::Rolling => true,
                RolloutState::Never => matches!(wait.reason, Reason::Budget(_)),
                _ => false,
            };
            if never_waits {
                let reason = format!("{:?} need not wait: {:?}", member.state(), wait.reason);
                self.broken.push(reason);
            }
            return;
        }
        self.check(number);
        let member = &mut self.members[number];
        member.was_sick = member.is_unwell();
        member.is_reserved = true;
    }

    /// Whether this one may restart now, counted without tallies.
    fn check(&mut self, number: usize) {
        let member = &self.members[number];
        if member.state() == RolloutState::Rolling {
            return;
        }
        let is_sick = member.is_unwell();
        let in_flight = |source: Option<usize>| {
            self.members.iter().filter(move |other| {
                source.is_none_or(|source| other.uses.contains(&source)) && other.is_in_flight()
            })
        };
        let takes_place = member.state() != RolloutState::Never;
        let mut broken = Vec::new();
        if takes_place && self.limit.is_some_and(|limit| in_flight(None).count() >= limit) {
            broken.push("limit of the namespace".to_owned());
        }
        for source in member.uses.iter().copied() {
            let rules = &self.sources[source].rules;
            let all: Vec<_> = self
                .members
                .iter()
                .filter(|other| other.uses.contains(&source))
                .collect();
            let limit = rules.max_concurrent.map(|share| share.of(all.len()).max(1));
            if takes_place && limit.is_some_and(|limit| in_flight(Some(source)).count() >= limit) {
                broken.push(format!("limit of source {source}"));
            }
            if !member.owes.contains(&source) || is_sick {
                continue;
            }
            if self.failed(source) > self.allowed(source) {
                broken.push(format!("halt of source {source}"));
            }
            let wave = member.workload.wave();
            let is_open = |other: &&&Member| {
                other.is_in_flight() || other.owes.contains(&source) && !self.is_stuck(other, source)
            };
            if all
                .iter()
                .filter(is_open)
                .any(|other| other.workload.wave() < wave)
            {
                broken.push(format!("wave of source {source}"));
            }
            let Some(canary) = rules.canary else { continue };
            let canary = canary.of(all.len()).max(1);
            let bakes = i64::try_from(rules.bake_time.as_secs()).unwrap();
            let is_proved = |other: &&&Member| {
                !other.owes.contains(&source)
                    && other.proves()
                    && other.state() == RolloutState::Steady
                    && other
                        .healthy_since
                        .is_some_and(|since| self.now - since.0 >= bakes)
            };
            let proved = all.iter().filter(is_proved).count();
            let is_on_trial = |other: &&&Member| {
                !other.owes.contains(&source)
                    && other.state() == RolloutState::Steady
                    && other.proves()
                    && !other.is_in_flight()
                    && !other.was_sick
                    && !is_proved(other)
            };
            let is_released = self.sources[source].is_released;
            let served = all.iter().filter(|other| !other.owes.contains(&source)).count();
            let proved = if is_released { served } else { proved };
            let trying = in_flight(Some(source)).filter(|other| !other.was_sick).count();
            let on_trial = all.iter().filter(is_on_trial).count();
            let trying = trying + if is_released { 0 } else { on_trial };
            if takes_place && trying >= canary.max(proved) {
                broken.push(format!("canary of source {source}"));
            }
            let may_prove = |other: &&&Member| {
                other.owes.contains(&source)
                    && other.proves()
                    && !other.is_unwell()
                    && !other.was_sick
                    && !other.is_reserved
                    && !self.is_stuck(other, source)
                    && other.workload.wave() <= wave
            };
            if !member.proves() && proved < canary && all.iter().any(|other| may_prove(&other)) {
                broken.push(format!("proof for source {source}"));
            }
        }
        self.broken.extend(broken);
    }

    fn tick(&mut self) {
        self.now += 1;
        self.settle();
        let first = self.random.below(self.members.len());
        for offset in 0..self.members.len() {
            let number = (first + offset) % self.members.len();
            let member = &self.members[number];
            if !member.owes.is_empty() && !member.is_reserved && !member.is_stuck {
                self.asks(number);
            }
        }
    }

    fn restarts(&self) -> usize {
        self.members.iter().map(|member| member.restarts).sum()
    }

    /// What is wrong in the end.
    fn play(mut self) -> Vec<String> {
        let changes = 1 + self.random.below(4);
        for _ in 0..changes {
            let source = self.random.below(self.sources.len());
            let is_good = !self.random.one_in(3);
            self.change(source, is_good);
            for _ in 0..self.random.below(25) {
                if self.random.one_in(8) {
                    // Rolled by another client.
                    let number = self.random.below(self.members.len());
                    if !self.members[number].is_reserved {
                        self.roll(number);
                    }
                }
                self.tick();
            }
        }
        let ends_bad = self.random.one_in(3);
        for source in 0..self.sources.len() {
            if !self.sources[source].is_good && !ends_bad {
                self.change(source, true);
            }
        }
        for source in &mut self.sources {
            source.is_released = ends_bad && self.random.one_in(3);
        }
        let mut quiet = 0;
        while quiet < QUIET && self.now < TICKS {
            let before = self.restarts();
            self.tick();
            let is_still =
                self.restarts() == before && self.members.iter().all(|member| !member.is_in_flight());
            quiet = if is_still { quiet + 1 } else { 0 };
        }
        let Self { members, broken, .. } = &self;
        let mut wrong = broken.clone();
        wrong.dedup();
        for member in members
            .iter()
            .filter(|member| !member.owes.is_empty() && !member.is_stuck)
        {
            let is_halted = member
                .owes
                .iter()
                .any(|source| self.failed(*source) > self.allowed(*source));
            // What has to be mended is not held back.
            if !is_halted || member.is_unwell() {
                wrong.push(format!(
                    "{} waits for ever for {:?}",
                    member.workload.key, member.owes
                ));
            }
        }
        wrong
    }
}

/// The runs in which something is wrong, of so many.
fn failing(mutant: Mutant, runs: u64) -> Vec<(u64, Vec<String>)> {
    let played = (0..runs).map(|seed| (seed, Crowd::new(seed, mutant).play()));
    played.filter(|(_, wrong)| !wrong.is_empty()).collect()
}

#[test]
fn limits_hold_and_whoever_can_be_served_is() {
    let failing = failing(Mutant::None, RUNS);
    let (seed, wrong) = failing.first().cloned().unwrap_or_default();
    assert!(
        failing.is_empty(),
        "{} runs, the first with seed {seed}: {wrong:#?}",
        failing.len()
    );
}

#[rstest]
#[case::halt(Mutant::WithoutStage(1))]
#[case::wave(Mutant::WithoutStage(2))]
#[case::canary(Mutant::WithoutStage(3))]
#[case::budget(Mutant::WithoutStage(4))]
#[case::admissions(Mutant::ForgetsAdmissions)]
#[case::stuck(Mutant::WaitsForStuck)]
#[case::sick(Mutant::CountsTheSick)]
#[case::proof(Mutant::TriesOnAny)]
#[case::bake(Mutant::DoesNotBake)]
#[case::proved(Mutant::ServedAreProved)]
#[case::trials(Mutant::ForgetsTrials)]
#[case::release(Mutant::IgnoresReleases)]
#[case::mending(Mutant::HoldsTheSick)]
#[case::riding_along(Mutant::HoldsTheRolling)]
#[case::jobs(Mutant::JobsTakePlaces)]
fn a_rule_that_is_taken_out_is_noticed(#[case] mutant: Mutant) {
    assert!(!failing(mutant, 500).is_empty(), "{mutant:?} is not noticed");
}
