//! The HTTP endpoint for operators: `/live`, `/ready` and `/metrics`; `/healthz` and `/readyz` as in upstream's version 2,
//! `/livez` beside them as on the API server.
//!
//! Input: [`Health`] and [`Metrics`]. Output: HTTP responses; no TLS, no authentication, nothing secret, as upstream.
//! I/O: serves.

pub mod health;
pub mod server;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::any,
};
use futures::future::join_all;
use http::{StatusCode, header};
use tokio::{net::TcpListener, time::Instant};

use crate::config::ListenAddress;
use crate::metrics::{CONTENT_TYPE, Metrics};

use health::{Check, Health};

/// The port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; is another process using the port? {flag} chooses another one"
)]
pub struct BindError {
    address: ListenAddress,
    flag: &'static str,
    source: io::Error,
}

/// Opens the port that `flag` names. Without a host that is every IPv6 and IPv4 address, or every IPv4 address on a machine
/// without IPv6.
///
/// # Errors
/// The port is taken, not permitted, or the host has no such address.
pub async fn bind(address: &ListenAddress, flag: &'static str) -> Result<TcpListener, BindError> {
    let ListenAddress { host, port } = address;
    let result = match host {
        Some(host) => TcpListener::bind((host.as_str(), *port)).await,
        None => match TcpListener::bind(("::", *port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", *port)).await
            }
            bound_or_taken => bound_or_taken,
        },
    };
    result.map_err(|source| BindError {
        address: address.clone(),
        flag,
        source,
    })
}

/// Serves the same on each port, until it is dropped.
pub async fn serve(listeners: Vec<TcpListener>, health: Health, metrics: Arc<Metrics>) {
    let router = router(health, metrics);
    let serve = |listener| {
        let limits = server::Limits::default();
        server::serve(listener, router.clone(), limits, "metrics and health")
    };
    join_all(listeners.into_iter().map(serve)).await;
}

/// The routes, without a port: what [`serve`] serves. Any method is answered, as upstream does.
pub fn router(health: Health, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/live", any(live))
        .route("/livez", any(live))
        .route("/healthz", any(live))
        .route("/ready", any(ready))
        .route("/readyz", any(ready))
        .with_state(health)
        .route("/metrics", any(scrape).with_state(metrics))
}

/// `?verbose`, with or without a value, lists every check, as the API server's health endpoints do, and what else an
/// operator asks first: version, leader, what is owed.
#[derive(Debug, serde::Deserialize)]
struct Detail {
    verbose: Option<String>,
}

impl Detail {
    /// What is said beside the checks; `None`: only failed checks are asked for.
    fn details(&self, health: &Health) -> Option<Vec<String>> {
        self.verbose.as_ref().map(|_| health.details())
    }
}

/// 200 `alive`, or 500: upstream's answers. Upstream's 500 has no body; here it names the loops that stand still.
async fn live(State(health): State<Health>, Query(detail): Query<Detail>) -> Response {
    let verdict = Verdict {
        passed: "alive",
        failed: StatusCode::INTERNAL_SERVER_ERROR,
    };
    verdict.respond(&health.live(Instant::now()), detail.details(&health))
}

/// 200 `ready`, or 503 with the checks that failed.
async fn ready(State(health): State<Health>, Query(detail): Query<Detail>) -> Response {
    let verdict = Verdict {
        passed: "ready",
        failed: StatusCode::SERVICE_UNAVAILABLE,
    };
    verdict.respond(&health.ready(Instant::now()), detail.details(&health))
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    metrics.encode().map_or_else(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |body| ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
    )
}

/// How one endpoint answers.
struct Verdict {
    /// The body when every check passed.
    passed: &'static str,
    /// The status when one did not.
    failed: StatusCode,
}

impl Verdict {
    fn respond(&self, checks: &[Check], details: Option<Vec<String>>) -> Response {
        let passed = checks.iter().all(Check::passed);
        let status = if passed { StatusCode::OK } else { self.failed };
        let mut lines: Vec<String> = checks
            .iter()
            .filter(|check| details.is_some() || !check.passed())
            .map(ToString::to_string)
            .collect();
        lines.extend(details.unwrap_or_default());
        if passed {
            lines.push(self.passed.to_owned());
        }
        (status, lines.join("\n")).into_response()
    }
}
