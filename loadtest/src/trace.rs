//! What happened, as the audit log tells it. Input: audit entries; output: latencies and counts. I/O: none.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use testbed::{Entry, Stage};

/// Who changes the sources.
pub const TESTER: &str = "testbed:admin";

/// The entries of one moment.
pub struct Trace {
    entries: Vec<Arc<Entry>>,
}

/// A change of a source and the time until the PATCH that answered it arrived.
pub struct Answer {
    /// Milliseconds from the end of the source's write to the arrival of the PATCH; `None`: it never came.
    pub after: Option<f64>,
}

impl Trace {
    /// Those after `since` only: their requests arrived later.
    pub fn new(mut entries: Vec<Arc<Entry>>, since: Timestamp) -> Self {
        entries.retain(|entry| entry.request_received >= since && entry.stage == Stage::ResponseComplete);
        Self { entries }
    }

    /// Successful changes of ConfigMaps in a namespace by the tester, in the order of their arrival.
    pub fn changes(&self, namespace: &str) -> Vec<&Entry> {
        self.writes(TESTER, namespace, "configmaps")
    }

    /// Successful PATCHes of Deployments in a namespace by a user, in the order of their arrival.
    pub fn patches(&self, user: &str, namespace: &str) -> Vec<&Entry> {
        self.writes(user, namespace, "deployments")
    }

    fn writes(&self, user: &str, namespace: &str, resource: &str) -> Vec<&Entry> {
        let wanted = |entry: &&Entry| {
            entry.user == user
                && entry.resource == resource
                && entry.namespace == namespace
                && entry.verb == "patch"
                && entry.succeeded()
        };
        let mut writes: Vec<&Entry> = self.entries.iter().map(AsRef::as_ref).filter(wanted).collect();
        writes.sort_by_key(|entry| entry.request_received);
        writes
    }

    /// For each change the PATCH of the Deployment of the same name that answered it: the first that arrived later.
    pub fn answers(&self, user: &str, namespace: &str) -> Vec<Answer> {
        let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for patch in self.patches(user, namespace) {
            by_name.entry(&patch.name).or_default().push(patch);
        }
        let answer = |change: &Entry| {
            let patches = by_name.get(change.name.as_str())?;
            let first = patches.partition_point(|patch| patch.request_received < change.request_received);
            Some(milliseconds(
                change.stage_timestamp,
                patches.get(first)?.request_received,
            ))
        };
        self.changes(namespace)
            .into_iter()
            .map(|change| Answer {
                after: answer(change),
            })
            .collect()
    }

    /// Requests of a user, whatever their outcome, by "verb resource". Renewals of the lease and requests that are no
    /// part of a reload (the watches, once a few minutes each) count like all others; not the question whether a group of
    /// the API is served, which is about no object.
    pub fn requests(&self, user: &str) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        let is_discovery = |entry: &Entry| entry.full_resource().starts_with('/');
        let of_user = self.entries.iter().filter(|entry| entry.user == user);
        for entry in of_user.filter(|entry| !is_discovery(entry)) {
            *counts
                .entry(format!("{} {}", entry.verb, entry.full_resource()))
                .or_default() += 1;
        }
        counts
    }
}

/// Milliseconds from one moment to a later one; 0 if it was not later: a watch event can overtake the answer to the
/// write that caused it.
pub fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.duration_since(from).as_secs_f64() * 1000.0).max(0.0)
}

/// The times of those that were answered.
pub fn answered(answers: &[Answer]) -> Vec<f64> {
    answers.iter().filter_map(|answer| answer.after).collect()
}
