use std::{net::SocketAddr, sync::Arc};

use axum::routing::get;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    time::{Instant, timeout},
};

use super::*;

const HALF: &str = "GET /live HTTP/1.1\r\nHost: a\r\n";
/// Far longer than anything here takes, and a failure instead of a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(limits: Limits) -> SocketAddr {
    start_with(Router::new().route("/live", get(async || "alive")), limits).await
}

async fn start_with(routes: Router, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, routes, limits, "test"));
    address
}

async fn connect(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// What the server sends before it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection with unread data is reset.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .expect("the connection stays open");
    String::from_utf8(text).unwrap()
}

async fn probe(address: SocketAddr) -> String {
    until_closed(
        connect(
            address,
            "GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await,
    )
    .await
}

#[tokio::test]
async fn half_sent_requests_keep_no_probe_out() {
    let limits = Limits {
        connections: 8,
        next_request: Duration::from_mins(10),
    };
    let address = start(limits).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(connect(address, HALF).await);
    }
    assert!(probe(address).await.ends_with("alive"));
    // The probe made room for itself, so that one more than the excess is closed.
    let closed = held.len() - limits.connections + 1;
    for stream in held.drain(..closed) {
        assert_eq!(until_closed(stream).await, "");
    }
    for mut stream in held {
        stream.write_all(b"Connection: close\r\n\r\n").await.unwrap();
        assert!(until_closed(stream).await.ends_with("alive"));
    }
}

/// A probe that is being answered, and scrapers that keep their connections for the next request.
#[tokio::test]
async fn what_is_being_answered_is_closed_last() {
    let started = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let answer = {
        let (started, release) = (Arc::clone(&started), Arc::clone(&release));
        move || {
            let (started, release) = (Arc::clone(&started), Arc::clone(&release));
            async move {
                started.notify_one();
                release.notified().await;
                "done"
            }
        }
    };
    let limits = Limits {
        connections: 8,
        next_request: Duration::from_mins(10),
    };
    let address = start_with(Router::new().route("/slow", get(answer)), limits).await;
    let slow = connect(
        address,
        "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    timeout(PATIENCE, started.notified())
        .await
        .expect("it is asked for");
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(connect(address, HALF).await);
    }
    // The oldest of the others is closed when the excess has been accepted.
    let excess = held.len() - limits.connections + 1;
    for stream in held.drain(..excess) {
        assert_eq!(until_closed(stream).await, "");
    }
    release.notify_one();
    assert!(until_closed(slow).await.ends_with("done"));
}

#[rstest]
#[case::nothing_sent("")]
#[case::half_a_head(HALF)]
#[case::idle_after_a_request("GET /live HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::half_a_body("GET /live HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12")]
#[tokio::test]
async fn a_client_that_sends_no_request_in_time_is_disconnected(#[case] sent: &str) {
    let next_request = Duration::from_millis(200);
    let address = start(Limits {
        next_request,
        ..Limits::default()
    })
    .await;
    let before = Instant::now();
    until_closed(connect(address, sent).await).await;
    assert!(before.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_connection_takes_several_requests() {
    let address = start(Limits::default()).await;
    let twice = format!("{HALF}\r\n{HALF}Connection: close\r\n\r\n");
    let answers = until_closed(connect(address, &twice).await).await;
    assert_eq!(answers.matches("alive").count(), 2, "{answers}");
}
