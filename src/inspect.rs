//! The loopback endpoint where a user asks why something restarts or does not: JSON, and a page for browsers.
//!
//! Input: requests from this machine, mostly through `kubectl port-forward`. Output: the answers of
//! [`explain`](crate::explain), from what this replica knows. I/O: serves; reads nothing but memory.
//!
//! | File | What it does |
//! |---|---|
//! | `routes` | paths and parameters |
//! | `guard`, `body` | refuses what no user of this machine asks; headers of every answer; bodies |
//! | `about` | what the settings say: scope, flags, names |
//! | `workloads`, `sources`, `scene`, `overview` | collect what is known, one namespace at a time, and let others run in between |
//! | `page` | the page: one file each of HTML, style and script, in the binary |
//!
//! Names of objects are answered here, so that only loopback addresses are served: the permission to forward a port to
//! the pod is the permission to ask. Nothing can be changed, and there is no byte of a Secret to answer with: no type
//! behind `watch` holds one.

mod about;
mod body;
mod guard;
mod overview;
mod page;
mod routes;
mod scene;
mod sources;
#[cfg(test)]
mod tests;
mod workloads;

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use crate::{
    admin::{health::Health, server},
    config::Config,
    worker::Context,
};

pub use about::Inspector;

/// Opens the port. One that is taken is reported, and costs nothing but the answers: several replicas may share a machine.
pub async fn bind(address: SocketAddr) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(
                "Cannot listen on {address}: {error}. This replica answers no questions (`explain`, `status`, the page) and \
                 works otherwise; --inspect-address chooses another address, or none"
            );
            None
        }
    }
}

/// What a replica of these settings answers with.
pub fn inspector(config: &Config, context: Arc<Context>, health: Health) -> Inspector {
    Inspector::new(config, context, health)
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, inspector: Inspector) {
    let routes = routes::routes(Arc::new(inspector));
    server::serve(listener, routes, server::Limits::default(), "inspection").await;
}
