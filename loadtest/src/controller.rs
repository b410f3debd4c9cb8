//! One replica of the controller under load. Input: a program; output: a handle with its costs.
//! I/O: starts a process, asks its `/ready`, reads `/proc`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use testbed::{Proxy, Replica, eventually, free_port, http_get};

use crate::{
    lab::{Lab, OWN_NAMESPACE},
    objects::create_administrator,
    statistics::percentile,
};

/// Longest start: 29,100 objects on a busy machine.
const START: Duration = Duration::from_mins(2);
/// Unit of the times in `/proc/<pid>/stat`: `USER_HZ` is 100 a second on every Linux since 2.6.
const TICK: Duration = Duration::from_millis(10);

/// A running controller; killed when dropped.
pub struct Controller {
    /// Who it is in the audit log.
    pub user: String,
    /// When it was started.
    pub begun: Timestamp,
    /// The process.
    pub replica: Replica,
    port: u16,
}

/// Memory of the process in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now (`VmRSS`).
    pub resident: f64,
    /// The most that was ever resident (`VmHWM`).
    pub peak: f64,
    /// Of what is resident, heap and stacks (`RssAnon`): the rest is pages of the program's file, which the kernel shares
    /// between replicas of a node and takes back when it needs them.
    pub anonymous: f64,
}

impl Controller {
    /// Starts it as a user of its own that may do everything, and returns at once.
    pub fn launch(lab: &Lab, user: &str, args: &[&str]) -> Result<Self> {
        Self::launch_other(lab, &lab.program, user, args)
    }

    /// The same with another program.
    pub fn launch_other(lab: &Lab, program: &Path, user: &str, args: &[&str]) -> Result<Self> {
        let kubeconfig = lab.plane.kubeconfig_for_user(user, &["system:masters"])?;
        Self::launch_with(program, user, kubeconfig, user.to_owned(), args)
    }

    /// Starts it behind a proxy, as a `ServiceAccount` that may do everything, and returns at once.
    pub async fn launch_behind(lab: &Lab, proxy: &Proxy, name: &str, args: &[&str]) -> Result<Self> {
        create_administrator(&lab.client, OWN_NAMESPACE, name).await?;
        let direct = lab
            .plane
            .kubeconfig_for_service_account(OWN_NAMESPACE, name)
            .await?;
        let user = format!("system:serviceaccount:{OWN_NAMESPACE}:{name}");
        Self::launch_with(&lab.program, name, proxy.kubeconfig(&direct)?, user, args)
    }

    fn launch_with(
        program: &Path,
        name: &str,
        kubeconfig: PathBuf,
        user: String,
        args: &[&str],
    ) -> Result<Self> {
        let port = free_port()?;
        let begun = Timestamp::now();
        let replica = Replica::builder(program)
            .name(name)
            .kubeconfig(kubeconfig)
            .arg(format!("--listen-address=127.0.0.1:{port}"))
            .args(args)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", OWN_NAMESPACE)
            // A flag would be an error of versions that do not know it.
            .env("RELOADER_INSPECT_ADDRESS", "")
            .start()?;
        Ok(Self {
            user,
            begun,
            replica,
            port,
        })
    }

    /// Starts it and waits until everything is listed.
    pub async fn start(lab: &Lab, user: &str, args: &[&str]) -> Result<Self> {
        let controller = Self::launch(lab, user, args)?;
        controller.wait_ready().await?;
        Ok(controller)
    }

    /// Waits until `/ready` says so.
    pub async fn wait_ready(&self) -> Result<()> {
        eventually(START, "the controller to be ready", async || {
            let (status, _) = http_get(self.port, "/ready").await?;
            Ok::<_, std::io::Error>((status == 200).then_some(()))
        })
        .await
        .with_context(|| self.replica.log())
    }

    /// Whether `/live` says so within a second.
    pub async fn is_live(&self) -> bool {
        let answer = tokio::time::timeout(Duration::from_secs(1), http_get(self.port, "/live")).await;
        matches!(answer, Ok(Ok((200, _))))
    }

    /// Ends it in an orderly way and waits for it.
    pub async fn stop(&self) -> Result<()> {
        self.replica.terminate()?;
        self.replica.wait_exit(Duration::from_secs(30)).await?;
        Ok(())
    }

    /// Processor time used so far, user and system; resolution 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.replica.pid());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        // Behind the program's name in parentheses, which may hold spaces; utime and stime are fields 14 and 15 of
        // proc_pid_stat(5), the first here is field 3.
        let (_, fields) = stat.rsplit_once(')').context("no program name in /proc")?;
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<u32, _>>()?;
        Ok(TICK * ticks)
    }

    /// Processor time of the threads that run, in nanoseconds rather than ticks; what ended threads used is not in it.
    pub fn cpu_exact(&self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.replica.pid());
        let mut sum = Duration::ZERO;
        for thread in std::fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
            let path = thread?.path().join("schedstat");
            // A thread may end meanwhile.
            let times = std::fs::read_to_string(path).unwrap_or_default();
            let used = times.split(' ').next().and_then(|time| time.parse().ok());
            sum += Duration::from_nanos(used.unwrap_or(0));
        }
        Ok(sum)
    }

    /// Its metrics, as text.
    pub async fn metrics(&self) -> Result<String> {
        let (status, text) = http_get(self.port, "/metrics").await?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(text)
    }

    /// Milliseconds until `/metrics` has answered, the median of five.
    pub async fn metrics_after(&self) -> Result<f64> {
        let mut waited = Vec::new();
        for _ in 0..5 {
            let begun = std::time::Instant::now();
            let (status, _) = http_get(self.port, "/metrics").await?;
            ensure!(status == 200, "/metrics answered {status}");
            waited.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(percentile(&waited, 50.0))
    }

    /// Memory now and at most.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.replica.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let mebibytes = |field: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line.and_then(|line| line.split_whitespace().next());
            Ok(kibibytes
                .with_context(|| format!("no {field} in /proc"))?
                .parse::<f64>()?
                / 1024.0)
        };
        Ok(Memory {
            resident: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
            anonymous: mebibytes("RssAnon:")?,
        })
    }
}
