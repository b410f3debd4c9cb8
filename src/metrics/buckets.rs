//! Upper bounds of histogram buckets, in seconds.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Upstream's bounds of `reloader_reconcile_duration_seconds`.
pub(super) fn reconcile() -> Histogram {
    Histogram::new([
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

/// Upstream's bounds of `reloader_action_latency_seconds`.
pub(super) fn action() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// Bounds of `reloader_rollout_duration_seconds`: from one pod that starts at once to twice the usual deadline and beyond.
pub(super) fn rollout() -> Histogram {
    Histogram::new([
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
    ])
}

/// Upstream's bounds of `reloader_workqueue_latency_seconds`.
pub(super) fn queue() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

/// Upstream's bounds of `rest_client_request_duration_seconds`.
pub(super) fn rest_client() -> Histogram {
    Histogram::new([0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0])
}

/// controller-runtime's bounds of the `workqueue_` histograms: twelve powers of ten from 10 ns.
pub(super) fn workqueue() -> Histogram {
    Histogram::new(exponential_buckets(1e-8, 10.0, 12))
}

/// Bounds of `reloader_reload_latency_seconds`: fine around the coalescing window of 100 ms, up to a minute for storms.
pub(super) fn reload() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0,
        3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
    ])
}
