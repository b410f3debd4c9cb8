//! What really happened, from the API server's audit log: a record of every request, which Reloader has no part in.
//!
//! Input: the audit log. Output: moments, counts, and an error when a restart is missing or one too many. I/O: reads the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use serde_json::Value;
use testbed::{AuditLog, Entry};

use crate::example::{Source, Workload};
use crate::fleet::{self, Fleet};

/// How long a restart may take once somebody leads: it takes about 0.1 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// One restart, as the API server saw it.
pub struct Restart {
    /// The patch of the workload.
    pub patch: Arc<Entry>,
    /// From the write of the source to the answer to the patch.
    pub latency: Duration,
    /// What the patch put into the pod template, which is what makes new pods of it.
    pub marker: String,
}

/// What Reloader has asked of the API server.
#[derive(Default)]
pub struct Requests {
    /// Patches of workloads.
    pub patches: usize,
    /// Writes of Kubernetes Events.
    pub events: usize,
    /// Writes of anything else.
    pub others: usize,
    /// Writes of the ledger.
    pub ledger_writes: usize,
    /// Writes of the Lease.
    pub lease_writes: usize,
    /// Reads and watches of anything.
    pub reads: usize,
}

/// Asks the audit log, and keeps account of how many restarts there should be.
pub struct Evidence<'a> {
    audit: &'a AuditLog,
    expected: Vec<(Workload, usize)>,
}

impl<'a> Evidence<'a> {
    /// Expects no restart of any of the workloads so far.
    pub fn new(audit: &'a AuditLog, workloads: impl IntoIterator<Item = Workload>) -> Self {
        let expected = workloads.into_iter().map(|workload| (workload, 0)).collect();
        Self { audit, expected }
    }

    /// The latest successful write of a source.
    pub fn last_write(&self, source: Source) -> Result<Arc<Entry>> {
        let writes = self.audit.matching(|entry| {
            entry.is_about(source.resource, source.namespace, source.name)
                && entry.is_write()
                && entry.succeeded()
        })?;
        writes
            .into_iter()
            .next_back()
            .with_context(|| format!("the audit log has no write of {} {}", source.kind, source.name))
    }

    /// Waits for one more restart of the workload, which must be Reloader's doing and follow `cause`.
    pub async fn restart(&mut self, workload: Workload, cause: &Entry) -> Result<Restart> {
        let expected = self
            .expected
            .iter_mut()
            .find(|(known, _)| known.name == workload.name)
            .map(|(_, count)| {
                *count += 1;
                *count
            })
            .with_context(|| format!("{} is no part of the example", workload.name))?;
        let audit = self.audit;
        let found = testbed::eventually(PATIENCE, "the restart", async || {
            let changes = audit.template_changes(workload.resource, workload.namespace, workload.name);
            changes.map(|changes| changes.get(expected - 1).cloned())
        });
        let patch = found.await.map_err(|_| {
            anyhow!(
                "{} {} was not restarted within {} s, although a source of it has changed",
                workload.kind,
                workload.name,
                PATIENCE.as_secs()
            )
        })?;
        ensure!(
            patch.user == Fleet::user() && patch.request_received >= cause.request_received,
            "{} {} was restarted by {}, and not by Reloader because of the change",
            workload.kind,
            workload.name,
            patch.user
        );
        let latency = patch.stage_timestamp.duration_since(cause.request_received);
        Ok(Restart {
            latency: latency.unsigned_abs(),
            marker: marker(&patch).unwrap_or_else(|| "an unknown marker".to_owned()),
            patch,
        })
    }

    /// An error unless every workload was restarted exactly as often as expected.
    pub fn no_other_restarts(&self) -> Result<()> {
        for (workload, expected) in &self.expected {
            let changes =
                self.audit
                    .template_changes(workload.resource, workload.namespace, workload.name)?;
            ensure!(
                changes.len() == *expected,
                "{} {} was restarted {} time(s) for {expected} change(s) of what it asked for",
                workload.kind,
                workload.name,
                changes.len()
            );
        }
        Ok(())
    }

    /// Reloader's patches of Deployments in the namespace that were answered with success.
    pub fn patches(&self, namespace: &str) -> Result<Vec<Arc<Entry>>> {
        let patches = self.audit.matching(|entry| {
            entry.resource == "deployments"
                && entry.namespace == namespace
                && entry.verb == "patch"
                && entry.user == Fleet::user()
                && entry.succeeded()
        })?;
        Ok(patches)
    }

    /// When the replica's first write of the Lease with its own name in it was answered, after `moment`.
    pub fn leads_since(&self, replica: &str, moment: Timestamp) -> Result<Timestamp> {
        let holds = |entry: &Entry| {
            let holder = entry
                .response_object
                .as_ref()
                .and_then(|lease| lease.pointer("/spec/holderIdentity"));
            holder
                .and_then(Value::as_str)
                .is_some_and(|identity| fleet::is_held_by(identity, replica))
        };
        let writes = self.audit.matching(|entry| {
            entry.resource == "leases"
                && entry.is_write()
                && entry.succeeded()
                && entry.stage_timestamp > moment
                && holds(entry)
        })?;
        let moments = writes.iter().map(|entry| entry.stage_timestamp);
        moments
            .min()
            .with_context(|| format!("the audit log has no Lease held by {replica}"))
    }

    /// How many restarts there were: as many as expected, if [`no_other_restarts`](Self::no_other_restarts) is content.
    pub fn restarts(&self) -> usize {
        self.expected.iter().map(|(_, count)| count).sum()
    }

    /// What Reloader has asked for so far.
    pub fn requests(&self) -> Result<Requests> {
        let mut requests = Requests::default();
        for ((verb, resource), count) in self.audit.requests_by_verb_and_resource(&Fleet::user())? {
            let counter = match (verb.as_str(), resource.as_str()) {
                ("get" | "list" | "watch", _) => &mut requests.reads,
                (_, "leases") => &mut requests.lease_writes,
                (_, "configmaps") => &mut requests.ledger_writes,
                (_, "deployments" | "statefulsets" | "daemonsets") => &mut requests.patches,
                (_, "events") => &mut requests.events,
                _ => &mut requests.others,
            };
            *counter += count;
        }
        Ok(requests)
    }
}

/// What a patch sets: a variable of the first container it names, or an annotation of the pod template.
fn marker(patch: &Entry) -> Option<String> {
    let template = patch.request_object.as_ref()?.pointer("/spec/template")?;
    if let Some(variable) = template.pointer("/spec/containers/0/env/0") {
        let digest: String = variable.get("value")?.as_str()?.chars().take(7).collect();
        return Some(format!("{}={digest}…", variable.get("name")?.as_str()?));
    }
    let annotations = template.pointer("/metadata/annotations")?.as_object()?;
    annotations.keys().next().map(|key| format!("annotation {key}"))
}
