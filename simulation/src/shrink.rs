//! Makes a failing plan small: fewer acts, shorter faults, the same rule broken.
//!
//! Input: a plan that fails. Output: a smaller one that fails. I/O: plays plans.

use std::thread;

use simulation::{
    oracle::Rule,
    plan::{Plan, Timed},
};

use crate::runs::Run;

/// The rule that the small plan has to break; `None`: one of those that the plan breaks.
pub type Wanted = Option<Rule>;

/// Reads a flag.
pub fn rule(text: &str) -> Result<Wanted, String> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(text.into())
        .map(Some)
        .map_err(|error| error.to_string())
}

/// How many runs it may take.
const RUNS: usize = 600;

/// A smaller plan that breaks one of the rules.
pub fn shrink(plan: &Plan, rules: &[Rule], jobs: usize) -> Plan {
    let fails = |plan: &Plan| -> bool {
        let run = Run {
            plan,
            death: None,
            logs: None,
        };
        run.play()
            .is_ok_and(|result| result.rules().iter().any(|rule| rules.contains(rule)))
    };
    let (mut best, mut runs, mut parts) = (plan.clone(), 0, 2);
    while best.acts.len() > 1 && runs < RUNS {
        parts = parts.min(best.acts.len());
        let candidates: Vec<Plan> = (0..parts).map(|part| without(&best, part, parts)).collect();
        runs += candidates.len();
        match first(&candidates, jobs, &fails) {
            Some(smaller) => {
                best = smaller;
                parts = (parts - 1).max(2);
            }
            None if parts == best.acts.len() => break,
            None => parts *= 2,
        }
    }
    best
}

/// The first of the plans that fails.
fn first(plans: &[Plan], jobs: usize, fails: &(impl Fn(&Plan) -> bool + Sync)) -> Option<Plan> {
    plans.chunks(jobs.max(1)).find_map(|some| {
        let failing: Vec<bool> = thread::scope(|scope| {
            let handles: Vec<_> = some.iter().map(|plan| scope.spawn(|| fails(plan))).collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap_or_default())
                .collect()
        });
        failing.iter().position(|fails| *fails).map(|at| some[at].clone())
    })
}

/// The plan without one of its parts.
fn without(plan: &Plan, part: usize, parts: usize) -> Plan {
    let acts: Vec<Timed> = plan
        .acts
        .iter()
        .enumerate()
        .filter(|(at, _)| at * parts / plan.acts.len() != part)
        .map(|(_, timed)| timed.clone())
        .collect();
    Plan { acts, ..plan.clone() }
}
