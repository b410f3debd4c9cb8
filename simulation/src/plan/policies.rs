//! Policies: what users say about when restarts may happen, and what makes that matter.
//!
//! Input: a plan. Output: the plan with policies. I/O: none.
//!
//! They are drawn from a stream of their own: the rest of a plan is the same with them and without.

use std::collections::BTreeMap;

use super::{Act, BAD, Plan, Policies, Setting, Timed, Whose, WorkloadSetting, random::usize_within};
use crate::draws::Draws;

/// Until when policies change, and contents for them, in milliseconds.
const DURATION: u64 = 60_000;

/// Adds policies.
pub(super) fn add(plan: &mut Plan) {
    let draws = Draws::new(plan.seed).of("policies", 0);
    let mut draw = draws.of("setting", 0);
    // Limits mean little among few.
    for number in 0..draw.within(0..5) {
        let workload = another(&plan.setting, &mut draws.of("workload", number));
        plan.setting.workloads.push(workload);
    }
    let sources = 0..plan.setting.sources as u64;
    let workloads = 0..plan.setting.workloads.len() as u64;
    plan.setting.policies = Some(Policies {
        sources: sources
            .map(|number| of_source(&mut draws.of("source", number)))
            .collect(),
        workloads: workloads
            .map(|number| of_workload(&mut draws.of("of workload", number)))
            .collect(),
        flags: flags(&mut draw),
        deadline_s: *draw.one(&[30, 60]),
    });
    for number in 0..draw.within(1..4) {
        let mut draws = draws.of("episode", number);
        let begins = draws.within(0..DURATION);
        plan.acts.extend(episode(&plan.setting, begins, &mut draws));
    }
    plan.acts.sort_by_key(|timed| timed.at_ms);
}

fn another(setting: &Setting, draws: &mut Draws) -> WorkloadSetting {
    let plural = *draws.one(&["deployments", "deployments", "statefulsets", "daemonsets"]);
    let mut sources = vec![0];
    if setting.sources > 1 && draws.permille(400) {
        sources.push(1);
    }
    WorkloadSetting {
        plural: plural.to_owned(),
        sources,
        auto: draws.permille(400),
        replicas: usize_within(draws, 1..3),
    }
}

/// Annotations by their keys, without the prefix.
type Annotations = BTreeMap<String, String>;

fn note(annotations: &mut Annotations, key: &str, value: impl std::fmt::Display) {
    annotations.insert(key.to_owned(), value.to_string());
}

fn of_source(draws: &mut Draws) -> Annotations {
    let mut annotations = Annotations::new();
    if draws.permille(600) {
        note(&mut annotations, "max-concurrent-rollouts", draws.within(1..4));
    }
    if draws.permille(500) {
        note(&mut annotations, "canary", draws.within(1..3));
    }
    if draws.permille(400) {
        let seconds = draws.within(0..21);
        note(&mut annotations, "bake-time", format!("{seconds}s"));
    }
    if draws.permille(300) {
        note(&mut annotations, "max-failures", draws.within(0..2));
    }
    // Those that have no deadline of their own are given up by it.
    let timeout = *draws.one(&["30s", "60s", "2m"]);
    note(&mut annotations, "rollout-timeout", timeout);
    annotations
}

fn of_workload(draws: &mut Draws) -> Annotations {
    let mut annotations = Annotations::new();
    if draws.permille(300) {
        let wave = i64::try_from(draws.within(0..4)).unwrap_or_default() - 1;
        note(&mut annotations, "rollout-wave", wave);
    }
    if draws.permille(200) {
        let seconds = draws.within(5..21);
        note(&mut annotations, "min-restart-interval", format!("{seconds}s"));
    }
    annotations
}

fn flags(draws: &mut Draws) -> Vec<String> {
    let mut flags = Vec::new();
    for flag in ["max-concurrent-rollouts", "max-concurrent-rollouts-per-namespace"] {
        if draws.permille(250) {
            flags.push(format!("--{flag}={}", draws.within(1..4)));
        }
    }
    flags
}

fn episode(setting: &Setting, begins: u64, draws: &mut Draws) -> Vec<Timed> {
    let source = usize_within(draws, 0..setting.sources as u64);
    let workload = usize_within(draws, 0..setting.workloads.len() as u64);
    let whose = if draws.permille(500) {
        Whose::Source(source)
    } else {
        Whose::Workload(workload)
    };
    let mut at_ms = begins;
    let mut acts = Vec::new();
    let mut then = |after_ms: u64, act| {
        at_ms += after_ms;
        acts.push(Timed { at_ms, act });
    };
    let content = draws.within(0..3);
    match draws.within(0..5) {
        0 => {
            then(0, Act::Write { source, content });
            then(draws.skewed(30_000), Act::Write { source, content: BAD });
            if draws.permille(300) {
                then(
                    draws.within(1..30_000),
                    Act::KillLeader {
                        down_ms: draws.skewed(20_000),
                    },
                );
            }
            if draws.permille(200) {
                then(draws.skewed(60_000), Act::Release { whose });
            }
            if draws.permille(800) {
                let content = if draws.permille(500) {
                    content
                } else {
                    draws.within(0..3)
                };
                then(draws.within(1..90_000), Act::Write { source, content });
            }
        }
        1 => {
            then(0, Act::Hold { whose });
            for _ in 0..draws.within(1..4) {
                let content = draws.within(0..3);
                then(draws.skewed(15_000), Act::Write { source, content });
            }
            if draws.permille(300) {
                then(
                    draws.skewed(15_000),
                    Act::KillLeader {
                        down_ms: draws.skewed(20_000),
                    },
                );
            }
            then(draws.skewed(60_000), Act::Unhold { whose });
        }
        2 => {
            then(0, Act::Write { source, content });
            then(draws.skewed(30_000), Act::Release { whose });
        }
        3 => {
            then(0, Act::Write { source, content });
            then(
                draws.within(1..30_000),
                Act::KillLeader {
                    down_ms: draws.skewed(20_000),
                },
            );
        }
        _ => {
            for _ in 0..draws.within(4..9) {
                let content = draws.within(0..3);
                then(draws.within(500..5000), Act::Write { source, content });
            }
        }
    }
    acts
}
