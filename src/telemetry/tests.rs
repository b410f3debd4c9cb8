use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use k8s_openapi::api::core::v1::Secret;
use rstest::rstest;
use tokio::{net::TcpListener, sync::mpsc};

use super::*;
use crate::config::{LogFormat, TraceProtocol};

/// A writer that keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Makes writers that keep what is written here.
    fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
        let kept = self.clone();
        move || kept.clone()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged at `level` of one event per level and origin, as `origin:level`.
fn logged(level: Level) -> Vec<String> {
    let kept = Kept::default();
    let log = LogSettings {
        format: LogFormat::Text,
        level,
    };
    tracing::subscriber::with_default(subscriber(log_layer(log, kept.writer()).0, None), || {
        tracing::trace!("own:trace");
        tracing::debug!("own:debug");
        tracing::info!("own:info");
        tracing::warn!("own:warning");
        tracing::error!("own:error");
        tracing::trace!(target: "hyper_util::client", "library:trace");
        tracing::debug!(target: "hyper_util::client", "library:debug");
        tracing::info!(target: "kube_client::client::tls", "library:info");
        tracing::warn!(target: "kube_client::client::tls", "library:warning");
        tracing::error!(target: "tower::buffer", "library:error");
        tracing::error!(target: "kube_client::client::builder", "client:error");
    });
    let text = kept.text();
    text.lines()
        .map(|line| {
            line.split("msg=\"")
                .nth(1)
                .unwrap()
                .trim_end_matches('"')
                .to_owned()
        })
        .collect()
}

#[rstest]
#[case(Level::Error, &["own:error", "library:error"])]
#[case(Level::Warning, &["own:warning", "own:error", "library:warning", "library:error"])]
#[case(Level::Info, &["own:info", "own:warning", "own:error", "library:warning", "library:error"])]
#[case(Level::Debug,
    &["own:debug", "own:info", "own:warning", "own:error", "library:warning", "library:error"])]
#[case(Level::Trace,
    &["own:trace", "own:debug", "own:info", "own:warning", "own:error",
      "library:debug", "library:info", "library:warning", "library:error"])]
fn libraries_are_quiet(#[case] level: Level, #[case] expected: &[&str]) {
    assert_eq!(logged(level), expected);
}

/// The library's own warning holds the whole answer.
#[rstest]
fn an_answer_that_cannot_be_decoded_is_not_logged(
    #[values(Level::Error, Level::Warning, Level::Info, Level::Debug, Level::Trace)] level: Level,
) {
    let kept = Kept::default();
    let log = LogSettings {
        format: LogFormat::Text,
        level,
    };
    let secrets = r#"{"metadata":{},"items":[{"metadata":{"name":"db"},"data":{"password":"Y2FuYXJ5"}}"#;
    let service = tower::service_fn(async move |_: http::Request<kube::client::Body>| {
        http::Response::builder().body(kube::client::Body::from(secrets.as_bytes().to_vec()))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let listed = tracing::subscriber::with_default(subscriber(log_layer(log, kept.writer()).0, None), || {
        runtime.block_on(async {
            let client = kube::Client::new(service, "default");
            let api: kube::Api<Secret> = kube::Api::all(client);
            tracing::error!("before");
            api.list(&kube::api::ListParams::default()).await.map(drop)
        })
    });
    assert!(matches!(listed, Err(kube::Error::SerdeError(_))), "{listed:?}");
    let text = kept.text();
    assert!(text.contains("before") && !text.contains("Y2FuYXJ5"), "{text}");
}

#[test]
fn fields_keep_their_types() {
    let kept = Kept::default();
    let log = LogSettings {
        format: LogFormat::Json,
        level: Level::Info,
    };
    tracing::subscriber::with_default(subscriber(log_layer(log, kept.writer()).0, None), || {
        let error = io::Error::other("conflict");
        tracing::info!(
            count = 3_u64, negative = -1, ratio = 0.5, ok = true, name = "web", shown = %"a b", debug = ?Some(1),
            err = &error as &dyn std::error::Error, "Restarted {}", "web"
        );
    });
    let line: serde_json::Value = serde_json::from_str(&kept.text()).unwrap();
    let mut line = line.as_object().unwrap().clone();
    assert!(line.remove("time").is_some());
    assert_eq!(
        serde_json::Value::Object(line),
        serde_json::json!({
            "level": "info", "msg": "Restarted web", "count": 3, "negative": -1, "ratio": 0.5, "ok": true,
            "name": "web", "shown": "a b", "debug": "Some(1)", "err": "conflict"
        })
    );
}

#[test]
fn a_closed_stderr_does_not_stop_the_process() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let log = LogSettings {
        format: LogFormat::Text,
        level: Level::Info,
    };
    tracing::subscriber::with_default(subscriber(log_layer(log, || Closed).0, None), || {
        tracing::error!("no output has this");
    });
}

/// A collector on a free port that hands over what it receives.
async fn collector() -> (String, mpsc::UnboundedReceiver<Bytes>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receive = |State(sender): State<mpsc::UnboundedSender<Bytes>>, body: Bytes| async move {
        sender.send(body).unwrap();
    };
    let router = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, receiver)
}

#[rstest]
#[case(TraceProtocol::HttpJson)]
#[case(TraceProtocol::HttpProtobuf)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_span_per_reload_reaches_the_collector(#[case] protocol: TraceProtocol) {
    let (endpoint, mut received) = collector().await;
    let export = TraceExport {
        endpoint,
        protocol,
        service_name: "reloader-test".to_owned(),
        resource: vec![("k8s.pod.name", "pod-of-test".to_owned())],
    };
    let provider = traces::provider(&export).unwrap();
    let log = LogSettings {
        format: LogFormat::Text,
        level: Level::Error,
    };
    tracing::subscriber::with_default(subscriber(log_layer(log, io::sink).0, Some(&provider)), || {
        let _other = tracing::error_span!("request").entered();
        let _reload =
            tracing::info_span!(target: RELOAD_SPAN_TARGET, "reload", k8s.namespace.name = "shop").entered();
        tracing::error!("an event within");
    });
    let telemetry = Telemetry {
        traces: Some(provider),
        log: LogWriter::start(io::sink()).unwrap(),
    };
    telemetry.send_spans().await;

    let body = received.recv().await.unwrap();
    assert!(received.try_recv().is_err(), "everything is sent in one batch");
    let contains = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("pod-of-test"));
    assert!(contains("reloader-test") && contains("k8s.namespace.name") && contains("shop"));
    assert!(!contains("request") && !contains("an event within"));
    if protocol == TraceProtocol::HttpJson {
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let spans = json
            .pointer("/resourceSpans/0/scopeSpans/0/spans")
            .unwrap()
            .as_array()
            .unwrap();
        assert_eq!(
            spans
                .iter()
                .map(|span| span["name"].as_str().unwrap())
                .collect::<Vec<_>>(),
            ["reload"]
        );
    }
}

#[test]
fn the_level_can_be_switched_while_it_is_used() {
    let kept = Kept::default();
    let log = LogSettings {
        format: LogFormat::Text,
        level: Level::Info,
    };
    let (layer, level) = log_layer(log, kept.writer());
    tracing::subscriber::with_default(subscriber(layer, None), || {
        tracing::debug!("first");
        level.set(Level::Debug);
        tracing::debug!("second");
        level.set(Level::Info);
        tracing::debug!("third");
    });
    let text = kept.text();
    assert!(
        text.contains("msg=second") && !text.contains("first") && !text.contains("third"),
        "{text}"
    );
}

#[test]
fn the_last_line_has_the_chosen_format() {
    let json: serde_json::Value = serde_json::from_str(&error_line("it \"ended\"", LogFormat::Json)).unwrap();
    assert_eq!(
        (&json["level"], &json["msg"]),
        (&"error".into(), &"it \"ended\"".into())
    );
    assert_eq!(error_line("it ended", LogFormat::Text), "Error: it ended\n");
}
