//! Three replicas of which one leads. Input: signals; output: their costs. I/O: starts processes, reads the audit log,
//! deletes the ledger.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};

use crate::{
    controller::Controller,
    lab::{Lab, OWN_NAMESPACE},
};

/// A short window.
pub const WINDOW: &str = "--coalesce-window=100ms";
const ARGS: [&str; 2] = ["--enable-ha=true", WINDOW];
const COUNT: usize = 3;
/// Longer than the ledger's delay.
const QUIET: Duration = Duration::from_secs(7);
/// Longest wait for the end of all writes.
const PATIENCE: Duration = Duration::from_mins(5);

/// The replicas that run.
pub struct Replicas<'a> {
    lab: &'a Lab,
    name: &'static str,
    running: Vec<Controller>,
    /// Every replica so far.
    pub users: Vec<String>,
}

/// Processor time so far.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub leader: Duration,
    pub standby: Duration,
}

/// What the ledger takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerSize {
    pub config_maps: usize,
    pub bytes: usize,
    pub lines: usize,
}

impl<'a> Replicas<'a> {
    pub const fn new(lab: &'a Lab, name: &'static str) -> Self {
        Self {
            lab,
            name,
            running: Vec::new(),
            users: Vec::new(),
        }
    }

    /// Starts all of them at the same moment; returns the seconds until the last one is ready.
    pub async fn launch_all(&mut self) -> Result<f64> {
        let begun = Instant::now();
        for _ in 0..COUNT {
            self.launch()?;
        }
        for replica in &self.running {
            replica.wait_ready().await?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    fn launch(&mut self) -> Result<()> {
        let user = format!("{}-{}", self.name, self.users.len());
        self.running.push(Controller::launch(self.lab, &user, &ARGS)?);
        self.users.push(user);
        Ok(())
    }

    /// The one that wrote the Lease last.
    pub fn leader(&self) -> Result<&Controller> {
        let leases = self
            .lab
            .plane
            .audit()
            .matching(|entry| entry.resource == "leases" && entry.is_write() && entry.succeeded())?;
        let ours = leases.iter().rev().find(|entry| self.users.contains(&entry.user));
        let user = &ours.context("no replica leads")?.user;
        let leader = self.running.iter().find(|replica| replica.user == *user);
        leader.with_context(|| format!("{user} leads and does not run"))
    }

    fn standbys(&self) -> Result<impl Iterator<Item = &Controller>> {
        let leader = self.leader()?.user.clone();
        Ok(self.running.iter().filter(move |replica| replica.user != leader))
    }

    /// Resident memory in MiB: the larger standby's, and the leader's.
    pub fn memory(&self) -> Result<(f64, f64)> {
        let mut standby = 0.0_f64;
        for replica in self.standbys()? {
            standby = standby.max(replica.memory()?.resident);
        }
        Ok((standby, self.leader()?.memory()?.resident))
    }

    /// Processor time so far, of the standby that used most.
    pub fn cpu(&self) -> Result<Cpu> {
        let mut standby = Duration::ZERO;
        for replica in self.standbys()? {
            standby = standby.max(replica.cpu_exact()?);
        }
        Ok(Cpu {
            leader: self.leader()?.cpu_exact()?,
            standby,
        })
    }

    /// A new replica takes the place of one that has got a signal.
    pub async fn replace(&mut self, user: &str) -> Result<()> {
        if let Some(place) = self.running.iter().position(|replica| replica.user == user) {
            let former = self.running.remove(place);
            former.replica.wait_exit(Duration::from_secs(30)).await?;
        }
        self.launch()?;
        let newest = self.running.last().context("no replica was started")?;
        newest.wait_ready().await
    }

    /// Kills the leader at once, and says who it was. No other takes its place here.
    pub fn kill_leader(&mut self) -> Result<String> {
        let user = self.leader()?.user.clone();
        if let Some(place) = self.running.iter().position(|replica| replica.user == user) {
            self.running.remove(place).replica.kill();
        }
        Ok(user)
    }

    /// Ends all of them, the leader last.
    pub async fn stop(&mut self) -> Result<()> {
        let leader = self.leader()?.user.clone();
        self.running.sort_by_key(|replica| replica.user == leader);
        for replica in self.running.drain(..) {
            replica.stop().await?;
        }
        Ok(())
    }

    /// The next replicas start as if there had been none.
    pub async fn forget(&self) -> Result<()> {
        let (client, all) = (self.lab.client.clone(), ListParams::default());
        let params = DeleteParams::default();
        Api::<ConfigMap>::namespaced(client.clone(), OWN_NAMESPACE)
            .delete_collection(&params, &all)
            .await?;
        Api::<Lease>::namespaced(client, OWN_NAMESPACE)
            .delete_collection(&params, &all)
            .await?;
        Ok(())
    }

    /// Waits until no replica has written anything but the Lease for a while.
    pub async fn wait_until_calm(&self) -> Result<()> {
        let writes = || -> Result<usize> {
            let writes = self.lab.plane.audit().matching(|entry| {
                entry.is_write() && entry.resource != "leases" && self.users.contains(&entry.user)
            })?;
            Ok(writes.len())
        };
        let begun = Instant::now();
        let (mut known, mut last) = (writes()?, Instant::now());
        while last.elapsed() < QUIET {
            if begun.elapsed() > PATIENCE {
                bail!("the replicas still write after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = writes()?;
            if now != known {
                (known, last) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

/// What the ledger takes now.
pub async fn ledger(lab: &Lab) -> Result<LedgerSize> {
    let api = Api::<ConfigMap>::namespaced(lab.client.clone(), OWN_NAMESPACE);
    let kept = api.list(&ListParams::default()).await?;
    let ledger = kept.items.into_iter().filter(|object| {
        let name = object.metadata.name.as_deref();
        name.is_some_and(|name| name.contains("ledger"))
    });
    let mut size = LedgerSize::default();
    for object in ledger {
        size.config_maps += 1;
        for text in object.data.unwrap_or_default().values() {
            size.bytes += text.len();
            size.lines += text.lines().count();
        }
    }
    Ok(size)
}
