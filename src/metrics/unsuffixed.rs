//! A family of counters whose name does not end in `_total`.

use std::{fmt, hash::Hash};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{MetricType, family::Family, gauge::Gauge},
};

/// Counts upward like a counter, but is written under exactly its own name. `OpenMetrics` has no such counters, so its
/// type is `unknown`, which [`text_format`](super::text_format) turns into `counter`.
#[derive(Clone, Debug)]
pub(super) struct UnsuffixedCounters<L: Clone + Hash + Eq>(Family<L, Gauge>);

impl<L: Clone + Hash + Eq> Default for UnsuffixedCounters<L> {
    fn default() -> Self {
        Self(Family::default())
    }
}

impl<L: Clone + Hash + Eq> UnsuffixedCounters<L> {
    pub(super) fn increment(&self, labels: &L) {
        self.0.get_or_create(labels).inc();
    }
}

impl<L> EncodeMetric for UnsuffixedCounters<L>
where
    L: Clone + Hash + Eq + EncodeLabelSet,
{
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }

    fn is_empty(&self) -> bool {
        EncodeMetric::is_empty(&self.0)
    }
}
