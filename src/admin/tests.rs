use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, Request};
use rstest::rstest;
use tower::ServiceExt as _;

use super::{health::WatchState, *};
use crate::metrics::MetricsOptions;

fn routes(health: &Health) -> Router {
    router(health.clone(), Arc::new(Metrics::new(MetricsOptions::default())))
}

async fn request(router: Router, method: Method, uri: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(health: &Health, uri: &str) -> (u16, String) {
    request(routes(health), Method::GET, uri).await
}

fn answer(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

/// Upstream answers any method.
#[rstest]
#[case(Method::GET)]
#[case(Method::POST)]
#[case(Method::DELETE)]
#[tokio::test]
async fn alive_whatever_the_method(#[case] method: Method) {
    assert_eq!(
        request(routes(&Health::new()), method, "/live").await,
        answer(200, "alive")
    );
}

/// As in upstream's version 2.
#[rstest]
#[case("/healthz", "/live")]
#[case("/livez?verbose", "/live?verbose")]
#[case("/readyz?verbose", "/ready?verbose")]
#[tokio::test]
async fn probes_have_a_second_name(#[case] uri: &str, #[case] same: &str) {
    let health = Health::new();
    assert_eq!(get(&health, uri).await, get(&health, same).await);
    assert_ne!(get(&health, uri).await.0, 404);
}

#[tokio::test]
async fn what_else_is_asked_first_is_shown_where_all_is_asked_for() {
    let health = Health::new();
    health.describe(|| vec!["version 1.2.3".to_owned()]);
    assert_eq!(get(&health, "/ready").await, answer(200, "ready"));
    assert_eq!(
        get(&health, "/ready?verbose").await,
        answer(200, "version 1.2.3\nready")
    );
}

#[tokio::test(start_paused = true)]
async fn not_alive_names_the_loop_that_stands_still() {
    let health = Health::new();
    let workers = health.heartbeat("workers", Duration::from_secs(30));
    let _lease = health.heartbeat("lease", Duration::from_secs(15));
    tokio::time::advance(Duration::from_secs(20)).await;
    workers.beat();
    let failure = "[-]lease failed: no progress for 20s, allowed are 15s";
    assert_eq!(get(&health, "/live").await, answer(500, failure));
    assert_eq!(
        get(&health, "/live?verbose").await,
        answer(500, &format!("[+]workers ok\n{failure}"))
    );
}

#[tokio::test]
async fn ready_when_every_watch_is_synced_or_denied() {
    let health = Health::new();
    let configmaps = health.watch("watch-configmaps");
    let secrets = health.watch("watch-secrets");
    configmaps.set(WatchState::Synced);
    let failure = "[-]watch-secrets failed: the first list is not complete yet";
    assert_eq!(get(&health, "/ready").await, answer(503, failure));

    secrets.set(WatchState::Denied {
        reason: "secrets is forbidden".to_owned(),
    });
    assert_eq!(get(&health, "/ready").await, answer(200, "ready"));
    assert_eq!(
        get(&health, "/ready?verbose").await,
        answer(
            200,
            "[+]watch-configmaps ok\n[+]watch-secrets ok: not permitted: secrets is forbidden\nready"
        )
    );
}

#[tokio::test]
async fn liveness_does_not_depend_on_watches() {
    let health = Health::new();
    let _unsynced = health.watch("watch-secrets");
    assert_eq!(get(&health, "/live").await, answer(200, "alive"));
}

#[rstest]
#[case("/live?verbose=1", 200)]
#[case("/live?other=1", 200)]
#[case("/", 404)]
#[case("/live/", 404)]
#[case("/debug/pprof/", 404)]
#[tokio::test]
async fn everything_else_is_not_found(#[case] uri: &str, #[case] status: u16) {
    assert_eq!(get(&Health::new(), uri).await.0, status);
}

#[tokio::test]
async fn metrics_are_served_with_their_media_type() {
    let request = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
    let response = routes(&Health::new()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(body.starts_with(b"# HELP reloader_build_info "));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_what_to_do() {
    let free = ListenAddress {
        host: Some("127.0.0.1".to_owned()),
        port: 0,
    };
    let listener = bind(&free, "--health-addr").await.unwrap();
    let taken = ListenAddress {
        port: listener.local_addr().unwrap().port(),
        ..free
    };
    let error = bind(&taken, "--health-addr").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {taken}: ")), "{text}");
    assert!(text.ends_with("--health-addr chooses another one"), "{text}");
}

#[tokio::test]
async fn without_a_host_every_address_is_served() {
    let listener = bind(&":0".parse().unwrap(), "--listen-address").await.unwrap();
    assert!(listener.local_addr().unwrap().ip().is_unspecified());
    let port = listener.local_addr().unwrap().port();
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
}
