//! May this workload restart now; else until when, and why not.
//!
//! Input: a workload, what it owes, what its namespace says, what others are doing, the time. Output: [`Admission`]. I/O: none.
//!
//! Asked after [`decide`](crate::decide) has found that something is to be written. Nothing is remembered: every replica
//! comes to the same answer from what it sees. A restart that has to wait stays owed, so that all changes meanwhile are one
//! restart, and contents that return end the wait.
//!
//! Stages, the first that says no is the answer:
//!
//! | stage | says no if | ends by |
//! |---|---|---|
//! | suspend | the workload, a source that it owes a restart for, or its namespace says so | the annotation goes |
//! | window | restarts may begin at other times only, by [`window`] | the next opening; a release |
//! | interval | it restarted a short while ago, by [`interval`] | time; a release |
//! | halt | more restarts for a source failed than may | the content changes; those that failed recover; a release |
//! | wave | workloads of a lower wave come first | they are healthy, or wait for something else |
//! | canary | others try the content first | they are healthy |
//! | budget | as many are in progress as may be | one of them ends |
//!
//! The first three are of the workload [`alone`], the others follow from what it finds [`among`] others ([`progress`]).
//!
//! **A release** (`requested-at`) on the workload, or on each source that it owes a restart for, lets what had changed by
//! then pass window, interval and halt, and stands for what a canary has not shown yet; not a suspension, a wave or a budget: a
//! user can hurry restarts, not have all at once. A time to come releases nothing before it has come.
//!
//! **A workload that is rolling already** passes windows and whatever depends on others: its new pods read the content
//! anyway. One whose rollout has failed passes windows as well: the content may be what mends it. Neither passes a denial that
//! is active. A pod that is missing for a while, on a node that is drained or after a scaling, is no failure.

mod candidate;
pub mod census;
pub mod forecast;
pub mod interval;
pub mod progress;
mod reason;
mod texts;
pub mod window;

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{Policy, RolloutState, SourceRef};
pub use candidate::{Candidate, ChangedSource, Flags};
pub use census::{Rules, Seat, Tally};
pub use forecast::{Actor, Concerned, Forecast, Play, Scene};
pub use interval::Last;
pub use progress::{Budget, Group, Others};
pub use reason::{Admission, Behind, By, Halt, Reason, Rest, Scope, UsedUp, Wait};
pub use texts::{Read, Texts};
use window::{Closed, Levels, deny_active, gate};

/// Whether the workload may restart for these sources now, as far as that does not depend on others.
pub fn alone(candidate: Candidate<'_>, texts: &Texts, flags: &Flags, now: Timestamp) -> Admission {
    if candidate.says_nothing() && texts.flag().is_none() && flags.limits.min_interval.is_none() {
        return Admission::Now;
    }
    if let Some(by) = suspended(candidate) {
        return Admission::Wait(Wait {
            reason: Reason::Suspended(by),
            until: None,
        });
    }
    let is_released = candidate.is_released(now);
    if !is_released && let Some(closed) = closed(candidate, texts, now) {
        return Admission::Wait(Wait {
            until: closed.until,
            reason: Reason::Window(closed),
        });
    }
    let interval = candidate.interval(flags);
    if !is_released && let Some(until) = interval::rests(interval, candidate.last, now) {
        let streak = candidate.last.map_or(0, |last| last.streak);
        return Admission::Wait(Wait {
            reason: Reason::Interval(Rest { interval, streak }),
            until: Some(until),
        });
    }
    Admission::Now
}

/// Whether it may restart now, as far as that depends on others.
pub fn among(candidate: Candidate<'_>, others: &Others<'_>) -> Admission {
    progress::wait(&candidate, others).map_or(Admission::Now, Admission::Wait)
}

/// Whether the windows keep a restart from beginning now.
fn closed(candidate: Candidate<'_>, texts: &Texts, now: Timestamp) -> Option<Closed> {
    let read = |policy: Option<&Policy>| policy?.window.as_deref().map(|text| texts.read(text));
    let workload = read(candidate.workload.policy.as_deref());
    let namespace = read(candidate.namespace);
    let levels = Levels {
        workload: workload.as_deref(),
        namespace: namespace.as_deref(),
        flag: texts.flag(),
    };
    if matches!(
        candidate.workload.rollout.state,
        RolloutState::Rolling | RolloutState::Paused | RolloutState::Failed
    ) {
        return deny_active(&levels, now);
    }
    match gate(&levels, now) {
        window::Gate::Open => None,
        window::Gate::Closed(closed) => Some(closed),
    }
}

/// Nothing overrides a suspension: whoever owns one of these objects can hold the restart back.
fn suspended(candidate: Candidate<'_>) -> Option<By> {
    let Candidate {
        workload,
        sources,
        namespace,
        ..
    } = candidate;
    let is_suspended = |policy: &Policy| policy.suspended;
    if workload.is_suspended() {
        return Some(By::Workload);
    }
    if let Some(source) = sources
        .iter()
        .find(|source| source.policy.is_some_and(is_suspended))
    {
        return Some(By::Source(SourceRef::new(source.kind, Arc::clone(source.name))));
    }
    namespace
        .is_some_and(is_suspended)
        .then(|| By::Namespace(Arc::clone(&workload.key.namespace)))
}

#[cfg(test)]
mod tests;
