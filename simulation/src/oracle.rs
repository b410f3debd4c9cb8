//! What must hold at the end of a run, whatever happened in it.
//!
//! Input: a [`History`]. Output: [`Finding`]s. I/O: none.
//!
//! The judge looks at what the store committed and at what pods have read, never at what a replica says of itself.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

use crate::{link::Call, plan::Setting, pods, server::Commit};

/// More requests of all replicas than renewals, within a minute without changes, are a loop: a leader renews each 2 s, a
/// standby looks each 2 s at most.
const REQUESTS_IN_PEACE: usize = 120;

/// What happened in a run.
pub struct History {
    /// What there was.
    pub setting: Setting,
    /// Every commit of the store.
    pub commits: Vec<Commit>,
    /// The revision when everything had to be in order.
    pub settled: u64,
    /// The revision a minute after all replicas were started anew, with nothing changed.
    pub restarted: u64,
    /// The pods when everything had to be in order.
    pub pods: Vec<PodsAtTheEnd>,
    /// What must never happen, and did: a panic, two leaders.
    pub failures: Vec<String>,
    /// Requests of all replicas within a minute without changes.
    pub requests_in_peace: usize,
    /// Every call of the first replica until the last act was dealt with.
    pub calls: Vec<Call>,
    /// Equal for equal runs.
    pub trace: u64,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
}

/// The pods of a workload.
#[derive(Clone, Debug)]
pub struct PodsAtTheEnd {
    /// Its name.
    pub workload: String,
    /// What each pod has read, by source.
    pub pods: Vec<BTreeMap<String, String>>,
    /// What its sources hold.
    pub present: BTreeMap<String, String>,
}

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Rule {
    /// A pod runs with a content that its source does not have any more.
    Lost,
    /// A workload was restarted twice for one content.
    Twice,
    /// Replicas that start anew restart workloads although nothing has changed.
    LedgerIsWrong,
    /// A replica asks and asks although nothing changes.
    Busy,
    /// A panic, a loop that ended, two leaders.
    Broken,
}

/// A rule that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Where, in words.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Everything that does not hold.
pub fn judge(history: &History) -> Vec<Finding> {
    let mut findings: Vec<Finding> = history
        .failures
        .iter()
        .map(|failure| Finding {
            rule: Rule::Broken,
            what: failure.clone(),
        })
        .collect();
    findings.extend(lost(history));
    findings.extend(restarts(history));
    if history.requests_in_peace > REQUESTS_IN_PEACE {
        findings.push(Finding {
            rule: Rule::Busy,
            what: format!(
                "{} requests within a minute without changes",
                history.requests_in_peace
            ),
        });
    }
    findings
}

fn lost(history: &History) -> impl Iterator<Item = Finding> {
    history.pods.iter().flat_map(
        |PodsAtTheEnd {
             workload,
             pods,
             present,
         }| {
            pods.iter().enumerate().flat_map(move |(number, read)| {
                present.iter().filter_map(move |(source, content)| {
                    let has = read.get(source)?;
                    (has != content).then(|| Finding {
                        rule: Rule::Lost,
                        what: format!(
                            "pod {number} of {workload} runs with {has} of {source}, which holds {content}"
                        ),
                    })
                })
            })
        },
    )
}

/// Restarts for which there was no reason: the template had been changed since its sources were.
fn restarts(history: &History) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, setting) in history.setting.workloads.iter().enumerate() {
        let name = pods::workload_name(number);
        let sources: Vec<String> = setting
            .sources
            .iter()
            .map(|source| pods::source_name(*source))
            .collect();
        // The last commits that changed one of its sources, and its template.
        let (mut changed, mut rolled): (Option<&Commit>, Option<&Commit>) = (None, None);
        for commit in &history.commits {
            if commit.plural == "configmaps" && sources.contains(&commit.name) && has_changed(commit, "data")
            {
                changed = Some(commit);
            }
            if commit.name != name || !template_has_changed(commit) {
                continue;
            }
            let is_ours = commit.caller.starts_with("reloader");
            if is_ours && commit.revision > history.settled && commit.revision <= history.restarted {
                findings.push(Finding {
                    rule: Rule::LedgerIsWrong,
                    what: format!(
                        "{name} is restarted at {} although nothing has changed",
                        commit.revision
                    ),
                });
            } else if is_ours
                && let Some(rolled) = rolled
                && changed.is_none_or(|changed| changed.revision < rolled.revision)
                && !is_undecidable(changed, rolled)
            {
                findings.push(Finding {
                    rule: Rule::Twice,
                    what: format!(
                        "{name} is restarted at {}, but its template was changed at {} by {}, after its sources at {:?}",
                        commit.revision,
                        rolled.revision,
                        rolled.caller,
                        changed.map(|changed| changed.revision),
                    ),
                });
            }
            rolled = Some(commit);
        }
    }
    findings
}

/// Times in objects have whole seconds: which of two changes by others in one second came first is not known.
fn is_undecidable(changed: Option<&Commit>, rolled: &Commit) -> bool {
    let second = |commit: &Commit| commit.wall.as_second();
    !rolled.caller.starts_with("reloader") && changed.is_some_and(|changed| second(changed) == second(rolled))
}

fn has_changed(commit: &Commit, field: &str) -> bool {
    let of = |object: &Option<std::sync::Arc<Value>>| object.as_ref().map(|object| object[field].clone());
    of(&commit.before) != of(&commit.after)
}

fn template_has_changed(commit: &Commit) -> bool {
    let of = |object: &Option<std::sync::Arc<Value>>| {
        object
            .as_ref()
            .map(|object| object.pointer("/spec/template").cloned().unwrap_or_default())
    };
    of(&commit.before) != of(&commit.after) && commit.after.is_some()
}
