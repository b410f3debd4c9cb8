//! The acts of the demo, each of which does something, shows what came of it, and fails if that is not what should have.
//!
//! Input: a running cluster and fleet. Output: lines on the timeline; an error where the promise is broken.
//! I/O: through `Cluster`, `Fleet` and `Evidence`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use testbed::eventually;

use crate::cluster::{Cluster, Pods};
use crate::evidence::{Evidence, Restart};
use crate::example::{
    FILES, LOG_SHIPPER, LOG_SHIPPER_MAP, NGINX, NGINX_MAP, REDIS, REDIS_PASSWORD, Source, WORKLOADS, Workload,
};
use crate::fleet::Fleet;
use crate::timeline::{self, Timeline, Who};

/// What nginx serves before the leader dies, and after.
const SECOND_SITE: &str = "server { listen 80; return 200 \"Hello again!\"; }\n";
const THIRD_SITE: &str = "server { listen 80; return 200 \"Still here!\"; }\n";

/// How long pods may take to come up; KWOK takes about a second a pod.
const ROLLOUT: Duration = Duration::from_secs(30);
/// How long a takeover may take: the Lease's 15 s, the standby's look every 2 s, and room for a busy computer.
const TAKEOVER: Duration = Duration::from_secs(40);
/// How long an Event may take; it is written beside the patch.
const EVENT: Duration = Duration::from_secs(10);
/// How long to look whether a write with equal content does anything. A reload takes about 0.1 s, and at most 1 s more if
/// sources keep changing.
const QUIET: Duration = Duration::from_secs(3);

/// The whole demo, from the application on.
pub struct Show<'a> {
    timeline: &'a Timeline,
    cluster: &'a Cluster,
    fleet: &'a Fleet,
    evidence: Evidence<'a>,
    /// From the write of a source to the patch, for changes made while somebody led.
    latencies: Vec<Duration>,
}

impl<'a> Show<'a> {
    /// With nothing applied yet.
    pub fn new(
        timeline: &'a Timeline,
        cluster: &'a Cluster,
        fleet: &'a Fleet,
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
        self.change(leader, REDIS_PASSWORD, "change-me-too", REDIS)
            .await?;
        let config = "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n";
        self.change(leader, LOG_SHIPPER_MAP, config, LOG_SHIPPER).await?;

        self.leader_dies(leader).await?;
        self.nothing_changes().await?;
        self.summary()
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

    async fn leader_dies(&mut self, leader: &str) -> Result<()> {
        self.timeline.heading("5. The leader dies");
        let before = self.cluster.pods(NGINX).await?;
        self.fleet.kill(leader)?;
        let killed = jiff::Timestamp::now();
        self.timeline.at(
            killed,
            Who::Demo,
            format_args!("kill -9 {leader}: it has no time to give the Lease back"),
        );
        self.cluster.edit(NGINX_MAP, THIRD_SITE).await?;
        let cause = self.evidence.last_write(NGINX_MAP)?;
        self.timeline.at(
            cause.request_received,
            Who::You,
            "edit ConfigMap nginx-map while nobody leads",
        );
        self.timeline.now(
            Who::Demo,
            "wait until the Lease expires, 15 s after it was last renewed; nobody may act before",
        );
        let successor = self.fleet.wait_leader(TAKEOVER).await?;
        let leads_since = self.evidence.leads_since(successor)?;
        self.timeline.at(
            leads_since,
            Who::Replica(successor),
            format_args!("takes over {:.1} s after the kill", seconds(killed, leads_since)),
        );
        let restart = self.evidence.restart(NGINX, &cause).await?;
        ensure!(
            restart.patch.request_received >= leads_since,
            "Deployment nginx was patched before anybody had the Lease"
        );
        let waited = seconds(leads_since, restart.patch.stage_timestamp) * 1000.0;
        let after = format!("{waited:.0} ms after it took over");
        self.show_restart(successor, NGINX_MAP, NGINX, &restart, &after)
            .await?;
        self.show_new_pods(NGINX, &before).await
    }

    async fn nothing_changes(&self) -> Result<()> {
        self.timeline.heading("6. Nothing changes");
        self.cluster.rewrite(NGINX_MAP, THIRD_SITE).await?;
        let written = self.evidence.last_write(NGINX_MAP)?.request_received;
        self.timeline.at(
            written,
            Who::You,
            "write ConfigMap nginx-map once more, with the content it has",
        );
        let started = Instant::now();
        while started.elapsed() < QUIET {
            self.evidence
                .no_other_restarts()
                .context("equal content must restart nothing")?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.timeline.now(
            Who::Demo,
            format_args!("{} s later: no restart, as it should be", QUIET.as_secs()),
        );
        Ok(())
    }

    fn summary(&self) -> Result<()> {
        self.evidence.no_other_restarts()?;
        let (restarts, requests) = (self.evidence.restarts(), self.evidence.requests()?);
        let fastest = self.latencies.iter().min().copied().unwrap_or_default();
        let slowest = self.latencies.iter().max().copied().unwrap_or_default();
        let line = |what: &str, text: String| timeline::print(format_args!("  {what:10}{text}"));

        self.timeline.heading("Summary, from the API server's audit log");
        line(
            "changes",
            format!("{restarts} with new content, 1 with equal content"),
        );
        line(
            "restarts",
            format!("{restarts}: one for each new content, none twice, none without a reason"),
        );
        line(
            "speed",
            format!(
                "{} to {} ms from an edit to the patch; by default 100 ms of it wait for further edits",
                fastest.as_millis(),
                slowest.as_millis()
            ),
        );
        let others = match requests.others {
            0 => String::new(),
            count => format!(", {count} other writes"),
        };
        line(
            "requests",
            format!(
                "{} patches and {} Events (the notes that kubectl describe shows){others} for {restarts} restarts",
                requests.patches, requests.events
            ),
        );
        line(
            "besides",
            format!(
                "{} reads and watches by three replicas, most at their start; {} writes of the Lease",
                requests.reads, requests.lease_writes
            ),
        );
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
