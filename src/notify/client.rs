//! One POST to one receiver.
//!
//! Input: a [`Payload`]. Output: the beginning of the answer, or a [`PostError`] that says whether to retry. I/O:
//! writes.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url, redirect::Policy};

use super::{
    endpoint::Endpoint,
    payload::Payload,
    trace_parent::{TRACE_PARENT, TraceParent},
};
use crate::api_error::{retry_after, with_causes};

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of one POST, the answer included. Chat systems answer within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects followed at most; Go's default.
const MOST_REDIRECTS: usize = 10;
/// Longest part of an answer that is read, in bytes; upstream logs it.
const ANSWER: usize = 1024;
/// Longest `Retry-After` that is honored: payloads behind it would be too old.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error(
    "no HTTP client for {to}: {reason}; if the image has no CA certificates, install them or set SSL_CERT_FILE"
)]
pub struct BuildError {
    to: Endpoint,
    reason: String,
}

/// A POST that did not succeed. Never shows the URL beyond what [`Endpoint`] shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// No answer came.
    #[error("{0}")]
    Transport(String),
    /// The receiver redirected, which is not followed. Upstream's text.
    #[error("incorrect token (redirection)")]
    Redirected,
    /// The answer was not a 2xx. Upstream's text.
    #[error("error sending msg. status: {status}")]
    Status {
        /// The code and its name.
        status: StatusCode,
        /// The receiver's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl PostError {
    /// Minimum wait before another attempt; `None`: a retry would fail the same way.
    pub(super) fn retry(&self) -> Option<Duration> {
        match self {
            Self::Transport(_) => Some(Duration::ZERO),
            Self::Redirected => None,
            Self::Status { status, retry_after } => {
                let passing = status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    );
                let requested = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                passing.then_some(requested)
            }
        }
    }
}

/// What to do about an answer that names another URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// As upstream for alerts: it means that the token in the URL is wrong.
    Refused,
    /// As upstream for webhooks, by Go's rules: 307 and 308 repeat the POST, others become a GET.
    Followed,
}

/// Posts to one receiver.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
}

impl Client {
    /// Nothing is sent yet. Variables such as `HTTPS_PROXY` are not read, since upstream does not.
    pub(super) fn new(
        to: &Endpoint,
        proxy: Option<&Endpoint>,
        redirects: Redirects,
    ) -> Result<Self, BuildError> {
        let failed = |error: reqwest::Error| BuildError {
            to: to.clone(),
            reason: describe(error),
        };
        // The client panics without a TLS provider. The error, that the process has one already, does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("reloader/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // As upstream: a connection that the receiver has closed meanwhile would cost a retry.
            .pool_max_idle_per_host(0)
            .redirect(match redirects {
                Redirects::Refused => Policy::none(),
                Redirects::Followed => Policy::limited(MOST_REDIRECTS),
            })
            // It would send the URL, and with it the token, to the host of the redirect.
            .referer(false)
            .no_proxy();
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.url()).map_err(failed)?);
        }
        Ok(Self {
            http: builder.build().map_err(failed)?,
            url: to.url(),
        })
    }

    /// Posts once. Returns the beginning of the answer's body.
    pub(super) async fn post(
        &self,
        payload: &Payload,
        trace_parent: Option<&TraceParent>,
    ) -> Result<String, PostError> {
        let mut request = self.http.post(self.url.clone());
        if let Some(trace_parent) = trace_parent {
            request = request.header(TRACE_PARENT, trace_parent.value());
        }
        let response = request
            .header(CONTENT_TYPE, payload.content_type)
            .body(payload.body.clone())
            .send()
            .await
            .map_err(|error| PostError::Transport(describe(error)))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(PostError::Redirected);
        }
        if !status.is_success() {
            return Err(PostError::Status {
                status,
                retry_after: retry_after(response.headers()),
            });
        }
        Ok(beginning(response).await)
    }
}

/// The beginning of the body; what cannot be read is left out, since the status is what matters.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(ANSWER);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The error with its causes, without the URL.
fn describe(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

#[cfg(test)]
mod tests;
