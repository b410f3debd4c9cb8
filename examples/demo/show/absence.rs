//! The act in which no replica runs while sources are written.
//!
//! Input: a running fleet. Output: lines; an error unless exactly the source with
//! new content restarts its workload. I/O: through `Cluster`, `Fleet` and `Evidence`.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{Show, TAKEOVER, THIRD_SITE, milliseconds};
use crate::cluster::LEDGER;
use crate::example::{LOG_SHIPPER_MAP, NGINX, NGINX_MAP, REDIS_PASSWORD};
use crate::timeline::Who;

impl Show<'_> {
    /// `password` is what redis has already.
    pub(super) async fn nobody_is_there(&mut self, password: &str) -> Result<()> {
        self.timeline.heading("7. Nobody is there");
        let before = self.cluster.pods(NGINX).await?;
        self.fleet.stop().await?;
        let sources = self.cluster.ledger_lines().await?;
        self.timeline.now(
            Who::Demo,
            format_args!("stop all replicas; ConfigMap {LEDGER} keeps the digests of {sources} sources"),
        );
        self.cluster.edit(NGINX_MAP, THIRD_SITE).await?;
        let cause = self.evidence.last_write(NGINX_MAP)?;
        self.timeline
            .at(cause.request_received, Who::You, "edit ConfigMap nginx-map");
        self.cluster.rewrite(REDIS_PASSWORD, password).await?;
        self.timeline.now(
            Who::You,
            "write Secret redis-password once more, with the content it has",
        );
        self.cluster.recreate(LOG_SHIPPER_MAP).await?;
        self.timeline.now(
            Who::You,
            "delete ConfigMap log-shipper and create it again, with the content it had",
        );

        let started = Timestamp::now();
        self.fleet.start_again()?;
        self.timeline.now(
            Who::Demo,
            "start all replicas again; none of them has seen any of this",
        );
        let leader = self.fleet.wait_leader(TAKEOVER).await?;
        let leads_since = self.evidence.leads_since(leader, started)?;
        self.timeline.at(leads_since, Who::Replica(leader), "leads");
        let restart = self.evidence.restart(NGINX, &cause).await?;
        ensure!(
            restart.patch.request_received >= leads_since,
            "Deployment nginx was patched before anybody had the Lease"
        );
        let waited = milliseconds(leads_since, restart.patch.stage_timestamp);
        let after = format!("{waited:.0} ms after that");
        self.show_restart(leader, NGINX_MAP, NGINX, &restart, &after)
            .await?;
        self.show_new_pods(NGINX, &before).await?;
        self.quiet("redis and log-shipper were not restarted, as it should be")
            .await
    }
}
