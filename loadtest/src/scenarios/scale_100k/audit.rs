//! What the audit log says of all namespaces together: answers, takeovers, markers. Input: its entries; output: numbers.
//! I/O: reads it.

use std::{collections::HashMap, sync::Arc};

use anyhow::Result;
use jiff::Timestamp;
use testbed::{Entry, Stage};

use super::Takeover;
use crate::{
    lab::Lab,
    trace::{TESTER, milliseconds},
};

/// Namespace and name.
type Name = (String, String);

/// The successful writes since a moment, in the order of their arrival.
pub struct Changes {
    entries: Vec<Arc<Entry>>,
}

impl Changes {
    /// Those since then.
    pub fn since(lab: &Lab, since: Timestamp) -> Result<Self> {
        let mut entries = lab.plane.audit().entries()?;
        entries.retain(|entry| {
            entry.stage == Stage::ResponseComplete
                && entry.request_received >= since
                && entry.is_write()
                && entry.succeeded()
        });
        entries.sort_by_key(|entry| entry.request_received);
        Ok(Self { entries })
    }

    fn patched(&self, resource: &str) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter().map(AsRef::as_ref);
        entries.filter(move |entry: &&Entry| entry.verb == "patch" && entry.resource == resource)
    }

    fn by_name<'a>(entries: impl Iterator<Item = &'a Entry>) -> HashMap<Name, Vec<&'a Entry>> {
        let mut by_name: HashMap<Name, Vec<&Entry>> = HashMap::new();
        for entry in entries {
            let name = (entry.namespace.clone(), entry.name.clone());
            by_name.entry(name).or_default().push(entry);
        }
        by_name
    }

    fn of<'a>(&'a self, users: &'a [String]) -> impl Iterator<Item = &'a Entry> {
        self.patched("deployments")
            .filter(move |entry| users.contains(&entry.user))
    }

    /// When these users have patched Deployments.
    pub fn patches(&self, users: &[String]) -> Vec<Timestamp> {
        self.of(users).map(|entry| entry.request_received).collect()
    }

    /// Milliseconds from each change of a ConfigMap to the PATCH of the Deployment of its name.
    pub fn answered(&self, users: &[String]) -> Vec<f64> {
        let patches = Self::by_name(self.of(users));
        let changes = self.patched("configmaps").filter(|entry| entry.user == TESTER);
        let answer = |change: &Entry| {
            let patches = patches.get(&(change.namespace.clone(), change.name.clone()))?;
            let first = patches.partition_point(|patch| patch.request_received < change.request_received);
            Some(milliseconds(
                change.stage_timestamp,
                patches.get(first)?.request_received,
            ))
        };
        changes.filter_map(answer).collect()
    }

    /// How another replica followed this leader after a signal.
    pub fn takeover(&self, signal: Timestamp, leader: &str) -> Option<Takeover> {
        let is_other = |entry: &&Arc<Entry>| entry.user != leader && entry.user != TESTER;
        let others = || self.entries.iter().filter(is_other);
        let lease = others().find(|entry| entry.resource == "leases")?.stage_timestamp;
        let patch = others().find(|entry| entry.resource == "deployments" && entry.verb == "patch")?;
        Some(Takeover {
            lease: lease.duration_since(signal).as_secs_f64(),
            first_patch: patch.request_received.duration_since(lease).as_secs_f64(),
        })
    }

    /// What the variable of each Deployment's ConfigMap was set to by these users.
    pub fn markers(&self, users: &[String]) -> HashMap<Name, Vec<String>> {
        let patches = Self::by_name(self.of(users));
        let markers = |(name, patches): (Name, Vec<&Entry>)| {
            let variable = format!("STAKATER_{}_CONFIGMAP", name.1.to_uppercase().replace('-', "_"));
            let mut shown: Vec<String> = Vec::new();
            for patch in patches {
                let sent = patch.request_object.as_ref().map(ToString::to_string);
                // A patch for another source leaves this one's variable as it is.
                let is_about = sent.is_some_and(|sent| sent.contains(&variable));
                let template = patch.pod_template().filter(|_| is_about);
                let variables =
                    template.and_then(|template| template["spec"]["containers"][0]["env"].as_array());
                let marker = variables
                    .into_iter()
                    .flatten()
                    .find(|entry| entry["name"] == *variable);
                shown.extend(
                    marker
                        .and_then(|marker| marker["value"].as_str())
                        .map(str::to_owned),
                );
            }
            (name, shown)
        };
        patches.into_iter().map(markers).collect()
    }
}
