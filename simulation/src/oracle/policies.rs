//! What policies ask for: no limit exceeded, no content spread that is bad, nothing restarted that is held back.
//!
//! Input: a [`History`]. Output: [`Finding`]s. I/O: none.
//!
//! The truth is what was committed: a workload rolls while its stored status says so, whatever a replica has seen of it.

mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    Excuse, Finding, History, Judged, ON_ITS_WAY, Rule, has_changed, is_ours, template_has_changed,
    was_disturbed,
};
use crate::{plan::BAD, pods, server::Commit};

/// Times in objects have whole seconds, and clocks of replicas are a little apart.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);
/// A rollout that has begun so recently was begun by a process that still knows of it.
const RECENT: Duration = Duration::from_secs(20);
/// How long a rollout may be without progress where nothing else is said.
const ROLLOUT_TIMEOUT: Duration = Duration::from_mins(10);

/// What is known of a source.
#[derive(Default)]
struct Known {
    object: Value,
    /// Since when its content is bad.
    bad_since: Option<Instant>,
    /// Those that were well, and were restarted for it.
    tried: BTreeSet<String>,
}

/// What is known of a workload.
struct Course {
    object: Arc<Value>,
    /// Who changed its template last, and when.
    rolled: Option<(String, Instant)>,
    /// What its sources held then.
    held: BTreeMap<String, Value>,
    /// Those of them that held something else while pods of it may have started.
    mixed: BTreeSet<String>,
    /// When Reloader restarted it last.
    restarted: Option<Instant>,
    /// Whether it was well before that.
    was_well: bool,
    /// Since when it is well with its present template.
    well_since: Option<Instant>,
    progressed: Instant,
}

/// The state of the cluster, one commit after the other.
struct Judge<'a> {
    history: &'a History,
    sources: BTreeMap<String, Known>,
    workloads: BTreeMap<String, Course>,
    /// Which workload uses which sources.
    uses: BTreeMap<String, Vec<String>>,
    /// Who holds the Lease, and since when.
    holder: (Value, Instant),
    judged: Vec<Judged>,
}

/// What policies do not allow, and happened.
pub(super) fn judged(history: &History) -> Vec<Judged> {
    if history.setting.policies.is_none() {
        return Vec::new();
    }
    let workloads = history.setting.workloads.iter().enumerate();
    let uses = workloads.map(|(number, setting)| {
        let sources = setting.sources.iter().map(|source| pods::source_name(*source));
        (pods::workload_name(number), sources.collect())
    });
    let mut judge = Judge {
        history,
        sources: BTreeMap::new(),
        workloads: BTreeMap::new(),
        uses: uses.collect(),
        holder: (Value::Null, history.start),
        judged: Vec::new(),
    };
    for commit in &history.commits {
        judge.look_at(commit);
    }
    judge.judged
}

impl Judge<'_> {
    fn look_at(&mut self, commit: &Commit) {
        if commit.resource == "leases"
            && let Some(after) = &commit.after
            && after["spec"]["holderIdentity"] != self.holder.0
        {
            self.holder = (after["spec"]["holderIdentity"].clone(), commit.at);
        }
        if commit.resource == "configmaps" {
            self.source(commit);
        }
        if self.uses.contains_key(&commit.name) {
            self.workload(commit);
        }
    }

    fn source(&mut self, commit: &Commit) {
        let Some(after) = &commit.after else {
            self.sources.remove(&commit.name);
            return;
        };
        let known = self.sources.entry(commit.name.clone()).or_default();
        known.object = (**after).clone();
        if has_changed(commit, "data") {
            let is_bad = after["data"]["key"].as_str() == Some(&*BAD.to_string());
            known.bad_since = is_bad.then_some(commit.at);
            known.tried.clear();
            let users = self.workloads.iter_mut();
            for (_, course) in users.filter(|(name, _)| self.uses[*name].contains(&commit.name)) {
                course.may_read(&commit.name, &known.object["data"]);
            }
        }
    }

    fn workload(&mut self, commit: &Commit) {
        let Some(after) = &commit.after else {
            self.workloads.remove(&commit.name);
            self.no_more_tried(&commit.name);
            return;
        };
        let is_restart = commit.before.is_some() && is_ours(commit) && template_has_changed(commit);
        if is_restart {
            self.restart(commit);
        } else if template_has_changed(commit) || wanted(after) == 0 {
            self.no_more_tried(&commit.name);
        }
        let course = self
            .workloads
            .entry(commit.name.clone())
            .or_insert_with(|| Course {
                object: Arc::clone(after),
                rolled: None,
                held: BTreeMap::new(),
                mixed: BTreeSet::new(),
                restarted: None,
                was_well: true,
                well_since: None,
                progressed: commit.at,
            });
        if course.object["status"] != after["status"]
            || course.object["metadata"]["generation"] != after["metadata"]["generation"]
        {
            course.progressed = commit.at;
        }
        if is_restart {
            course.restarted = Some(commit.at);
            course.was_well = is_well(&course.object);
        }
        course.object = Arc::clone(after);
        let is_well = wanted(after) > 0 && is_well(after);
        course.well_since = course
            .well_since
            .filter(|_| is_well && !template_has_changed(commit));
        course.well_since = course.well_since.or_else(|| is_well.then_some(commit.at));
        if template_has_changed(commit) {
            course.rolled = Some((commit.caller.clone(), commit.at));
            let sources = self.uses.get(&commit.name).into_iter().flatten();
            course.held = sources
                .filter_map(|name| Some((name.clone(), self.sources.get(name)?.object["data"].clone())))
                .collect();
            course.mixed.clear();
        }
        for name in self.uses.get(&commit.name).into_iter().flatten() {
            if let Some(known) = self.sources.get(name) {
                course.may_read(name, &known.object["data"]);
            }
        }
    }

    fn no_more_tried(&mut self, workload: &str) {
        for known in self.sources.values_mut() {
            known.tried.remove(workload);
        }
    }

    fn find(&mut self, rule: Rule, what: String, excuse: Option<Excuse>) {
        self.judged.push((Finding { rule, what }, excuse));
    }

    /// Reloader restarts a workload.
    fn restart(&mut self, commit: &Commit) {
        let Some(before) = commit.before.clone() else {
            return;
        };
        self.held_back(commit, &before);
        self.limits(commit);
        self.canaries(commit, &before);
        self.turns(commit, &before);
    }

    fn held_back(&mut self, commit: &Commit, before: &Value) {
        let name = &commit.name;
        let disturbed = was_disturbed(self.history, commit).then_some(Excuse::WatchWasBroken);
        let course = self.workloads.get(name);
        let owed = self.uses[name].iter().find(|source| {
            let held = course.and_then(|course| course.held.get(*source));
            self.sources.get(*source).is_some_and(|known| {
                annotation(&known.object, "suspend").is_some()
                    && held.is_some_and(|held| *held != known.object["data"])
            })
        });
        if annotation(before, "suspend").is_some() {
            let what = format!("{name} is restarted at {}, and is suspended", commit.revision);
            self.find(Rule::HeldBack, what, disturbed);
        } else if let Some(source) = owed {
            let what = format!(
                "{name} is restarted at {}, and {source} is suspended",
                commit.revision
            );
            // A patch may be on its way when the annotation comes.
            let is_late = self.history.commits.iter().any(|other| {
                other.name == *source && other.revision < commit.revision && commit.at - other.at < ON_ITS_WAY
            });
            self.find(
                Rule::HeldBack,
                what,
                is_late.then_some(Excuse::OnItsWay).or(disturbed),
            );
        }
        let interval = annotation(before, "min-restart-interval").and_then(seconds);
        let rested = course_rested(self.workloads.get(name), commit.at);
        if let (Some(interval), Some(rested)) = (interval, rested)
            && rested + CLOCKS_DIFFER < interval
            && !self.is_released(name, before)
        {
            let what = format!(
                "{name} is restarted at {}, {rested:?} after its last restart, and is to rest for {interval:?}",
                commit.revision
            );
            self.find(Rule::HeldBack, what, disturbed);
        }
    }

    /// Whether a user has released anything of it.
    fn is_released(&self, workload: &str, object: &Value) -> bool {
        let mut sources = self.uses[workload]
            .iter()
            .filter_map(|name| self.sources.get(name));
        annotation(object, "requested-at").is_some()
            || sources.any(|known| annotation(&known.object, "requested-at").is_some())
    }

    fn limits(&mut self, commit: &Commit) {
        let name = &commit.name;
        let mut limits: Vec<(String, usize, Vec<String>, Duration)> = Vec::new();
        for source in &self.uses[name] {
            let known = self.sources.get(source);
            let limit = known.and_then(|known| annotation(&known.object, "max-concurrent-rollouts"));
            if let Some(limit) = limit.and_then(|limit| limit.parse().ok()) {
                let users = self.uses.iter().filter(|(_, sources)| sources.contains(source));
                let users = users.map(|(name, _)| name.clone()).collect();
                limits.push((source.clone(), limit, users, self.timeout(source)));
            }
        }
        let policies = self.history.setting.policies.iter();
        for flag in policies.flat_map(|policies| &policies.flags) {
            if let Some((flag, limit)) = flag.split_once('=')
                && let Ok(limit) = limit.parse()
            {
                // What a source says of how long its rollouts may take is not asked by others.
                let users = self.uses.keys().cloned().collect();
                limits.push((flag.to_owned(), limit, users, ROLLOUT_TIMEOUT));
            }
        }
        for (scope, limit, users, timeout) in limits {
            // It holds its place already.
            if self.is_in_flight(name, commit.at, timeout + CLOCKS_DIFFER) {
                continue;
            }
            let others: Vec<String> = users
                .into_iter()
                .filter(|other| other != name && self.is_surely_in_flight(other, commit.at, timeout))
                .filter(|other| {
                    self.rolled(other)
                        .is_some_and(|(by, _)| by.starts_with("reloader"))
                })
                .collect();
            if others.len() < limit {
                continue;
            }
            let what = format!(
                "{name} is restarted at {} while {others:?} roll, and {scope} allows {limit}",
                commit.revision
            );
            let excuse = self.excuse_for_more(commit, &others, limit);
            self.find(Rule::OverLimit, what, excuse);
        }
    }

    /// Why there may be one more.
    fn excuse_for_more(&self, commit: &Commit, others: &[String], limit: usize) -> Option<Excuse> {
        let leads = |caller: &str| {
            self.holder
                .0
                .as_str()
                .is_some_and(|holder| holder.contains(caller))
        };
        if !leads(&commit.caller) {
            return Some(Excuse::PatchOfTheLastLeader);
        }
        let of_this = |other: &&String| {
            self.rolled(other)
                .is_some_and(|(by, at)| *by == commit.caller || *at < self.holder.1)
        };
        if others.iter().filter(of_this).count() < limit {
            return Some(Excuse::PatchOfTheLastLeader);
        }
        // What a process has begun itself a moment ago, it knows whatever it sees.
        let is_known = |other: &&String| {
            self.rolled(other).is_some_and(|(by, at)| {
                *by == commit.caller && *at >= self.holder.1 && commit.at - *at < RECENT
            })
        };
        let is_blind = was_disturbed(self.history, commit);
        (is_blind && others.iter().filter(is_known).count() < limit).then_some(Excuse::WatchWasBroken)
    }

    fn canaries(&mut self, commit: &Commit, before: &Value) {
        let name = &commit.name;
        if wanted(before) == 0 || !is_well(before) {
            return;
        }
        let mut found = Vec::new();
        for source in self.uses[name].clone() {
            let Some(known) = self.sources.get_mut(&source) else {
                continue;
            };
            let Some(since) = known.bad_since else { continue };
            let number = |key| annotation(&known.object, key).and_then(|text| text.parse::<usize>().ok());
            let Some(canary) = number("canary") else { continue };
            let allowed = canary + number("max-failures").unwrap_or_default();
            if commit.at - since < ON_ITS_WAY {
                continue;
            }
            let is_released = annotation(before, "requested-at").is_some()
                || annotation(&known.object, "requested-at").is_some();
            if !is_released && known.tried.len() >= allowed && !known.tried.contains(name) {
                let what = format!(
                    "{name} is restarted at {} for the bad content of {source}, which {:?} have; {allowed} may",
                    commit.revision, known.tried
                );
                found.push((what, known.tried.iter().cloned().collect::<Vec<_>>(), allowed));
            }
            known.tried.insert(name.clone());
        }
        for (what, tried, allowed) in found {
            let excuse = self.excuse_for_more(commit, &tried, allowed);
            self.find(Rule::BadSpread, what, excuse);
        }
    }

    fn rolled(&self, workload: &str) -> Option<&(String, Instant)> {
        self.workloads.get(workload)?.rolled.as_ref()
    }

    /// How long a rollout for the source may be without progress.
    fn timeout(&self, source: &str) -> Duration {
        let known = self.sources.get(source);
        let timeout = known.and_then(|known| annotation(&known.object, "rollout-timeout"));
        timeout.and_then(seconds).unwrap_or(ROLLOUT_TIMEOUT)
    }

    /// Whether the pods of the workload are being replaced, and have not been without progress for so long.
    fn is_in_flight(&self, workload: &str, now: Instant, timeout: Duration) -> bool {
        let course = self.workloads.get(workload);
        course.is_some_and(|course| is_rolling(&course.object) && now - course.progressed < timeout)
    }

    /// The same, by every clock.
    fn is_surely_in_flight(&self, workload: &str, now: Instant, timeout: Duration) -> bool {
        self.is_in_flight(workload, now, timeout.saturating_sub(CLOCKS_DIFFER))
    }
}

impl Course {
    /// The source holds that: a pod that starts now reads it.
    fn may_read(&mut self, source: &str, data: &Value) {
        if !is_well(&self.object) && self.held.get(source) != Some(data) {
            self.mixed.insert(source.to_owned());
        }
    }
}

fn course_rested(course: Option<&Course>, now: Instant) -> Option<Duration> {
    Some(now - course?.restarted?)
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][format!("reloader.stakater.com/{key}")].as_str()
}

/// `20s` and `2m`.
fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = number.parse().ok()?;
    match unit {
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

fn count(object: &Value, pointer: &str) -> u64 {
    object
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn wanted(object: &Value) -> u64 {
    match object["kind"].as_str() {
        Some("DaemonSet") => count(object, "/status/desiredNumberScheduled"),
        _ => count(object, "/spec/replicas"),
    }
}

/// The reason of the condition of a Deployment.
fn progressing(object: &Value) -> Option<&str> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == "Progressing")?["reason"].as_str()
}

fn is_rolling(object: &Value) -> bool {
    if count(object, "/metadata/generation") > count(object, "/status/observedGeneration") {
        return true;
    }
    let is_outdated = match object["kind"].as_str() {
        Some("DaemonSet") => {
            count(object, "/status/desiredNumberScheduled") > count(object, "/status/updatedNumberScheduled")
        }
        _ => count(object, "/status/replicas") > count(object, "/status/updatedReplicas"),
    };
    match progressing(object) {
        Some("ProgressDeadlineExceeded") => false,
        Some("NewReplicaSetAvailable") | None => is_outdated,
        Some(_) => true,
    }
}

/// Nothing is wrong with its pods.
fn is_well(object: &Value) -> bool {
    let available = match object["kind"].as_str() {
        Some("DaemonSet") => count(object, "/status/numberAvailable"),
        _ => count(object, "/status/availableReplicas"),
    };
    !is_rolling(object)
        && progressing(object) != Some("ProgressDeadlineExceeded")
        && available >= wanted(object)
}

/// Why a workload need not have the present content at the end.
pub(super) fn waits_at_the_end(history: &History, workload: &str) -> Option<Excuse> {
    history.setting.policies.as_ref()?;
    let last = |name: &str| {
        let mut commits = history.commits.iter().rev();
        commits
            .find(|commit| {
                commit.name == name
                    && matches!(
                        commit.resource,
                        "configmaps" | "deployments" | "statefulsets" | "daemonsets"
                    )
            })?
            .after
            .clone()
    };
    let settings = &history.setting.workloads;
    let number = (0..settings.len()).find(|number| pods::workload_name(*number) == workload)?;
    let is_suspended = |name: &str| last(name).is_some_and(|object| annotation(&object, "suspend").is_some());
    let mut sources = settings[number]
        .sources
        .iter()
        .map(|source| pods::source_name(*source));
    if is_suspended(workload) || sources.any(|name| is_suspended(&name)) {
        return Some(Excuse::Suspended);
    }
    // Whom a bad content makes fail holds back others, for each of its sources.
    let mut reached: BTreeSet<usize> = (0..history.setting.sources)
        .filter(|source| {
            last(&pods::source_name(*source))
                .is_some_and(|object| object["data"]["key"].as_str() == Some(&*BAD.to_string()))
        })
        .collect();
    for _ in settings {
        for setting in settings {
            if setting.sources.iter().any(|source| reached.contains(source)) {
                reached.extend(&setting.sources);
            }
        }
    }
    let mut sources = settings[number].sources.iter();
    sources
        .any(|source| reached.contains(source))
        .then_some(Excuse::Halted)
}
