//! What every test stands on: a cluster of its own with one node, and Helm.

pub mod inventory;
pub mod leases;
pub mod workloads;

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
pub use testbed::kubelet::run_in_namespaces as run;
use testbed::{
    ControlPlane, Entry, Kubelet, Replica,
    binaries::{Binaries, Component},
    eventually,
    kubelet::Running,
};

/// How long anything may take that should be quick; a wait ends as soon as what it waits for is there.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The namespace of the release, which takes pods of the Pod Security Standard `restricted` only.
pub const NAMESPACE: &str = "tools";
/// The release's name; with the chart's name it makes the names of the objects.
pub const RELEASE: &str = "reloader";
/// The Deployment, and its ServiceAccount.
pub const DEPLOYMENT: &str = "reloader-reloader";
/// Whom the pods are to the API server.
pub const USER: &str = "system:serviceaccount:tools:reloader-reloader";
/// Where pods serve metrics and probes.
const PORT: u16 = 9090;

/// A file or folder of this repository.
pub fn in_repository(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    path.to_str().unwrap().to_owned()
}

/// A cluster with one node.
pub struct Cluster {
    // Ends before the control plane.
    pub kubelet: Kubelet,
    pub client: Client,
    pub plane: ControlPlane,
}

impl Cluster {
    /// Starts it, with a namespace for the release.
    pub async fn start() -> Self {
        let builder = ControlPlane::builder().controller_manager(true).scheduler(true);
        let plane = builder.start().await.unwrap();
        let program = env!("CARGO_BIN_EXE_reloader");
        let kubelet = Kubelet::builder(&plane)
            .image("reloader", program)
            // Its place is taken by this program, with its flags, its roles and its probes.
            .image("stakater/reloader", program)
            .image("ghcr.io/stakater/reloader", program)
            .start()
            .await
            .unwrap();
        let client = plane.admin();
        let cluster = Self {
            kubelet,
            client,
            plane,
        };
        cluster
            .create_namespace(
                NAMESPACE,
                &json!({ "pod-security.kubernetes.io/enforce": "restricted" }),
            )
            .await;
        cluster
    }

    pub async fn create_namespace(&self, name: &str, labels: &Value) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
        });
        Api::<Namespace>::all(self.client.clone())
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(namespace))
            .await
            .unwrap();
    }

    /// Runs Helm in the release's namespace; it must succeed.
    pub async fn helm(&self, tool: Component, arguments: &[&str]) {
        let tools = tokio::task::spawn_blocking(move || Binaries::locate(&[tool]));
        let tools = tools.await.unwrap().unwrap();
        let helm = Replica::builder(tools.path(tool).unwrap())
            .kubeconfig(self.plane.admin_kubeconfig())
            .args(arguments)
            .args(["--namespace", NAMESPACE])
            .start()
            .unwrap();
        let ended = helm.wait_exit(PATIENCE * 2).await.unwrap();
        assert!(ended.success(), "helm {arguments:?}: {}", helm.log());
    }

    /// `helm <verb> reloader <chart>` that waits until the Deployment is available.
    pub async fn release(&self, tool: Component, verb: &str, chart: &str, arguments: &[&str]) {
        let chart = in_repository(chart);
        let fixed = [verb, RELEASE, chart.as_str(), "--wait", "--timeout=2m"];
        self.helm(tool, &[&fixed[..], arguments].concat()).await;
    }

    /// The Deployment of the release.
    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Waits until so many pods run and all others are gone; gives their processes.
    pub async fn running(&self, count: usize) -> Vec<Arc<Running>> {
        let what = format!("{count} processes");
        let running = eventually(PATIENCE, &what, async || -> Result<_, String> {
            let deployment = self.deployments().get(DEPLOYMENT).await;
            let deployment = deployment.map_err(|error| error.to_string())?;
            let status = deployment.status.unwrap_or_default();
            let count_now = i32::try_from(count).unwrap();
            let complete = status.observed_generation == deployment.metadata.generation
                && [
                    status.replicas,
                    status.updated_replicas,
                    status.available_replicas,
                ] == [Some(count_now); 3];
            let running = self.kubelet.running();
            if complete && running.len() == count {
                Ok(Some(running))
            } else {
                Err(format!("{} processes; {status:?}", running.len()))
            }
        });
        running.await.unwrap()
    }

    /// The pod that leads, once its process says so; all others must say that they do not.
    pub async fn leader(&self) -> Arc<Running> {
        eventually(PATIENCE, "one leader", async || -> Result<_, String> {
            let (mut leaders, mut standbys) = (Vec::new(), 0);
            let running = self.kubelet.running();
            for pod in &running {
                let (_, metrics) = pod
                    .get(PORT, "/metrics")
                    .await
                    .map_err(|error| error.to_string())?;
                let value = metrics
                    .lines()
                    .find_map(|line| line.strip_prefix("leader_election_master_status"));
                match value.and_then(|value| value.rsplit(' ').next()) {
                    Some("1") => leaders.push(Arc::clone(pod)),
                    Some("0") => standbys += 1,
                    _ => return Err(format!("{} has no such metric", pod.pod())),
                }
            }
            match leaders.pop() {
                Some(leader) if standbys + 1 == running.len() => Ok(Some(leader)),
                _ => Err(format!("{standbys} of {} are standbys", running.len())),
            }
        })
        .await
        .unwrap()
    }

    /// Waits until every running pod says that it is ready; the kubelet had no trouble with any.
    pub async fn ready(&self) {
        let all_ready = eventually(PATIENCE, "ready pods", async || -> Result<_, String> {
            for pod in self.kubelet.running() {
                let (status, body) = pod.get(PORT, "/ready").await.map_err(|error| error.to_string())?;
                if status != 200 {
                    return Err(format!("{}: {body}", pod.pod()));
                }
            }
            Ok(Some(()))
        });
        all_ready.await.unwrap();
        assert_eq!(self.kubelet.troubles(), Vec::<String>::new());
    }

    /// The requests of the pods that the API server refused for a missing permission.
    pub fn refused(&self) -> Vec<String> {
        let by_pods = |entry: &Entry| entry.user == USER;
        let all = self.plane.audit().matching(by_pods).unwrap();
        assert!(all.len() > 10, "the audit log has nothing of {USER}");
        let refused = all.iter().filter(|entry| matches!(entry.code, 401 | 403));
        refused
            .map(|entry| format!("{} {}", entry.verb, entry.uri))
            .collect()
    }
}
