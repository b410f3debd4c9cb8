//! When a Deployment is paused, and when it is resumed.
//!
//! Input: a [`Workload`] and the time. Output: what its next write does to the pause; when it must be resumed. I/O:
//! none; the same input always gives the same output.
//!
//! ```text
//!            first restart: paused + marker          last moment of the period: resumed
//! rolling ──────────────────────────────► paused by us ──────────────────────────────► rolling: one rollout
//!                                          further restarts: marker only
//! ```
//!
//! The window ends [`Pause::length`] after the paused-at annotation and is not extended by further changes. Where
//! upstream waits or fails, the pause ends here: no Deployment may stay paused without end.

use std::{num::NonZeroU64, time::Duration};

use k8s_openapi::jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use super::{
    decision::{PauseChange, Plan},
    options::Strategy,
    write::Write,
};
use crate::model::{Pause, Workload, WorkloadKind, pause::Paused};

/// How far ahead of this replica's clock another's may be. A paused-at further in the future was not written by a
/// leader with a sane clock, or this clock has been set back: the wait could have no end.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// When a Deployment must be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It is not paused, or not by Reloader.
    Never,
    /// At that time, in the future.
    At(Timestamp),
    /// Now.
    Now,
}

/// When the workload must be resumed.
///
/// Also at once if the period is missing, invalid or zero, or if paused-at cannot be parsed or lies in the future.
pub fn resume(workload: &Workload, now: Timestamp) -> Resume {
    let Some(pause) = workload.pause.as_deref().filter(|pause| pause.is_ours()) else {
        return Resume::Never;
    };
    match end(pause, now) {
        Some(end) if end > now => Resume::At(end),
        _ => Resume::Now,
    }
}

/// When the pause is over; `None`: unknown, so now.
fn end(pause: &Pause, now: Timestamp) -> Option<Timestamp> {
    let Paused::ByReloader { since } = pause.paused else {
        return None;
    };
    let (since, length) = (since?, pause.length()?);
    let latest = now.checked_add(CLOCK_DIFFERENCE).ok()?;
    if since > latest {
        return None;
    }
    since.checked_add(SignedDuration::try_from(length).ok()?).ok()
}

/// What a restart of the workload does to its pause: begins it, ends it when it is over, or leaves it alone.
///
/// In the same write, so that a refused restart leaves nothing paused, and a change during an overdue pause needs no
/// second rollout.
pub fn with_restart(workload: &Workload, now: Timestamp) -> Option<PauseChange> {
    let pause = workload.pause.as_deref()?;
    match (pause.paused, resume(workload, now)) {
        (Paused::No, _) if is_deployment(workload) && pause.length().is_some() => {
            Some(PauseChange::Begin(whole_seconds(now)))
        }
        (_, Resume::Now) => Some(PauseChange::End),
        _ => None,
    }
}

/// The write that only resumes the workload.
pub fn resuming(workload: &Workload) -> Plan {
    Plan {
        uid: workload.uid.clone(),
        write: Write::Strategic,
        workload: workload.key.clone(),
        resource_version: NonZeroU64::new(workload.resource_version),
        strategy: Strategy::default(),
        marks: Vec::new(),
        pause: Some(PauseChange::End),
        settled: Vec::new(),
    }
}

/// Rounds up to a whole second: a pause may last a little longer than its period, not shorter.
fn whole_seconds(now: Timestamp) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    now.round(up).unwrap_or(now)
}

fn is_deployment(workload: &Workload) -> bool {
    workload.key.kind == WorkloadKind::Deployment
}

#[cfg(test)]
mod tests;
