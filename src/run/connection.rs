//! The connections of the API clients: how they are made, and when one that is dead is noticed.
//!
//! Input: the cluster's address. Output: a client builder like kube's own. I/O: connects.
//!
//! A peer that is gone without a word (its machine lost power, a firewall or a load balancer dropped the flow) sends no
//! end of the connection. A watch would look quiet until its timeout, five minutes by default, and show none of the
//! changes meanwhile. So the kernel probes connections without traffic, and gives up on data that is not acknowledged.
//! kube's own builder offers neither. Proxies are not supported, as by kube with these features.

use std::{pin::Pin, time::Duration};

use hyper::rt::{Executor, Read, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{
        Builder,
        connect::{Connection, HttpConnector},
    },
    rt::{TokioIo, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, sync::Semaphore};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit};

use super::trust::Trust;

/// How long a connection is without traffic before the kernel sends the first probe.
const FIRST_PROBE: Duration = Duration::from_secs(30);
/// The time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How many probes without an answer end the connection: after 60 s without traffic.
const PROBES: u32 = 3;
/// How long data that was sent may stay unacknowledged; without, the kernel repeats it for a quarter of an hour. On
/// Linux it also bounds the probes.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);

/// How long an HTTP/2 connection is idle before a ping is sent on it.
const FIRST_PING: Duration = Duration::from_secs(30);
/// How long a ping may take to be answered.
const PING: Duration = Duration::from_secs(20);
/// How many bytes of one answer may wait to be read. Together those of the [`STREAMS`] do not fill the connection's window,
/// so that an answer that is not read holds up no other.
const STREAM_WINDOW: u32 = 128 * 1024;
/// How many requests are meant to share one connection. Few: its end concerns them all, and an API server allows 100.
pub(super) const STREAMS: u8 = 8;
/// How many bytes may wait to be read on a connection. A connection that is closing leaves its watches to the others, so
/// twice as many share one for a while.
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW * STREAMS as u32;

/// How requests share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// A connection for each request under way (HTTP/1.1).
    None,
    /// One connection for all (HTTP/2), or one each where the server does not offer that.
    All,
}

/// A client builder like kube's own, but for the sockets and for kube's log lines about each failed request. `socket`
/// is applied to each socket below TLS, `executor` runs the connections, and `trust` learns how connecting ends.
pub(super) fn builder<E, F, S>(
    config: &Config,
    executor: E,
    trust: &Trust,
    sharing: Sharing,
    socket: F,
) -> kube::Result<
    ClientBuilder<
        impl Service<
            http::Request<Body>,
            Response = http::Response<
                impl http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + use<E, F, S>,
            >,
            Error = BoxError,
            Future: Send,
        > + Clone
        + Send
        + use<E, F, S>,
    >,
>
where
    E: Executor<Pin<Box<dyn Future<Output = ()> + Send>>> + Clone + Send + Sync + 'static,
    F: Fn(TokioIo<TcpStream>) -> S + Clone + Send + Sync + 'static,
    S: Connection + Read + Write + Send + Unpin + 'static,
{
    let sockets = tcp().map_response(socket);
    let mut connector = TimeoutConnector::new(https(config, sharing, sockets)?);
    connector.set_connect_timeout(config.connect_timeout);
    let mut client = Builder::new(executor);
    let connecting = match sharing {
        Sharing::None => {
            connector.set_read_timeout(config.read_timeout);
            Semaphore::MAX_PERMITS
        }
        Sharing::All => {
            share(&mut client);
            // That a connection can be shared shows when it is there: requests that begin together would each make one.
            1
        }
    };
    let trust = trust.clone();
    let connector = connector.map_result(move |connected| {
        trust.note(&connected);
        connected
    });
    let client = client.build::<_, Body>(ConcurrencyLimit::new(connector, connecting));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
}

/// Adds TLS. kube's connector does not offer HTTP/2.
fn https<H>(config: &Config, sharing: Sharing, tcp: H) -> kube::Result<HttpsConnector<H>> {
    if sharing == Sharing::None {
        return config.rustls_https_connector_with_connector(tcp);
    }
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    // One that is no name fails for the other clients, which are kube's in this.
    let name = config.tls_server_name.clone();
    let builder = match name.and_then(|name| ServerName::try_from(name).ok()) {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    Ok(builder.enable_all_versions().wrap_connector(tcp))
}

/// Settings of connections that are shared.
fn share(client: &mut Builder) {
    client
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(FIRST_PING)
        .http2_keep_alive_timeout(PING)
        .http2_keep_alive_while_idle(true)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        // As long as it is open: otherwise a request that comes a while after the last one would make another connection.
        .pool_idle_timeout(None);
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // TLS is added on top.
    tcp.enforce_http(false);
    // A patch is one small write: waiting for more to send would only delay it.
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(FIRST_PROBE));
    tcp.set_keepalive_interval(Some(PROBE_INTERVAL));
    tcp.set_keepalive_retries(Some(PROBES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        os::fd::AsFd,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
    use hyper::{body::Frame, server::conn::http2, service::service_fn};
    use hyper_util::rt::TokioExecutor;

    use nix::sys::socket::{
        getsockopt,
        sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpUserTimeout},
    };
    use tokio::net::TcpListener;

    use super::*;

    /// What the faults' specification allows.
    const NOTICED: Duration = Duration::from_secs(90);

    #[tokio::test]
    async fn the_kernel_notices_a_dead_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}/", listener.local_addr().unwrap());
        let stream = tcp().oneshot(uri.parse().unwrap()).await.unwrap();
        let socket = stream.inner().as_fd();

        assert!(getsockopt(&socket, KeepAlive).unwrap());
        let idle = getsockopt(&socket, TcpKeepIdle).unwrap();
        let interval = getsockopt(&socket, TcpKeepInterval).unwrap();
        let probes = getsockopt(&socket, TcpKeepCount).unwrap();
        let without_traffic = Duration::from_secs(u64::from(idle + interval * probes));
        assert!(without_traffic < NOTICED, "{without_traffic:?}");
        let unacknowledged = Duration::from_millis(u64::from(getsockopt(&socket, TcpUserTimeout).unwrap()));
        assert_eq!(unacknowledged, UNACKNOWLEDGED);
        assert!(unacknowledged < NOTICED);
    }

    /// Answers `/flood` without end, and everything else with nothing. Counts what it has sent.
    async fn serve(listener: TcpListener, sent: Arc<AtomicUsize>) {
        const CHUNK: &[u8] = &[0; 16 * 1024];
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let sent = Arc::clone(&sent);
            async move {
                let flood = futures::stream::repeat_with(move || {
                    sent.fetch_add(CHUNK.len(), Ordering::Relaxed);
                    Ok::<_, Infallible>(Frame::data(Bytes::from_static(CHUNK)))
                });
                let body: BoxBody<Bytes, Infallible> = match request.uri().path() {
                    "/flood" => BoxBody::new(StreamBody::new(flood)),
                    _ => BoxBody::new(Empty::new()),
                };
                Ok::<_, Infallible>(http::Response::new(body))
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
        drop(connection);
    }

    /// A watch that shows more than its reader takes in.
    #[tokio::test]
    async fn answers_that_are_not_read_hold_up_no_other_on_their_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, Arc::clone(&sent)));
        let mut client = Builder::new(TokioExecutor::new());
        share(&mut client);
        let client = client.http2_only(true).build::<_, Empty<Bytes>>(tcp());
        let get = async |path: &str| {
            let uri = format!("http://{address}{path}").parse().unwrap();
            tokio::time::timeout(NOTICED, client.get(uri))
                .await
                .expect("an answer")
                .unwrap()
        };
        let mut unread = Vec::new();
        for _ in 1..STREAMS {
            unread.push(get("/flood").await);
        }
        // Each of them has filled its window.
        let full = unread.len() * usize::try_from(STREAM_WINDOW).unwrap();
        let filled = async {
            while sent.load(Ordering::Relaxed) < full {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(NOTICED, filled).await.expect("full windows");
        let quiet = get("/quiet").await.into_body().collect();
        let quiet = tokio::time::timeout(NOTICED, quiet).await.expect("its end");
        assert!(quiet.unwrap().to_bytes().is_empty());
        let mut flood = unread.pop().unwrap().into_body();
        assert!(flood.frame().await.is_some());
        let other = get("/flood").await.into_body().frame().await;
        assert!(other.unwrap().unwrap().is_data(), "data still passes");
    }
}
