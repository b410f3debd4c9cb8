//! The files and command lines of one control plane. Input: a folder and programs; output: running processes.
//! I/O: writes the folder, starts processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::binaries::{Binaries, Component};
use crate::client::{Credentials, write_kubeconfig, write_private};
use crate::error::{Error, Result};
use crate::pki::{CertificateAuthority, Identity, service_account_keys};
use crate::ports::free_port;
use crate::process::Process;

/// What the API server logs about requests; see the file.
const AUDIT_POLICY: &str = include_str!("../../config/audit-policy.yaml");

/// How KWOK plays nodes and pods; see the file.
const KWOK_STAGES: &str = include_str!("../../kwok/stages.yaml");

/// Through what the API server reaches pods; see the file.
const EGRESS: &str = include_str!("../../config/egress.yaml");

/// The annotation that marks a node as one for KWOK to play.
pub const KWOK_NODE_ANNOTATION: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// Where one control plane keeps its files and listens.
pub struct Layout {
    folder: PathBuf,
    apiserver_port: u16,
    etcd_client_port: u16,
    etcd_peer_port: u16,
}

impl Layout {
    /// Chooses ports and writes keys, certificates, policies and kubeconfigs into `folder`.
    pub fn write(folder: &Path, ca: &CertificateAuthority) -> Result<Self> {
        let layout = Self {
            folder: folder.to_owned(),
            apiserver_port: free_port()?,
            etcd_client_port: free_port()?,
            etcd_peer_port: free_port()?,
        };
        let (private, public) = service_account_keys()?;
        layout.write_file("ca.crt", ca.pem())?;
        layout.write_identity("apiserver", &ca.server()?)?;
        layout.write_file("service-account.key", &private)?;
        layout.write_file("service-account.pub", &public)?;
        layout.write_file("audit-policy.yaml", AUDIT_POLICY)?;
        layout.write_file("kwok-stages.yaml", KWOK_STAGES)?;
        let socket = layout.pods_socket().display().to_string();
        layout.write_file("egress.yaml", &EGRESS.replace("SOCKET", &socket))?;
        // Names the RBAC bootstrap roles are bound to; KWOK has none, so it is an administrator.
        for (file, user, groups) in [
            ("admin", "testbed:admin", &["system:masters"][..]),
            (
                Component::ControllerManager.binary(),
                "system:kube-controller-manager",
                &[],
            ),
            (Component::Scheduler.binary(), "system:kube-scheduler", &[]),
            (Component::Kwok.binary(), "testbed:kwok", &["system:masters"]),
        ] {
            layout.write_user(file, &ca.client(user, groups)?)?;
        }
        Ok(layout)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver_port)
    }

    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Where the kubelet leads connections into pods.
    pub fn pods_socket(&self) -> PathBuf {
        self.folder.join("pods.sock")
    }

    /// The flag by which the API server uses that socket.
    pub fn pod_proxy_flag(&self) -> String {
        self.path_flag("egress-selector-config-file", "egress.yaml")
    }

    /// The flags by which KWOK serves port-forwards as a kubelet does, and the rules for these ports.
    pub fn node_server_flags(&self, ports: &[u16]) -> Result<Vec<String>> {
        let forwards: Vec<_> = ports
            .iter()
            .map(|port| json!({"ports": [port], "target": {"address": "127.0.0.1", "port": port}}))
            .collect();
        let rules = json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterPortForward",
            "metadata": {"name": "forwards"},
            "spec": {"forwards": forwards},
        });
        // Every JSON is YAML.
        let rules = self.write_file("kwok-forwards.yaml", &rules.to_string())?;
        let port = free_port()?;
        Ok(vec![
            format!("--config={}", rules.display()),
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={port}"),
            format!("--server-address=127.0.0.1:{port}"),
            self.path_flag("tls-cert-file", "apiserver.crt"),
            self.path_flag("tls-private-key-file", "apiserver.key"),
        ])
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("admin")
    }

    /// Path of the kubeconfig `<name>.kubeconfig`.
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.kubeconfig"))
    }

    /// Writes certificate, key and kubeconfig of a user under a file name; gives the kubeconfig's path.
    pub fn write_user(&self, name: &str, identity: &Identity) -> Result<PathBuf> {
        let (certificate, key) = self.write_identity(name, identity)?;
        self.write_kubeconfig(
            name,
            &Credentials::Certificate {
                certificate: &certificate,
                key: &key,
            },
        )
    }

    /// Writes the kubeconfig `<name>.kubeconfig`; gives its path.
    pub fn write_kubeconfig(&self, name: &str, credentials: &Credentials<'_>) -> Result<PathBuf> {
        let path = self.kubeconfig(name);
        write_kubeconfig(&path, &self.url(), &self.folder.join("ca.crt"), credentials)?;
        Ok(path)
    }

    fn write_identity(&self, name: &str, identity: &Identity) -> Result<(PathBuf, PathBuf)> {
        let certificate = self.write_file(&format!("{name}.crt"), &identity.certificate)?;
        let key = self.write_file(&format!("{name}.key"), &identity.key)?;
        Ok((certificate, key))
    }

    fn write_file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        write_private(&path, content.as_bytes())?;
        Ok(path)
    }

    /// Starts a program with its flags and then `extra`; its output goes to `<program>.log`.
    pub fn start_process(
        &self,
        component: Component,
        binaries: &Binaries,
        extra: &[String],
    ) -> Result<Process> {
        let name = component.binary();
        let program = binaries.path(component).ok_or_else(|| {
            Error::io(format!("start {name}"))(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "it was not located",
            ))
        })?;
        let mut command = Command::new(program);
        command
            .args(self.flags(component))
            .args(extra)
            .current_dir(&self.folder);
        Process::start(name, &mut command, &self.folder.join(format!("{name}.log")))
    }

    fn flags(&self, component: Component) -> Vec<String> {
        match component {
            // Run by tests, not kept running.
            Component::Helm
            | Component::Helm3
            | Component::HelmUnittest
            | Component::Kubectl
            | Component::Kustomize
            | Component::Promtool => Vec::new(),
            Component::Etcd => self.etcd_flags(),
            Component::ApiServer => self.apiserver_flags(),
            Component::ControllerManager => self.controller_manager_flags(),
            Component::Scheduler => vec![
                self.path_flag("kubeconfig", &format!("{}.kubeconfig", component.binary())),
                "--leader-elect=false".to_owned(),
                // Serves nothing: nobody scrapes it, and it needs no port.
                "--secure-port=0".to_owned(),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
            ],
            Component::Kwok => vec![
                self.path_flag("kubeconfig", &format!("{}.kubeconfig", component.binary())),
                self.path_flag("config", "kwok-stages.yaml"),
                format!(
                    "--manage-nodes-with-annotation-selector={}={}",
                    KWOK_NODE_ANNOTATION.0, KWOK_NODE_ANNOTATION.1
                ),
                "--node-lease-duration-seconds=40".to_owned(),
                // Room for eight million pods; addresses are handed out one after the other.
                "--cidr=10.128.0.0/9".to_owned(),
            ],
        }
    }

    fn etcd_flags(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_client_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        vec![
            self.path_flag("data-dir", "etcd"),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data dies with the test, so it need not survive a power cut; writes are 10 times faster on a slow disk.
            "--unsafe-no-fsync".to_owned(),
            // 8 GiB: load tests go past the default of 2.
            "--quota-backend-bytes=8589934592".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }

    fn apiserver_flags(&self) -> Vec<String> {
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_client_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.apiserver_port),
            self.path_flag("tls-cert-file", "apiserver.crt"),
            self.path_flag("tls-private-key-file", "apiserver.key"),
            self.path_flag("client-ca-file", "ca.crt"),
            self.path_flag("service-account-key-file", "service-account.pub"),
            self.path_flag("service-account-signing-key-file", "service-account.key"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            // A loopback address is not allowed as an endpoint of the `kubernetes` Service, and nobody uses that here.
            "--endpoint-reconciler-type=none".to_owned(),
            self.path_flag("audit-policy-file", "audit-policy.yaml"),
            self.path_flag("audit-log-path", "audit.log"),
            "--audit-log-mode=blocking".to_owned(),
            // On SIGTERM: ends open watches. Without, the server waits 60 s for its clients to end them.
            "--shutdown-watch-termination-grace-period=1s".to_owned(),
            // In megabytes: never rotated, so that the reader sees one growing file.
            "--audit-log-maxsize=1000000".to_owned(),
        ]
    }

    fn controller_manager_flags(&self) -> Vec<String> {
        vec![
            self.path_flag("kubeconfig", "kube-controller-manager.kubeconfig"),
            self.path_flag("root-ca-file", "ca.crt"),
            self.path_flag("service-account-private-key-file", "service-account.key"),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // The defaults of 20 and 30 would make the controllers the slowest part of every test.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]
    }

    fn path_flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.folder.join(file).display())
    }
}
