//! The cluster that the user's kubeconfig names.
//!
//! Input: [`ClusterArgs`]. Output: [`Cluster`]. I/O: reads the kubeconfig; asks the API server.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::error::VerbError;
use crate::{api_error::ApiError, args::ClusterArgs};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The API server, as the user sees it.
pub(super) struct Cluster {
    client: Option<Client>,
    namespace: String,
}

impl Cluster {
    /// The cluster of these flags. Where a replica is named by its address, one need not be there.
    pub(super) async fn connect(args: &ClusterArgs) -> Result<Self, VerbError> {
        let config = match config(args).await {
            Ok(config) => Some(config),
            Err(_) if !args.endpoint.is_empty() => None,
            Err(error) => return Err(VerbError::NoCluster(error)),
        };
        let own = config.as_ref().map(|config| config.default_namespace.clone());
        let namespace = args.namespace.clone().or(own);
        let client = match config {
            Some(mut config) => {
                config.connect_timeout = Some(TIMEOUT);
                let client =
                    Client::try_from(config).map_err(|error| VerbError::NoCluster(error.to_string()))?;
                Some(client)
            }
            None => None,
        };
        Ok(Self {
            client,
            namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// The client; none where only a replica's address is known.
    pub(super) const fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The namespace that is asked about.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }
}

/// Sends a request, and gives up on its answer after a while.
pub(super) async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    ApiError::within(TIMEOUT, request).await
}

async fn config(args: &ClusterArgs) -> Result<Config, String> {
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    match (&args.kubeconfig, &args.context) {
        (Some(path), _) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| error.to_string())
        }
        (None, Some(_)) => Config::from_kubeconfig(&options)
            .await
            .map_err(|error| error.to_string()),
        (None, None) => Config::infer().await.map_err(|error| error.to_string()),
    }
}
