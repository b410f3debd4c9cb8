//! The acts of the demo, each of which does something, shows what came of it, and fails if that is not what should have.
//!
//! Input: a running cluster and fleet. Output: lines on the timeline; an error where the promise is broken.
//! I/O: through `Cluster`, `Fleet` and `Evidence`.

mod absence;
mod burst;
mod summary;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use testbed::eventually;

use crate::cluster::{Cluster, Pods};
use crate::evidence::{Evidence, Restart};
use crate::example::{
    FILES, LOG_SHIPPER, LOG_SHIPPER_MAP, NGINX, NGINX_MAP, REDIS, REDIS_PASSWORD, Source, WORKLOADS, Workload,
};
use crate::fleet::Fleet;
use crate::timeline::{Timeline, Who};

/// What nginx serves while Reloader is there, and what somebody makes it serve while it is not.
const SECOND_SITE: &str = "server { listen 80; return 200 \"Hello again!\"; }\n";
const THIRD_SITE: &str = "server { listen 80; return 200 \"Still here!\"; }\n";

/// What redis asks for after the edit.
const NEW_PASSWORD: &str = "change-me-too";
/// Writes that must restart nothing: one while Reloader is there, two while it is not.
const EQUAL_WRITES: usize = 3;

/// How long pods may take to come up; KWOK takes about a second a pod.
const ROLLOUT: Duration = Duration::from_secs(30);
/// How long a takeover may take: the Lease's 15 s, the standby's look every 2 s, and room for a busy computer.
const TAKEOVER: Duration = Duration::from_secs(40);
/// How long an Event may take; it is written beside the patch.
const EVENT: Duration = Duration::from_secs(10);
/// How long to look whether there is a restart that should not be. A reload takes about 0.1 s, and at most 1 s more if
/// sources keep changing.
const QUIET: Duration = Duration::from_secs(3);

/// The whole demo, from the application on.
pub struct Show<'a> {
    timeline: &'a Timeline,
    cluster: &'a Cluster,
    fleet: &'a mut Fleet,
    evidence: Evidence<'a>,
    /// From the write of a source to the patch, for changes made while somebody led.
    latencies: Vec<Duration>,
}

impl<'a> Show<'a> {
    /// With nothing applied yet.
    pub fn new(
        timeline: &'a Timeline,
        cluster: &'a Cluster,
        fleet: &'a mut Fleet,
        audit: &'a testbed::AuditLog,
    ) -> Self {
        Self {
            timeline,
            cluster,
            fleet,
            evidence: Evidence::new(audit, WORKLOADS),
            latencies: Vec::new(),
        }
    }

    /// All acts. An error says which promise was broken.
    pub async fn run(mut self) -> Result<()> {
        let leader = self.reloader_starts().await?;
        self.application().await?;

        self.timeline.heading("4. ConfigMaps and Secrets change");
        self.timeline.now(
            Who::Demo,
            "Reloader writes a digest of the new content into the workload; Kubernetes replaces its pods",
        );
        self.change(leader, NGINX_MAP, SECOND_SITE, NGINX).await?;
        self.change(leader, REDIS_PASSWORD, NEW_PASSWORD, REDIS).await?;
        let config = "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n";
        self.change(leader, LOG_SHIPPER_MAP, config, LOG_SHIPPER).await?;

        self.leader_dies(leader).await?;
        self.nothing_changes().await?;
        self.nobody_is_there(NEW_PASSWORD).await?;
        self.summary().await
    }

    async fn reloader_starts(&self) -> Result<&'static str> {
        self.fleet.wait_ready().await?;
        let names = self.fleet.running().join(", ");
        self.timeline.now(
            Who::Cluster,
            format_args!("{names} are ready: all of them watch, one of them acts"),
        );
        let leader = self.fleet.wait_leader(TAKEOVER).await?;
        self.timeline.now(
            Who::Replica(leader),
            "leads: it holds the Lease, a lock that expires unless renewed",
        );
        Ok(leader)
    }

    async fn application(&self) -> Result<()> {
        self.timeline.heading("3. An application");
        for (file, yaml, wish) in FILES {
            self.cluster.apply(file, yaml).await?;
            self.timeline
                .now(Who::You, format_args!("apply {file:16}  {wish}"));
        }
        let mut ready = 0;
        for workload in WORKLOADS {
            ready += self.wait_rolled_out(workload, &Pods::new()).await?.len();
        }
        self.evidence.no_other_restarts()?;
        self.timeline
            .now(Who::Cluster, format_args!("{ready} pods are ready"));
        Ok(())
    }

    async fn change(&mut self, leader: &str, source: Source, value: &str, workload: Workload) -> Result<()> {
        let before = self.cluster.pods(workload).await?;
        self.cluster.edit(source, value).await?;
        let cause = self.evidence.last_write(source)?;
        self.timeline.at(
            cause.request_received,
            Who::You,
            format_args!("edit {} {}", source.kind, source.name),
        );
        let restart = self.evidence.restart(workload, &cause).await?;
        self.latencies.push(restart.latency);
        let after = format!("{} ms after the edit", restart.latency.as_millis());
        self.show_restart(leader, source, workload, &restart, &after)
            .await?;
        self.show_new_pods(workload, &before).await
    }

    async fn nothing_changes(&self) -> Result<()> {
        self.timeline.heading("6. Nothing changes");
        self.cluster.rewrite(NGINX_MAP, SECOND_SITE).await?;
        let written = self.evidence.last_write(NGINX_MAP)?.request_received;
        self.timeline.at(
            written,
            Who::You,
            "write ConfigMap nginx-map once more, with the content it has",
        );
        self.quiet("no restart, as it should be").await
    }

    /// Looks for a while whether anything is restarted that should not be.
    async fn quiet(&self, verdict: &str) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < QUIET {
            self.evidence
                .no_other_restarts()
                .context("equal content must restart nothing")?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.timeline
            .now(Who::Demo, format_args!("{} s later: {verdict}", QUIET.as_secs()));
        Ok(())
    }

    /// Shows a restart as the deed of the replica, which must have told so in an Event on the workload.
    async fn show_restart(
        &self,
        replica: &str,
        source: Source,
        workload: Workload,
        restart: &Restart,
        after: &str,
    ) -> Result<()> {
        let what = format!(
            "an Event of {replica} that says that {} {} was restarted",
            workload.kind, workload.name
        );
        eventually(EVENT, &what, async || {
            self.cluster.reloaded_by(workload, source, replica).await
        })
        .await?;
        self.timeline.at(
            restart.patch.stage_timestamp,
            Who::Replica(replica),
            format_args!(
                "restarts {} {} {after} (sets {})",
                workload.kind, workload.name, restart.marker
            ),
        );
        Ok(())
    }

    async fn show_new_pods(&self, workload: Workload, before: &Pods) -> Result<()> {
        let pods = self.wait_rolled_out(workload, before).await?;
        self.evidence.no_other_restarts()?;
        let names: Vec<&str> = pods.values().map(String::as_str).collect();
        let what = if names.len() == 1 { "pod is" } else { "pods are" };
        self.timeline.now(
            Who::Cluster,
            format_args!("new {what} ready: {}", names.join(", ")),
        );
        Ok(())
    }

    /// Waits until all pods are of the newest template and ready; none of them may be among `before`.
    async fn wait_rolled_out(&self, workload: Workload, before: &Pods) -> Result<Pods> {
        let what = format!("the pods of {} {} to be ready", workload.kind, workload.name);
        let pods = eventually(ROLLOUT, &what, async || self.cluster.rolled_out(workload).await).await?;
        match pods.iter().find(|(uid, _)| before.contains_key(*uid)) {
            Some((_, name)) => Err(anyhow!(
                "pod {name} of {} {} is still the old one",
                workload.kind,
                workload.name
            )),
            None => Ok(pods),
        }
    }
}

fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn milliseconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    seconds(from, to) * 1000.0
}
