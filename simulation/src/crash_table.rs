//! A death at every call: before it is sent, after it is committed, after its answer.
//!
//! Input: a fixed plan. Output: a table of the kinds of calls. I/O: plays plans.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};
use simulation::{link::Phase, plan::Plan, world::Death};

use crate::runs::{Run, RunResult, beside_each_other};

const PHASES: [Phase; 3] = [Phase::BeforeSending, Phase::AfterCommit, Phase::AfterAnswer];
/// A small cluster in which the first replica becomes the leader.
const PLAN: &str = include_str!("../plans/crash-table.json");

/// Prints the table; whether every death is survived.
pub fn print(jobs: usize) -> Result<bool> {
    let plan = Plan::parse(PLAN)?;
    let alive = Run {
        plan: &plan,
        death: None,
        logs: None,
    };
    let RunResult { calls, findings, .. } = alive.play()?;
    if let Some((rule, what)) = findings.first() {
        bail!("without a death the plan fails already: {rule:?}: {what}");
    }
    if !calls
        .iter()
        .any(|(verb, path)| verb == "PATCH" && path.contains("/deployments/"))
    {
        bail!(
            "the first replica of the plan restarts nothing; choose another seed in plans/crash-table.json"
        );
    }
    let deaths: Vec<Death> = (0..calls.len())
        .flat_map(|call| PHASES.map(|phase| Death { call, phase }))
        .collect();
    let results = play(&plan, &deaths, jobs)?;
    let mut table: BTreeMap<String, [(usize, usize); 3]> = BTreeMap::new();
    let mut all_hold = true;
    for (death, result) in deaths.iter().zip(&results) {
        let (verb, path) = &calls[death.call];
        let column = PHASES
            .iter()
            .position(|phase| *phase == death.phase)
            .unwrap_or_default();
        let cell = &mut table.entry(format!("{verb} {}", kind_of_path(path))).or_default()[column];
        cell.0 += 1;
        for (rule, what) in &result.findings {
            println!(
                "call {} ({verb} {path}), {:?}: {rule:?}: {what}",
                death.call, death.phase
            );
        }
        if !result.findings.is_empty() {
            cell.1 += 1;
            all_hold = false;
        }
    }
    println!(
        "{:<58} {:>14} {:>14} {:>14}",
        "killed at a call (failed/all)", "before sending", "after commit", "after answer"
    );
    for (call, cells) in &table {
        let cell = |(all, failed): (usize, usize)| format!("{failed}/{all}");
        let [before, commit, answer] = cells.map(cell);
        println!("{call:<58} {before:>14} {commit:>14} {answer:>14}");
    }
    println!("crash table: {} calls, {} deaths", calls.len(), deaths.len());
    Ok(all_hold)
}

fn play(plan: &Plan, deaths: &[Death], jobs: usize) -> Result<Vec<RunResult>> {
    let results = Mutex::new(BTreeMap::new());
    beside_each_other(jobs, |number| {
        let Some(death) = usize::try_from(number).ok().and_then(|at| deaths.get(at)) else {
            return false;
        };
        let run = Run {
            plan,
            death: Some(*death),
            logs: None,
        };
        let result = run.play();
        results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, result);
        true
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

/// The path without names.
fn kind_of_path(path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let below = if parts.first() == Some(&"api") { 2 } else { 3 };
    let (group, rest) = parts.split_at(below.min(parts.len()));
    let rest = match rest {
        ["namespaces", _, plural] => vec![*plural],
        ["namespaces", _, plural, _] => vec![*plural, "NAME"],
        ["namespaces", _, plural, _, below] => vec![*plural, "NAME", *below],
        rest => rest.to_vec(),
    };
    [group, &rest].concat().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_names() {
        for (path, expected) in [
            ("/api/v1/namespaces/team/configmaps/a", "api/v1/configmaps/NAME"),
            ("/apis/apps/v1/deployments", "apis/apps/v1/deployments"),
            (
                "/apis/apps/v1/namespaces/team/deployments/web/status",
                "apis/apps/v1/deployments/NAME/status",
            ),
        ] {
            assert_eq!(kind_of_path(path), expected);
        }
    }
}
