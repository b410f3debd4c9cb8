//! The API clients, one for each role.
//!
//! Input: kubeconfig or the pod's ServiceAccount. Output: [`Clients`]. I/O: reads files.
//!
//! Separate clients, because each has its own connections: load on one cannot starve another, above all not the
//! renewals of the lease.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config, client::ClientBuilder};

use super::{RunError, fenced};
use crate::{
    lease::Leadership,
    metrics::{Metrics, rest_client::RestClientLayer},
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a client for each role.
pub(super) struct Clients {
    config: Config,
    host: String,
    metrics: Arc<Metrics>,
}

impl Clients {
    /// Upstream's order: the file that KUBECONFIG names or `~/.kube/config` if there is one, else the pod's
    /// ServiceAccount. Nothing is sent yet, so the API server need not be up.
    ///
    /// `silence` is how long a connection may be silent while something is awaited on it. A watch has such a limit of
    /// its own; the answers to lists and to the opening of a watch have none, and a connection that died without a word
    /// (the peer's machine gone, the flow forgotten by a firewall) would be waited for without end.
    pub(super) async fn new(metrics: &Arc<Metrics>, silence: Duration) -> Result<Self, RunError> {
        let mut config = Config::infer()
            .await
            .map_err(|error| RunError::NoCluster(error.to_string()))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(silence);
        // Every caller has its own way to repeat: a retry inside the client would fire after the lease's deadline, or
        // be counted from the wrong moment.
        config.default_retry = false;
        let host = config
            .cluster_url
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        Ok(Self {
            config,
            host,
            metrics: Arc::clone(metrics),
        })
    }

    /// A client whose connections do nothing more once this replica does not lead: for every other write.
    pub(super) fn fenced(&self, leadership: &Leadership) -> Result<Client, RunError> {
        let builder = fenced::builder(&self.config, leadership)
            .map_err(|error| RunError::NoCluster(error.to_string()))?;
        Ok(builder.with_layer(&self.metrics_layer()).build())
    }

    /// A client that may send at any time: for reads, for Events, and for the lease.
    pub(super) fn unfenced(&self) -> Result<Client, RunError> {
        let builder = ClientBuilder::try_from(self.config.clone())
            .map_err(|error| RunError::NoCluster(error.to_string()))?;
        Ok(builder.with_layer(&self.metrics_layer()).build())
    }

    fn metrics_layer(&self) -> RestClientLayer {
        RestClientLayer::new(Arc::clone(&self.metrics), self.host.as_str())
    }
}
