//! A kubelet for the program under test: its pods run as real processes, under the pod's own ServiceAccount.
//!
//! Input: pods that the scheduler gives to its node. Output: their processes and status. I/O: makes namespaces and mounts, starts
//! and signals processes, talks to the API server.
//!
//! Each pod has a network of its own, so that replicas listen on the same port, and reaches the API server at the Service's
//! address as in a cluster, with TLS from end to end. Its container has a root of its own with its program, its volumes (the
//! ServiceAccount's token, bound to the pod, among them) and nothing to write to that the pod does not ask for. Environment,
//! arguments, probes, restarts, SIGTERM and the grace period are as the pod says. A pod that asks for more than is done here
//! does not start, and says which field it is. Pods of KWOK's node are not its business. The API server's proxy of pods leads
//! into them if the control plane was started with [`pod_proxy`](crate::Builder::pod_proxy).
//!
//! Left out: memory and CPU limits, seccomp, renewal of tokens (they live for an hour), updates of mounted ConfigMaps.
//!
//! It needs to make network and mount namespaces: see [`run_in_namespaces`].

mod loopback;
mod node;
mod pod;
mod probe;
mod sandbox;
mod status;
mod supported;
mod tunnel;
mod user_namespace;
mod variables;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::control_plane::ControlPlane;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::session::session;
pub use node::{NAME as NODE, TAINT};
use sandbox::Sandbox;
pub use user_namespace::run_in_namespaces;

/// Where pods find the API server: the first address of the Services' range, as in the API server's certificate.
const INSIDE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 1), 443);

/// A running kubelet; its pods' processes end when it is dropped. If a test panics, their logs are printed then.
pub struct Kubelet {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 3],
}

/// What a kubelet is to run.
pub struct Builder<'a> {
    plane: &'a ControlPlane,
    programs: BTreeMap<String, PathBuf>,
    is_reserved: bool,
}

/// A pod's process.
pub struct Running {
    pod: String,
    process: Arc<Process>,
    sandbox: Arc<Sandbox>,
}

/// What all pods of a kubelet share.
struct Shared {
    client: Client,
    programs: BTreeMap<String, PathBuf>,
    /// Where the API server really is.
    apiserver: SocketAddr,
    /// Where pods find it.
    inside: SocketAddrV4,
    /// Logs and empty folders.
    folder: TempDir,
    addresses: AtomicU16,
    running: Mutex<BTreeMap<String, Arc<Running>>>,
    troubles: Mutex<Vec<String>>,
}

impl Builder<'_> {
    /// Says which program an image stands for; `repository` is the image's name without tag and digest. The program is the image's
    /// entry point.
    #[must_use]
    pub fn image(mut self, repository: &str, program: impl AsRef<Path>) -> Self {
        let program = program.as_ref().to_owned();
        self.programs.insert(repository.to_owned(), program);
        self
    }

    /// Keeps the node for pods that tolerate its taint [`TAINT`], so that all others go to KWOK's node.
    #[must_use]
    pub fn reserved(mut self) -> Self {
        self.is_reserved = true;
        self
    }

    /// Registers the node and starts to run what is scheduled to it.
    ///
    /// # Errors
    /// [`Error::NoNamespaces`] if this process may not make any; [`Error::Kubernetes`], [`Error::Timeout`] if the API server does not
    /// take the node, or nobody takes its taint away (the controller manager has to run).
    pub async fn start(self) -> Result<Kubelet> {
        user_namespace::check().await?;
        let plane = self.plane;
        let user = format!("system:node:{}", node::NAME);
        let client = plane
            .client_for_user(&user, &["system:nodes", "system:masters"])
            .await?;
        let apiserver = plane.url().trim_start_matches("https://").parse();
        let shared = Arc::new(Shared {
            client: client.clone(),
            programs: self.programs,
            apiserver: apiserver.map_err(|error| {
                Error::io("read the API server's address")(std::io::Error::other::<std::net::AddrParseError>(
                    error,
                ))
            })?,
            inside: INSIDE,
            folder: session()?.folder("kubelet-")?,
            addresses: AtomicU16::new(1),
            running: Mutex::default(),
            troubles: Mutex::default(),
        });
        let tunnel = tunnel::listen(&plane.pods_socket())?;
        node::register(&client).await?;
        if self.is_reserved {
            node::taint(&client).await?;
        }
        let tasks = [
            tokio::spawn(tunnel::serve(tunnel, Arc::clone(&shared))),
            tokio::spawn(run(Arc::clone(&shared))),
            tokio::spawn(node::heartbeat(client)),
        ];
        Ok(Kubelet { shared, tasks })
    }
}

impl Kubelet {
    /// A kubelet for a control plane with controller manager and scheduler.
    pub fn builder(plane: &ControlPlane) -> Builder<'_> {
        Builder {
            plane,
            programs: BTreeMap::new(),
            is_reserved: false,
        }
    }

    /// The processes that run now, those included that were asked to end.
    pub fn running(&self) -> Vec<Arc<Running>> {
        self.shared.running().values().cloned().collect()
    }

    /// What pods have printed so far, by pod, those included that are no more.
    pub fn logs(&self) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(self.shared.folder.path())
            .into_iter()
            .flatten()
            .flatten();
        let log = |file: std::fs::DirEntry| {
            let name = file.file_name().to_str()?.strip_suffix(".log")?.to_owned();
            let bytes = std::fs::read(file.path()).ok()?;
            Some((name, String::from_utf8_lossy(&bytes).into_owned()))
        };
        files.filter_map(log).collect()
    }

    /// What could not be done, in words; empty if all is well.
    pub fn troubles(&self) -> Vec<String> {
        self.shared.troubles().clone()
    }
}

impl Running {
    /// The pod's name.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends its process a signal.
    ///
    /// # Errors
    /// [`Error::Io`]; never because it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// One HTTP request to a port of the pod; status and body.
    ///
    /// # Errors
    /// [`Error::Io`] if nobody listens there, or the answer is cut off.
    pub async fn get(&self, port: u16, path: &str) -> Result<(u16, String)> {
        probe::get(&self.sandbox, port, path).await
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if std::thread::panicking() {
            for trouble in self.troubles() {
                eprintln!("kubelet: {trouble}");
            }
            for (pod, log) in self.logs() {
                eprintln!("log of pod {pod}:\n{log}");
            }
        }
        for running in self.running() {
            running.process.kill();
        }
        self.shared.running().clear();
    }
}

impl Shared {
    /// The program that an image stands for.
    fn program_of(&self, image: &str) -> Option<&Path> {
        let without_digest = image.split('@').next().unwrap_or_default();
        let repository = match without_digest.rsplit_once(':') {
            // A colon before a slash is that of a registry's port.
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => without_digest,
        };
        self.programs.get(repository).map(PathBuf::as_path)
    }

    /// Addresses 10.244.0.1 and on; each pod's is its own, although no two are in one network.
    fn next_address(&self) -> Ipv4Addr {
        let [high, low] = self.addresses.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(10, 244, high, low)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        // A panic while holding the lock leaves the map whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, Vec<String>> {
        // As above.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_trouble(&self, trouble: String) {
        self.troubles().push(trouble);
    }
}

/// Follows the node's pods, each of which has a task of its own.
async fn run(shared: Arc<Shared>) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", node::NAME));
    let mut events = watcher(Api::<Pod>::all(shared.client.clone()), config)
        .default_backoff()
        .boxed();
    let mut pods: BTreeMap<String, watch::Sender<Option<Pod>>> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    // Ends its tasks when it is dropped.
    let mut lives = JoinSet::new();
    while let Some(event) = events.next().await {
        while lives.try_join_next().is_some() {}
        match event {
            // Tried again by the watcher.
            Err(_) => {}
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitDone) => pods.retain(|uid, pod| {
                let is_there = listed.contains(uid);
                if !is_there {
                    pod.send_replace(None);
                }
                is_there
            }),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(sender) = pods.remove(&pod.uid().unwrap_or_default()) {
                    sender.send_replace(None);
                }
            }
            Ok(watcher::Event::InitApply(pod) | watcher::Event::Apply(pod)) => {
                let uid = pod.uid().unwrap_or_default();
                listed.insert(uid.clone());
                if let Some(sender) = pods.get(&uid) {
                    sender.send_replace(Some(pod));
                } else {
                    let (sender, updates) = watch::channel(Some(pod.clone()));
                    pods.insert(uid, sender);
                    lives.spawn(pod::live(Arc::clone(&shared), pod, updates));
                }
            }
        }
    }
}
