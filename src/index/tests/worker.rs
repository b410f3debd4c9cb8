//! The worker of the oracles: what it does with what is due.

use proptest::prelude::*;

use super::*;
use crate::decide::{self, Decision, Plan};

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Answered,
    Refused,
    /// No answer, and nothing was applied.
    Lost,
    /// No answer, and it was applied.
    AppliedUnanswered,
}

pub(super) fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Answered),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Lost),
        1 => Just(Outcome::AppliedUnanswered),
    ]
}

/// The truth, as an oracle has it.
pub(super) trait ApiServer {
    /// The Deployment `web`.
    fn web(&self) -> &Workload;

    /// Takes the plan, or not; returns which.
    fn apply(&mut self, plan: &Plan) -> bool;
}

/// Writes what is due, with this outcome. Returns whether that restarted the Deployment.
pub(super) fn work(fixture: &Fixture, server: &mut impl ApiServer, outcome: Outcome) -> bool {
    let index = &fixture.index;
    let mut has_looked = false;
    for _ in 0..4 {
        let Some(pending) = index.pending(&key("web")) else {
            return false;
        };
        let plan = match decision(&pending) {
            Decision::Skip(_) if pending.is_uncertain && !std::mem::replace(&mut has_looked, true) => {
                index.read(server.web().clone(), fixture.now);
                continue;
            }
            Decision::Skip(_) => {
                settle(fixture, &pending, Settled::WithoutRestart);
                return false;
            }
            Decision::Patch(plan) => plan,
        };
        index.attempt(&key("web"), [reference("app")]);
        match outcome {
            Outcome::Refused => {
                index.refused(&key("web"), [reference("app")]);
                return false;
            }
            Outcome::Lost => return false,
            Outcome::Answered | Outcome::AppliedUnanswered => {}
        }
        let before = server.web().resource_version;
        if !server.apply(&plan) {
            index.refused(&key("web"), [reference("app")]);
            index.read(server.web().clone(), fixture.now);
            continue;
        }
        let has_restarted = server.web().resource_version != before;
        if matches!(outcome, Outcome::Answered) {
            index.written(server.web().clone(), fixture.now);
            settle(fixture, &pending, Settled::ByRestart);
        }
        return has_restarted;
    }
    false
}

pub(super) fn decision(pending: &Pending) -> Decision {
    let options = decide::Options {
        strategy: decide::Strategy::EnvVars,
        auto_reload_all: false,
        reload_suspended: false,
    };
    decide::decide(&pending.workload, &pending.owed, &options)
}

pub(super) fn settle(fixture: &Fixture, pending: &Pending, by: Settled) {
    let owed = pending.owed.iter();
    let settled = owed.map(|owed| (owed.source.key.reference(), owed.content));
    fixture.index.settle(&key("web"), settled, by, fixture.now);
}
