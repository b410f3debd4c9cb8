//! The API clients, one for each role.
//!
//! Input: kubeconfig or the pod's ServiceAccount, or connections made by others. Output: [`Clients`]. I/O: reads files.
//!
//! Each client has its own connections, so that load on one cannot starve another, in particular not the renewals of
//! the lease.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper_util::rt::TokioExecutor;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::Kubeconfig,
};
use tower::{
    BoxError, Service, ServiceExt,
    layer::layer_fn,
    util::{MapRequestLayer, MapResponseLayer},
};

use super::{
    connection::{self, STREAMS, Sharing},
    error::RunError,
    fenced,
    history::{History, Rewound},
    patience::Patience,
    surroundings::{self, Connect, Transport},
    throttled,
    trust::{Trust, Untrusted},
};
use crate::{
    lease::Leadership,
    metrics::{Metrics, rest_client::RestClientLayer},
};

/// Where the connections of the clients come from.
enum Cluster {
    /// This process connects.
    Own(Box<Config>),
    /// Others connect.
    Given(Arc<dyn Connect>),
}

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a client for each role.
pub(super) struct Clients {
    cluster: Cluster,
    host: String,
    metrics: Arc<Metrics>,
    silence: Duration,
    history: History,
    trust: Trust,
}

impl Clients {
    /// Upstream's order: the file that KUBECONFIG names or `~/.kube/config` if there is one, else the pod's
    /// ServiceAccount. Nothing is sent yet, so the API server need not be up.
    ///
    /// `silence` is how long a connection may be silent while something is awaited on it, and a list: without, they would
    /// wait without end on a connection that died silently (the peer's machine is gone, or a firewall dropped the flow).
    /// A watch has such a limit of its own.
    pub(super) async fn new(
        cluster: surroundings::Cluster,
        metrics: &Arc<Metrics>,
        silence: Duration,
    ) -> Result<Self, RunError> {
        let (cluster, host) = match cluster {
            surroundings::Cluster::Inferred => {
                let config = inferred(silence).await?;
                let host = config.cluster_url.authority().map(ToString::to_string);
                (Cluster::Own(Box::new(config)), host.unwrap_or_default())
            }
            surroundings::Cluster::Given(connect) => (Cluster::Given(connect), String::new()),
        };
        Ok(Self {
            cluster,
            host,
            metrics: Arc::clone(metrics),
            silence,
            history: History::new(),
            trust: Trust::new(),
        })
    }

    /// A client whose connections stop when this replica no longer leads: for every other write.
    pub(super) fn fenced(&self, leadership: &Leadership) -> Result<Client, RunError> {
        let transport = match &self.cluster {
            Cluster::Own(config) => {
                boxed(fenced::builder(config, leadership, &self.trust).map_err(no_cluster)?)
            }
            Cluster::Given(connect) => {
                let leadership = leadership.clone();
                self.given(connect.connect(Some(Arc::new(move || leadership.may_write()))))
            }
        };
        Ok(self.client(transport))
    }

    /// A client that may send at any time: for reads, for Events, and for the lease.
    pub(super) fn unfenced(&self) -> Result<Client, RunError> {
        Ok(self.client(self.transport(Sharing::None)?))
    }

    /// Completes when the API server's certificate has been refused for too long.
    pub(super) async fn untrusted(&self) -> Untrusted {
        self.trust.lost().await
    }

    /// Completes when the API server's data is older than what watches have shown.
    pub(super) async fn rewound(&self) -> Rewound {
        self.history.rewound().await
    }

    /// Clients for so many watches and their lists, which share them in turn. Each client has one connection.
    pub(super) fn watching(&self, watches: usize) -> Result<Vec<Client>, RunError> {
        let client = |_| {
            Ok(self
                .transport(Sharing::All)?
                .with_layer(&MapRequestLayer::new(most_recent))
                .with_layer(&self.metrics_layer())
                .with_layer(&MapResponseLayer::new(throttled::with_status))
                .with_layer(&layer_fn(|client| Patience::new(client, self.silence)))
                .with_layer(&self.history)
                .build())
        };
        (0..connections(watches)).map(client).collect()
    }

    /// Connections that may write at any time.
    fn transport(&self, sharing: Sharing) -> Result<ClientBuilder<Transport>, RunError> {
        match &self.cluster {
            Cluster::Own(config) => {
                connection::builder(config, TokioExecutor::new(), &self.trust, sharing, |socket| {
                    socket
                })
                .map(boxed)
                .map_err(no_cluster)
            }
            Cluster::Given(connect) => Ok(self.given(connect.connect(None))),
        }
    }

    /// Connections that others make: how one of them ended shows in its answers.
    fn given(&self, transport: Transport) -> ClientBuilder<Transport> {
        let trust = self.trust.clone();
        let noted = transport.map_result(move |answered: Result<_, BoxError>| {
            trust.note(&answered);
            answered
        });
        ClientBuilder::new(noted.boxed_clone(), "default")
    }

    fn client(&self, transport: ClientBuilder<Transport>) -> Client {
        transport
            .with_layer(&self.metrics_layer())
            .with_layer(&MapResponseLayer::new(throttled::with_status))
            .build()
    }

    fn metrics_layer(&self) -> RestClientLayer {
        RestClientLayer::new(Arc::clone(&self.metrics), self.host.as_str())
    }
}

/// How this process reaches the cluster, as kube finds out.
async fn inferred(silence: Duration) -> Result<Config, RunError> {
    let mut config = Config::infer().await.map_err(no_cluster)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(silence);
    config.root_cert_file = config.root_cert_file.or_else(authority_file);
    // Every caller retries in its own way: a retry inside the client could run after the lease's deadline, or be
    // counted from the wrong moment.
    config.default_retry = false;
    Ok(config)
}

/// One type for all clients.
fn boxed<S, B>(builder: ClientBuilder<S>) -> ClientBuilder<Transport>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + 'static,
{
    builder.with_layer(&layer_fn(|service: S| {
        service
            .map_response(|response: http::Response<B>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            })
            .boxed_clone()
    }))
}

/// How many connections so many watches share: one for each of a few, so that they have nothing in common, or one for each
/// few of many.
pub(super) fn connections(watches: usize) -> usize {
    let few = usize::from(STREAMS);
    watches.div_ceil(few).max(watches.min(few))
}

/// The file with the authority that signed the API server's certificate, where the kubeconfig names one: kube reads that
/// of a ServiceAccount again each minute, and any that it is told of.
fn authority_file() -> Option<PathBuf> {
    let kubeconfig = Kubeconfig::read().ok()?;
    let current = kubeconfig.current_context?;
    let mut contexts = kubeconfig.contexts.into_iter();
    let context = contexts.find(|context| context.name == current)?.context?;
    let mut clusters = kubeconfig.clusters.into_iter();
    let cluster = clusters
        .find(|cluster| cluster.name == context.cluster)?
        .cluster?;
    let is_within = cluster.certificate_authority_data.is_some();
    cluster
        .certificate_authority
        .filter(|_| !is_within)
        .map(PathBuf::from)
}

fn no_cluster(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RunError {
    RunError::NoCluster(error.into())
}

/// kube asks for a streamed list that is at least as new as resourceVersion 0, so that the API server may answer from a
/// cache that lags behind. Without the parameter it waits until its cache is as new as etcd
/// ([reference](https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists)): what an old list shows
/// would differ from the ledger, and cause a restart for content of the past.
fn most_recent(mut request: http::Request<Body>) -> http::Request<Body> {
    let uri = request.uri();
    let Some(query) = uri
        .query()
        .filter(|query| query.contains("sendInitialEvents=true"))
    else {
        return request;
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|parameter| *parameter != "resourceVersion=0")
        .collect();
    if let Ok(changed) = format!("{}?{}", uri.path(), kept.join("&")).parse() {
        *request.uri_mut() = changed;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_watches_share_connections() {
        // Seven kinds in all namespaces, and in 2, 80 and 1000 namespaces.
        for (watches, expected) in [(0, 0), (7, 7), (14, 8), (560, 70), (7000, 875)] {
            assert_eq!(connections(watches), expected);
        }
    }

    #[test]
    fn a_streamed_list_is_as_new_as_etcd() {
        for (sent, wanted) in [
            (
                "/api/v1/secrets?&watch=true&resourceVersion=0&sendInitialEvents=true",
                "/api/v1/secrets?&watch=true&sendInitialEvents=true",
            ),
            (
                "/api/v1/secrets?watch=true&resourceVersion=0",
                "/api/v1/secrets?watch=true&resourceVersion=0",
            ),
            ("/api/v1/secrets", "/api/v1/secrets"),
        ] {
            let request = http::Request::get(sent).body(Body::empty()).unwrap();
            assert_eq!(most_recent(request).uri().to_string(), wanted);
        }
    }
}
