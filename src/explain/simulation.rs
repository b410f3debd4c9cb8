//! Which workloads a change of one source would restart, and which of them at once.
//!
//! Input: the source, the workloads that it may concern. Output: [`Simulation`]. I/O: none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    answer::{AskedFor, Rule, VERSION, Verdict},
    deferral::Deferral,
    facts::{Flags, Scope, SourceFacts},
    judge::judge,
    names::ObjectName,
    next,
    plan::{Plan, Planned, Planner, unknown_of_objects},
};
use crate::{
    admit::{Actor, Budget, Concerned, Scene},
    model::{Policy, Workload, limits::Share},
};

/// Workloads in one answer, of those that are restarted and of those that are not.
const MAX_WORKLOADS: usize = 500;

/// Which workloads would restart if the source changed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// [`VERSION`].
    pub version: String,
    /// The source.
    pub source: ObjectName,
    /// Whether it exists; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// Those that would restart, in the order in which they are written as far as that is fixed.
    pub restarts: Vec<Restarted>,
    /// How many more there are.
    pub restarts_left_off: usize,
    /// Those that use or list it and would not restart, or of which that is unknown.
    pub left: Vec<Left>,
    /// How many more there are.
    pub left_left_off: usize,
    /// In which order, and how many at a time, in words.
    pub order: String,
    /// What limits make of it; absent: an older version has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A workload that would restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restarted {
    /// Which workload.
    pub workload: ObjectName,
    /// The rule behind it.
    pub rule: Rule,
    /// The annotation or flag behind the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for_by: Option<AskedFor>,
    /// The container that gets the marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What the restart is, in one sentence.
    pub restart: String,
    /// What it would wait for at first; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Deferral>,
    /// Its place in the order: lower ones go first.
    #[serde(default)]
    pub wave: i32,
}

/// A workload that would not restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Which workload.
    pub workload: ObjectName,
    /// Refused or unknown.
    pub verdict: Verdict,
    /// The rule behind it.
    pub rule: Rule,
    /// What the rule means here, in one sentence.
    pub because: String,
}

/// Judges one workload after the other: there may be thousands, and a process has other things to do in between.
#[derive(Debug)]
pub struct Simulator<'a> {
    facts: &'a SourceFacts,
    flags: &'a Flags,
    scope: &'a Scope,
    restarts: Vec<Restarted>,
    left: Vec<Left>,
}

impl<'a> Simulator<'a> {
    /// Of a change of that source.
    pub const fn new(facts: &'a SourceFacts, flags: &'a Flags, scope: &'a Scope) -> Self {
        Self {
            facts,
            flags,
            scope,
            restarts: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Judges a workload of the source's namespace that uses or lists the source. Returns whether it would restart.
    pub fn judge(&mut self, workload: &Workload) -> bool {
        let judgement = judge(workload, self.facts, self.flags, self.scope);
        let name = ObjectName::from(&workload.key);
        let restarts = judgement.verdict == Verdict::Restarts;
        if restarts {
            self.restarts.push(Restarted {
                workload: name,
                rule: judgement.rule,
                container: judgement.container.as_deref().map(str::to_owned),
                restart: next::restart(workload, self.flags.options.strategy),
                asked_for_by: judgement.asked_for_by,
                deferred: None,
                wave: workload.wave(),
            });
        } else {
            self.left.push(Left {
                workload: name,
                verdict: judgement.verdict,
                rule: judgement.rule,
                because: next::because(&judgement, self.facts, self.flags),
            });
        }
        restarts
    }

    /// The answer. `namespace` is the source's; the plan is of those that restart, in the order in which they were judged.
    pub fn finish(self, namespace: &str, planned: Planned) -> Simulation {
        let Self {
            mut restarts,
            mut left,
            ..
        } = self;
        let Planned { plan, words, waits } = planned;
        for (row, deferred) in restarts.iter_mut().zip(waits) {
            row.deferred = deferred;
        }
        restarts.sort_by(|one, other| one.workload.cmp(&other.workload));
        left.sort_by(|one, other| one.workload.cmp(&other.workload));
        let restarts_left_off = restarts.len().saturating_sub(MAX_WORKLOADS);
        let left_left_off = left.len().saturating_sub(MAX_WORKLOADS);
        restarts.truncate(MAX_WORKLOADS);
        left.truncate(MAX_WORKLOADS);
        Simulation {
            version: VERSION.to_owned(),
            source: ObjectName {
                kind: self.facts.source.kind.to_string(),
                namespace: namespace.to_owned(),
                name: self.facts.source.name.to_string(),
            },
            exists: self.facts.exists,
            restarts,
            restarts_left_off,
            left,
            left_left_off,
            order: words,
            plan: Some(plan),
        }
    }
}

/// Judges every one of these workloads, which are of the namespace and use or list the source. Of all of them the objects alone are
/// known.
pub fn simulate<'a>(
    namespace: &str,
    facts: &SourceFacts,
    workloads: impl IntoIterator<Item = &'a Workload>,
    flags: &Flags,
    scope: &Scope,
    now: Timestamp,
) -> Simulation {
    let mut simulator = Simulator::new(facts, flags, scope);
    let workloads = workloads.into_iter().filter(|workload| simulator.judge(workload));
    let actors: Vec<_> = workloads
        .map(|workload| Actor::of_object(workload, now.into()))
        .collect();
    let of_namespace = Policy::limits_of(scope.policy.as_deref()).and_then(|limits| limits.max_concurrent);
    let of_namespace = of_namespace.map(|share: Share| share.at_least_one(actors.len()));
    let scene = Scene {
        sources: vec![Concerned {
            reference: facts.source.clone(),
            changed: facts.changed(),
        }],
        restarting: actors.len(),
        actors,
        namespace: scope.policy.as_deref(),
        texts: &scope.windows,
        flags: &scope.limits,
        in_namespace: Budget {
            in_flight: 0,
            limit: of_namespace.into_iter().chain(scope.limits.per_namespace).min(),
        },
        in_all: Budget {
            in_flight: 0,
            limit: scope.limits.in_all,
        },
    };
    let mut planner = Planner::new(scene, now);
    while planner.advance(usize::MAX) {}
    simulator.finish(namespace, planner.finish(unknown_of_objects(facts)))
}
