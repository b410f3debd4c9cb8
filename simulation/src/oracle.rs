//! What must hold at the end of a run, whatever happened in it.
//!
//! Input: a [`History`]. Output: [`Finding`]s. I/O: none.
//!
//! The judge looks at what the store committed and at what pods have read, never at what a replica says of itself.

mod policies;
mod silence;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    link::{Call, DEAD},
    plan::{Act, Setting},
    pods,
    server::Commit,
};

/// More requests of all replicas than renewals, within a minute without changes, are a loop: a leader renews each 2 s, a
/// standby looks each 2 s at most.
const REQUESTS_IN_PEACE: usize = 120;

/// What happened in a run.
pub struct History {
    /// What there was.
    pub setting: Setting,
    /// When the wall clock showed a whole second: the first moment of the run.
    pub start: Instant,
    /// What happened, and when.
    pub acts: Vec<(Instant, Act)>,
    /// Every commit of the store.
    pub commits: Vec<Commit>,
    /// The revision when everything had to be in order.
    pub settled: u64,
    /// The revision a minute after all replicas were started anew, with nothing changed.
    pub restarted: u64,
    /// The pods when everything had to be in order.
    pub pods: Vec<PodsAtTheEnd>,
    /// What must never happen, and did: a panic, a loop that ended.
    pub failures: Vec<String>,
    /// When several replicas took themselves for the leader, and which.
    pub overlaps: Vec<(Instant, String)>,
    /// Requests of all replicas within a minute without changes.
    pub requests_in_peace: usize,
    /// Every call of the first replica until the last act was dealt with.
    pub calls: Vec<Call>,
    /// Equal for equal runs.
    pub trace: u64,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
}

impl History {
    /// As times in objects show it.
    fn second(&self, commit: &Commit) -> u64 {
        (commit.at - self.start).as_secs()
    }
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
    /// A restart fails for longer than half an hour, and no Event says so.
    Silent,
    /// A replica asks and asks although nothing changes.
    Busy,
    /// A panic, a loop that ended, two leaders.
    Broken,
    /// More workloads roll at a time than may.
    OverLimit,
    /// More workloads than may have tried a bad content.
    BadSpread,
    /// A workload is restarted before a lower wave or a canary has come to its end.
    OutOfTurn,
    /// A workload is restarted that is suspended, or is to rest.
    HeldBack,
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

/// Why a rule need not hold: mostly docs/limits.md says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Excuse {
    /// A restart was undone while its rollout was under way: pods that were not replaced yet keep what they have.
    UndoneUnderWay,
    /// The ledger was deleted, and every process that knew better died before it was written again.
    LedgerWasGone,
    /// A pod started while the leader could not see anything, and the source came back before another process took over.
    UnseenPod,
    /// Another client brought an earlier template back: pods may have been of it all the while, so a restart is due.
    TemplateCameBack,
    /// The replica's watches were broken or behind not long before: it acts on what it saw last, and where a list shows a
    /// template and a source, it does not know which came first.
    WatchWasBroken,
    /// The restart before was sent before the replica saw the change: its pods have it, its marker does not.
    OnItsWay,
    /// The Lease of a leader that could not learn of it was deleted: a replica that starts then knows of no leader.
    LeaseWasDeleted,
    /// Two changes in one second: times in objects do not show which came first.
    SameSecond,
    /// A leader that has lost its Lease had one patch on its way.
    PatchOfTheLastLeader,
    /// It is suspended to the end.
    Suspended,
    /// A bad content, of one of its sources or of others of their workloads, stays to the end.
    Halted,
}

/// What the judge says of a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Everything that does not hold.
    pub findings: Vec<Finding>,
    /// What does not hold either, and need not.
    pub excused: Vec<(Finding, Excuse)>,
}

/// Judges a run.
pub fn judge(history: &History) -> Verdict {
    let mut findings: Vec<Finding> = history
        .failures
        .iter()
        .map(|failure| Finding {
            rule: Rule::Broken,
            what: failure.clone(),
        })
        .collect();
    let mut excused = Vec::new();
    for (finding, excuse) in overlaps(history)
        .chain(lost(history))
        .chain(restarts(history))
        .chain(policies::judged(history))
    {
        match excuse {
            None => findings.push(finding),
            Some(excuse) => excused.push((finding, excuse)),
        }
    }
    findings.extend(silence::silences(history));
    if history.requests_in_peace > REQUESTS_IN_PEACE {
        findings.push(Finding {
            rule: Rule::Busy,
            what: format!(
                "{} requests within a minute without changes",
                history.requests_in_peace
            ),
        });
    }
    Verdict { findings, excused }
}

/// What does not hold, and why that may be.
type Judged = (Finding, Option<Excuse>);

/// How long a leader may lead whose Lease is gone: `renewDeadline`, 10 s, by a clock that is too slow by a fifth.
const LEADS_WITHOUT_LEASE: Duration = Duration::from_secs(13);

fn overlaps(history: &History) -> impl Iterator<Item = Judged> {
    history.overlaps.iter().map(|(time, leaders)| {
        let was_deleted = history
            .acts
            .iter()
            .any(|(at, act)| *act == Act::DeleteLease && *at <= *time && *time < *at + LEADS_WITHOUT_LEASE);
        let finding = Finding {
            rule: Rule::Broken,
            what: leaders.clone(),
        };
        (finding, was_deleted.then_some(Excuse::LeaseWasDeleted))
    })
}

fn lost(history: &History) -> impl Iterator<Item = Judged> {
    let has_gone = ledger_was_gone(history);
    history.pods.iter().flat_map(
        move |PodsAtTheEnd {
                  workload,
                  pods,
                  present,
              }| {
            pods.iter().enumerate().flat_map(move |(number, read)| {
                present.iter().filter_map(move |(source, content)| {
                    let has = read.get(source)?;
                    let finding = Finding {
                        rule: Rule::Lost,
                        what: format!(
                            "pod {number} of {workload} runs with {has} of {source}, which holds {content}"
                        ),
                    };
                    let excuse = if was_undone_under_way(history, workload, source, content) {
                        Some(Excuse::UndoneUnderWay)
                    } else if started_unseen(history, workload) || was_held_unseen(history, source, has) {
                        Some(Excuse::UnseenPod)
                    } else {
                        let has_gone = has_gone.then_some(Excuse::LedgerWasGone);
                        has_gone.or_else(|| policies::waits_at_the_end(history, workload))
                    };
                    (has != content).then_some((finding, excuse))
                })
            })
        },
    )
}

/// While the source held what it holds at the end, another client brought an earlier template back before the pods were
/// replaced.
fn was_undone_under_way(history: &History, workload: &str, source: &str, present: &str) -> bool {
    let rollout = Duration::from_millis(history.setting.pod_start_ms * 4 + 2000);
    let mut templates: Vec<(Value, Instant)> = Vec::new();
    let mut held = String::new();
    for commit in &history.commits {
        let Some(after) = &commit.after else { continue };
        if commit.resource == "configmaps" && commit.name == source {
            held = pods::content(after);
        }
        if commit.name != workload || !template_has_changed(commit) {
            continue;
        }
        let template = after["spec"]["template"].clone();
        let has_come_back = templates.iter().any(|(earlier, _)| *earlier == template);
        let since = templates.last().map_or(Duration::MAX, |(_, at)| commit.at - *at);
        if has_come_back && held == present && since < rollout && !is_ours(commit) {
            return true;
        }
        templates.push((template, commit.at));
    }
    false
}

/// Pods of it started by themselves, or by another client's write, while the network of a replica was broken: it may have been
/// the leader, whose ledger is all that a new process knows.
fn started_unseen(history: &History, workload: &str) -> bool {
    let is_blind = |time: Instant| {
        history.acts.iter().any(|(at, act)| match act {
            Act::Network { for_ms, .. } => *at <= time && time <= *at + Duration::from_millis(*for_ms) + DEAD,
            _ => false,
        })
    };
    history.acts.iter().any(|(at, act)| {
        let number = match act {
            Act::PodDies { workload, .. }
            | Act::Upgrade { workload, .. }
            | Act::Edit { workload }
            | Act::Scale { workload, .. } => *workload,
            _ => return false,
        };
        let name = pods::workload_name(number % history.setting.workloads.len());
        name == workload && is_blind(*at)
    })
}

/// The source held that content last, and something else again, while all watches of sources were silent: a rollout that was under
/// way has read it.
fn was_held_unseen(history: &History, source: &str, content: &str) -> bool {
    let mut held: Option<(Instant, Instant)> = None;
    let mut since = None;
    for commit in history
        .commits
        .iter()
        .filter(|commit| commit.resource == "configmaps" && commit.name == source)
    {
        let holds = commit
            .after
            .as_ref()
            .is_some_and(|after| pods::content(after) == content);
        match (holds, since) {
            (true, None) => since = Some(commit.at),
            (false, Some(from)) => {
                held = Some((from, commit.at));
                since = None;
            }
            _ => {}
        }
    }
    let Some((from, to)) = held.filter(|_| since.is_none()) else {
        return false;
    };
    history.acts.iter().any(|(at, act)| match act {
        Act::Network {
            replica: None,
            weather,
            for_ms,
        } => {
            weather.silences("/configmaps")
                && *at <= from
                && to <= *at + Duration::from_millis(*for_ms) + DEAD
        }
        _ => false,
    })
}

/// A replica has become leader at a moment when the ledger, which there was, was not there.
fn ledger_was_gone(history: &History) -> bool {
    let (mut has_been, mut is_there, mut holder) = (false, false, Value::Null);
    for commit in &history.commits {
        if is_of_ledger(commit) {
            is_there = commit.after.is_some();
            has_been |= is_there;
        }
        if commit.resource == "leases"
            && let Some(after) = &commit.after
            && after["spec"]["holderIdentity"] != holder
        {
            holder = after["spec"]["holderIdentity"].clone();
            if has_been && !is_there {
                return true;
            }
        }
    }
    false
}

/// Restarts for which there was no reason: the template had been changed since its sources were.
fn restarts(history: &History) -> Vec<Judged> {
    let mut judged = Vec::new();
    for (number, setting) in history.setting.workloads.iter().enumerate() {
        let name = pods::workload_name(number);
        let sources: Vec<String> = setting
            .sources
            .iter()
            .map(|source| pods::source_name(*source))
            .collect();
        let mut templates: Vec<Value> = Vec::new();
        let mut came_back = false;
        // The last commits that changed one of its sources, and its template.
        let (mut changed, mut rolled): (Option<&Commit>, Option<&Commit>) = (None, None);
        for commit in &history.commits {
            if commit.resource == "configmaps"
                && sources.contains(&commit.name)
                && has_changed(commit, "data")
            {
                changed = Some(commit);
                came_back = false;
            }
            if commit.name != name || !template_has_changed(commit) {
                continue;
            }
            let is_ours = is_ours(commit);
            if is_ours && commit.revision > history.settled && commit.revision <= history.restarted {
                let finding = Finding {
                    rule: Rule::LedgerIsWrong,
                    what: format!(
                        "{name} is restarted at {} although nothing has changed",
                        commit.revision
                    ),
                };
                let is_unclear =
                    rolled.is_some_and(|rolled| ledger_was_written_in_the_second_of(history, rolled));
                judged.push((finding, is_unclear.then_some(Excuse::SameSecond)));
            } else if is_ours
                && let Some(rolled) = rolled
                && changed.is_none_or(|changed| changed.revision < rolled.revision)
            {
                let finding = Finding {
                    rule: Rule::Twice,
                    what: format!(
                        "{name} is restarted at {}, but its template was changed at {} by {}, after its sources at {:?}",
                        commit.revision,
                        rolled.revision,
                        rolled.caller,
                        changed.map(|changed| changed.revision),
                    ),
                };
                let excuse = if came_back {
                    Some(Excuse::TemplateCameBack)
                } else if was_on_its_way(changed, rolled) {
                    Some(Excuse::OnItsWay)
                } else if was_disturbed(history, commit) {
                    Some(Excuse::WatchWasBroken)
                } else {
                    is_undecidable(history, changed, rolled).then_some(Excuse::SameSecond)
                };
                judged.push((finding, excuse));
            }
            rolled = Some(commit);
            let template = commit
                .after
                .as_ref()
                .map(|after| after["spec"]["template"].clone());
            came_back |= !is_ours
                && template
                    .as_ref()
                    .is_some_and(|template| templates.contains(template));
            templates.extend(template);
        }
    }
    judged
}

/// How long a watch may be behind after a fault: a list may hang for a minute, and an answer of a proxy's for 295 s.
const DISTURBED_FOR: Duration = Duration::from_mins(5);

/// Whether the watches of the replica that committed this were disturbed shortly before, or an API server's were.
fn was_disturbed(history: &History, commit: &Commit) -> bool {
    let is_own = |replica: usize| {
        commit
            .caller
            .ends_with(&(replica % history.setting.replicas).to_string())
    };
    history.acts.iter().any(|(at, act)| {
        let lasts_ms = match act {
            Act::Network { replica, for_ms, .. } if replica.is_none_or(is_own) => *for_ms,
            Act::Stop { replica, for_ms }
            | Act::Suspend { replica, for_ms }
            | Act::Slow { replica, for_ms, .. }
                if is_own(*replica) =>
            {
                *for_ms
            }
            Act::Lag { for_ms, .. } => *for_ms,
            Act::Forbid { verb, for_ms, .. } if matches!(verb.as_str(), "watch" | "list") => *for_ms,
            Act::RestartFront { .. } | Act::Compact => 0,
            _ => return false,
        };
        *at <= commit.at && commit.at < *at + Duration::from_millis(lasts_ms) + DISTURBED_FOR
    })
}

/// How long a request and an event may be under way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

fn was_on_its_way(changed: Option<&Commit>, rolled: &Commit) -> bool {
    is_ours(rolled)
        && changed.is_some_and(|changed| rolled.at.saturating_duration_since(changed.at) < ON_ITS_WAY)
}

/// The ledger has the second of its last write, and so has the template: whether the ledger knows of it is not known.
fn ledger_was_written_in_the_second_of(history: &History, rolled: &Commit) -> bool {
    let mut ledgers = history.commits.iter().filter(|commit| is_of_ledger(commit));
    ledgers.any(|ledger| history.second(ledger) == history.second(rolled))
}

/// Times in objects have whole seconds: which of two changes by others in one second came first is not known.
fn is_undecidable(history: &History, changed: Option<&Commit>, rolled: &Commit) -> bool {
    !is_ours(rolled) && changed.is_some_and(|changed| history.second(changed) == history.second(rolled))
}

/// Whether a replica wrote it.
fn is_ours(commit: &Commit) -> bool {
    commit.caller.starts_with("reloader")
}

fn is_of_ledger(commit: &Commit) -> bool {
    commit.resource == "configmaps" && commit.name.contains("ledger")
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
