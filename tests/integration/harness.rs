//! What every test is based on: one control plane for all of them, and for each test a namespace and controllers of its
//! own that run under exactly the RBAC that ships.
//!
//! Tests run in parallel. They cannot disturb each other: a controller watches its test's namespace only, as a user of
//! its own, so the audit log shows which controller sent a request.

pub mod browser;
pub mod controller;
pub mod csi;
pub mod field;
pub mod fleet;
mod keep;
pub mod kinds;
pub mod ledger;
pub mod manifests;
pub mod objects;
pub mod observe;
pub mod permissions;
pub mod rollouts;
pub mod sentinel;
pub mod sources;
pub mod usage;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::{Api, Client, api::PostParams};
use testbed::{ControlPlane, Entry};
use tokio::{runtime::Runtime, sync::OnceCell};

pub use controller::{Controller, ControllerBuilder, EVERYWHERE};

/// How long anything may take that should be quick. Generous: the machine may be busy with other tests, and a wait
/// ends as soon as what it waits for is there. Two cores with a load of 20 take a minute for what takes seconds alone.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// One runtime for all tests, so that clients of the shared control plane outlive the test that made them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a tokio runtime"));
static CONTROL_PLANE: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
static OPENSHIFT: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
static NAMESPACES: AtomicUsize = AtomicUsize::new(0);

/// Runs a test body; with `KEEP=1` the control plane stays up afterwards.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let outcome = catch_unwind(AssertUnwindSafe(|| RUNTIME.block_on(test)));
    keep::wait_if_asked(outcome.is_ok());
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A control plane of many tests, which the first of them starts; it lives until the test process ends.
async fn shared(plane: &'static OnceCell<Arc<ControlPlane>>) -> Arc<ControlPlane> {
    let start = async || Arc::new(ControlPlane::start().await.expect("a control plane"));
    Arc::clone(plane.get_or_init(start).await)
}

/// A namespace of its own on a control plane.
#[derive(Clone)]
pub struct World {
    /// The API server and its audit log.
    pub plane: Arc<ControlPlane>,
    /// May do everything; what the test itself uses.
    pub client: Client,
    /// The test's namespace.
    pub namespace: String,
}

impl World {
    /// A fresh namespace on the control plane that all tests share. It has neither controller-manager nor scheduler:
    /// only the test and its controllers write to workloads.
    pub async fn new(name: &str) -> Self {
        Self::on(shared(&CONTROL_PLANE).await, name).await
    }

    /// A fresh namespace on the control plane that all tests of DeploymentConfigs share, which serves them: controllers of
    /// other tests would find them too, and may not read them.
    pub async fn openshift(name: &str) -> Self {
        let world = Self::on(shared(&OPENSHIFT).await, name).await;
        world.define_deployment_configs().await;
        world
    }

    /// A fresh namespace on a control plane of the test's own. It ends with the test: an idle one takes 250 MB and a
    /// fiftieth of a core.
    pub async fn alone(name: &str) -> Self {
        let plane = ControlPlane::start().await.expect("a control plane");
        Self::on(Arc::new(plane), name).await
    }

    /// The same with kube-controller-manager, so that Deployments get ReplicaSets.
    pub async fn with_controller_manager(name: &str) -> Self {
        let plane = ControlPlane::builder().controller_manager(true).start().await;
        Self::on(Arc::new(plane.expect("a control plane")), name).await
    }

    /// The same with a node and pods that KWOK plays.
    pub async fn with_pods(name: &str) -> Self {
        Self::with_port_forwards(&[], name).await
    }

    /// The same with nodes and pods that KWOK plays, and port-forwards to these ports of this computer.
    pub async fn with_port_forwards(ports: &[u16], name: &str) -> Self {
        let plane = ControlPlane::builder()
            .everything()
            .forwarded_ports(ports)
            .start()
            .await;
        Self::on(Arc::new(plane.expect("a control plane")), name).await
    }

    /// A fresh namespace on a control plane of the test's own, whose API server runs with one more flag.
    pub async fn with_apiserver_flag(flag: &str, name: &str) -> Self {
        let plane = ControlPlane::builder().apiserver_flag(flag).start().await;
        Self::on(Arc::new(plane.expect("a control plane")), name).await
    }

    async fn on(plane: Arc<ControlPlane>, name: &str) -> Self {
        let namespace = format!("{name}-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let client = plane.admin();
        manifests::create_namespace(&client, &namespace).await;
        keep::note(&plane, &namespace);
        Self {
            plane,
            client,
            namespace,
        }
    }

    /// A further namespace for the same test.
    pub async fn another(&self, name: &str) -> Self {
        Self::on(Arc::clone(&self.plane), name).await
    }

    /// A controller of this namespace, to be adjusted and started.
    pub fn controller(&self) -> ControllerBuilder<'_> {
        ControllerBuilder::new(self)
    }

    /// The user that the namespace's controllers are to the API server.
    pub fn user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace,
            manifests::SERVICE_ACCOUNT
        )
    }

    /// A kubeconfig of that user. The API server must be up to make one.
    pub async fn kubeconfig(&self) -> PathBuf {
        self.plane
            .kubeconfig_for_service_account(&self.namespace, manifests::SERVICE_ACCOUNT)
            .await
            .expect("a kubeconfig")
    }

    /// An API of the test's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object in the test's namespace.
    pub async fn create<K>(&self, object: &K) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        self.api()
            .create(&PostParams::default(), object)
            .await
            .expect("the object is accepted")
    }

    /// How often a workload (`deployments`, `web`) was rolled so far: writes that changed its pod template.
    pub fn rollouts(&self, resource: &str, name: &str) -> usize {
        self.plane
            .audit()
            .template_changes(resource, &self.namespace, name)
            .expect("the audit log")
            .len()
    }

    /// Waits until the workload was rolled that often, and returns the writes.
    pub async fn wait_for_rollouts(&self, resource: &str, name: &str, count: usize) -> Vec<Arc<Entry>> {
        let what = format!("{count} rollout(s) of {resource} {name}");
        testbed::eventually(PATIENCE, &what, async || -> Result<_, String> {
            let writes = self
                .plane
                .audit()
                .template_changes(resource, &self.namespace, name)
                .map_err(|error| error.to_string())?;
            if writes.len() >= count {
                Ok(Some(writes))
            } else {
                Err(format!("{} so far", writes.len()))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }
}
