//! The API clients, one for each role.
//!
//! Input: kubeconfig or the pod's ServiceAccount. Output: [`Clients`]. I/O: reads files.
//!
//! Separate clients, because each has its own connections: load on one cannot starve another, above all not the
//! renewals of the lease.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config, client::ClientBuilder};

use super::RunError;
use crate::metrics::{Metrics, rest_client::RestClientLayer};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be silent while something is awaited on it. A watch has its own limit of 295 s, but the
/// answers to lists and to the opening of a watch have none: a connection that died without a word (the peer's machine
/// gone, the flow forgotten by a firewall) would be waited for without end. A watch that nothing happens on is ended by
/// the API server after 290 s, so none is cut by this.
const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// A client for each role.
pub(super) struct Clients {
    /// Lists and watches.
    pub(super) watches: Client,
    /// Patches of workloads.
    pub(super) writes: Client,
    /// Events.
    pub(super) events: Client,
    /// The ledger.
    pub(super) ledger: Client,
    /// The lease.
    pub(super) lease: Client,
}

impl Clients {
    /// Upstream's order: the file that KUBECONFIG names or `~/.kube/config` if there is one, else the pod's
    /// ServiceAccount. Nothing is sent yet, so the API server need not be up.
    pub(super) async fn new(metrics: &Arc<Metrics>) -> Result<Self, RunError> {
        let mut config = Config::infer()
            .await
            .map_err(|error| RunError::NoCluster(error.to_string()))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        // Every caller has its own way to repeat: a retry inside the client would fire after the lease's deadline, or
        // be counted from the wrong moment.
        config.default_retry = false;
        let host = config
            .cluster_url
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let client = || -> Result<Client, RunError> {
            let builder = ClientBuilder::try_from(config.clone())
                .map_err(|error| RunError::NoCluster(error.to_string()))?;
            Ok(builder
                .with_layer(&RestClientLayer::new(Arc::clone(metrics), host.as_str()))
                .build())
        };
        Ok(Self {
            watches: client()?,
            writes: client()?,
            events: client()?,
            ledger: client()?,
            lease: client()?,
        })
    }
}
