//! Turns `tracing` events into log lines.

use std::{collections::BTreeMap, error::Error, fmt, io};

use jiff::Timestamp;
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::log_format::{self, Line};
use crate::config::{Level, LogFormat};

/// Writes each event with a single write, so that lines of several threads never mix. A line that cannot be written,
/// as when stderr is closed, is dropped: logging must not stop restarts.
pub(super) struct LogLayer<F> {
    format: LogFormat,
    make_writer: F,
}

impl<F> LogLayer<F> {
    /// Lines go to what `make_writer` gives for each of them.
    pub(super) const fn new(format: LogFormat, make_writer: F) -> Self {
        Self { format, make_writer }
    }
}

impl<S, W, F> Layer<S> for LogLayer<F>
where
    S: Subscriber,
    W: io::Write,
    F: Fn() -> W + 'static,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            time: Timestamp::now(),
            level: level(*event.metadata().level()),
            message: fields.message,
            fields: fields.others,
        };
        let text = log_format::format(&line, self.format);
        let _ = (self.make_writer)().write_all(text.as_bytes());
    }
}

const fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::ERROR => Level::Error,
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.set(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.set(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}
