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
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{
        Builder,
        connect::{Connection, HttpConnector},
    },
    rt::TokioIo,
};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use super::trust::Trust;

/// How long a connection is without traffic before the kernel sends the first probe.
const FIRST_PROBE: Duration = Duration::from_secs(30);
/// The time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How many probes without an answer end the connection: after 60 s without traffic.
const PROBES: u32 = 3;
/// How long data that was sent may stay unacknowledged; without, the kernel repeats it for a quarter of an hour. On
/// Linux it also bounds the probes.
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);

/// A client builder like kube's own, but for the sockets and for kube's log lines about each failed request. `socket`
/// is applied to each socket below TLS, `executor` runs the connections, and `trust` learns how connecting ends.
pub(super) fn builder<E, F, S>(
    config: &Config,
    executor: E,
    trust: &Trust,
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
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(sockets)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    let trust = trust.clone();
    let connector = connector.map_result(move |connected| {
        trust.note(&connected);
        connected
    });
    let client = Builder::new(executor).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
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
    use std::os::fd::AsFd;

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
}
