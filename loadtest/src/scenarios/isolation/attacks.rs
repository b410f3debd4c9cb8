//! What a tenant may do in its own namespace. Input: an attack; output: objects on the API server. I/O: writes.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::super::storm;
use crate::{
    lab::Lab,
    objects::{change, config_map, create_all, create_namespace, create_pairs, deployment},
};

const RELOAD: &str = "configmap.reloader.stakater.com/reload";
/// Long names that a slow list is matched against.
const LONG_NAMES: usize = 400;
/// Deployments with 46,000 names each.
const NAME_LISTS: usize = 32;
/// Jobs of a namespace whose deletion a finalizer holds.
const HELD_JOBS: usize = 20;
/// ConfigMaps of which the FNV-1a hash ends alike.
const ALIKE: usize = 3_420;
const FINALIZER: &str = "example.com/held";

/// An attack, in namespaces of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// None: what the others are compared with.
    None,
    /// 250 KiB of wildcards that fail late, on long names.
    Wildcards,
    /// 32 different lists of 46,000 names.
    Names,
    /// Jobs that do not go away, in so many namespaces.
    HeldJobs(usize),
    /// 3,000 changes.
    Storm,
    /// ConfigMaps whose names were chosen to share a place in the ledger.
    Ledger,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Wildcards,
        Self::Names,
        Self::HeldJobs(2),
        Self::HeldJobs(4),
        Self::Storm,
        Self::Ledger,
    ];

    /// The name of its namespace, and of the controller that meets it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "alone",
            Self::Wildcards => "wildcards",
            Self::Names => "names",
            Self::HeldJobs(2) => "two-jobs",
            Self::HeldJobs(_) => "more-jobs",
            Self::Storm => storm::STORM,
            Self::Ledger => "ledger",
        }
    }

    /// In words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::None => "no attack",
            Self::Wildcards => "250 KiB of wildcards on 400 long names",
            Self::Names => "32 lists of 46,000 names",
            Self::HeldJobs(2) => "20 Jobs held by a finalizer in each of 2 namespaces",
            Self::HeldJobs(_) => "the same in 4 namespaces",
            Self::Storm => "3,000 changes at once",
            Self::Ledger => "3,420 names that hash alike",
        }
    }

    fn namespaces(self) -> Vec<String> {
        match self {
            Self::HeldJobs(count) => (0..count)
                .map(|number| format!("{}-{number}", self.name()))
                .collect(),
            _ => vec![self.name().to_owned()],
        }
    }

    /// What is there before the controller starts.
    pub async fn prepare(self, lab: &Lab) -> Result<()> {
        for namespace in self.namespaces() {
            create_namespace(&lab.client, &namespace).await?;
            let sources: Vec<String> = match self {
                Self::Wildcards => (0..LONG_NAMES)
                    .map(|number| format!("{}{number}", "a".repeat(245)))
                    .collect(),
                Self::HeldJobs(_) => vec!["source".to_owned()],
                Self::Ledger => alike(&namespace).take(ALIKE).collect(),
                _ => Vec::new(),
            };
            let sources = sources.iter().map(|name| config_map(name, "0"));
            create_all::<ConfigMap>(&lab.client, &namespace, sources).await?;
            if let Self::HeldJobs(_) = self {
                let jobs = (0..HELD_JOBS).map(held_job);
                create_all::<Job>(&lab.client, &namespace, jobs).await?;
            }
            if self == Self::Storm {
                create_pairs(&lab.client, &namespace, storm::STORM_WORKLOADS, true).await?;
            }
        }
        Ok(())
    }

    /// Does it.
    pub async fn run(self, lab: &Lab) -> Result<()> {
        let namespace = self.name();
        match self {
            Self::None => {}
            Self::Wildcards => {
                let list = |last: char| {
                    let item = |number: usize| format!(".*{}{last}{number}", "a".repeat(100 + number % 20));
                    (0..2_200).map(item).collect::<Vec<_>>().join(",")
                };
                let lists = std::iter::once(listing("slow", &list('b')));
                create_all::<Deployment>(&lab.client, namespace, lists).await?;
                for last in ['c', 'd', 'e'] {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let body = json!({ "metadata": { "annotations": { RELOAD: list(last) } } });
                    Api::<Deployment>::namespaced(lab.client.clone(), namespace)
                        .patch("slow", &PatchParams::default(), &Patch::Merge(body))
                        .await?;
                }
            }
            Self::Names => {
                let list = |first: usize| {
                    let names = (first..first + 46_000).map(|number| format!("{number:x}"));
                    names.collect::<Vec<_>>().join(",")
                };
                let lists = (0..NAME_LISTS).map(|number| listing(&format!("names-{number}"), &list(number)));
                create_all::<Deployment>(&lab.client, namespace, lists).await?;
            }
            Self::HeldJobs(_) => {
                for namespace in self.namespaces() {
                    change(&lab.client, &namespace, "source", "1").await?;
                }
            }
            Self::Storm => storm::storm(lab.client.clone()).await?,
            Self::Ledger => {
                let lists = std::iter::once(listing("all", ".*"));
                create_all::<Deployment>(&lab.client, namespace, lists).await?;
            }
        }
        Ok(())
    }

    /// Takes away what would go on beside the next attack.
    pub async fn clear(self, lab: &Lab) -> Result<()> {
        for namespace in self.namespaces() {
            let api = Api::<Deployment>::namespaced(lab.client.clone(), &namespace);
            api.delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
            let jobs = Api::<Job>::namespaced(lab.client.clone(), &namespace);
            jobs.delete_collection(&DeleteParams::background(), &ListParams::default())
                .await?;
            for job in jobs.list(&ListParams::default()).await? {
                let body = json!({ "metadata": { "finalizers": null } });
                jobs.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(body))
                    .await?;
            }
        }
        Ok(())
    }
}

/// A Deployment without replicas and with that list.
fn listing(name: &str, list: &str) -> Value {
    let mut object = deployment(name, &[], false);
    object["metadata"]["annotations"] = json!({ RELOAD: list });
    object["spec"]["replicas"] = json!(0);
    object
}

/// A Job that uses the ConfigMap `source`, opts in, and stays when it is deleted.
fn held_job(number: usize) -> Value {
    let sources = json!([{ "configMapRef": { "name": "source" } }]);
    json!({
        "metadata": {
            "name": format!("held-{number}"),
            "annotations": { "reloader.stakater.com/auto": "true" },
            "finalizers": [FINALIZER],
        },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "main", "image": "none", "envFrom": sources }],
        } } },
    })
}

/// Names of ConfigMaps of which the ledger's hash (FNV-1a over kind, namespace and name) ends with the same 12 bits.
fn alike(namespace: &str) -> impl Iterator<Item = String> {
    let hash = |start: u64, text: &str| {
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        text.bytes().fold(start, step)
    };
    let stem = "a".repeat(230);
    let start = hash(0xcbf2_9ce4_8422_2325, &format!("configmaps\0{namespace}\0{stem}"));
    let suffixes = (0_u64..).map(|number| number.to_string());
    let chosen = suffixes.filter(move |suffix| hash(start, suffix).trailing_zeros() >= 12);
    chosen.map(move |suffix| format!("{stem}{suffix}"))
}
