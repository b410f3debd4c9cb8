//! The proxy's connections: TLS and HTTP on both sides. Input: sockets; output: answers. I/O: both sides' sockets.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::stream::{Lines, never};
use super::{Fault, RequestHead, Shared};

/// Bytes between the gates and TLS.
const BUFFER: usize = 64 * 1024;

type Answer = Response<BoxBody<Bytes, Error>>;

/// Serves until it is aborted; its connections end with it.
pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { connection(stream, &shared).await });
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection of the client. How it ends is the client's to judge.
async fn connection(client: TcpStream, shared: &Arc<Shared>) {
    // A closing that comes after this concerns it; one that came before, and a certificate replaced before that, does not.
    let mut closings = shared.closings.subscribe();
    // A watch's event is one small packet, which must not wait for more to come.
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (ours, network) = tokio::io::duplex(BUFFER);
    let (from_us, to_us) = tokio::io::split(network);
    let serving = async {
        let acceptor = shared.acceptor();
        let tls = acceptor.accept(ours).await?;
        let service = service_fn(|request| {
            let shared = Arc::clone(shared);
            async move { shared.answer(request).await }
        });
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(tls), service)
            .await
            .map_err(Error::other)
    };
    let served = async {
        tokio::join!(
            serving,
            shared.gates.to_server.copy(from_client, to_us),
            shared.gates.to_client.copy(from_us, to_client),
        )
    };
    tokio::select! {
        _ = served => {}
        // Fails only when the sender is gone, and `shared` holds it.
        _ = closings.changed() => {}
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer> {
        let head = RequestHead {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
        };
        let hit = self.rules.meet(&head);
        let fault = hit.as_ref().map(|hit| hit.fault().clone());
        let entry = self.note(head.clone(), fault.clone());
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        match fault {
            Some(Fault::Status { code, retry_after }) => return refuse(code, retry_after),
            Some(Fault::Reset) => return Err(ErrorKind::ConnectionReset.into()),
            Some(Fault::Stall) => std::future::pending().await,
            _ => {}
        }
        // A task of its own: what is on its way arrives although the client has gone.
        let forwarding = tokio::spawn(async move {
            match (&fault, &hit) {
                (Some(Fault::DelayRequest(delay)), _) => tokio::time::sleep(*delay).await,
                (Some(Fault::Hold), Some(hit)) => hit.removed().await,
                _ => {}
            }
            let answer = self.forward(Request::from_parts(parts, body.into())).await?;
            self.note_code(entry, answer.status().as_u16());
            let (mut parts, body) = answer.into_parts();
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.remove(TRANSFER_ENCODING);
            if head.is_watch() && parts.status.is_success() {
                return Ok(Response::from_parts(
                    parts,
                    self.watches.relay(head, body).boxed(),
                ));
            }
            let body = body.collect().await.map_err(Error::other)?.to_bytes();
            match fault {
                Some(Fault::DelayAnswer(delay)) => tokio::time::sleep(delay).await,
                Some(Fault::DropAnswer) => return Err(ErrorKind::ConnectionReset.into()),
                Some(Fault::TruncateBody(bytes)) => {
                    let kept = body.slice(..bytes.min(body.len()));
                    let lines = Lines::of([Ok(kept), Err(ErrorKind::ConnectionReset.into())]);
                    return Ok(Response::from_parts(parts, lines.boxed()));
                }
                _ => {}
            }
            Ok(Response::from_parts(
                parts,
                Full::new(body).map_err(never).boxed(),
            ))
        });
        forwarding.await.map_err(Error::other)?
    }

    /// Sends a request to the API server, on a connection of its own.
    async fn forward(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        // HTTP/2 has the host in the address.
        *request.version_mut() = Version::HTTP_11;
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = path.into();
        }
        request.headers_mut().insert(
            HOST,
            HeaderValue::from_str(&self.upstream_address).map_err(Error::other)?,
        );
        let stream = TcpStream::connect(&self.upstream_address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from(std::net::Ipv4Addr::LOCALHOST)));
        let tls = self.upstream.connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
            .await
            .map_err(Error::other)?;
        // Ends when the answer's body is read or dropped.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(Error::other)
    }
}

/// An answer as the API server words its refusals.
fn refuse(code: u16, retry_after: Option<u32>) -> Result<Answer> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let (kind, body) = if code == 429 {
        // Priority and Fairness answers with a line of text; only the header has the seconds.
        (
            "text/plain; charset=utf-8",
            "Too many requests, please try again later.\n".to_owned(),
        )
    } else {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "refused by the proxy", "reason": reason, "code": code,
            "details": {"retryAfterSeconds": retry_after.unwrap_or(0)},
        });
        ("application/json", status.to_string())
    };
    let mut answer = Response::builder()
        .status(StatusCode::from_u16(code).map_err(Error::other)?)
        .header(CONTENT_TYPE, kind);
    if let Some(seconds) = retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer
        .body(Full::new(body.into()).map_err(never).boxed())
        .map_err(Error::other)
}
