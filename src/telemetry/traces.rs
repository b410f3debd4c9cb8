//! Spans on their way to an OpenTelemetry collector, by OTLP over HTTP.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter as ExportSpans},
};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::config::{TraceExport, TraceProtocol};

/// The target of the spans that are exported; their level is info.
pub const RELOAD_SPAN_TARGET: &str = "reloader::reload";

/// A provider that batches spans and sends them from the runtime this is called in.
///
/// The SDK's batches are sent from a thread of its own, which has no reactor; so the exporter borrows the runtime's.
/// (The alternative, a blocking client, starts a second runtime and panics where it is created inside one.)
pub(super) fn provider(export: &TraceExport) -> Result<SdkTracerProvider, ExporterBuildError> {
    let TraceExport {
        endpoint,
        protocol,
        service_name,
        resource,
    } = export;
    // The HTTP client panics without a TLS provider. The error, that the process has one already, does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_protocol(match protocol {
            TraceProtocol::HttpProtobuf => Protocol::HttpBinary,
            TraceProtocol::HttpJson => Protocol::HttpJson,
        })
        .build()?;
    let resource = Resource::builder()
        .with_service_name(service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(
            resource
                .iter()
                .map(|(key, value)| KeyValue::new(*key, value.clone())),
        )
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(InRuntime {
            exporter,
            runtime: Handle::current(),
            is_failing: AtomicBool::new(false),
        })
        .with_resource(resource)
        .build())
}

/// The layer that turns spans of [`RELOAD_SPAN_TARGET`], and nothing else, into exported ones.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let wanted = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == RELOAD_SPAN_TARGET;
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(wanted).with_max_level_hint(LevelFilter::INFO))
}

/// An exporter that works on any thread.
#[derive(Debug)]
struct InRuntime {
    exporter: SpanExporter,
    runtime: Handle,
    /// The last export failed, and that is logged.
    is_failing: AtomicBool,
}

impl ExportSpans for InRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = TokioContext::new(self.exporter.export(batch), self.runtime.clone()).await;
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => tracing::warn!(
                err = %error, spans, "Failed to export spans; they are lost until the collector answers again"
            ),
            Err(error) => tracing::debug!(err = %error, spans, "Failed to export spans again"),
            Ok(()) if was_failing => tracing::info!("Spans are exported again"),
            Ok(()) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
