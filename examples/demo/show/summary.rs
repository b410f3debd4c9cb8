//! What the demo ends with: counts, from what the API server stores and logs.
//!
//! Input: the evidence. Output: lines; an error if there was a restart too many. I/O: reads both.

use anyhow::Result;

use super::{EQUAL_WRITES, Show};
use crate::example::APPS;
use crate::timeline;

impl Show<'_> {
    pub(super) async fn summary(&self) -> Result<()> {
        self.only_once().await?;
        let (restarts, requests) = (self.evidence.restarts() + APPS, self.evidence.requests()?);
        let fastest = self.latencies.iter().min().copied().unwrap_or_default();
        let slowest = self.latencies.iter().max().copied().unwrap_or_default();
        let line = |what: &str, text: String| timeline::print(format_args!("  {what:10}{text}"));

        self.timeline
            .heading("Summary, from what the API server stores and logs");
        line(
            "changes",
            format!("{restarts} with new content, {EQUAL_WRITES} with equal content"),
        );
        line(
            "restarts",
            format!("{restarts}: one for each new content, none lost, none twice, none without a reason"),
        );
        line(
            "speed",
            format!(
                "{} to {} ms from a single edit to the patch; by default 100 ms of it wait for further edits",
                fastest.as_millis(),
                slowest.as_millis()
            ),
        );
        line(
            "requests",
            format!(
                "{} patches, {} Events (for kubectl describe; some died with the leader), {} writes of the ledger",
                requests.patches, requests.events, requests.ledger_writes
            ),
        );
        let others = match requests.others {
            0 => String::new(),
            count => format!("; {count} other writes"),
        };
        line(
            "besides",
            format!(
                "{} reads and watches by all replicas, most at their starts; {} writes of the Lease{others}",
                requests.reads, requests.lease_writes
            ),
        );
        Ok(())
    }
}
