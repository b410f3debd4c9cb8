//! Upstream's figure and the goal for each figure. I/O: none.
//!
//! The first number of each is Stakater Reloader v1.4.21's, measured on two cores against the same kind of control plane
//! (etcd and kube-apiserver as processes on one machine, truth from the audit log) with its default flags; `None` where
//! it was not measured. The second is what is wanted here.

/// When a figure is good enough.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Goal {
    /// Whether the value is good enough; a missing one (not a number) is not.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// Upstream's figure and the goal.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// Stakater Reloader v1.4.21's figure.
    pub upstream: Option<f64>,
    /// What is wanted.
    pub goal: Goal,
}

const fn at_most(upstream: f64, limit: f64) -> Reference {
    Reference {
        upstream: Some(upstream),
        goal: Goal::AtMost(limit),
    }
}

const fn at_least(upstream: f64, limit: f64) -> Reference {
    Reference {
        upstream: Some(upstream),
        goal: Goal::AtLeast(limit),
    }
}

/// A goal where upstream has no such figure.
pub const fn own(limit: f64) -> Reference {
    Reference {
        upstream: None,
        goal: Goal::AtMost(limit),
    }
}

/// Single changes, no coalescing: median, ms.
pub const IDLE_MEDIAN: Reference = at_most(6.3, 1.6);
/// Single changes, no coalescing: 99th percentile, ms.
pub const IDLE_P99: Reference = at_most(33.0, 8.0);
/// Single changes, default window: median beyond the window, ms.
pub const WINDOW_MEDIAN: Reference = own(2.0);
/// 20 changes a second over 20 namespaces: median beyond the window, ms.
pub const SPREAD_MEDIAN: Reference = at_most(15_000.0, 5.0);
/// The same: 99th percentile beyond the window, ms.
pub const SPREAD_P99: Reference = at_most(30_000.0, 50.0);
/// 300 sources changed at once: changes served a second.
pub const BURST: Reference = at_least(9.9, 300.0);
/// One ConfigMap, 50 Deployments: last PATCH, s.
pub const FAN_OUT_50: Reference = at_most(8.2, 0.3);
/// One ConfigMap, 500 Deployments: last PATCH, s.
pub const FAN_OUT_500: Reference = at_most(98.2, 2.0);
/// Requests a reload; a PATCH and an Event, and the ledger in batches.
pub const REQUESTS: Reference = at_most(7.0, 2.2);
/// Requests a change of a source that no workload uses.
pub const REQUESTS_UNUSED: Reference = at_most(5.0, 0.0);
/// Processor time a reload, ms.
pub const CPU: Reference = at_most(7.0, 1.0);
/// Resident memory, empty cluster, MiB.
pub const MEMORY_EMPTY: Reference = at_most(39.0, 12.0);
/// Resident memory, 9,100 objects of 213 MB, MiB.
pub const MEMORY_LARGE: Reference = at_most(362.0, 24.0);
/// Resident memory, 20,000 objects of 1 KiB more, MiB.
pub const MEMORY_MANY: Reference = at_most(398.0, 32.0);
/// The most that was ever resident, MiB.
pub const MEMORY_PEAK: Reference = own(40.0);
/// The same where the first lists come in pages, MiB: a page of large objects is held as a whole.
pub const MEMORY_PAGED: Reference = own(48.0);
/// From start to the first PATCH, 29,100 objects, s.
pub const START: Reference = at_most(9.5, 3.0);
/// Processor time of that start, s.
pub const START_CPU: Reference = at_most(8.1, 2.0);
/// Single changes beside a storm in another namespace: 99th percentile before it, ms.
pub const STORM_IDLE: Reference = Reference {
    upstream: Some(8.0),
    goal: Goal::AtMost(f64::INFINITY),
};
/// The same during the storm: twice the idle one and this, ms.
pub const STORM_ALLOWANCE: f64 = 100.0;
/// Upstream's during the storm, ms; the last changes had not been answered when it ended.
pub const STORM_UPSTREAM: f64 = 127_000.0;
/// 20 sources of one Deployment changed over 5 s: rollouts. The default window is longer than the pauses between the
/// changes.
pub const GRADUAL: Reference = at_most(20.0, 1.0);
/// The same with a window longer than the pauses between the changes: rollouts. Upstream has no window to set.
pub const GRADUAL_LONG_WINDOW: Reference = at_most(20.0, 1.0);
/// 20 sources of one Deployment changed at once: rollouts.
pub const AT_ONCE: Reference = at_most(20.0, 1.0);
/// `kubectl apply` of five sources of one Deployment: rollouts.
pub const APPLIED: Reference = own(1.0);
/// Five sources and the Deployment itself within the window: writes of the controller.
pub const UPGRADED: Reference = own(0.0);
/// Single changes beside an attack in another namespace: 99th percentile beyond the window, ms.
pub const ISOLATED_P99: Reference = own(1000.0);
/// Answers of `/live` other than 200 beside an attack.
pub const LIVE_FAILURES: Reference = own(0.0);
/// The most that was ever resident beside an attack, MiB.
pub const ISOLATED_MEMORY: Reference = own(128.0);
/// ConfigMaps that an attack makes the controller keep.
pub const ISOLATED_LEDGER: Reference = own(64.0);
/// Workloads that do not show their last content after upgrades under changes.
pub const SWAP_LOST: Reference = own(0.0);
/// Rollouts for a content twice, or for an older one after a newer one, in the same.
pub const SWAP_TWICE: Reference = own(0.0);
/// Rollouts where nothing changed.
pub const SWAP_ROLLED: Reference = own(0.0);
/// Open descriptors for each namespace that is watched by itself.
pub const DESCRIPTORS: Reference = own(2.5);
/// No goal.
pub const NO_GOAL: Reference = own(f64::INFINITY);
/// Growth of what may grow as the objects do, ten times.
pub const LARGE_GROWTH: Reference = own(12.0);
/// One replica beside 100,000 sources: from start to ready, s.
pub const LARGE_START: Reference = own(3.0);
/// The same of three that start at once, s.
pub const LARGE_THREE: Reference = own(8.0);
/// Resident memory of a standby there, MiB.
pub const LARGE_STANDBY: Reference = own(70.0);
/// Resident memory of the leader there, MiB.
pub const LARGE_LEADER: Reference = own(80.0);
/// From SIGTERM to the next leader's first PATCH there, s.
pub const LARGE_TAKEOVER: Reference = own(0.5);
/// 99th percentile there beyond that of a tenth of the objects, ms.
pub const LARGE_P99_GROWTH: Reference = own(10.0);
/// Warnings lost beside 10,000 restarts.
pub const LARGE_EVENTS: Reference = own(0.0);
/// Deployments that do not show their last content there.
pub const LARGE_WRONG: Reference = own(0.0);
/// Rollouts for a content that the Deployment had already.
pub const LARGE_TWICE: Reference = own(0.0);
/// Rollouts in progress at a time: the limit of the Secret.
pub const BLAST_PEAK: Reference = own(5.0);
/// Gaps of the watch that counts them: what came meanwhile was not seen.
pub const BLAST_GAPS: Reference = own(0.0);
/// Workloads that were not restarted, or do not show the content.
pub const BLAST_MISSED: Reference = own(0.0);
/// Workloads that were restarted more than once.
pub const BLAST_TWICE: Reference = own(0.0);
/// From the change until all are ready, as a ratio to the rollouts that have to follow each other.
pub const BLAST_TIME: Reference = own(1.5);
/// Requests of a replica beside ten thousand restarts that wait, but for the Lease and the watches.
pub const DEFERRED_REQUESTS: Reference = own(0.0);
/// Lines of its log meanwhile.
pub const DEFERRED_LINES: Reference = own(0.0);
/// Growth of its heap and stacks meanwhile, MiB.
pub const DEFERRED_GROWTH: Reference = own(2.0);
/// Processor time meanwhile, % of a core.
pub const DEFERRED_CPU: Reference = own(1.0);
/// Writes of the ledger for each of its ConfigMaps, from the change on.
pub const DEFERRED_LEDGER: Reference = own(1.0);
