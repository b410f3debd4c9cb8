//! The header `traceparent`: what a receiver does belongs to the trace of the restart or of the change.

use serde_json::Value;
use testbed::Receiver;

use super::{taking, wait_for_bodies};
use crate::harness::{
    Controller, ControllerBuilder, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
};

trait Traced {
    fn traced(self, collector: &Receiver) -> Self;
}

impl Traced for ControllerBuilder<'_> {
    fn traced(self, collector: &Receiver) -> Self {
        self.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url(""))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    }
}

/// The exported spans, after the end of the process: their names, and the header that names each.
async fn spans(controller: Controller, collector: &Receiver) -> Vec<(String, String)> {
    controller.replica.terminate().unwrap();
    assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));
    let mut spans = Vec::new();
    for body in collector.bodies() {
        let exported: Value = serde_json::from_str(&body).expect("OTLP as JSON");
        let found = exported.pointer("/resourceSpans/0/scopeSpans/0/spans");
        for span in found.and_then(Value::as_array).expect("spans") {
            let text = |key: &str| span[key].as_str().expect("text").to_owned();
            let header = format!("traceparent: 00-{}-{}-01", text("traceId"), text("spanId"));
            spans.push((text("name"), header));
        }
    }
    spans
}

/// The line of the request's head that names its span.
fn trace_parent(receiver: &Receiver, request: usize) -> String {
    let head = receiver.received()[request].head.clone();
    let line = head.lines().find(|line| line.starts_with("traceparent"));
    line.unwrap_or_else(|| panic!("no traceparent: {head}"))
        .to_owned()
}

#[test]
fn an_alert_names_the_span_of_its_restart() {
    run(async {
        let world = World::new("trace-alert").await;
        world.create(&config_map("settings", "one")).await;
        let pod = pod_with_config_map("settings");
        world.create(&deployment("web", &AUTO, &pod)).await;
        let (receiver, collector) = (taking().await, taking().await);
        let controller = world
            .controller()
            .env("ALERT_ON_RELOAD", "true")
            .env("ALERT_WEBHOOK_URL", &receiver.url("/"))
            .traced(&collector)
            .start()
            .await;
        for turn in 1..=2 {
            world.change_config_map("settings", &format!("turn {turn}")).await;
            wait_for_bodies(&receiver, turn).await;
        }

        let name = format!(
            "restart Deployment {}/web for ConfigMap settings",
            world.namespace
        );
        let posted = [0, 1].map(|request| (name.clone(), trace_parent(&receiver, request)));
        assert_ne!(posted[0], posted[1]);
        assert_eq!(spans(controller, &collector).await, posted);
    });
}

#[test]
fn a_webhook_call_names_the_span_of_its_change() {
    run(async {
        let world = World::new("trace-webhook").await;
        world.create(&config_map("settings", "one")).await;
        let (receiver, collector) = (taking().await, taking().await);
        let controller = world
            .controller()
            .arg(format!("--webhook-url={}", receiver.url("/")))
            .traced(&collector)
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        wait_for_bodies(&receiver, 1).await;

        let name = format!("update ConfigMap {}/settings", world.namespace);
        let posted = [(name, trace_parent(&receiver, 0))];
        assert_eq!(spans(controller, &collector).await, posted);
    });
}
