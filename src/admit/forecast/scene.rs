//! What a change that has not happened would meet.
//!
//! Input: none. Output: [`Scene`]. I/O: none.

use super::super::{Budget, ChangedSource, Flags, Last, Rules, Texts};
use crate::model::{Policy, RolloutState, SourceRef, UnixSeconds, Workload, limits::Limits};

/// All that takes part.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The source that changes, and others that the workloads owe a restart for, or whose limits bind them.
    pub sources: Vec<Concerned<'a>>,
    /// First those that the change restarts, then others that these sources concern.
    pub actors: Vec<Actor<'a>>,
    /// How many of them it restarts.
    pub restarting: usize,
    /// What the annotations of their namespace say.
    pub namespace: Option<&'a Policy>,
    /// What is written about windows.
    pub texts: &'a Texts,
    /// What flags say.
    pub flags: &'a Flags,
    /// Of the namespace, as it is now.
    pub in_namespace: Budget,
    /// Of the cluster, as it is now.
    pub in_all: Budget,
}

/// A source, and what it says.
#[derive(Clone, Debug)]
pub struct Concerned<'a> {
    /// Which source.
    pub reference: SourceRef,
    /// The same, as it is asked about.
    pub changed: ChangedSource<'a>,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Actor<'a> {
    /// As it is now.
    pub workload: &'a Workload,
    /// The numbers of the sources that it opted into.
    pub concerned_by: Vec<usize>,
    /// Of these, those that it would owe a restart for. Without one it keeps its place only.
    pub owes: Vec<usize>,
    /// Since when it is healthy with its present template.
    pub healthy_since: Option<UnixSeconds>,
    /// When its pods moved last; `None`: nothing shows that they ever did.
    pub moved_at: Option<UnixSeconds>,
    /// Its last restart.
    pub last: Option<Last>,
}

impl<'a> Actor<'a> {
    /// A workload of which its object alone is known, and which owes nothing but that change, at `now`.
    pub fn of_object(workload: &'a Workload, now: UnixSeconds) -> Self {
        let written_at = workload.template.written_at;
        Self {
            workload,
            concerned_by: vec![0],
            owes: vec![0],
            healthy_since: workload.rollout.completed_at,
            // Whether it makes no progress for long is not known.
            moved_at: match workload.rollout.state {
                RolloutState::Opaque => written_at,
                _ => Some(now),
            },
            last: written_at.map(|at| Last { at, streak: 0 }),
        }
    }
}

impl Scene<'_> {
    pub(super) fn rules(&self, source: &Concerned<'_>) -> Rules {
        let (of_source, of_namespace) = (
            Policy::limits_of(source.changed.policy),
            Policy::limits_of(self.namespace),
        );
        Rules::of(of_source, of_namespace, &self.flags.limits)
    }

    /// What holds for the source that changes.
    pub fn rules_of_change(&self) -> Option<Rules> {
        self.sources.first().map(|source| self.rules(source))
    }

    /// Whether restarts depend on what others are doing.
    pub fn is_limited(&self) -> bool {
        let are_shared = |policy: Option<&Policy>| Policy::limits_of(policy).is_some_and(Limits::are_shared);
        self.flags.are_shared()
            || are_shared(self.namespace)
            || self
                .sources
                .iter()
                .any(|source| are_shared(source.changed.policy))
            || self.actors.iter().any(|actor| actor.workload.wave() != 0)
    }
}
