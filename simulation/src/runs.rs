//! Runs, each in a process of its own: tokio mixes a counter of the process into its random choices.
//!
//! Input: a plan. Output: [`RunResult`]. I/O: starts this program again.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use simulation::{
    oracle::{Excuse, Rule},
    plan::Plan,
    world::{Death, try_out},
};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// What does not hold, and where.
    pub findings: Vec<(Rule, String)>,
    /// What does not hold and need not, and why.
    pub excused: Vec<(Rule, Excuse)>,
    /// Equal for equal runs.
    pub trace: u64,
    /// How long it took, in virtual time.
    pub virtual_ms: u64,
    /// The calls of the first replica: verb and path.
    pub calls: Vec<(String, String)>,
}

impl RunResult {
    /// Plays the plan in this process.
    pub fn of(plan: &Plan, death: Option<Death>) -> Result<Self> {
        let (history, verdict) = try_out(plan, death)?;
        Ok(Self {
            findings: verdict
                .findings
                .into_iter()
                .map(|finding| (finding.rule, finding.what))
                .collect(),
            excused: verdict
                .excused
                .into_iter()
                .map(|(finding, excuse)| (finding.rule, excuse))
                .collect(),
            trace: history.trace,
            virtual_ms: u64::try_from(history.virtual_time.as_millis())?,
            calls: history
                .calls
                .into_iter()
                .map(|call| (call.verb, call.path))
                .collect(),
        })
    }

    /// Says what does not hold.
    pub fn print(&self, seed: u64) {
        if self.findings.is_empty() {
            println!("seed {seed}: everything holds");
        }
        for (rule, what) in &self.findings {
            println!("seed {seed}: {rule:?}: {what}");
        }
    }

    /// The rules that do not hold.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.findings.iter().map(|(rule, _)| *rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// A run to be played.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What happens.
    pub plan: &'a Plan,
    /// When the first replica dies in addition.
    pub death: Option<Death>,
    /// At which level replicas log to standard error.
    pub logs: Option<&'a str>,
}

impl Run<'_> {
    /// Plays it in another process.
    pub fn play(self) -> Result<RunResult> {
        let mut command = Command::new(env::current_exe()?);
        command
            .arg("--child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // An inherited one would mean another run.
        for variable in ["SEED", "SEEDS", "PLAN", "POLICIES"] {
            command.env_remove(variable);
        }
        if let Some(death) = self.death {
            command.arg(format!("--death={death}"));
        }
        if let Some(level) = self.logs {
            command.arg(format!("--logs={level}"));
        }
        let is_shown = self.logs.is_some();
        command.stderr(if is_shown {
            Stdio::inherit()
        } else {
            Stdio::piped()
        });
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(self.plan.text().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.trim().is_empty() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("the run ended with {}: {}", output.status, errors.trim());
        }
        serde_json::from_str(&text).context("the run printed something else than its result")
    }
}

/// Calls `play` with 0, 1, 2 and so on, so many beside each other, until it says that there is no more. Returns how many were
/// played.
pub fn beside_each_other(jobs: usize, play: impl Fn(u64) -> bool + Sync) -> u64 {
    let (next, played) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while play(next.fetch_add(1, Ordering::Relaxed)) {
                    played.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    played.into_inner()
}
