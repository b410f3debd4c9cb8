//! A cluster with two nodes: the kubelet's for the controller, KWOK's for everything else.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use kube::Client;
use testbed::{
    ControlPlane, Kubelet, Replica,
    binaries::{Binaries, Component},
    eventually, inventory,
};

/// How long anything may take; a wait ends as soon as what it waits for is there.
pub const PATIENCE: Duration = Duration::from_mins(8);
/// The context of the control plane's kubeconfig.
pub const CONTEXT: &str = "--context=testbed";

/// A cluster to run the load test on.
pub struct Cluster {
    // Ends before the control plane.
    _kubelet: Kubelet,
    pub client: Client,
    pub plane: ControlPlane,
    before: BTreeSet<String>,
    values: PathBuf,
}

impl Cluster {
    pub async fn start() -> Self {
        let plane = ControlPlane::builder().everything().pod_proxy(true);
        let plane = plane.start().await.unwrap();
        let kubelet = Kubelet::builder(&plane)
            .reserved()
            .image("reloader", controller())
            .start()
            .await
            .unwrap();
        let client = plane.admin();
        let values = root().join("loadtest/testbed-values.yaml");
        let before = inventory(&client).await.unwrap();
        Self {
            _kubelet: kubelet,
            client,
            plane,
            before,
            values,
        }
    }

    /// Starts the load test with the chart of this repository.
    pub async fn start_loadtest(&self, args: &[&str]) -> Replica {
        let tools = tokio::task::spawn_blocking(|| Binaries::locate(&[Component::Helm]));
        let tools = tools.await.unwrap().unwrap();
        let helm = tools.path(Component::Helm).unwrap().display().to_string();
        let values = format!("--values={}", self.values.display());
        loadtest(&self.plane)
            .args([CONTEXT, "--no-store", &format!("--helm={helm}"), &values])
            .arg(format!("--chart={}", chart()))
            .args(args)
            .start()
            .unwrap()
    }

    /// The same, to its end; gives whether it succeeded and what it printed.
    pub async fn run(&self, args: &[&str]) -> (bool, String) {
        end_of(&self.start_loadtest(args).await).await
    }

    pub fn baseline_values(&self) -> String {
        format!("--baseline-values={}", self.values.display())
    }

    /// What is in the cluster and was not before.
    pub async fn left(&self) -> Vec<String> {
        let now = inventory(&self.client).await.unwrap();
        now.difference(&self.before).cloned().collect()
    }

    /// Waits until the load test has made such an object.
    pub async fn wait_for(&self, run: &Replica, object: &str) {
        let made = eventually(PATIENCE, object, async || -> Result<_, String> {
            assert!(run.is_running().unwrap(), "{}", run.log());
            let left = self.left().await;
            let found = left.iter().any(|one| one == object);
            if found {
                Ok(Some(()))
            } else {
                Err(format!("{} objects", left.len()))
            }
        });
        made.await.unwrap();
    }
}

/// The load test with a control plane's kubeconfig in its environment.
pub fn loadtest(plane: &ControlPlane) -> testbed::ReplicaBuilder {
    Replica::builder(env!("CARGO_BIN_EXE_loadtest")).kubeconfig(plane.admin_kubeconfig())
}

pub async fn end_of(run: &Replica) -> (bool, String) {
    let ended = run.wait_exit(PATIENCE).await;
    let ended = ended.unwrap_or_else(|error| panic!("{error}\n{}", run.log()));
    (ended.success(), run.log())
}

pub fn chart() -> String {
    root().join("charts/reloader").display().to_string()
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The controller beside the load test's program; built if it is not there.
fn controller() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("reloader");
    if !program.is_file() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--bin", "reloader"])
            .current_dir(root())
            .status();
        assert!(built.unwrap().success());
    }
    program
}
