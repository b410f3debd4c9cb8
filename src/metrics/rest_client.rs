//! Counts the requests to the API server: a tower layer around a kube client.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response};
use tower::{Layer, Service};

use super::Metrics;

/// What client-go counts where no response came.
const NO_RESPONSE: &str = "<error>";

/// Wraps a client so that its requests are counted; for `kube::client::ClientBuilder::with_layer`.
#[derive(Clone, Debug)]
pub struct RestClientLayer {
    target: Target,
}

/// The wrapped client.
#[derive(Clone, Debug)]
pub struct RestClient<S> {
    inner: S,
    target: Target,
}

#[derive(Clone, Debug)]
struct Target {
    metrics: Arc<Metrics>,
    host: Arc<str>,
}

impl RestClientLayer {
    /// Counts requests to `host` (`name:port`); requests themselves carry only a path where a layer sees them.
    pub fn new(metrics: Arc<Metrics>, host: impl Into<Arc<str>>) -> Self {
        Self {
            target: Target {
                metrics,
                host: host.into(),
            },
        }
    }
}

impl<S> Layer<S> for RestClientLayer {
    type Service = RestClient<S>;

    fn layer(&self, inner: S) -> RestClient<S> {
        RestClient {
            inner,
            target: self.target.clone(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for RestClient<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let pending = Pending {
            target: self.target.clone(),
            method: request.method().clone(),
            started: Instant::now(),
            code: None,
        };
        let response = self.inner.call(request);
        async move {
            let mut pending = pending;
            let result = response.await;
            pending.code = result
                .as_ref()
                .ok()
                .map(|response| response.status().as_str().to_owned());
            result
        }
        .boxed()
    }
}

/// A request under way. It counts itself when dropped, so that a request given up after a timeout counts too.
struct Pending {
    target: Target,
    method: Method,
    started: Instant,
    code: Option<String>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let code = self.code.take().unwrap_or_else(|| NO_RESPONSE.to_owned());
        let Target { metrics, host } = &self.target;
        metrics.request_finished(code, self.method.as_str(), host, self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsOptions;
    use http::StatusCode;
    use tower::{ServiceExt, service_fn};

    fn counted(metrics: &Metrics) -> Vec<String> {
        let text = metrics.encode().unwrap();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| {
                line.starts_with("rest_client_requests_total") || line.contains("duration_seconds_count{verb")
            })
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn requests_are_counted_by_outcome() {
        let metrics = Arc::new(Metrics::new(MetricsOptions::default()));
        let layer = RestClientLayer::new(Arc::clone(&metrics), "api:6443");
        let server = layer.layer(service_fn(|request: Request<()>| async move {
            match request.uri().path() {
                "/broken" => Err("connection refused"),
                "/slow" => std::future::pending().await,
                _ => Ok(Response::builder().status(StatusCode::CONFLICT).body(()).unwrap()),
            }
        }));
        let request = |method, path| Request::builder().method(method).uri(path).body(()).unwrap();

        let response = server
            .clone()
            .oneshot(request(Method::PATCH, "/ok"))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        server
            .clone()
            .oneshot(request(Method::GET, "/broken"))
            .await
            .unwrap_err();
        let given_up = server
            .clone()
            .oneshot(request(Method::PUT, "/slow"))
            .now_or_never();
        assert!(given_up.is_none());

        assert_eq!(
            counted(&metrics),
            [
                "rest_client_request_duration_seconds_count{verb=\"GET\",host=\"api:6443\"} 1",
                "rest_client_request_duration_seconds_count{verb=\"PATCH\",host=\"api:6443\"} 1",
                "rest_client_request_duration_seconds_count{verb=\"PUT\",host=\"api:6443\"} 1",
                "rest_client_requests_total{code=\"409\",method=\"PATCH\",host=\"api:6443\"} 1",
                "rest_client_requests_total{code=\"<error>\",method=\"GET\",host=\"api:6443\"} 1",
                "rest_client_requests_total{code=\"<error>\",method=\"PUT\",host=\"api:6443\"} 1",
            ]
        );
    }
}
