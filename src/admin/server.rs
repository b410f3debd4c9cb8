//! An HTTP server that clients cannot fill up.
//!
//! Input: a listener and the routes. Output: HTTP responses. I/O: serves.
//!
//! Probes must be answered whatever other clients do: a kubelet that gets no answer restarts the container. So each
//! connection has to send its next request in time, and their number is bounded. At the bound the oldest connection
//! without a complete request is closed rather than the new one refused: a probe takes milliseconds, so it is the new one
//! or is being answered, and half-sent requests are the old ones.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
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
pub struct Limits {
    /// Open connections at most, at least 1. A cluster has a handful of scrapers and one kubelet a pod.
    pub connections: usize,
    /// How long a client may take to send the head of its next request, the time between two requests included.
    pub next_request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            next_request: Duration::from_secs(10),
        }
    }
}

/// A connection.
struct Open {
    task: AbortHandle,
    /// A request is complete, and its answer is not.
    is_answering: Arc<AtomicBool>,
}

/// Serves until it is dropped, which closes every connection. `what` names the endpoint in the log.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, what: &'static str) {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<Open> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => {
                oldest_first.retain(|open| !open.task.is_finished());
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                oldest_first.retain(|open| !open.task.is_finished());
                while oldest_first.len() >= limits.connections {
                    let is_waiting = |open: &Open| !open.is_answering.load(Ordering::Relaxed);
                    let first = oldest_first.iter().position(is_waiting).unwrap_or_default();
                    let Some(closed) = oldest_first.remove(first) else {
                        break;
                    };
                    closed.task.abort();
                }
                let is_answering = Arc::new(AtomicBool::new(false));
                let connection = answer(stream, routes.clone(), limits, Arc::clone(&is_answering));
                let task = connections.spawn(connection);
                oldest_first.push_back(Open { task, is_answering });
            }
            // The client was gone before it was accepted.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(err = %error, "A connection to the {what} endpoint could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, routes: Router, limits: Limits, is_answering: Arc<AtomicBool>) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.next_request);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|request| {
        is_answering.store(true, Ordering::Relaxed);
        let answer = routes.call(request);
        let is_answering = &is_answering;
        async move {
            let answer = answer.await;
            is_answering.store(false, Ordering::Relaxed);
            answer
        }
    });
    // How a connection ends concerns its client only: there is nothing to do and nothing to report.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
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
