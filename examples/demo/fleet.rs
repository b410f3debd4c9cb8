//! Three replicas of the built controller, set up as the shipped manifests would: under the shipped `ServiceAccount`, with
//! leader election. In a cluster each would be a pod; here each is a process.
//!
//! Input: a control plane. Output: who runs, who leads. I/O: starts and kills processes, asks `/ready`, reads the Lease.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use testbed::{ControlPlane, Replica, ReplicaBuilder, eventually, free_port, http_get};

/// Where Reloader lives, as `deployments/kubernetes/rbac.yaml` has it.
pub const NAMESPACE: &str = "reloader";
const SERVICE_ACCOUNT: &str = "reloader-reloader";
const LEASE: &str = "stakater-reloader-lock";

/// What the replicas are called; their pods' names in a cluster.
pub const NAMES: [&str; 3] = ["reloader-0", "reloader-1", "reloader-2"];
/// How long a start may take: it takes a second or two.
const START: Duration = Duration::from_secs(30);
/// How long an end may take: what a kubelet waits before it kills.
const STOP: Duration = Duration::from_secs(30);
/// How many lines of a log tell what went wrong.
const TAIL_LINES: usize = 15;

/// The replicas.
pub struct Fleet {
    leases: Api<Lease>,
    members: Vec<Member>,
}

struct Member {
    name: &'static str,
    port: u16,
    /// How it is started.
    builder: ReplicaBuilder,
    replica: Replica,
}

impl Fleet {
    /// The user that all replicas are to the API server.
    pub fn user() -> String {
        format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}")
    }

    /// Starts them, each with the further arguments `args`.
    pub async fn start(plane: &ControlPlane, program: &Path, args: &[String]) -> Result<Self> {
        let mut members = Vec::new();
        for name in NAMES {
            let port = free_port()?;
            let kubeconfig = plane
                .kubeconfig_for_service_account(NAMESPACE, SERVICE_ACCOUNT)
                .await?;
            let builder = Replica::builder(program)
                .name(name)
                .kubeconfig(kubeconfig)
                .env("POD_NAME", name)
                .env("POD_NAMESPACE", NAMESPACE)
                .arg(format!("--listen-address=127.0.0.1:{port}"))
                .arg("--enable-ha")
                .args(args);
            members.push(Member {
                name,
                port,
                replica: builder.start()?,
                builder,
            });
        }
        Ok(Self {
            leases: Api::namespaced(plane.admin(), NAMESPACE),
            members,
        })
    }

    /// Waits until every one says on `/ready` that it knows all objects of the cluster.
    pub async fn wait_ready(&self) -> Result<()> {
        for member in &self.members {
            let what = format!("{} to be ready", member.name);
            let running = eventually(START, &what, async || -> Result<_> {
                if !member.replica.is_running()? {
                    return Ok(Some(false));
                }
                let (status, body) = http_get(member.port, "/ready").await?;
                ensure!(status == 200, "{status}: {body}");
                Ok(Some(true))
            });
            ensure!(running.await?, "{} ended by itself", member.name);
        }
        Ok(())
    }

    /// The running replica that holds the Lease, by name.
    pub async fn leader(&self) -> Result<Option<&'static str>> {
        let lease = self
            .leases
            .get_opt(LEASE)
            .await
            .context("cannot read the Lease")?;
        let holder = lease
            .and_then(|lease| lease.spec?.holder_identity)
            .unwrap_or_default();
        for member in &self.members {
            if is_held_by(&holder, member.name) && member.replica.is_running()? {
                return Ok(Some(member.name));
            }
        }
        Ok(None)
    }

    /// Waits until a running replica leads, for `patience` at most.
    pub async fn wait_leader(&self, patience: Duration) -> Result<&'static str> {
        Ok(eventually(patience, "a replica that leads", async || self.leader().await).await?)
    }

    /// `kill -9`: no goodbye, no clean-up.
    pub fn kill(&self, name: &str) -> Result<()> {
        match self.members.iter().find(|member| member.name == name) {
            Some(member) => {
                member.replica.kill();
                Ok(())
            }
            None => bail!("there is no replica {name}"),
        }
    }

    /// SIGTERM to all, as the kubelet does when it stops their pods; waits until they have ended.
    pub async fn stop(&self) -> Result<()> {
        let running: Vec<&Member> = self
            .members
            .iter()
            .filter(|member| member.replica.is_running().unwrap_or(false))
            .collect();
        for member in &running {
            member.replica.terminate()?;
        }
        for member in running {
            let status = member.replica.wait_exit(STOP).await?;
            ensure!(status.success(), "{} ended with {status} on SIGTERM", member.name);
        }
        Ok(())
    }

    /// Starts all of them anew, as processes that know nothing.
    pub fn start_again(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.replica = member.builder.start()?;
        }
        Ok(())
    }

    /// Those that still run.
    pub fn running(&self) -> Vec<&'static str> {
        let alive = |member: &&Member| member.replica.is_running().unwrap_or(false);
        self.members
            .iter()
            .filter(alive)
            .map(|member| member.name)
            .collect()
    }

    /// The last lines of the leader's log; of every log if nobody leads.
    pub async fn log_tail(&self) -> String {
        let leader = self.leader().await.unwrap_or_default();
        let of_interest = |member: &&Member| leader.is_none_or(|name| name == member.name);
        let tails = self.members.iter().filter(of_interest).map(|member| {
            let log = member.replica.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            let role = if leader.is_some() { ", the leader" } else { "" };
            format!("End of the log of {}{role}:\n{tail}", member.name)
        });
        tails.collect::<Vec<_>>().join("\n\n")
    }
}

/// Whether a Lease's holder identity, `<pod name>_<random>`, is that replica's.
pub fn is_held_by(identity: &str, name: &str) -> bool {
    identity
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('_'))
}

/// The controller that cargo built beside this example: `target/<profile>/reloader`.
pub fn controller() -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let profile = this.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let program = profile.join("reloader");
    ensure!(
        program.is_file(),
        "{} is missing: run `cargo build` first (with `--release` if the demo was built so)",
        program.display()
    );
    Ok(program)
}
