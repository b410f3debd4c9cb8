//! The act in which thirty ConfigMaps change at once, and the leader dies when a third of it is done.
//!
//! Input: a running leader. Output: lines; an error unless each application is restarted exactly once.
//! I/O: through `Cluster`, `Fleet` and `Evidence`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use testbed::eventually;

use super::{Show, TAKEOVER, milliseconds, seconds};
use crate::cluster::Pods;
use crate::example::{APP_NEW_DIGEST, APP_NEW_VALUE, APPS, APPS_NAMESPACE, App};
use crate::timeline::Who;

/// How many patches the leader may send before it is killed.
const DEADLY: usize = 10;
/// How long the leader may take for them: 0.2 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many applications are created or looked at at a time.
const PARALLEL: usize = 8;
/// The API server may still be at work on what the dead leader has sent: some 10 ms, on a busy computer a second.
const IN_FLIGHT: Duration = Duration::from_secs(2);

impl Show<'_> {
    pub(super) async fn leader_dies(&self, leader: &str) -> Result<()> {
        self.timeline
            .heading("5. The leader dies in the middle of a burst");
        self.create_apps().await?;
        let before = self.apps_rolled_out(&Pods::new()).await?;
        self.timeline.now(
            Who::You,
            format_args!("create {APPS} Deployments, each with a ConfigMap of its own; their pods are ready"),
        );

        self.timeline
            .now(Who::You, format_args!("edit all {APPS} ConfigMaps at once"));
        let edits = try_join_all(App::all().map(|app| self.cluster.edit(app.source, APP_NEW_VALUE)));
        let (_, killed) = try_join(edits, self.kill_at_work(leader)).await?;
        self.timeline.at(
            killed,
            Who::Demo,
            format_args!("kill -9 {leader}: it has no time to give the Lease back"),
        );
        tokio::time::sleep(IN_FLIGHT).await;
        let done = self.restarted().await?;
        ensure!(
            done < APPS,
            "{leader} restarted all {APPS} Deployments before it could be killed: start the demo again"
        );
        self.timeline.now(
            Who::Demo,
            format_args!("{done} Deployments are restarted, {} are not", APPS - done),
        );
        let (successor, leads_since) = self.takes_over(killed).await?;
        self.show_rest(successor, leads_since, done).await?;
        let pods = self.apps_rolled_out(&before).await?;
        self.only_once().await?;
        self.timeline.now(
            Who::Cluster,
            format_args!(
                "{} new pods are ready; each Deployment was restarted exactly once",
                pods.len()
            ),
        );
        Ok(())
    }

    /// An error unless each application was restarted exactly once, and nothing else was.
    pub(super) async fn only_once(&self) -> Result<()> {
        let restarted = self.restarted().await?;
        ensure!(
            restarted == APPS,
            "{} of {APPS} Deployments were not restarted",
            APPS - restarted
        );
        self.evidence.no_other_restarts()
    }

    async fn create_apps(&self) -> Result<()> {
        self.cluster.create_namespace(APPS_NAMESPACE).await?;
        let create = async |app: App| self.cluster.apply(app.workload.name, &app.yaml()).await;
        stream::iter(App::all().map(create))
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    /// The pods of all applications, none of which may be among `before`.
    async fn apps_rolled_out(&self, before: &Pods) -> Result<Pods> {
        let looks = App::all().map(|app| self.wait_rolled_out(app.workload, before));
        let pods: Vec<Pods> = stream::iter(looks)
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        Ok(pods.into_iter().flatten().collect())
    }

    /// Kills the leader as soon as the audit log has so many patches; gives the moment.
    async fn kill_at_work(&self, leader: &str) -> Result<Timestamp> {
        let started = Instant::now();
        while self.evidence.patches(APPS_NAMESPACE)?.len() < DEADLY {
            ensure!(
                started.elapsed() < PATIENCE,
                "{leader} did not restart {DEADLY} of {APPS} Deployments within {} s",
                PATIENCE.as_secs()
            );
            // The leader sends a patch every few milliseconds.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let now = Timestamp::now();
        self.fleet.kill(leader)?;
        Ok(now)
    }

    async fn takes_over(&self, killed: Timestamp) -> Result<(&'static str, Timestamp)> {
        self.timeline.now(
            Who::Demo,
            "wait until the Lease expires, 15 s after it was last renewed; nobody may act before",
        );
        let successor = self.fleet.wait_leader(TAKEOVER).await?;
        let leads_since = self.evidence.leads_since(successor, killed)?;
        self.timeline.at(
            leads_since,
            Who::Replica(successor),
            format_args!("takes over {:.1} s after the kill", seconds(killed, leads_since)),
        );
        Ok((successor, leads_since))
    }

    /// Waits until all are restarted, and checks that the successor did what was left to do.
    async fn show_rest(&self, successor: &str, leads_since: Timestamp, done: usize) -> Result<()> {
        eventually(PATIENCE, "the other restarts", async || {
            self.restarted()
                .await
                .map(|restarted| (restarted == APPS).then_some(()))
        })
        .await?;
        let mut patches = self.evidence.patches(APPS_NAMESPACE)?;
        patches.retain(|patch| patch.request_received >= leads_since);
        ensure!(
            patches.len() == APPS - done,
            "{} Deployments were left to restart, but {successor} restarted {}",
            APPS - done,
            patches.len()
        );
        let last = patches.iter().map(|patch| patch.stage_timestamp).max();
        let last = last.context("nothing was left to do")?;
        self.timeline.at(
            last,
            Who::Replica(successor),
            format_args!(
                "has restarted the other {}, {:.0} ms after it took over",
                patches.len(),
                milliseconds(leads_since, last)
            ),
        );
        Ok(())
    }

    /// How many applications run with the digest of what their ConfigMaps hold; an error if one of them was restarted
    /// twice.
    ///
    /// The audit log cannot tell: a patch whose sender died before the answer may be logged as failed, and be stored.
    async fn restarted(&self) -> Result<usize> {
        let mut restarted = 0;
        for deployment in self.cluster.deployments(APPS_NAMESPACE).await? {
            // 1 when it is created; every change of the spec adds 1.
            let changes = deployment.metadata.generation.unwrap_or(1) - 1;
            let template = serde_json::to_string(&deployment.spec.template)?;
            let shown = template.contains(APP_NEW_DIGEST);
            ensure!(
                changes == i64::from(shown),
                "Deployment {} was changed {changes} time(s), and its marker is {}",
                deployment.metadata.name.unwrap_or_default(),
                if shown { "right" } else { "missing or wrong" }
            );
            restarted += usize::from(shown);
        }
        Ok(restarted)
    }
}
