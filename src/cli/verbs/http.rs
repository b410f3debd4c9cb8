//! One HTTP request to a replica: to an address, or through a port-forward.
//!
//! Input: a [`Line`], a request. Output: the answer, or why there is none. I/O: that request.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::{api_error::with_causes, explain::Problem};

/// How long an answer may take, its connection included.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer, in bytes: 200 rows of 20 sources have less than one MiB.
const MAX_BODY: usize = 16 << 20;

/// The way to a replica.
#[derive(Clone)]
pub(super) enum Line {
    /// `HOST:PORT`.
    Address(String),
    /// A port of a pod.
    Pod {
        /// Forwards the port, as the user.
        client: Client,
        /// The pod's namespace.
        namespace: String,
        /// The pod.
        name: String,
        /// The port in the pod.
        port: u16,
    },
}

/// Why a replica gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// It was not reached, or is of a version without that endpoint.
    #[error("{0}")]
    NotReached(String),
    /// The user may not.
    #[error("{0}")]
    Forbidden(String),
    /// It knows no answer, and says why.
    #[error("{0}")]
    NoAnswer(String),
}

impl Line {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Address(address) => address.clone(),
            Self::Pod { namespace, name, .. } => format!("pod {namespace}/{name}"),
        }
    }

    /// Asks for a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        let request = Request::get(path)
            .header(header::HOST, "localhost")
            .body(Empty::new())
            .map_err(|error| AskError::NotReached(error.to_string()))?;
        let answer = self.send(request).await?;
        read(answer.status(), answer.body())
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Bytes>, AskError> {
        match timeout(TIMEOUT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::NotReached(format!(
                "no answer within {} s",
                TIMEOUT.as_secs()
            ))),
        }
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Response<Bytes>, AskError> {
        match self {
            Self::Address(address) => {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| AskError::NotReached(error.to_string()))?;
                exchange(stream, request).await.map_err(AskError::NotReached)
            }
            Self::Pod {
                client,
                namespace,
                name,
                port,
            } => {
                let (stream, refusal) = forward(client, namespace, name, *port).await?;
                exchange(stream, request).await.map_err(|error| {
                    // Sent beside the data, by the kubelet.
                    let reason = refusal.now_or_never().flatten();
                    AskError::NotReached(reason.map_or(error, |reason| forwarding(&reason, *port)))
                })
            }
        }
    }
}

/// A stream to a port of a pod, and what the kubelet says if that ends it.
async fn forward(
    client: &Client,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<
    (
        impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
        impl Future<Output = Option<String>> + use<>,
    ),
    AskError,
> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut forwarder = api
        .portforward(name, &[port])
        .await
        .map_err(|error| refused(&error))?;
    let none = || AskError::NotReached("the port-forward has no stream".to_owned());
    let stream = forwarder.take_stream(port).ok_or_else(none)?;
    let refusal = forwarder.take_error(port).ok_or_else(none)?;
    Ok((stream, refusal))
}

/// What the kubelet says of a port that it cannot forward, without the names of its own things.
fn forwarding(reason: &str, port: u16) -> String {
    if reason.contains("connection refused") {
        return format!("nothing listens on its port {port}");
    }
    let rest = reason.split_once(", uid : ").map_or(reason, |(_, rest)| rest);
    rest.trim().to_owned()
}

fn refused(error: &kube::Error) -> AskError {
    let text = with_causes(error);
    // An upgrade that is refused has a status and no text.
    if text.contains("403") {
        AskError::Forbidden("you may not forward ports to it (get and create on pods/portforward)".to_owned())
    } else {
        AskError::NotReached(text)
    }
}

/// Sends a request and reads its answer. The connection is driven here, by no other task.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Bytes>, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| with_causes(&error))?;
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(header::CONNECTION, close);
    let answer = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| with_causes(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It may end before the last bytes of the answer have been taken.
        ended = connection => match answer.await {
            Err(error) => Err(ended.err().map_or(error, |error| with_causes(&error))),
            answered => answered,
        },
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, AskError> {
    if status.is_success() {
        let read = serde_json::from_slice(body);
        return read.map_err(|_| AskError::NotReached("its answer is not of this version".to_owned()));
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Err(AskError::NoAnswer(problem.error)),
        Err(_) => Err(AskError::NotReached(format!(
            "it answers with HTTP status {status}"
        ))),
    }
}

/// `HOST:PORT` of an address as users write it.
pub(super) fn address(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let is_one = rest
        .parse::<http::uri::Authority>()
        .is_ok_and(|authority| authority.port_u16().is_some() && !authority.as_str().contains('@'));
    if is_one {
        Ok(rest.to_owned())
    } else {
        Err(format!("--endpoint: {url:?} is not of the form http://HOST:PORT"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://127.0.0.1:9092", "127.0.0.1:9092")]
    #[case("http://localhost:9092/", "localhost:9092")]
    #[case("[::1]:9092", "[::1]:9092")]
    fn an_endpoint_is_read(#[case] url: &str, #[case] host: &str) {
        assert_eq!(address(url).unwrap(), host);
    }

    #[rstest]
    #[case("https://127.0.0.1:9092")]
    #[case("http://127.0.0.1")]
    #[case("http://a@b:1")]
    #[case("http://127.0.0.1:9092/v1")]
    #[case("")]
    fn what_is_no_endpoint_is_an_error(#[case] url: &str) {
        assert!(address(url).unwrap_err().contains("--endpoint"));
    }

    #[rstest]
    #[case::containerd(
        "error forwarding port 9092 to pod 5f2a, uid : failed to execute portforward in network namespace \"/var/run/netns/cni-1\": \
         failed to connect to localhost:9092 inside namespace \"5f2a\", IPv4: dial tcp4 127.0.0.1:9092: connect: connection refused \
         IPv6 dial tcp6: address localhost: no suitable address found",
        "nothing listens on its port 9092"
    )]
    #[case::other(
        "error forwarding port 9092 to pod a/ops, uid : network namespace is closed\n",
        "network namespace is closed"
    )]
    #[case::unknown("stream reset", "stream reset")]
    fn what_a_kubelet_says_is_made_short(#[case] reason: &str, #[case] text: &str) {
        assert_eq!(forwarding(reason, 9092), text);
    }

    #[test]
    fn a_refusal_is_no_answer() {
        let problem = br#"{"version":"v1","error":"it is not known"}"#;
        let refused = read::<u8>(StatusCode::NOT_FOUND, problem).unwrap_err();
        assert_eq!(refused, AskError::NoAnswer("it is not known".to_owned()));
        let other = read::<u8>(StatusCode::NOT_FOUND, b"404 page not found").unwrap_err();
        assert!(matches!(other, AskError::NotReached(_)));
        assert!(matches!(
            read::<u8>(StatusCode::OK, b"<html>"),
            Err(AskError::NotReached(_))
        ));
        assert_eq!(read::<u8>(StatusCode::OK, b"7").unwrap(), 7);
    }
}
