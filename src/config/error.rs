//! Errors in the settings; each text names what to change.

use std::time::Duration;

use super::selector::SelectorError;
use crate::{
    admit::window::WindowsError, lease, model::workload_kind::CustomKindError, notify::EndpointError,
};

/// A setting with which the controller cannot start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `--reload-strategy` names no strategy. The text is upstream's, with the value added.
    #[error("reload-strategy must be one of: env-vars, annotations (got {0:?})")]
    Strategy(String),
    /// `--enable-ha` without an identity. The text is upstream's.
    #[error("POD_NAME not set, cannot run in HA mode without POD_NAME set")]
    NoPodName,
    /// `--enable-ha` without a namespace for the Lease. The text is upstream's.
    #[error("POD_NAMESPACE not set, cannot run in HA mode without POD_NAMESPACE set")]
    NoPodNamespace,
    /// The Lease's timings would let two replicas act at once, or none.
    #[error(transparent)]
    LeaseTimings(#[from] lease::SettingsError),
    /// A text that can never name a namespace, such as one with a space.
    #[error(
        "--namespaces (or KUBERNETES_NAMESPACE): {0:?} is not a namespace; allowed are up to 63 lower-case letters, \
         digits and -"
    )]
    Namespace(String),
    /// A selector flag that the API server would refuse.
    #[error("{0} {1}")]
    Selector(&'static str, #[source] SelectorError),
    /// `--resources-to-ignore` names something else. The text is upstream's.
    #[error("'resources-to-ignore' only accepts 'configmaps' or 'secrets', not '{0}'")]
    ResourceToIgnore(String),
    /// `--resources-to-ignore` leaves nothing to watch. The text is upstream's.
    #[error("'resources-to-ignore' only accepts 'configmaps' or 'secrets', not both")]
    BothResourcesToIgnore,
    /// `--ignored-workload-types` names something that cannot be ignored.
    #[error(
        "--ignored-workload-types: {0:?} cannot be ignored; allowed are jobs, cronjobs, deploymentconfigs"
    )]
    IgnoredWorkloadType(String),
    /// `--webhook-url` cannot be posted to. The text does not quote it: it may hold a token.
    #[error("--webhook-url cannot be posted to: {0}; expected http://host/path or https://host/path")]
    WebhookUrl(#[source] EndpointError),
    /// So short that watches only restart, or so long that a dead connection is noticed too late.
    #[error("--watch-timeout {0:?} is not allowed; allowed are 5s to 1h")]
    WatchTimeout(Duration),
    /// `--workload-kind` names no kind.
    #[error("--workload-kind: {0}")]
    WorkloadKind(#[from] CustomKindError),
    /// A window so long that it is probably a mistake.
    #[error("--coalesce-window {0:?} is too long; allowed are 0 to 1m")]
    CoalesceWindow(Duration),
    /// `--restart-window` or `--time-zone` cannot be read.
    #[error("{0}: {1}")]
    Window(&'static str, #[source] WindowsError),
}

impl ConfigError {
    /// A static label for logs and metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Strategy(_) => "strategy",
            Self::NoPodName | Self::NoPodNamespace => "identity",
            Self::LeaseTimings(_) => "invalid_lease_timings",
            Self::Namespace(_) => "namespace",
            Self::WorkloadKind(_) => "workload_kind",
            Self::CoalesceWindow(_) => "coalesce_window",
            Self::WatchTimeout(_) => "watch_timeout",
            Self::Selector(..) => "selector",
            Self::Window(..) => "restart_window",
            Self::ResourceToIgnore(_) | Self::BothResourcesToIgnore => "resources_to_ignore",
            Self::IgnoredWorkloadType(_) => "ignored_workload_types",
            Self::WebhookUrl(_) => "webhook_url",
        }
    }
}
