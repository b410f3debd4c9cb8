//! Changes of many sources, and what their workloads end up with; two replicas that share a Lease.
//!
//! Input: a [`Lab`]. Output: counts of workloads. I/O: starts replicas, writes ConfigMaps, lists Deployments.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt, api::ListParams};
use reloader::model::Digest;

use crate::{
    controller::Controller,
    lab::{Lab, PATIENCE},
    objects::{IN_FLIGHT, change, create_namespace, create_pairs, pair},
};

/// Five changes a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Sources of one namespace that change, each used by a Deployment of its name.
pub struct Load<'a> {
    lab: &'a Lab,
    namespace: String,
    workloads: usize,
    clock: tokio::time::Interval,
    number: usize,
    /// The last value of each source.
    written: HashMap<String, String>,
}

impl<'a> Load<'a> {
    /// Creates the namespace, and so many sources and workloads in it.
    pub async fn create(lab: &'a Lab, namespace: &str, workloads: usize) -> Result<Self> {
        create_namespace(&lab.client, namespace).await?;
        create_pairs(&lab.client, namespace, workloads, true).await?;
        Ok(Self {
            lab,
            namespace: namespace.to_owned(),
            workloads,
            clock: tokio::time::interval(PAUSE),
            number: 0,
            written: HashMap::new(),
        })
    }

    /// Changes one source after the other, at a fixed rate.
    pub async fn next(&mut self) -> Result<()> {
        self.clock.tick().await;
        self.number += 1;
        let (name, value) = (pair(self.number % self.workloads), self.number.to_string());
        change(&self.lab.client, &self.namespace, &name, &value).await?;
        self.written.insert(name, value);
        Ok(())
    }

    /// Changes so many sources as fast as it goes.
    pub async fn change_at_once(&mut self, count: usize) -> Result<()> {
        self.number += 1;
        let value = format!("all-{}", self.number);
        let names: Vec<String> = (0..count).map(pair).collect();
        let (client, namespace) = (&self.lab.client, &self.namespace);
        stream::iter(&names)
            .map(|name| change(client, namespace, name, &value))
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        self.written
            .extend(names.into_iter().map(|name| (name, value.clone())));
        Ok(())
    }

    /// Workloads whose pods do not have the last content of their source, as soon as there are none, at the latest
    /// after that time.
    pub async fn wrong_after(&self, patience: Duration) -> Result<usize> {
        let begun = Instant::now();
        loop {
            let wrong = self.wrong().await?;
            if wrong == 0 || begun.elapsed() > patience {
                return Ok(wrong);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Workloads whose pods would not have the last content of their source.
    pub async fn wrong(&self) -> Result<usize> {
        let api = Api::<Deployment>::namespaced(self.lab.client.clone(), &self.namespace);
        let workloads = api
            .list(&ListParams::default())
            .await
            .context("list Deployments")?;
        let is_wrong = |workload: &Deployment| {
            let Some(value) = self.written.get(&workload.name_any()) else {
                return false;
            };
            let digest = Digest::of_config_map([("key", value.as_str())], []).to_string();
            marker(workload).as_deref() != Some(digest.as_str())
        };
        Ok(workloads.iter().filter(|workload| is_wrong(workload)).count())
    }
}

/// The value of the variable that restarted it last.
fn marker(workload: &Deployment) -> Option<String> {
    let pod = workload.spec.template.spec.as_ref()?;
    let variables = pod.containers.first()?.env.as_ref()?;
    let marker = variables
        .iter()
        .find(|variable| variable.name.starts_with("STAKATER_"))?;
    marker.value.clone()
}

/// A leader under load, and a replica that waits for its Lease.
pub struct Replicas {
    /// Has answered changes already.
    pub leader: Controller,
    /// Is ready to lead.
    pub standby: Controller,
}

impl Replicas {
    /// Starts both for the namespace of a load.
    pub async fn start(lab: &Lab, load: &mut Load<'_>) -> Result<Self> {
        let namespace = load.namespace.clone();
        let scope = format!("--namespaces={namespace}");
        let lease = format!("--lease-name={namespace}");
        let args = [scope.as_str(), lease.as_str(), "--enable-ha"];
        let leader = Controller::start(lab, &format!("leader-{namespace}"), &args).await?;
        let since = Timestamp::now();
        // Who answers is the leader. A change that was seen before the lease was held may be taken as settled.
        let begun = Instant::now();
        while lab.trace(since)?.patches(&leader.user, &namespace).is_empty() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "no leader: {}", leader.replica.log());
            load.next().await?;
        }
        let standby = Controller::start(lab, &format!("standby-{namespace}"), &args).await?;
        Ok(Self { leader, standby })
    }
}
