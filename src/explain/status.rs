//! The answer about the whole controller, as JSON.
//!
//! Input: none. Output: plain values. I/O: none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    deferral::Deferral,
    names::{ObjectName, SourceName},
};

/// The replica that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Its identity in the Lease, without the part that makes it unique: the pod's name.
    pub name: String,
    /// Whether it leads. Only the leader knows attempts, errors and times of retries.
    pub leads: bool,
    /// Its version.
    pub version: String,
}

/// How one replica is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`super::VERSION`].
    pub version: String,
    /// The replica that answered. The others are asked by themselves.
    pub replica: Replica,
    /// The Lease that says who leads, as `NAMESPACE/NAME`; absent without `--enable-ha`: the one replica leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// `holderIdentity` of the Lease as this replica saw it last; absent: no replica holds it, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Since when it has led; absent where it does not lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads_since: Option<Timestamp>,
    /// When the process started.
    pub started: Timestamp,
    /// Whether it is ready: what `/ready` answers.
    pub ready: bool,
    /// Why not, one sentence each.
    pub not_ready_because: Vec<String>,
    /// Each kind that it watches.
    pub watched: Vec<Watched>,
    /// The workloads that owe a restart, the oldest first.
    pub owed: OwedPage,
    /// Counts.
    pub totals: Totals,
    /// What else matters: the scope, flags.
    pub notes: Vec<String>,
}

/// One watch of the replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// The plural resource name, and the namespace where there is one watch for each: `deployments`, `deployments-shop`.
    pub resource: String,
    /// Whether a complete list was read and the watch is up, or the kind is not installed.
    pub synced: bool,
    /// What is wrong with it, or that the kind is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Some of the workloads that owe a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedPage {
    /// One row a workload, the oldest debt first.
    pub rows: Vec<OwedRow>,
    /// How many workloads owe a restart in all.
    pub total: usize,
    /// The `offset` of the next page; absent: this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<usize>,
}

/// A workload that owes a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedRow {
    /// Which workload.
    pub workload: ObjectName,
    /// For which sources.
    pub sources: Vec<SourceName>,
    /// When the first change was seen that is not settled.
    pub since: Timestamp,
    /// Attempts that have failed since the last success; absent: only the leader knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the leader looks at it next; absent: at once, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// What it waits for on purpose; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Deferral>,
}

impl OwedRow {
    /// Whether an attempt has failed.
    pub fn is_failing(&self) -> bool {
        self.attempts.is_some_and(|attempts| attempts > 0)
    }

    /// When it may be restarted, as far as that is known.
    pub fn next_look(&self) -> Option<Timestamp> {
        match &self.deferred {
            Some(deferred) => deferred.until,
            None => self.next_try,
        }
    }
}

/// The restarts that a replica wrote last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartsAnswer {
    /// [`super::VERSION`].
    pub version: String,
    /// The replica that answered.
    pub replica: Replica,
    /// The last ones that it wrote since it started, the latest first. Only a leader writes any.
    pub restarts: Vec<Restart>,
}

/// A restart that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Which workload.
    pub workload: ObjectName,
    /// For which sources.
    pub sources: Vec<SourceName>,
    /// When.
    pub at: Timestamp,
    /// How long after the first of the changes was seen, in milliseconds.
    pub latency_ms: u64,
}

/// The sources that restart most workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcesAnswer {
    /// [`super::VERSION`].
    pub version: String,
    /// Those with most users first.
    pub sources: Vec<UsedSource>,
}

/// A source and how many workloads it restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedSource {
    /// Which source.
    pub source: ObjectName,
    /// How many workloads a change of it restarts.
    pub users: usize,
}

/// Counts of what a replica knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Namespaces with a source or a workload.
    pub namespaces: usize,
    /// Workloads.
    pub workloads: usize,
    /// Of these, the ones that some source may restart.
    pub opted_in: usize,
    /// Sources.
    pub sources: usize,
    /// Workloads that owe a restart.
    pub owing: usize,
    /// Of these, the ones of which an attempt has failed.
    pub failing: usize,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchAnswer {
    /// [`super::VERSION`].
    pub version: String,
    /// The text that was searched for.
    pub query: String,
    /// Workloads and sources whose namespace, name or kind hold it.
    pub found: Vec<Found>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// An object that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Which object.
    pub object: ObjectName,
    /// Whether it is a source, and not a workload.
    pub is_source: bool,
    /// Of a workload, whether some source may restart it.
    pub opted_in: bool,
    /// Of a workload, whether it owes a restart.
    pub owes: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// [`super::VERSION`].
    pub version: String,
    /// In one sentence.
    pub error: String,
}
