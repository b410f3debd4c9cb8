//! A running control plane. Input: what should run; output: a handle. I/O: starts processes, writes files, talks to the API server.

mod access;
mod commands;
mod readiness;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::audit::AuditLog;
use crate::binaries::{Binaries, Component};
use crate::error::{Error, Result};
use crate::pki::CertificateAuthority;
use crate::process::Process;
use crate::session::session;
use commands::Layout;

/// How often to start over when another process took a port between its choice and its use.
const START_ATTEMPTS: usize = 5;

/// Longest orderly end of the API server; it takes about a second, open watches or not.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What a control plane is to consist of: etcd and kube-apiserver always, the rest when asked for.
///
/// Without the controller manager namespaces have no default `ServiceAccount` (and pods need none), Deployments make no pods, and a
/// deleted namespace stays. Without KWOK there are no nodes, so a scheduled pod has nowhere to go.
// Switches, each on its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Default)]
pub struct Builder {
    controller_manager: bool,
    scheduler: bool,
    kwok: bool,
    pod_proxy: bool,
    forwarded_ports: Vec<u16>,
    apiserver_flags: Vec<String>,
}

impl Builder {
    /// Whether kube-controller-manager runs (off unless set).
    #[must_use]
    pub fn controller_manager(mut self, on: bool) -> Self {
        self.controller_manager = on;
        self
    }

    /// Whether kube-scheduler runs (off unless set).
    #[must_use]
    pub fn scheduler(mut self, on: bool) -> Self {
        self.scheduler = on;
        self
    }

    /// Whether KWOK runs and plays one large node (off unless set).
    #[must_use]
    pub fn kwok(mut self, on: bool) -> Self {
        self.kwok = on;
        self
    }

    /// All of it: a Deployment, StatefulSet or DaemonSet rolls for real, its pods are Ready in about a second.
    #[must_use]
    pub fn everything(self) -> Self {
        self.controller_manager(true).scheduler(true).kwok(true)
    }

    /// Whether the API server's proxy of pods (`.../pods/NAME:PORT/proxy/...`) leads into the pods of a
    /// [`Kubelet`](crate::Kubelet) (off unless set). It then reaches nothing else in the cluster: no webhook, no other API server.
    #[must_use]
    pub fn pod_proxy(mut self, on: bool) -> Self {
        self.pod_proxy = on;
        self
    }

    /// Ports of KWOK's pods that a port-forward leads to, each to the same port of this computer's loopback address (none unless
    /// set). KWOK has to run.
    #[must_use]
    pub fn forwarded_ports(mut self, ports: &[u16]) -> Self {
        self.forwarded_ports = ports.to_vec();
        self
    }

    /// Adds a flag to kube-apiserver's command line, after the testbed's own, so that it overrides them: `--flag=value`.
    #[must_use]
    pub fn apiserver_flag(mut self, flag: impl Into<String>) -> Self {
        self.apiserver_flags.push(flag.into());
        self
    }

    /// Starts it and waits until it serves: about 3 s, 6 s with everything, plus some minutes if programs have to be built first.
    ///
    /// # Errors
    /// As [`Binaries::locate`]; [`Error::Exited`] with the end of the log if a program does not stay up; [`Error::Timeout`].
    pub async fn start(self) -> Result<ControlPlane> {
        let components = self.components();
        // Compiling takes minutes, which would block the runtime's other tasks.
        let binaries = tokio::task::spawn_blocking(move || Binaries::locate(&components))
            .await
            .map_err(|error| Error::io("look for the programs")(error.into()))??;
        let mut attempt = 1;
        loop {
            match ControlPlane::start_once(&self, &binaries).await {
                Err(error) if error.is_port_clash() && attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn components(&self) -> Vec<Component> {
        Component::ALL
            .into_iter()
            .filter(|component| match component {
                Component::Etcd | Component::ApiServer => true,
                Component::ControllerManager => self.controller_manager,
                Component::Scheduler => self.scheduler,
                Component::Kwok => self.kwok,
                Component::Helm
                | Component::Helm3
                | Component::HelmUnittest
                | Component::Kubectl
                | Component::Kustomize
                | Component::Promtool => false,
            })
            .collect()
    }
}

/// A running control plane; everything of it ends when this is dropped, and its folder goes.
///
/// Methods take `&self`, so tasks of a test may share it.
pub struct ControlPlane {
    layout: Layout,
    ca: CertificateAuthority,
    audit: AuditLog,
    admin: Client,
    binaries: Binaries,
    apiserver_flags: Vec<String>,
    /// Number of the next user's files.
    next_user: std::sync::atomic::AtomicUsize,
    // In the order of their end: clients of the API server first, then the API server, then its store, then the folder.
    others: Vec<Process>,
    apiserver: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
    _folder: TempDir,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver alone; see [`Builder::start`].
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// What to start, piece by piece.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start_once(builder: &Builder, binaries: &Binaries) -> Result<Self> {
        let folder = session()?.folder("control-plane-")?;
        let ca = CertificateAuthority::new()?;
        let layout = Layout::write(folder.path(), &ca)?;
        let mut apiserver_flags = builder.apiserver_flags.clone();
        if !builder.controller_manager {
            // Nobody makes ServiceAccounts then, and this plugin refuses pods without one.
            apiserver_flags.insert(0, "--disable-admission-plugins=ServiceAccount".to_owned());
        }
        if builder.pod_proxy {
            apiserver_flags.insert(0, layout.pod_proxy_flag());
        }
        let mut kwok_flags = Vec::new();
        if !builder.forwarded_ports.is_empty() {
            // By its name it is not found: it is on this computer.
            apiserver_flags.insert(0, "--kubelet-preferred-address-types=InternalIP".to_owned());
            kwok_flags = layout.node_server_flags(&builder.forwarded_ports)?;
        }
        let etcd = layout.start_process(Component::Etcd, binaries, &[])?;
        let apiserver = layout.start_process(Component::ApiServer, binaries, &apiserver_flags)?;
        let admin = crate::client::client_from(&layout.admin_kubeconfig()).await?;
        let mut control_plane = Self {
            audit: AuditLog::new(layout.audit_log()),
            layout,
            ca,
            admin,
            binaries: binaries.clone(),
            apiserver_flags,
            next_user: 0.into(),
            others: Vec::new(),
            apiserver: Mutex::new(Some(apiserver)),
            etcd: Mutex::new(Some(etcd)),
            _folder: folder,
        };
        control_plane.wait_until_api_serves().await?;
        for component in builder.components() {
            if !matches!(component, Component::Etcd | Component::ApiServer) {
                let flags: &[String] = if component == Component::Kwok {
                    &kwok_flags
                } else {
                    &[]
                };
                let process = control_plane.layout.start_process(component, binaries, flags)?;
                control_plane.others.push(process);
            }
        }
        control_plane.wait_until_complete(builder).await?;
        Ok(control_plane)
    }

    /// Ends the API server in an orderly way (SIGTERM) and waits for it. Its data stays in etcd. Does nothing if it is down.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it does not end within 30 s; it is killed then.
    pub async fn stop_apiserver(&self) -> Result<()> {
        let process = self.apiserver().take();
        match process {
            None => Ok(()),
            Some(process) => {
                process.signal(Signal::SIGTERM)?;
                process.wait_exit(STOP_TIMEOUT).await.map(drop)
            }
        }
    }

    /// Ends the API server at once (SIGKILL) and returns when it is gone. Does nothing if it is down.
    pub fn kill_apiserver(&self) {
        drop(self.apiserver().take());
    }

    /// Starts the API server again on the same data and port and waits until it serves. Does nothing if it runs.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start_apiserver(&self) -> Result<()> {
        {
            let mut apiserver = self.apiserver();
            if apiserver.is_none() {
                let process =
                    self.layout
                        .start_process(Component::ApiServer, &self.binaries, &self.apiserver_flags)?;
                *apiserver = Some(process);
            }
        }
        self.wait_until_api_serves().await
    }

    /// The API server's address, `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.layout.url()
    }

    /// The certificate of the authority that signed the API server's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// The authority itself, for further servers in front of the API server.
    pub(crate) fn ca(&self) -> &CertificateAuthority {
        &self.ca
    }

    /// Its folder: data, keys, and the log of each program as `<program>.log`. Room for files of the test, too.
    pub fn dir(&self) -> &Path {
        self.layout.folder()
    }

    /// Where a kubelet leads the API server's connections into pods.
    #[cfg(target_os = "linux")]
    pub(crate) fn pods_socket(&self) -> PathBuf {
        self.layout.pods_socket()
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// A client that may do everything (group `system:masters`), user `testbed:admin`.
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// A kubeconfig for that user, for kubectl or helm.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.layout.admin_kubeconfig()
    }

    /// Process ids of what runs, to look at them from outside.
    pub fn pids(&self) -> Vec<u32> {
        let apiserver = self.apiserver().as_ref().map(Process::pid);
        self.others
            .iter()
            .map(Process::pid)
            .chain(apiserver)
            .chain(self.etcd().as_ref().map(Process::pid))
            .collect()
    }

    fn etcd(&self) -> MutexGuard<'_, Option<Process>> {
        self.etcd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apiserver(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic while holding the lock leaves the value whole.
        self.apiserver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
