//! Log lines and trace spans: set up first, flushed last.
//!
//! Input: [`LogSettings`], [`TraceExport`]. Output: [`Telemetry`], and from then on every `tracing` event of the
//! process. I/O: writes to stderr, posts spans to the collector.
//!
//! Each attempt of a restart is one span, and in webhook mode each change that is posted; nothing else is exported:
//!
//! ```
//! use reloader::telemetry::RELOAD_SPAN_TARGET;
//!
//! let span = tracing::info_span!(target: RELOAD_SPAN_TARGET, "reload", k8s.namespace.name = "shop");
//! let _entered = span.enter();
//! ```

mod log_format;
mod log_layer;
mod log_writer;
#[cfg(test)]
mod tests;
mod traces;

use std::{collections::BTreeMap, io, time::Duration};

use jiff::Timestamp;
use opentelemetry_sdk::trace::SdkTracerProvider;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, registry::LookupSpan, reload,
    util::SubscriberInitExt,
};

use crate::config::{Level, LogFormat, LogSettings, TraceExport};

use log_format::Line;
use log_layer::LogLayer;
use log_writer::LogWriter;

pub use log_writer::LostLines;
pub use traces::RELOAD_SPAN_TARGET;

/// How long the shutdown waits for a collector that does not answer.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);
/// How long the end of the process waits for a reader of the log.
const LOG_DEADLINE: Duration = Duration::from_secs(1);

/// Holds spans that are not sent and log lines that are not written yet: shut it down last.
#[derive(Debug)]
#[must_use = "spans and log lines that are still in memory are lost unless they are flushed"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    log: LogWriter,
}

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Logging is set up already.
    #[error("cannot set up logging: {0}")]
    AlreadyInitialized(#[from] tracing_subscriber::util::TryInitError),
    /// The system gives no thread for writing the log.
    #[error("cannot start the thread that writes the log: {0}")]
    NoThread(#[source] io::Error),
}

impl TelemetryError {
    /// A static label for logs and metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::AlreadyInitialized(_) | Self::NoThread(_) => "telemetry",
        }
    }
}

/// Sets up logs and, if enabled, traces for the whole process. Call it once, inside the async runtime that sends the
/// spans.
///
/// Traces that cannot be set up are a warning in the log: the controller works without them.
///
/// # Errors
/// It was called before, or the system gives no thread.
pub fn init(log: LogSettings, traces: Option<&TraceExport>) -> Result<Telemetry, TelemetryError> {
    let (traces, failure) = match traces.map(traces::provider).transpose() {
        Ok(provider) => (provider, None),
        Err(error) => (None, Some(error)),
    };
    let writer = LogWriter::start(io::stderr()).map_err(TelemetryError::NoThread)?;
    let lines = writer.clone();
    let (layer, level) = log_layer(log, move || lines.clone());
    subscriber(layer, traces.as_ref()).try_init()?;
    #[cfg(unix)]
    tokio::spawn(level.follow_signal());
    #[cfg(not(unix))]
    drop(level);
    if let Some(error) = failure {
        tracing::warn!(err = %error, "Traces are not exported");
    }
    Ok(Telemetry { traces, log: writer })
}

impl Telemetry {
    /// How many log lines were dropped because stderr was not read.
    pub fn lost_lines(&self) -> LostLines {
        self.log.lost()
    }

    /// Writes the log lines that are left, for at most a second. It blocks: not for a thread of the runtime.
    pub fn flush_log(&self) {
        self.log.flush(LOG_DEADLINE);
    }

    /// Sends the spans that are left, for at most three seconds.
    pub async fn send_spans(&self) {
        let Some(provider) = self.traces.clone() else {
            return;
        };
        // The SDK blocks while its own thread exports, and that export needs this runtime.
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_DEADLINE)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(err = %error, "Failed to export the last spans");
        }
    }
}

/// A line about an error that ends the process before the log is set up, newline included. As text it is what a command line
/// shows.
pub fn error_line(message: &str, format: LogFormat) -> String {
    match format {
        LogFormat::Text => format!("Error: {message}\n"),
        LogFormat::Json => {
            let line = Line {
                time: Timestamp::now(),
                level: Level::Error,
                message: message.to_owned(),
                fields: BTreeMap::new(),
            };
            log_format::format(&line, format)
        }
    }
}

/// What [`init`] puts together.
fn subscriber<L>(log: L, traces: Option<&SdkTracerProvider>) -> impl Subscriber + Send + Sync + use<L>
where
    L: Layer<Registry> + Send + Sync,
{
    tracing_subscriber::registry()
        .with(log)
        .with(traces.map(traces::layer))
}

/// Writes lines to what `make_writer` gives, and the switch of its level.
fn log_layer<S, W, F>(
    log: LogSettings,
    make_writer: F,
) -> (impl Layer<S> + Send + Sync + use<S, W, F>, LevelSwitch<S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: io::Write,
    F: Fn() -> W + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(log_filter(log.level));
    let layer = LogLayer::new(log.format, make_writer).with_filter(filter);
    let switch = LevelSwitch {
        configured: log.level,
        handle,
    };
    (layer, switch)
}

/// Changes the level of the log while the process runs.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no signal that switches it"))]
struct LevelSwitch<S> {
    configured: Level,
    handle: reload::Handle<Targets, S>,
}

#[cfg_attr(not(unix), allow(dead_code, reason = "there is no signal that switches it"))]
impl<S> LevelSwitch<S> {
    /// Each SIGUSR1 switches between the configured level and debug, or trace where debug is configured. A process that is
    /// restarted for another level no longer shows what was looked for.
    #[cfg(unix)]
    async fn follow_signal(self) {
        let Ok(mut signals) = signal(SignalKind::user_defined1()) else {
            return;
        };
        let other = match self.configured {
            Level::Trace | Level::Debug => Level::Trace,
            Level::Info | Level::Warning | Level::Error => Level::Debug,
        };
        let mut level = self.configured;
        while signals.recv().await.is_some() {
            level = if level == self.configured {
                other
            } else {
                self.configured
            };
            self.set(level);
            tracing::warn!(level = level.as_str(), "SIGUSR1: the log has another level now");
        }
    }

    fn set(&self, level: Level) {
        // An error means that the log is gone.
        let _ = self.handle.reload(log_filter(level));
    }
}

/// Our own events from the chosen level on; of the libraries only warnings, unless the level is trace. Each failure of
/// kube's watcher is one of our own lines, logged once, not at every attempt.
fn log_filter(level: Level) -> Targets {
    let own = level_filter(level);
    let libraries = match level {
        Level::Trace => LevelFilter::DEBUG,
        Level::Debug | Level::Info | Level::Warning => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let watcher = match level {
        Level::Trace => LevelFilter::DEBUG,
        _ => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(libraries)
        .with_target("kube_runtime::watcher", watcher)
        // At warning level the API client logs the whole of an answer that it could not decode (kube-client 5.0,
        // `Client::request`): a page of Secrets, for example. Its module for TLS logs nothing of the kind.
        // At error level it logs each failed request without saying which: an outage is one of our own lines.
        .with_target("kube_client::client", LevelFilter::OFF)
        .with_target("kube_client::client::tls", libraries)
        .with_target(env!("CARGO_CRATE_NAME"), own)
}

const fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}
