//! What a real API server cannot be brought to in a test: pinned to its source.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

fn front() -> (Store, Front) {
    let store = Store::new(|| jiff::Timestamp::UNIX_EPOCH);
    let front = Front::new(&store, FrontOptions { streams_lists: true });
    (store, front)
}

fn send(front: &Front, caller: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let response = front.handle(caller, request);
    let code = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap()
        .to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

const FOLDER: &str = "/api/v1/namespaces/default/configmaps";

fn create(front: &Front, name: &str) -> (u16, Value) {
    send(
        front,
        "world",
        "POST",
        FOLDER,
        &json!({ "metadata": { "name": name } }),
    )
}

fn watch(front: &Front, query: &str) -> impl futures::Stream<Item = (String, Value)> + use<> {
    let request = Request::get(format!("{FOLDER}?watch=true&{query}"))
        .body(Bytes::new())
        .unwrap();
    let body = front.handle("reloader-0", request).into_body();
    body.into_data_stream().map(|line| {
        let line: Value = serde_json::from_slice(&line.unwrap()).unwrap();
        (line["type"].as_str().unwrap().to_owned(), line["object"].clone())
    })
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_lags_shows_events_later() {
    let (_, front) = front();
    front.set_lag("configmaps", Duration::from_secs(7));
    let begun = tokio::time::Instant::now();
    create(&front, "a");
    let items = |query: &str| {
        let list = send(&front, "x", "GET", &format!("{FOLDER}?{query}"), &Value::Null).1;
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((items("resourceVersion=0"), items("")), (0, 1));
    let mut events = std::pin::pin!(watch(&front, "resourceVersion=1000"));
    assert_eq!(events.next().await.unwrap().0, "ADDED");
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(items("resourceVersion=0"), 1);
}

/// [`waitUntilFreshAndBlock`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/storage/cacher/watch_cache.go)
#[tokio::test(start_paused = true)]
async fn a_version_that_the_cache_has_not_seen_times_out() {
    let (_, front) = front();
    let path = format!("{FOLDER}?resourceVersion=2000");
    let (code, body) = send(&front, "x", "GET", &path, &Value::Null);
    assert_eq!(
        (code, &body["details"]["causes"][0]["reason"]),
        (504, &json!("ResourceVersionTooLarge"))
    );
    let mut events = std::pin::pin!(watch(
        &front,
        "resourceVersion=2000&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    ));
    let (event, status) = events.next().await.unwrap();
    assert_eq!((&*event, &status["code"]), ("ERROR", &json!(504)));
}

/// [KEP-4568](https://kep.k8s.io/4568)
#[tokio::test(start_paused = true)]
async fn a_restart_ends_watches_and_fills_the_cache_anew() {
    let (_, front) = front();
    create(&front, "a");
    let mut events = std::pin::pin!(watch(&front, "resourceVersion=1000"));
    assert_eq!(events.next().await.unwrap().0, "ADDED");
    front.restart();
    assert!(events.next().await.is_none());
    assert_eq!(
        send(&front, "x", "GET", &format!("{FOLDER}?watch=1"), &Value::Null).0,
        429
    );
    assert_eq!(send(&front, "x", "GET", FOLDER, &Value::Null).0, 429);
    assert_eq!(
        send(&front, "x", "GET", &format!("{FOLDER}?limit=5"), &Value::Null).0,
        200
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut events = std::pin::pin!(watch(&front, "resourceVersion=1000"));
    let (event, status) = events.next().await.unwrap();
    assert_eq!(
        (&*event, &status["code"], &status["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    assert!(events.next().await.is_none());
}

/// [`handleCompactedErrorForPaging`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/storage/etcd3/errors.go)
#[tokio::test(start_paused = true)]
async fn compaction_ends_tokens_and_old_states() {
    let (store, front) = front();
    create(&front, "a");
    create(&front, "b");
    let get = |query: &str| send(&front, "x", "GET", &format!("{FOLDER}?{query}"), &Value::Null);
    let token = |body: &Value| body["metadata"]["continue"].as_str().unwrap().to_owned();
    let first = token(&get("limit=1").1);
    create(&front, "c");
    store.compact();
    let (code, status) = get(&format!("limit=1&continue={first}"));
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let rest = get(&format!("continue={}", token(&status))).1;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(get("resourceVersion=1001&resourceVersionMatch=Exact").0, 410);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_so_until_it_is_permitted() {
    let (store, front) = front();
    store.forbid("list", "configmaps", None);
    let list = |caller| send(&front, caller, "GET", FOLDER, &Value::Null);
    let (code, status) = list("reloader-0");
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (
            403,
            "configmaps is forbidden: User \"system:serviceaccount:reloader:reloader\" cannot list resource \"configmaps\" \
             in API group \"\" in the namespace \"default\""
        )
    );
    assert_eq!(list("world").0, 200);
    store.permit("list", "configmaps", None);
    assert_eq!(list("reloader-0").0, 200);
    store.forbid("list", "configmaps", Some("team"));
    assert_eq!(list("reloader-0").0, 200);
    store.forbid("list", "configmaps", Some("default"));
    assert_eq!(list("reloader-0").0, 403);
}
