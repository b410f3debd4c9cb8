//! Who led when, by the audit log.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use testbed::Entry;

use super::{Cluster, workloads::APPS};

/// One leader's pod was deleted, it gave the Lease back, and another took over.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The pod that led.
    pub from: String,
    /// The pod that leads.
    pub to: String,
    /// From the request that deleted the pod, upon which it gets SIGTERM, to the answer to the next leader's first write
    /// of a workload; that it took the Lease lies in between.
    pub gap: Duration,
}

struct LeaseWrite {
    holder: Option<String>,
    received: Timestamp,
}

impl Cluster {
    /// Every handover since `from` after which the next leader has written a workload.
    pub fn handovers(&self, from: Timestamp) -> Vec<Handover> {
        let leases = self.lease_writes();
        let user = self.user();
        let patches = self.plane.audit().matching(|entry| {
            entry.is_write()
                && entry.user == user
                && entry.group == "apps"
                && entry.namespace == APPS
                && entry.succeeded()
        });
        let mut patches = patches.unwrap();
        patches.sort_by_key(|entry| entry.request_received);
        let mut found = Vec::new();
        for (position, released) in leases.iter().enumerate() {
            if released.holder.is_some() || released.received < from {
                continue;
            }
            let before = leases[..position]
                .iter()
                .rev()
                .find_map(|write| write.holder.clone());
            let taken = leases[position..].iter().find(|write| write.holder.is_some());
            let (Some(before), Some(taken)) = (before, taken) else {
                continue;
            };
            let meanwhile = patches
                .iter()
                .find(|entry| (released.received..taken.received).contains(&entry.request_received));
            assert!(
                meanwhile.is_none(),
                "{meanwhile:?} was written while no replica led, from {} to {}",
                released.received,
                taken.received
            );
            if let Some(first) = patches
                .iter()
                .find(|entry| entry.request_received >= taken.received)
            {
                let deleted = self.deleted(&before);
                assert!(deleted <= released.received, "{before} ended by itself");
                found.push(Handover {
                    from: before,
                    to: taken.holder.clone().unwrap_or_default(),
                    gap: first.stage_timestamp.duration_since(deleted).unsigned_abs(),
                });
            }
        }
        found
    }

    /// When the deletion of a pod was requested. (`metadata.deletionTimestamp` is when its grace period ends, and in
    /// whole seconds.)
    fn deleted(&self, pod: &str) -> Timestamp {
        let deletes = |entry: &Entry| {
            entry.is_about("pods", self.namespace, pod) && entry.verb == "delete" && entry.succeeded()
        };
        let deletions = self.plane.audit().matching(deletes).unwrap();
        let first = deletions.iter().map(|entry| entry.request_received).min();
        first.unwrap_or_else(|| panic!("{pod} was not deleted"))
    }

    /// Every successful write of the Lease, in the order in which they took effect.
    fn lease_writes(&self) -> Vec<LeaseWrite> {
        let is_lease = |entry: &Entry| {
            entry.resource == "leases"
                && entry.namespace == self.namespace
                && entry.is_write()
                && entry.succeeded()
        };
        let mut writes = self.plane.audit().matching(is_lease).unwrap();
        let stored = |entry: &Entry, path: &str| {
            let text = entry.response_object.as_ref()?.pointer(path)?.as_str()?;
            Some(text.to_owned())
        };
        let version = |entry: &Entry| stored(entry, "/metadata/resourceVersion")?.parse::<u64>().ok();
        writes.sort_by_key(|entry| version(entry));
        let read = |entry: &std::sync::Arc<Entry>| LeaseWrite {
            // `<pod>_<random>`; empty when it was given back.
            holder: stored(entry, "/spec/holderIdentity")
                .and_then(|identity| Some(identity.split_once('_')?.0.to_owned())),
            received: entry.request_received,
        };
        writes.iter().map(read).collect()
    }
}
