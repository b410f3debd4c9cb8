//! The objects of a large cluster. Input: its size; output: objects on the API server. I/O: writes.
//!
//! Each namespace has 50 ConfigMaps, 50 Secrets of 300 bytes, and 10 Deployments, each of which uses one of both: one
//! source of five is wanted. One namespace more has workloads that list sources by patterns.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use serde_json::{Value, json};

use crate::{
    lab::Lab,
    objects::{config_map, create_all, create_namespace, pair},
};

/// Sources of each kind in a namespace.
const SOURCES: usize = 50;
/// Deployments in a namespace.
const WORKLOADS: usize = 10;
/// Patterns in the list of one workload.
const PATTERNS: usize = 10;
/// Namespaces that are filled at the same time.
const AT_ONCE: usize = 4;

/// How large a cluster is.
#[derive(Clone, Copy)]
pub struct Fleet {
    /// In names.
    pub name: &'static str,
    /// How many.
    pub namespaces: usize,
    /// ConfigMaps that patterns match.
    matched: usize,
    /// Deployments that list them by patterns.
    matching: usize,
}

impl Fleet {
    pub const fn new(name: &'static str, namespaces: usize, matched: usize, matching: usize) -> Self {
        Self {
            name,
            namespaces,
            matched,
            matching,
        }
    }

    /// How many sources it has, without those that patterns match.
    pub const fn sources(self) -> usize {
        self.namespaces * SOURCES * 2
    }

    /// Creates its objects, but for those of so many namespaces, which exist.
    pub async fn create(self, lab: &Lab, existing: usize) -> Result<()> {
        eprintln!("  {}: creating {} sources", self.name, self.sources());
        stream::iter(existing..self.namespaces)
            .map(|number| fill(lab, number))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Namespace and number of the Deployment whose source changes next: neighbours are in other namespaces.
    pub const fn target(self, change: usize) -> (usize, usize) {
        (change % self.namespaces, change / self.namespaces % WORKLOADS)
    }

    /// Every Deployment with a source of its own.
    pub fn targets(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.namespaces * WORKLOADS).map(move |number| self.target(number))
    }

    /// Creates the sources that patterns match.
    pub async fn create_matched(self, lab: &Lab) -> Result<()> {
        let namespace = self.pattern_namespace();
        create_namespace(&lab.client, &namespace).await?;
        let name = |number: usize| {
            let (team, group) = (number % self.matching, number / self.matching % PATTERNS);
            format!("team-{team}-{group}-{number}")
        };
        let sources = (0..self.matched).map(|number| config_map(&name(number), "0"));
        create_all::<ConfigMap>(&lab.client, &namespace, sources).await
    }

    /// Creates the workloads that list them: each with patterns of its own.
    pub async fn create_matching(self, lab: &Lab) -> Result<()> {
        let workloads = (0..self.matching).map(|team| {
            let patterns: Vec<String> = (0..PATTERNS)
                .map(|group| format!("team-{team}-{group}-.*"))
                .collect();
            let mut workload = deployment(&pair(team), &[]);
            workload["metadata"]["annotations"] =
                json!({ "configmap.reloader.stakater.com/reload": patterns.join(",") });
            workload
        });
        create_all::<Deployment>(&lab.client, &self.pattern_namespace(), workloads).await
    }

    fn pattern_namespace(self) -> String {
        format!("patterns-{}", self.name)
    }
}

/// The name of a namespace.
pub fn namespace(number: usize) -> String {
    format!("space-{number}")
}

async fn fill(lab: &Lab, number: usize) -> Result<()> {
    let (client, space) = (&lab.client, namespace(number));
    create_namespace(client, &space).await?;
    let filler = "x".repeat(300);
    let config_maps = (0..SOURCES).map(|number| config_map(&pair(number), &filler));
    create_all::<ConfigMap>(client, &space, config_maps).await?;
    let secrets = (0..SOURCES)
        .map(|number| json!({ "metadata": { "name": pair(number) }, "stringData": { "key": filler } }));
    create_all::<Secret>(client, &space, secrets).await?;
    let workloads = (0..WORKLOADS).map(|number| {
        let name = pair(number);
        let sources = [
            json!({ "configMapRef": { "name": name } }),
            json!({ "secretRef": { "name": name } }),
        ];
        deployment(&name, &sources)
    });
    create_all::<Deployment>(client, &space, workloads).await
}

fn deployment(name: &str, sources: &[Value]) -> Value {
    let mut deployment = crate::objects::deployment(name, &[], true);
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(sources);
    deployment
}
