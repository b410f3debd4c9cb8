//! Whose turn it is: lower waves come first, and so do canaries, until they have been well for the bake time.
//!
//! Input: a restart. Output: what it should have waited for. I/O: none.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::{Commit, Excuse, ON_ITS_WAY, Rule, was_disturbed},
    CLOCKS_DIFFER, Course, Judge, annotation, is_well, seconds, wanted,
};

impl Judge<'_> {
    pub(super) fn turns(&mut self, commit: &Commit, before: &Value) {
        // What is not well goes ahead: the content may be what it needs.
        if wanted(before) == 0 || !is_well(before) {
            return;
        }
        let owed: Vec<String> = self.uses[&commit.name]
            .iter()
            .filter(|source| self.owes(&commit.name, source))
            .cloned()
            .collect();
        for source in owed {
            self.wave(commit, before, &source);
            self.canary(commit, before, &source);
        }
    }

    /// Whether the template was last changed while the source held something else.
    fn owes(&self, workload: &str, source: &str) -> bool {
        let held = self
            .workloads
            .get(workload)
            .and_then(|course| course.held.get(source));
        let known = self.sources.get(source);
        held.zip(known)
            .is_some_and(|(held, known)| *held != known.object["data"])
    }

    /// Whether it runs with what the source holds: every pod of its template has started with that.
    fn has(&self, workload: &str, source: &str) -> bool {
        self.workloads.get(workload).is_some_and(|course| {
            let held = course.held.get(source).filter(|_| !course.mixed.contains(source));
            held.is_some_and(|held| *held == self.sources[source].object["data"])
        })
    }

    /// The others that use the source and that Reloader restarted, not in the last moment.
    fn restarted<'a>(
        &'a self,
        commit: &'a Commit,
        source: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Course)> {
        let users = self.workloads.iter().filter(move |(name, _)| {
            **name != commit.name && self.uses[*name].iter().any(|used| used == source)
        });
        users.filter(|(_, course)| {
            let rolled = course.rolled.as_ref();
            rolled.is_some_and(|(by, at)| by.starts_with("reloader") && commit.at - *at >= ON_ITS_WAY)
        })
    }

    fn wave(&mut self, commit: &Commit, before: &Value, source: &str) {
        let (own, timeout) = (wave(before), self.timeout(source));
        let lower: Vec<String> = self
            .restarted(commit, source)
            .filter(|(name, course)| {
                wave(&course.object) < own && self.is_surely_in_flight(name, commit.at, timeout)
            })
            .map(|(name, _)| name.clone())
            .collect();
        if lower.is_empty() {
            return;
        }
        let what = format!(
            "{} of wave {own} is restarted at {} for {source} while {lower:?} of lower waves roll",
            commit.name, commit.revision
        );
        let excuse = self.excuse_for_more(commit, &lower, 1);
        self.find(Rule::OutOfTurn, what, excuse);
    }

    fn canary(&mut self, commit: &Commit, before: &Value, source: &str) {
        let known = &self.sources[source].object;
        let canary = annotation(known, "canary").and_then(|text| text.parse::<usize>().ok());
        let is_released = [before, known].map(|object| annotation(object, "requested-at").is_some());
        let (Some(canary), [false, false]) = (canary, is_released) else {
            return;
        };
        let bake_time = annotation(known, "bake-time")
            .and_then(seconds)
            .unwrap_or_default();
        let timeout = self.timeout(source);
        let baked = |course: &Course| course.well_for(commit.at) + CLOCKS_DIFFER >= bake_time;
        let users = self
            .workloads
            .iter()
            .filter(|(name, _)| self.uses[*name].iter().any(|used| used == source));
        let proved = users
            .filter(|(name, course)| !self.owes(name, source) && course.well_since.is_some() && baked(course))
            .count();
        let on_trial: Vec<String> = self
            .restarted(commit, source)
            .filter(|(name, course)| {
                self.has(name, source)
                    && course.was_well
                    && (self.is_surely_in_flight(name, commit.at, timeout)
                        || course.well_since.is_some() && !baked(course))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if on_trial.len() < canary.max(proved) {
            return;
        }
        let what = format!(
            "{} is restarted at {} for {source} while {on_trial:?} are on trial, {proved} are proved, and {canary} go first",
            commit.name, commit.revision
        );
        // Without its watch of sources it counts who is well with what it saw last.
        let is_blind = was_disturbed(self.history, commit).then_some(Excuse::WatchWasBroken);
        let excuse = self.excuse_for_more(commit, &on_trial, canary.max(proved));
        let excuse = excuse.or(is_blind);
        self.find(Rule::OutOfTurn, what, excuse);
    }
}

impl Course {
    fn well_for(&self, now: Instant) -> Duration {
        self.well_since.map_or(Duration::ZERO, |since| now - since)
    }
}

fn wave(object: &Value) -> i32 {
    annotation(object, "rollout-wave")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
