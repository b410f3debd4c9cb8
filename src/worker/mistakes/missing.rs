//! Since when a source that a workload lists does not exist.
//!
//! Input: what is missing at a scan, the time. Output: what has been missing for a minute. I/O: none.
//!
//! Clients create a workload and its sources in any order: what comes within a minute was never missing.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    diagnose::Finding,
    mailbox::Bounds,
    model::{UnixSeconds, Workload},
};

/// How long a source may be missing.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How many that are missing are remembered. Further ones are not reported: beyond the bound in all, one of the namespace that
/// has most, the same at each scan.
const REMEMBERED: Bounds = Bounds {
    namespace: 10_000,
    total: 50_000,
};

/// What is missing.
#[derive(Debug, Default)]
pub(in crate::worker) struct Missing {
    hasher: RandomState,
    since: Scan,
    /// What the scan under way has seen.
    seen: Scan,
}

/// What is missing since when, by namespace.
#[derive(Debug, Default)]
struct Scan {
    /// In order, so that of equals the same one makes room at each scan.
    namespaces: BTreeMap<Arc<str>, BTreeMap<u64, Instant>>,
    total: usize,
}

impl Scan {
    fn since(&self, namespace: &str, id: u64) -> Option<Instant> {
        self.namespaces.get(namespace)?.get(&id).copied()
    }

    fn insert(&mut self, namespace: &Arc<str>, id: u64, since: Instant) {
        let own = self.namespaces.entry(Arc::clone(namespace)).or_default();
        self.total += usize::from(own.insert(id, since).is_none());
        if own.len() > REMEMBERED.namespace {
            own.pop_last();
            self.total -= 1;
        } else if self.total > REMEMBERED.total
            && let Some(most) = self.namespaces.values_mut().max_by_key(|ids| ids.len())
        {
            most.pop_last();
            self.total -= 1;
        }
    }
}

impl Missing {
    /// A scan begins.
    pub(in crate::worker) fn begin(&mut self) {
        self.seen = Scan::default();
    }

    /// Of what the workload misses now, what it has missed for a minute. None of a workload that is younger.
    pub(in crate::worker) fn lasting(
        &mut self,
        workload: &Workload,
        missing: Vec<Finding>,
        now: Instant,
        unix: UnixSeconds,
    ) -> Vec<Finding> {
        let seconds = i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX);
        let is_young = workload
            .created_at
            .is_some_and(|created_at| created_at.saturating_add(seconds) > unix);
        let lasts = |finding: &Finding| {
            let id = self
                .hasher
                .hash_one((&workload.key, &workload.uid, finding.to_string()));
            let namespace = &workload.key.namespace;
            let since = self.since.since(namespace, id).unwrap_or(now);
            self.seen.insert(namespace, id, since);
            now.duration_since(since) >= PATIENCE && !is_young
        };
        missing.into_iter().filter(lasts).collect()
    }

    /// The scan is complete: what it did not show is not missing any more.
    pub(in crate::worker) fn end(&mut self) {
        self.since = std::mem::take(&mut self.seen);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        diagnose::missing_sources,
        model::{AnnotationKeys, WorkloadKind},
        watch::workload::{Decoded, Reading, WorkloadObject},
    };

    /// Created at the epoch.
    fn workload() -> Workload {
        let metadata = json!({ "name": "web", "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:00Z",
            "annotations": { "secret.reloader.stakater.com/reload": "token" } });
        let object: WorkloadObject = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let kind = WorkloadKind::Deployment;
        Reading::default().read(object.into_object(kind), kind).unwrap()
    }

    /// How many are reported of one that is missing at scans so many seconds after the beginning.
    fn reported(age: i64, scans: &[(u64, bool)]) -> Vec<usize> {
        let (keys, workload) = (AnnotationKeys::default(), workload());
        let (mut missing, begun) = (Missing::default(), Instant::now());
        let mut report = |(after, is_missing): &(u64, bool)| {
            missing.begin();
            let found = missing_sources(&keys, &workload.opt_in, |_, _| !is_missing).collect();
            let unix = UnixSeconds(age).saturating_add(i64::try_from(*after).unwrap());
            let lasting = missing.lasting(&workload, found, begun + Duration::from_secs(*after), unix);
            missing.end();
            lasting.len()
        };
        scans.iter().map(&mut report).collect()
    }

    #[test]
    fn a_source_is_missing_after_a_minute() {
        let scans = [(0, true), (20, true), (40, true), (60, true), (80, true)];
        assert_eq!(reported(1000, &scans), [0, 0, 0, 1, 1]);
    }

    #[test]
    fn one_that_comes_in_between_is_not() {
        let scans = [
            (0, true),
            (40, true),
            (60, false),
            (80, true),
            (120, true),
            (140, true),
        ];
        assert_eq!(reported(1000, &scans), [0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn noisy_namespaces_take_nothing_from_a_calm_one() {
        let (mut scan, now) = (Scan::default(), Instant::now());
        let ids = |namespace: &str, scan: &Scan| scan.namespaces[namespace].len();
        for number in 0..30 {
            let noisy: Arc<str> = format!("noisy-{number}").into();
            (0..REMEMBERED.namespace as u64 + 5).for_each(|id| scan.insert(&noisy, id, now));
            assert!(ids(&noisy, &scan) <= REMEMBERED.namespace);
        }
        let calm: Arc<str> = "calm".into();
        (0..100).for_each(|id| scan.insert(&calm, id, now));
        assert_eq!(ids("calm", &scan), 100);
        assert_eq!(scan.total, REMEMBERED.total);
        let counted: usize = scan.namespaces.values().map(BTreeMap::len).sum();
        assert_eq!(counted, scan.total);
        assert_eq!(scan.since("calm", 7), Some(now));
        assert_eq!(scan.since("noisy-0", u64::MAX), None);
    }

    #[test]
    fn a_workload_that_is_younger_has_time() {
        assert_eq!(reported(-30, &[(0, true), (60, true), (90, true)]), [0, 0, 1]);
    }
}
