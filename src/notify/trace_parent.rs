//! Which span a message belongs to, for its receiver: W3C's header `traceparent`.
//!
//! Input: the span that is entered. Output: a header's value. I/O: none.

use http::HeaderValue;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header's name.
pub(super) const TRACE_PARENT: &str = "traceparent";

/// The exported span in which a message was enqueued. It is sent later, by a task that has no span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceParent(HeaderValue);

impl TraceParent {
    /// The span that is entered; `None` without one, and where no traces are exported.
    pub(super) fn current() -> Option<Self> {
        let context = Span::current().context();
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return None;
        }
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
        HeaderValue::try_from(format!("00-{trace}-{id}-{flags:02x}"))
            .ok()
            .map(Self)
    }

    /// What the header says.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_message_names_the_span_that_is_entered() {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber =
            tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(TraceParent::current(), None);
            let _entered = tracing::info_span!("restart").entered();
            let context = Span::current().context();
            let (trace, id) = {
                let span = context.span();
                let span = span.span_context();
                (span.trace_id(), span.span_id())
            };
            let expected = format!("00-{trace:032x}-{id:016x}-01");
            let current = TraceParent::current().unwrap();
            assert_eq!(current.value(), expected.as_str());
        });
    }

    #[test]
    fn without_traces_there_is_no_header() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let _entered = tracing::info_span!("restart").entered();
            assert_eq!(TraceParent::current(), None);
        });
    }
}
