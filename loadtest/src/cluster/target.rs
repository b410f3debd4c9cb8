//! Which cluster. Input: a kubeconfig, a context's name. Output: a client, and what Helm needs to reach the same cluster.
//! I/O: reads the kubeconfig, asks the API server for its version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A cluster that exists.
pub struct Target {
    /// May make namespaces, workloads and cluster-wide permissions.
    pub client: Client,
    /// The context's name.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The API server's version, as `v1.36.3`.
    pub version: String,
    kubeconfig: Option<PathBuf>,
}

impl Target {
    /// The cluster of a context, or of the current one; it must answer.
    pub async fn find(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self> {
        // kube with `ring` installs no provider itself. An error means that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let read = read.context("read the kubeconfig; name one with --kubeconfig or KUBECONFIG")?;
        let context = choose(&read, context)?;
        let options = KubeConfigOptions {
            context: Some(context.clone()),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(read, &options)
            .await
            .with_context(|| format!("read context {context} of the kubeconfig"))?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).with_context(|| format!("make a client for {server}"))?;
        let version = client.apiserver_version().await.with_context(|| {
            format!(
                "ask {server} (context {context}) for its version; does `kubectl --context {context} version` answer?"
            )
        })?;
        Ok(Self {
            client,
            context,
            server,
            version: version.git_version,
            kubeconfig: kubeconfig.map(Path::to_owned),
        })
    }

    /// Helm's flags for the same cluster.
    pub fn helm_flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--kube-context={}", self.context)];
        if let Some(path) = &self.kubeconfig {
            flags.push(format!("--kubeconfig={}", path.display()));
        }
        flags
    }
}

/// The context that is wanted, or the current one.
fn choose(kubeconfig: &Kubeconfig, wanted: Option<&str>) -> Result<String> {
    let mut names: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    names.sort_unstable();
    let known = if names.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has: {}", names.join(", "))
    };
    match wanted.or(kubeconfig.current_context.as_deref()) {
        Some(name) if names.contains(&name) => Ok(name.to_owned()),
        Some(name) => bail!("the kubeconfig has no context `{name}`; {known}"),
        None => bail!("the kubeconfig has no current context; name one with --context ({known})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test")]

    use super::*;

    fn kubeconfig(current: Option<&str>) -> Kubeconfig {
        let context = |name| serde_json::json!({ "name": name, "context": { "cluster": "c", "user": "u" } });
        serde_json::from_value(serde_json::json!({
            "current-context": current, "contexts": [context("kind-b"), context("kind-a")],
        }))
        .unwrap()
    }

    #[test]
    fn the_named_context_wins_over_the_current_one() {
        assert_eq!(
            choose(&kubeconfig(Some("kind-a")), Some("kind-b")).unwrap(),
            "kind-b"
        );
        assert_eq!(choose(&kubeconfig(Some("kind-a")), None).unwrap(), "kind-a");
    }

    #[test]
    fn a_context_that_is_not_there_names_those_that_are() {
        for (current, wanted) in [(Some("kind-a"), Some("kind")), (Some("gone"), None), (None, None)] {
            let message = choose(&kubeconfig(current), wanted).unwrap_err().to_string();
            assert!(message.contains("it has: kind-a, kind-b"), "{message}");
        }
        let empty = choose(&Kubeconfig::default(), Some("kind"))
            .unwrap_err()
            .to_string();
        assert!(empty.contains("it has none"), "{empty}");
    }
}
