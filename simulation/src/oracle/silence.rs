//! A restart that keeps failing is said again and again: the API server keeps an Event for an hour.
//!
//! Input: a [`History`]. Output: [`Finding`]s. I/O: none.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Finding, History, Rule, has_changed, template_has_changed};
use crate::{plan::Act, pods, server::Commit};

/// How long no Event may be written about a restart that fails all the while: half an hour, and the pause between two
/// attempts.
const SAID_WITHIN: Duration = Duration::from_mins(32);

/// Workloads whose restart failed for longer than that without an Event, or with one whose count does not rise. Only for plans in
/// which the leader stays what it is meanwhile: another one begins to count anew.
pub(super) fn silences(history: &History) -> impl Iterator<Item = Finding> {
    let is_long = |failing: &Failing| failing.until - failing.from > SAID_WITHIN;
    let failing = failing(history).into_iter().filter(is_long);
    let what = failing.filter_map(|failing| silence(history, &failing));
    what.map(|what| Finding {
        rule: Rule::Silent,
        what,
    })
}

fn silence(
    history: &History,
    Failing {
        workload,
        from,
        until,
    }: &Failing,
) -> Option<String> {
    let is_said = |commit: &&Commit| is_about(commit, workload) && (*from..=*until).contains(&commit.at);
    let (mut before, mut said) = (*from, BTreeMap::new());
    for commit in history.commits.iter().filter(is_said) {
        let count = said.entry(&commit.caller).or_insert(0);
        *count += 1;
        if commit.after.as_ref().is_none_or(|event| event["count"] != *count) {
            return Some(format!("the count of the Event {} is not {count}", commit.name));
        }
        if commit.at - before > SAID_WITHIN {
            break;
        }
        before = commit.at;
    }
    (*until - before > SAID_WITHIN).then(|| {
        let since = before - history.start;
        format!("{workload} cannot be restarted, and no Event says so for {SAID_WITHIN:?} from {since:?} on")
    })
}

/// A workload owes a restart, and patches of its kind are forbidden.
struct Failing {
    workload: String,
    from: Instant,
    until: Instant,
}

fn failing(history: &History) -> Vec<Failing> {
    let mut failing = Vec::new();
    for (begun, act) in &history.acts {
        let Act::Forbid {
            verb,
            plural,
            at_home: false,
            for_ms,
        } = act
        else {
            continue;
        };
        let ended = *begun + Duration::from_millis(*for_ms);
        for (number, setting) in history.setting.workloads.iter().enumerate() {
            if verb != "patch" || setting.plural != *plural {
                continue;
            }
            let workload = pods::workload_name(number);
            let sources: Vec<String> = setting
                .sources
                .iter()
                .map(|source| pods::source_name(*source))
                .collect();
            // Since when a restart is owed.
            let mut owed: Option<Instant> = None;
            for commit in history.commits.iter().filter(|commit| commit.at <= ended) {
                if commit.resource == "configmaps"
                    && sources.contains(&commit.name)
                    && has_changed(commit, "data")
                {
                    owed = owed.or(Some(commit.at));
                } else if commit.name == workload && template_has_changed(commit) {
                    owed = None;
                }
            }
            failing.extend(owed.map(|since| Failing {
                workload,
                from: since.max(*begun),
                until: ended,
            }));
        }
    }
    failing
}

fn is_about(commit: &Commit, workload: &str) -> bool {
    commit.resource == "events"
        && commit.after.as_ref().is_some_and(|event| {
            event["involvedObject"]["name"] == workload && event["reason"] == "ReloadFail"
        })
}
