//! What an observation may mean for restarts that are deferred.
//!
//! Input: an [`Event`]. Output: which waits are looked at again. I/O: none.

use std::sync::Arc;

use super::super::waits::Waits;
use crate::{model::WorkloadKey, watch::Event};

/// What is to be looked at again, once the index has taken the observation in.
#[derive(Debug)]
pub(super) enum Affected {
    /// Nothing.
    None,
    /// The workload.
    Of(WorkloadKey),
    /// Whatever waits in the namespace.
    In(Arc<str>),
}

impl Affected {
    pub(super) fn of(event: &Event) -> Self {
        match event {
            Event::WorkloadSeen(workload) => Self::Of(workload.key.clone()),
            Event::SourceSeen(source) => Self::In(Arc::clone(&source.key.namespace)),
            Event::SourceGone { key, .. } | Event::ClassGone(key) => Self::In(Arc::clone(&key.namespace)),
            Event::ClassSeen(class) => Self::In(Arc::clone(&class.key.namespace)),
            Event::PodStatusSeen(status) => Self::In(Arc::clone(&status.namespace)),
            Event::PodStatusGone { namespace, .. } | Event::NamespaceListed { namespace, .. } => {
                Self::In(Arc::clone(namespace))
            }
            Event::NamespaceSeen { name, .. } | Event::NamespaceGone(name) => Self::In(Arc::clone(name)),
            // What is gone does not wait; what a list did not show is found by the next sweep.
            Event::WorkloadGone(_)
            | Event::WorkloadReleased(_)
            | Event::ListStarted
            | Event::Listed
            | Event::NotServed
            | Event::Failed(_)
            | Event::Resumed => Self::None,
        }
    }

    pub(super) fn tell(&self, waits: &Waits) {
        match self {
            Self::None => {}
            Self::Of(workload) => waits.look_at(workload),
            Self::In(namespace) => waits.look_into(namespace),
        }
    }
}
