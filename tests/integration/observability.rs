//! What operators see: Events, metrics, logs, health, traces; and what must stay hidden.

use axum::{Router, body::Bytes, extract::State, routing::post};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap};
use kube::api::{Patch, PatchParams};
use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::{Value, json};
use testbed::eventually;
use tokio::{net::TcpListener, sync::mpsc};

use crate::harness::{
    PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map, secret, stateful_set},
    observe::{AUTO, pod_with},
    run,
};

/// A ConfigMap `settings` and a Deployment `web` that uses it.
async fn create_web(world: &World) {
    world.create(&config_map("settings", "one")).await;
    world
        .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
        .await;
}

#[test]
fn a_reload_is_an_event_on_the_workload() {
    run(async {
        let world = World::new("events").await;
        world.create(&config_map("settings", "one")).await;
        world.create(&secret("password", "one")).await;
        let pod = pod_with(&["settings"], &["password"]);
        let db = world
            .create::<StatefulSet>(&stateful_set("db", &AUTO, &pod))
            .await;
        let _controller = world.controller().start().await;
        let namespace = &world.namespace;

        world.change_config_map("settings", "two").await;
        world.wait_for_rollouts("statefulsets", "db", 1).await;
        world.change_secret("password", "two").await;
        world.wait_for_rollouts("statefulsets", "db", 2).await;

        let events = world.wait_for_events("db", "Reloaded", 2).await;
        assert_eq!(events.len(), 2);
        for (source, kind, component) in [
            ("settings", "CONFIGMAP", "reloader-configmaps"),
            ("password", "SECRET", "reloader-secrets"),
        ] {
            let of_component = |event: &&k8s_openapi::api::core::v1::Event| {
                event
                    .source
                    .as_ref()
                    .and_then(|source| source.component.as_deref())
                    == Some(component)
            };
            let event = events
                .iter()
                .find(of_component)
                .expect("an Event of that component");
            assert_eq!(event.reporting_component.as_deref(), Some(component));
            assert_eq!(event.type_.as_deref(), Some("Normal"));
            assert_eq!(
                event.message.as_deref(),
                Some(
                    format!(
                        "Changes detected in '{source}' of type '{kind}' in namespace '{namespace}', \
                         Updated 'db' of type 'StatefulSet' in namespace '{namespace}'"
                    )
                    .as_str()
                )
            );
            let about = &event.involved_object;
            assert_eq!(about.kind.as_deref(), Some("StatefulSet"));
            assert_eq!(about.api_version.as_deref(), Some("apps/v1"));
            assert_eq!(about.uid, db.metadata.uid);
        }
    });
}

#[rstest]
#[case::text(&[])]
#[case::json(&["--log-format=json"])]
fn a_reload_is_upstreams_log_line(#[case] args: &[&str]) {
    run(async {
        let world = World::new("logs").await;
        create_web(&world).await;
        let mut controller = world.controller();
        for arg in args {
            controller = controller.arg(*arg);
        }
        let controller = controller.start().await;
        let namespace = &world.namespace;
        let message = format!(
            "Changes detected in 'settings' of type 'CONFIGMAP' in namespace '{namespace}'; \
             updated 'web' of type 'Deployment' in namespace '{namespace}'"
        );

        world.change_config_map("settings", "two").await;
        controller.wait_log(&message).await;
        controller.replica.terminate().unwrap();
        assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));

        let log = controller.replica.log();
        let is_reload = |line: &str| -> bool {
            if args.is_empty() {
                assert!(
                    line.starts_with("time=\"") && line.contains(" level=") && line.contains(" msg="),
                    "{line}"
                );
                return line.contains(&format!(" level=info msg=\"{message}\""));
            }
            let fields: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(
                fields["time"].is_string() && fields["level"].is_string(),
                "{line}"
            );
            let is_reload = fields["level"] == "info" && fields["msg"] == message.as_str();
            if is_reload {
                let shown = ["namespace", "kind", "name", "sources", "strategy"].map(|name| &fields[name]);
                let expected = [namespace, "Deployment", "web", "ConfigMap/settings", "env-vars"];
                assert_eq!(shown.map(|value| value.as_str().unwrap_or_default()), expected);
                assert!(fields["latency_ms"].is_u64(), "{line}");
            }
            is_reload
        };
        assert_eq!(log.lines().filter(|line| is_reload(line)).count(), 1, "{log}");
        let synced = log.lines().filter(|line| line.contains("Synced: "));
        let says = |line: &str| line.contains("1 configmaps") && line.contains("1 deployments (1 opted in)");
        assert_eq!(synced.filter(|line| says(line)).count(), 1, "{log}");
    });
}

#[test]
fn metrics_count_what_happened() {
    run(async {
        let world = World::new("metrics").await;
        create_web(&world).await;
        world.create(&secret("password", "one")).await;
        let controller = world
            .controller()
            .env("METRICS_COUNT_BY_NAMESPACE", "enabled")
            .start()
            .await;
        assert_eq!(controller.get("/live").await.unwrap(), (200, "alive".to_owned()));
        // A change before that is queued by the watch, and once more by the takeover.
        controller.wait_log("became leader, starting controllers").await;

        world.change_config_map("settings", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        let body = json!({ "metadata": { "labels": { "nothing": "of-interest" } } });
        let api = world.api::<ConfigMap>();
        api.patch("settings", &PatchParams::default(), &Patch::Merge(body))
            .await
            .unwrap();

        let by_namespace = format!(
            "reloader_reload_executed_total_by_namespace{{success=\"true\",namespace=\"{}\"}}",
            world.namespace
        );
        controller
            .wait_metrics(&[
                ("reloader_reload_executed_total{success=\"true\"}", 1.0),
                ("reloader_reload_executed_total{success=\"false\"}", 0.0),
                (&by_namespace, 1.0),
                ("reloader_reconcile_total{result=\"success\"}", 1.0),
                ("reloader_reconcile_total{result=\"error\"}", 0.0),
                ("reloader_reconcile_duration_seconds_count{result=\"success\"}", 1.0),
                ("reloader_action_total{workload_kind=\"Deployment\",result=\"success\"}", 1.0),
                ("reloader_action_latency_seconds_count{workload_kind=\"Deployment\"}", 1.0),
                ("reloader_skipped_total{reason=\"no_data_change\"}", 1.0),
                ("reloader_workqueue_depth", 0.0),
                ("reloader_workqueue_adds_total", 1.0),
                ("reloader_errors_total", 0.0),
                ("reloader_retries_total", 0.0),
                ("reloader_events_received_total{event_type=\"add\",resource_type=\"configmaps\"}", 1.0),
                ("reloader_events_received_total{event_type=\"add\",resource_type=\"secrets\"}", 1.0),
                ("reloader_events_received_total{event_type=\"update\",resource_type=\"configmaps\"}", 2.0),
                ("reloader_events_received_total{event_type=\"delete\"", 0.0),
                (
                    "reloader_events_processed_total{event_type=\"unknown\",resource_type=\"configmaps\",result=\"success\"}",
                    3.0,
                ),
                ("reloader_workloads_scanned_total{kind=\"Deployment\"}", 1.0),
                ("reloader_workloads_matched_total{kind=\"Deployment\"}", 1.0),
                ("rest_client_requests_total{code=\"200\",method=\"PATCH\"", 1.0),
                ("rest_client_request_duration_seconds_count{verb=\"PATCH\"", 1.0),
            ])
            .await;
        for series in [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            // The watch shows the controller's own write, too, and then there may be a second look.
            "reloader_workqueue_latency_seconds_count",
        ] {
            assert!(controller.metric(series).await > 0.0, "{series}");
        }
    });
}

/// An OpenTelemetry collector: its address, and the bodies it is sent.
async fn collector() -> (String, mpsc::UnboundedReceiver<Bytes>) {
    async fn receive(State(bodies): State<mpsc::UnboundedSender<Bytes>>, body: Bytes) {
        let _ = bodies.send(body);
    }
    let (sender, bodies) = mpsc::unbounded_channel();
    let router = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, bodies)
}

#[test]
fn a_reload_is_one_span() {
    run(async {
        let world = World::new("traces").await;
        create_web(&world).await;
        let (endpoint, mut bodies) = collector().await;
        let controller = world
            .controller()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
            .start()
            .await;

        world.change_config_map("settings", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.change_config_map("settings", "three").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        controller.wait_idle().await;
        // What has not been sent by then is sent at the end.
        controller.replica.terminate().unwrap();
        assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));

        let mut spans = Vec::new();
        while let Ok(body) = bodies.try_recv() {
            let exported: Value = serde_json::from_slice(&body).expect("OTLP as JSON");
            let found = exported.pointer("/resourceSpans/0/scopeSpans/0/spans");
            spans.extend(found.and_then(Value::as_array).expect("spans").clone());
        }
        assert_eq!(spans.len(), 2, "{spans:#?}");
        for span in spans {
            let name = format!(
                "restart Deployment {}/web for ConfigMap settings",
                world.namespace
            );
            assert_eq!(span["name"], name.as_str());
            let mut attributes: Vec<(String, Value)> = span["attributes"]
                .as_array()
                .expect("attributes")
                .iter()
                .map(|attribute| {
                    (
                        attribute["key"].as_str().unwrap().to_owned(),
                        attribute["value"].clone(),
                    )
                })
                .collect();
            attributes.sort_by(|a, b| a.0.cmp(&b.0));
            let owed = attributes.iter().position(|(key, _)| key == "owed_ms");
            let (_, owed) = attributes.remove(owed.expect("how long it was owed"));
            assert!(
                owed["intValue"]
                    .as_str()
                    .is_some_and(|ms| ms.parse::<u64>().is_ok()),
                "{owed}"
            );
            let text = |text: &str| json!({ "stringValue": text });
            let number = |number: u64| json!({ "intValue": number.to_string() });
            let expected = [
                ("attempt", number(0)),
                ("k8s.namespace.name", text(&world.namespace)),
                ("result", text("success")),
                ("source.count", number(1)),
                ("sources", text("ConfigMap/settings")),
                ("workload.kind", text("Deployment")),
                ("workload.name", text("web")),
            ]
            .map(|(key, value)| (key.to_owned(), value));
            assert_eq!(attributes, expected);
        }
    });
}

/// The bytes of sources, as they are and as the API shows a Secret's.
const CANARIES: [&str; 4] = [
    "canary-in-a-cage",
    "canary-set-free",
    "Y2FuYXJ5LWluLWEtY2FnZQ==",
    "Y2FuYXJ5LXNldC1mcmVl",
];

#[test]
fn no_byte_of_a_source_is_shown_anywhere() {
    run(async {
        let world = World::new("canary").await;
        world.create(&config_map("settings", CANARIES[0])).await;
        world.create(&secret("password", CANARIES[0])).await;
        let pod = pod_with(&["settings"], &["password"]);
        world.create(&deployment("web", &AUTO, &pod)).await;
        let (endpoint, mut bodies) = collector().await;
        let controller = world
            .controller()
            .arg("--log-level=trace")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
            .start()
            .await;

        world.change_secret("password", CANARIES[1]).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.change_config_map("settings", CANARIES[1]).await;
        world.wait_for_rollouts("deployments", "web", 2).await;
        let events = world.wait_for_events("web", "Reloaded", 2).await;
        controller.wait_idle().await;

        let mut shown = vec![serde_json::to_string(&events).unwrap()];
        for path in ["/metrics", "/live?verbose", "/ready?verbose"] {
            shown.push(controller.get(path).await.unwrap().1);
        }
        let writes = world.plane.audit().writes_by(&world.user()).unwrap();
        shown.extend(writes.iter().map(|write| format!("{:?}", write.request_object)));
        controller.replica.terminate().unwrap();
        controller.wait_exit(PATIENCE).await;
        let span = eventually(PATIENCE, "a span", async || bodies.try_recv().ok())
            .await
            .unwrap();
        shown.push(String::from_utf8_lossy(&span).into_owned());
        let log = controller.replica.log();
        assert!(log.contains("level=debug"), "not everything is logged:\n{log}");
        shown.push(log);

        for text in &shown {
            assert!(!text.is_empty());
            for canary in CANARIES {
                assert!(!text.contains(canary), "{canary} in:\n{text}");
            }
        }
    });
}

#[test]
fn a_signal_switches_the_level_of_the_log_and_back() {
    run(async {
        let world = World::new("level").await;
        create_web(&world).await;
        let controller = world.controller().start().await;
        for level in ["debug", "info"] {
            controller.replica.signal(Signal::SIGUSR1).unwrap();
            let line = format!("SIGUSR1: the log has another level now\" fields.level={level}");
            controller.wait_log(&line).await;
        }
    });
}
