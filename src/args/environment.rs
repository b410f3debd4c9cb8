//! Environment variables that have no flag.

/// Settings that have a variable and no flag; an empty variable counts as absent unless stated otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `KUBERNETES_NAMESPACE`: the one namespace to watch when `--namespaces` is empty.
    pub kubernetes_namespace: Option<String>,
    /// `POD_NAME`: this replica's identity in the Lease.
    pub pod_name: Option<String>,
    /// `POD_NAMESPACE`: the Lease's namespace.
    pub pod_namespace: Option<String>,
    /// `RELOADER_NAMESPACE`: the namespace Reloader runs in, as the chart sets it.
    pub reloader_namespace: Option<String>,
    /// `RELOADER_DEPLOYMENT_NAME`: the Deployment Reloader runs as; distinguishes releases in one namespace.
    pub reloader_deployment_name: Option<String>,
    /// `METRICS_COUNT_BY_NAMESPACE`: `enabled` adds the per-namespace reload counter.
    pub metrics_count_by_namespace: Option<String>,
    /// `ALERT_ON_RELOAD`: `true` sends an alert for each restart.
    pub alert_on_reload: Option<String>,
    /// `ALERT_WEBHOOK_URL`: where alerts are sent; usually with a token in it.
    pub alert_webhook_url: Option<String>,
    /// `ALERT_SINK`: the form of an alert.
    pub alert_sink: Option<String>,
    /// `ALERT_ADDITIONAL_INFO`: put before each alert; an empty one counts, too.
    pub alert_additional_info: Option<String>,
    /// `ALERT_PROXY` or `ALERT_WEBHOOK_PROXY`: the proxy that alerts go through.
    pub alert_webhook_proxy: Option<String>,
    /// `ALERT_STRUCTURED`: exactly `true` as well sends raw alerts as JSON.
    pub alert_structured: Option<String>,
    /// `OTEL_SDK_DISABLED`: `true`, in any case, turns tracing off.
    pub otel_sdk_disabled: Option<String>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: base URL of the collector.
    pub otlp_endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: full URL for spans, instead of the base URL.
    pub otlp_traces_endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`: `http/protobuf` or `http/json`.
    pub otlp_protocol: Option<String>,
    /// `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`: the same for spans alone; wins.
    pub otlp_traces_protocol: Option<String>,
    /// `OTEL_SERVICE_NAME`: the service name of the spans.
    pub otel_service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`: `key=value` pairs, separated by commas.
    pub otel_resource_attributes: Option<String>,
}

impl Environment {
    /// Reads every variable through `variable`, which gives a variable's value or nothing.
    pub fn from_lookup(variable: impl Fn(&str) -> Option<String>) -> Self {
        let non_empty = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            kubernetes_namespace: non_empty("KUBERNETES_NAMESPACE"),
            pod_name: non_empty("POD_NAME"),
            pod_namespace: non_empty("POD_NAMESPACE"),
            reloader_namespace: non_empty("RELOADER_NAMESPACE"),
            reloader_deployment_name: non_empty("RELOADER_DEPLOYMENT_NAME"),
            metrics_count_by_namespace: non_empty("METRICS_COUNT_BY_NAMESPACE"),
            alert_on_reload: non_empty("ALERT_ON_RELOAD"),
            alert_webhook_url: non_empty("ALERT_WEBHOOK_URL"),
            alert_sink: non_empty("ALERT_SINK"),
            alert_additional_info: variable("ALERT_ADDITIONAL_INFO"),
            alert_webhook_proxy: non_empty("ALERT_PROXY").or_else(|| non_empty("ALERT_WEBHOOK_PROXY")),
            alert_structured: non_empty("ALERT_STRUCTURED"),
            otel_sdk_disabled: non_empty("OTEL_SDK_DISABLED"),
            otlp_endpoint: non_empty("OTEL_EXPORTER_OTLP_ENDPOINT"),
            otlp_traces_endpoint: non_empty("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
            otlp_protocol: non_empty("OTEL_EXPORTER_OTLP_PROTOCOL"),
            otlp_traces_protocol: non_empty("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
            otel_service_name: non_empty("OTEL_SERVICE_NAME"),
            otel_resource_attributes: non_empty("OTEL_RESOURCE_ATTRIBUTES"),
        }
    }

    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }
}
