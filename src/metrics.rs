//! Metrics, under the names that dashboards and alerts for Stakater Reloader, controller-runtime
//! and client-go already know.
//!
//! Input: calls named after what happened. Output: the text of `/metrics`. I/O: reads `/proc/self` when scraped.
//!
//! Label values are fixed words, kinds, HTTP codes and, where asked for, namespaces; never the name of an object.

mod buckets;
mod families;
mod process;
mod record;
pub mod rest_client;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fmt;

use prometheus_client::{encoding::prometheus_text, metrics::info::Info, registry::Registry};

use families::{
    EXECUTED_BY_NAMESPACE, LeaseFamilies, QueueFamilies, ReloadFamilies, RestClientFamilies, WatchFamilies,
};
use process::ProcessCollector;
use snapshot::SnapshotSource;

pub use record::{EventResult, EventType, NotificationResult, ReconcileResult, RolloutResult};
pub use snapshot::Snapshot;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The commit that was built; the build says which.
const COMMIT: &str = match option_env!("RELOADER_COMMIT_HASH") {
    Some(hash) if !hash.is_empty() => hash,
    _ => "unknown",
};

/// Which metrics exist beyond the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Count reloads per namespace as well: two series more for each namespace that sees a reload.
    pub count_by_namespace: bool,
    /// The name of the Lease; none: no `leader_election_` metrics.
    pub lease_name: Option<String>,
}

/// Every metric; shared by all parts of the process. What can be recorded is in `record.rs`, one method each.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    snapshot: SnapshotSource,
    reload: ReloadFamilies,
    watch: WatchFamilies,
    queue: QueueFamilies,
    rest_client: RestClientFamilies,
    lease: LeaseFamilies,
}

impl Metrics {
    /// All metrics at zero; series with labels appear when they first move.
    pub fn new(options: MetricsOptions) -> Self {
        let MetricsOptions {
            count_by_namespace,
            lease_name,
        } = options;
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)]);
        registry.register("reloader_build", "Version and commit that run", build);
        let snapshot = SnapshotSource::default();
        registry.register_collector(Box::new(snapshot.clone()));
        registry.register_collector(Box::new(ProcessCollector::new()));
        Self {
            snapshot,
            reload: ReloadFamilies::register(&mut registry, count_by_namespace),
            watch: WatchFamilies::register(&mut registry),
            queue: QueueFamilies::register(&mut registry),
            rest_client: RestClientFamilies::register(&mut registry),
            lease: LeaseFamilies::register(&mut registry, lease_name),
            registry,
        }
    }

    /// Sets where the values that are only read when scraped come from. Until then they are absent; a second call
    /// changes nothing.
    pub fn read_snapshots_from(&self, source: impl Fn() -> Snapshot + Send + Sync + 'static) {
        self.snapshot.set(Box::new(source));
    }

    /// The whole exposition, as [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// A metric cannot be written as text, which would be a mistake in this module.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut buffer = String::new();
        prometheus_text::encode(&mut buffer, &self.registry)?;
        if self.reload.executed_by_namespace.is_some() {
            let type_of = |kind| format!("# TYPE {EXECUTED_BY_NAMESPACE} {kind}\n");
            buffer = buffer.replacen(&type_of("gauge"), &type_of("counter"), 1);
        }
        Ok(buffer)
    }
}
