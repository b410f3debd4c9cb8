//! An HTTP server that clients cannot fill up.
//!
//! Input: a listener and the routes. Output: HTTP responses. I/O: serves.
//!
//! Probes must be answered whatever other clients do: a kubelet that gets no answer restarts the container. So each
//! connection has to send its next request in time, and their number is bounded. At the bound the oldest connection
//! is closed rather than the new one refused: a probe takes milliseconds, so it is the new one, and half-sent requests
//! are the old ones.

use std::{collections::VecDeque, io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// The pause after a failed accept: mostly there are no descriptors left, and the next attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What one server spends on its clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Open connections at most, at least 1. A cluster has a handful of scrapers and one kubelet a pod.
    pub(super) connections: usize,
    /// How long a client may take to send the head of its next request, the time between two requests included.
    pub(super) next_request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            next_request: Duration::from_secs(10),
        }
    }
}

/// Serves until it is dropped, which closes every connection.
pub(super) async fn serve(listener: TcpListener, routes: Router, limits: Limits) {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => {
                oldest_first.retain(|connection| !connection.is_finished());
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                oldest_first.retain(|connection| !connection.is_finished());
                while oldest_first.len() >= limits.connections {
                    let Some(oldest) = oldest_first.pop_front() else {
                        break;
                    };
                    oldest.abort();
                }
                let connection = connections.spawn(answer(stream, routes.clone(), limits));
                oldest_first.push_back(connection);
            }
            // The client was gone before it was accepted.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(err = %error, "A connection to the metrics and health endpoint could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, routes: Router, limits: Limits) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.next_request);
    // How a connection ends concerns its client only: there is nothing to do and nothing to report.
    let _ = server
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests;
