//! A control plane of its own for one scenario. Input: the program to measure; output: a handle.
//! I/O: starts processes, writes objects, reads the audit log.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use jiff::Timestamp;
use kube::Client;
use testbed::{ControlPlane, eventually};

use crate::{objects, trace::Trace};

/// Where the controller runs, as it believes: ledger and Lease are there.
pub const OWN_NAMESPACE: &str = "reloader";
/// Longest wait for anything that should come.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A control plane without controller manager and scheduler: only the scenario and the controller write to workloads.
pub struct Lab {
    /// The API server and its audit log.
    pub plane: ControlPlane,
    /// May do everything; what the scenario itself uses.
    pub client: Client,
    /// The controller under load.
    pub program: PathBuf,
}

impl Lab {
    /// Starts one.
    pub async fn new(program: &Path) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let client = plane.admin();
        objects::create_namespace(&client, OWN_NAMESPACE).await?;
        Ok(Self {
            plane,
            client,
            program: program.to_owned(),
        })
    }

    /// What happened from then on.
    pub fn trace(&self, since: Timestamp) -> Result<Trace> {
        Ok(Trace::new(self.plane.audit().entries()?, since))
    }

    /// Waits until a user has sent so many PATCHes in a namespace since then.
    pub async fn wait_for_patches(
        &self,
        user: &str,
        namespace: &str,
        count: usize,
        since: Timestamp,
    ) -> Result<()> {
        let what = format!("{count} PATCHes by {user} in {namespace}");
        eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let trace = self.trace(since).map_err(|error| format!("{error:#}"))?;
            match trace.patches(user, namespace).len() {
                enough if enough >= count => Ok(Some(())),
                few => Err(format!("{few} so far")),
            }
        })
        .await?;
        Ok(())
    }

    /// Waits until a user has written nothing for so long; renewals of a Lease, which never end, do not count.
    pub async fn wait_for_quiet(&self, user: &str, quiet: Duration) -> Result<()> {
        let count = || -> Result<usize> {
            let writes = self.plane.audit().writes_by(user)?;
            Ok(writes.iter().filter(|write| write.resource != "leases").count())
        };
        let begun = Instant::now();
        let mut writes = count()?;
        let mut last = Instant::now();
        while last.elapsed() < quiet {
            if begun.elapsed() > PATIENCE {
                bail!("{user} still writes after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = count()?;
            if now != writes {
                (writes, last) = (now, Instant::now());
            }
        }
        Ok(())
    }
}
