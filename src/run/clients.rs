//! The API clients, one for each role.
//!
//! Input: kubeconfig or the pod's ServiceAccount. Output: [`Clients`]. I/O: reads files.
//!
//! Separate clients, because each has its own connections: load on one cannot starve another, above all not the
//! renewals of the lease.

use std::{sync::Arc, time::Duration};

use http::Request;
use kube::{Client, Config, client::ClientBuilder};
use tower::util::MapRequestLayer;

use super::RunError;
use crate::metrics::{Metrics, rest_client::RestClientLayer};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a streamed list a consistent read, as a paged list is.
///
/// kube asks for it with `resourceVersion=0`: any state will do, so an API server whose cache is behind may answer with
/// one that is older than what the ledger or an earlier list has shown, and old content would be reloaded as if it were
/// new (kubernetes#59848). Without a version the list is at least as new as the request
/// ([semantics](https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists)).
fn up_to_date<B>(mut request: Request<B>) -> Request<B> {
    let query = request.uri().query().unwrap_or_default();
    if query.contains("sendInitialEvents=true") {
        let fresh = request.uri().to_string().replace("&resourceVersion=0", "");
        if let Ok(uri) = fresh.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

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
        let watches = ClientBuilder::try_from(config.clone())
            .map_err(|error| RunError::NoCluster(error.to_string()))?
            .with_layer(&RestClientLayer::new(Arc::clone(metrics), host.as_str()))
            .with_layer(&MapRequestLayer::new(up_to_date))
            .build();
        Ok(Self {
            watches,
            writes: client()?,
            events: client()?,
            ledger: client()?,
            lease: client()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_list_is_asked_for_as_of_now_and_nothing_else_changes() {
        let sent = |path: &str| {
            let request = up_to_date(Request::get(path).body(()).unwrap());
            request.uri().to_string()
        };
        let streamed = "/api/v1/secrets?&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(sent(&format!("{streamed}&resourceVersion=0")), streamed);
        for other in [
            "/api/v1/secrets?&watch=true&resourceVersion=0",
            "/api/v1/secrets?&watch=true&resourceVersion=1042",
            "/api/v1/secrets?&limit=50",
        ] {
            assert_eq!(sent(other), other);
        }
    }
}
