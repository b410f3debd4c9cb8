//! What is asked about: a workload, the sources that have changed, what flags say.
//!
//! Input: none. Output: [`Candidate`], [`ChangedSource`], [`Flags`]. I/O: none.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{census, interval::Last};
use crate::model::{Owed, Policy, SourceKind, UnixSeconds, Workload, limits::Limits};

/// What flags say about how many restarts may be under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// For each source, and for each workload.
    pub limits: Limits,
    /// How many may be in progress in one namespace.
    pub per_namespace: Option<usize>,
    /// How many may be in progress in all.
    pub in_all: Option<usize>,
}

impl Flags {
    /// How long a rollout may be without progress, where nothing else is said.
    pub fn timeout(&self) -> Duration {
        self.limits.rollout_timeout.unwrap_or(census::ROLLOUT_TIMEOUT)
    }

    /// Whether restarts depend on what others are doing.
    pub fn are_shared(&self) -> bool {
        self.limits.are_shared() || self.per_namespace.is_some() || self.in_all.is_some()
    }
}

/// A workload that a write would restart.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// The sources that it would restart for.
    pub sources: &'a [ChangedSource<'a>],
    /// What the annotations of its namespace say; `None`: nothing, or they are not known.
    pub namespace: Option<&'a Policy>,
    /// Its last restart; `None`: not known.
    pub last: Option<Last>,
    /// For how long its rollout and its pods have been as they are; zero: not known.
    pub unmoved_for: Duration,
}

/// A source that has changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangedSource<'a> {
    /// Which source.
    pub kind: SourceKind,
    /// `metadata.name`.
    pub name: &'a Arc<str>,
    /// What its annotations say.
    pub policy: Option<&'a Policy>,
    /// When its data was last written; `None`: not known.
    pub changed_at: Option<UnixSeconds>,
}

impl<'a> ChangedSource<'a> {
    /// The source of a debt.
    pub fn of(owed: &'a Owed) -> Self {
        // What is deleted says nothing any more.
        let present = Some(&owed.source).filter(|_| !owed.is_absent());
        Self {
            kind: owed.source.key.kind,
            name: &owed.source.key.name,
            policy: present.and_then(|source| source.policy.as_deref()),
            changed_at: Some(owed.changed_at()),
        }
    }
}

impl Candidate<'_> {
    /// Whether no annotation has a say.
    pub(super) fn says_nothing(&self) -> bool {
        let is_silent = |source: &ChangedSource<'_>| source.policy.is_none();
        self.workload.policy.is_none() && self.namespace.is_none() && self.sources.iter().all(is_silent)
    }

    /// The least time between two restarts.
    pub fn interval(&self, flags: &Flags) -> Duration {
        let of = |policy: Option<&Policy>| Policy::limits_of(policy)?.min_interval;
        of(self.workload.policy.as_deref())
            .or_else(|| of(self.namespace))
            .or(flags.limits.min_interval)
            .unwrap_or_default()
    }

    /// Whether the change of that source is released.
    pub fn releases(&self, source: &ChangedSource<'_>, now: Timestamp) -> bool {
        let requested_at = |policy: Option<&Policy>| policy?.requested_at.filter(|at| *at <= now);
        let at = requested_at(self.workload.policy.as_deref()).max(requested_at(source.policy));
        // Times of changes have whole seconds.
        at.zip(source.changed_at)
            .is_some_and(|(at, changed_at)| at.as_second() >= changed_at.0)
    }

    /// Whether all that has changed is released.
    pub(super) fn is_released(&self, now: Timestamp) -> bool {
        !self.sources.is_empty() && self.sources.iter().all(|source| self.releases(source, now))
    }
}
