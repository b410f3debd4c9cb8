//! Why the controller ends without a signal.

use super::{history::Rewound, trust::Untrusted};
use crate::{admin::BindError, lease, notify::BuildError};

/// Why the controller ended without a signal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to reach a cluster.
    #[error(
        "no cluster to work on: {0}; set KUBECONFIG, or run it in a pod with a ServiceAccount token mounted"
    )]
    NoCluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The listen address is taken or not allowed.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The webhook cannot be called, which is all that webhook mode does.
    #[error(transparent)]
    Webhook(#[from] BuildError),
    /// Signals cannot be received.
    #[error("signal handlers could not be installed: {0}")]
    Signals(#[source] std::io::Error),
    /// Another replica may lead now, so this one must not write.
    #[error("no longer leader, shutting down: {0}")]
    LeadershipLost(#[from] lease::Error),
    /// What this process knows is of a history that the API server no longer has.
    #[error(transparent)]
    Rewound(#[from] Rewound),
    /// The API server's certificate does not match what this process has read.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// A loop that never ends by itself ended.
    #[error("the {0} loop ended unexpectedly; exiting so that the pod is restarted")]
    LoopEnded(&'static str),
    /// A loop panicked.
    #[error("a loop panicked: {0}; exiting so that the pod is restarted")]
    Panicked(String),
}

impl RunError {
    /// A static label for metrics and tests.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NoCluster(_) => "no_cluster",
            Self::Bind(_) => "bind",
            Self::Webhook(_) => "webhook",
            Self::Signals(_) => "signals",
            Self::LeadershipLost(_) => "leadership_lost",
            Self::Rewound(_) => "rewound",
            Self::Untrusted(_) => "untrusted",
            Self::LoopEnded(_) => "loop_ended",
            Self::Panicked(_) => "panicked",
        }
    }
}
