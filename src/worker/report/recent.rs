//! The restarts that this replica wrote last, for users.
//!
//! Input: restarts. Output: the last ones. I/O: none.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use crate::model::{SourceKey, WorkloadKey};

/// Restarts that are kept.
const KEPT: usize = 50;
/// Sources that are kept of one restart.
const SOURCES: usize = 8;

/// A restart that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Which workload.
    pub workload: WorkloadKey,
    /// For which sources, the first eight of them.
    pub sources: Vec<SourceKey>,
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// How long after the first of the changes was seen.
    pub latency: Duration,
}

/// The last restarts.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Past>>);

impl Recent {
    pub(super) fn note<'a>(
        &self,
        workload: &WorkloadKey,
        sources: impl Iterator<Item = &'a SourceKey>,
        latency: Duration,
        at: Timestamp,
    ) {
        let past = Past {
            workload: workload.clone(),
            sources: sources.take(SOURCES).cloned().collect(),
            at,
            latency,
        };
        let mut kept = self.lock();
        kept.truncate(KEPT - 1);
        kept.push_front(past);
    }

    /// The latest first.
    pub(super) fn all(&self) -> Vec<Past> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Past>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SourceKind, WorkloadKind};

    #[test]
    fn the_latest_are_kept_and_come_first() {
        let recent = Recent::default();
        let source = SourceKey::new(SourceKind::ConfigMap, "shop", "app");
        for number in 0..60 {
            let web = WorkloadKey::new(WorkloadKind::Deployment, "shop", number.to_string());
            recent.note(
                &web,
                std::iter::repeat_n(&source, 20),
                Duration::ZERO,
                Timestamp::UNIX_EPOCH,
            );
        }
        let kept = recent.all();
        assert_eq!((kept.len(), &*kept[0].workload.name), (50, "59"));
        assert_eq!(kept[0].sources.len(), 8);
    }
}
