//! Kubeconfig files and clients made from them. Input: an address and credentials; output: a file, a `kube::Client`.
//! I/O: reads and writes files.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::error::{Error, Result};

/// Longest silence on a connection. The API server sends a bookmark on an idle watch about once a minute, so a healthy watch is never
/// cut, while a request that hangs fails instead of hanging the test run.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// Who a kubeconfig speaks as.
pub enum Credentials<'a> {
    /// A client certificate and its key, as file paths.
    Certificate {
        /// The certificate's path.
        certificate: &'a Path,
        /// The private key's path.
        key: &'a Path,
    },
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig, readable by its owner only. The text is JSON, which every YAML reader reads.
pub fn write_kubeconfig(path: &Path, server: &str, ca: &Path, credentials: &Credentials<'_>) -> Result<()> {
    let user = match credentials {
        Credentials::Certificate { certificate, key } => {
            json!({"client-certificate": certificate, "client-key": key})
        }
        Credentials::Token(token) => json!({"token": token}),
    };
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "testbed", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        "current-context": "testbed",
    });
    write_private(path, format!("{kubeconfig:#}\n").as_bytes())
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(Error::io(format!("write {}", path.display())))
}

/// The client configuration a kubeconfig file stands for, with timeouts fit for tests. For a client that differs in more than its
/// user: set `headers` (a `User-Agent`, which the audit log shows), `read_timeout` or `default_retry` before making a client of it.
///
/// # Errors
/// [`Error::Kubeconfig`] if the file cannot be read or names no cluster and user.
pub async fn client_config(kubeconfig: &Path) -> Result<Config> {
    // kube with `ring` installs no provider itself. An error means that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |source| Error::Kubeconfig {
        path: kubeconfig.to_owned(),
        source: Box::new(source),
    };
    let parsed = Kubeconfig::read_from(kubeconfig).map_err(wrong)?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .map_err(wrong)?;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Ok(config)
}

/// A client for a kubeconfig file.
///
/// # Errors
/// As [`client_config`]; also [`Error::Kubernetes`] if the certificates do not parse.
pub async fn client_from(kubeconfig: &Path) -> Result<Client> {
    Client::try_from(client_config(kubeconfig).await?).map_err(Error::kubernetes("make a client"))
}
