//! Three replicas of the built controller, set up as the shipped manifests would: under the shipped `ServiceAccount`, with
//! leader election. In a cluster each would be a pod; here each is a process.
//!
//! Input: a control plane, this program's arguments. Output: which replica leads. I/O: starts and stops processes, asks
//! `/ready`, reads the Lease.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use testbed::{ControlPlane, Replica, ReplicaBuilder, eventually, free_port, http_get};

/// Where Reloader lives, as `deployments/kubernetes/rbac.yaml` has it.
pub const NAMESPACE: &str = "default";
/// The user that all replicas are to the API server.
pub const USER: &str = "system:serviceaccount:default:reloader-reloader";

/// The longest a start, an end or a takeover may take: 15 s of the Lease, 2 s between looks, and room for a busy computer.
const PATIENCE: Duration = Duration::from_secs(40);

/// The replicas.
pub struct Fleet {
    leases: Api<Lease>,
    /// How each is started, and where it serves `/ready`.
    builders: Vec<(ReplicaBuilder, u16)>,
    replicas: Vec<Replica>,
}

impl Fleet {
    /// Prepares them; none runs yet.
    pub async fn new(plane: &ControlPlane) -> Result<Self> {
        // `target/<profile>/examples/demo`, and the controller that cargo built beside it.
        let this = std::env::current_exe()?;
        let profile = this.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let program = profile.join("reloader");
        ensure!(
            program.is_file(),
            "{} is missing: run `cargo build` first",
            program.display()
        );
        let mut builders = Vec::new();
        for name in ["reloader-0", "reloader-1", "reloader-2"] {
            let port = free_port()?;
            let account = plane.kubeconfig_for_service_account(NAMESPACE, "reloader-reloader");
            let builder = Replica::builder(&program)
                .name(name)
                .kubeconfig(account.await?)
                .env("POD_NAME", name)
                .env("POD_NAMESPACE", NAMESPACE)
                .arg("--inspect-address=")
                .arg(format!("--listen-address=127.0.0.1:{port}"))
                .arg("--enable-ha")
                .args(std::env::args().skip(1));
            builders.push((builder, port));
        }
        let leases = Api::namespaced(plane.admin(), NAMESPACE);
        Ok(Self {
            leases,
            builders,
            replicas: Vec::new(),
        })
    }

    /// Starts them as processes that know nothing, and waits until each knows all objects of the cluster.
    pub async fn start(&mut self) -> Result<()> {
        let started = self.builders.iter().map(|(builder, _)| builder.start());
        self.replicas = started.collect::<Result<_, _>>()?;
        for (_, port) in &self.builders {
            eventually(PATIENCE, "a replica to be ready", async || {
                let (status, _) = http_get(*port, "/ready").await?;
                Ok::<_, std::io::Error>((status == 200).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until a running replica leads; since when.
    pub async fn leader(&self) -> Result<(&Replica, Timestamp)> {
        let found = eventually(PATIENCE, "a replica that leads", async || -> Result<_> {
            let spec = self
                .leases
                .get("stakater-reloader-lock")
                .await?
                .spec
                .unwrap_or_default();
            // A holder's identity is `<pod name>_<random>`.
            let holder = spec.holder_identity.unwrap_or_default();
            let name = holder.split('_').next().unwrap_or_default();
            let leader = self.replicas.iter().find(|replica| replica.name() == name);
            let leader = leader.filter(|replica| replica.is_running().unwrap_or(false));
            let since = spec.acquire_time.context("the Lease has no acquireTime")?;
            Ok(leader.map(|leader| (leader, since.0)))
        });
        Ok(found.await?)
    }

    /// SIGTERM to all that run, as the kubelet does when it stops their pods; waits until they have ended.
    pub async fn stop(&self) -> Result<()> {
        for replica in &self.replicas {
            if replica.is_running()? {
                replica.terminate()?;
                let status = replica.wait_exit(PATIENCE).await?;
                ensure!(
                    status.success(),
                    "{} ended with {status} on SIGTERM",
                    replica.name()
                );
            }
        }
        Ok(())
    }

    /// The last lines of each replica's log.
    pub fn log_tails(&self) -> String {
        let tail = |replica: &Replica| {
            let log = replica.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(10)..].join("\n");
            format!("End of the log of {}:\n{tail}\n", replica.name())
        };
        self.replicas.iter().map(tail).collect()
    }
}
