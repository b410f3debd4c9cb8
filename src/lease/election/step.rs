//! What the phases of an election exchange with their caller and each other.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use crate::lease::{clock::Moment, record::Record, settings::Settings, store::StoreError};

/// Candidates that saw a lease become free spread their attempts over this long, so that a dozen of them do not send a
/// dozen requests in the same millisecond. A fraction of the second that a handover may take.
pub(super) const RACE_SPREAD: Duration = Duration::from_millis(100);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read the Lease.
    Get,
    /// Create it.
    Create(Box<Lease>),
    /// Replace it, guarded by the resourceVersion inside.
    Replace(Box<Lease>),
    /// Nothing until then, unless something happens.
    Wait(Moment),
    /// It is over.
    Done(ElectionOutcome),
}

/// How the election ended for this process. Final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionOutcome {
    /// Was the leader; no renewal succeeded until the deadline.
    Expired,
    /// Was the leader; the record now names that holder, or none.
    TakenOver(Option<Arc<str>>),
    /// Was the leader; the record now names no holder.
    Released,
    /// Was asked to release and did not hold the lease.
    NotHolding,
    /// Was the leader; the record could not be cleared in time.
    LeftToExpire,
}

/// How a write failed, as far as the rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was refused because of another client's write: certainly without effect.
    Conflict,
    /// It may have taken effect.
    Unknown,
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        if *error == StoreError::Conflict {
            Self::Conflict
        } else {
            Self::Unknown
        }
    }
}

/// The mark by which a process knows a record as its own: the identity alone would also match another process that
/// was given the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) acquire_time: Timestamp,
    pub(super) transitions: i32,
}

impl Term {
    pub(super) fn wrote(&self, record: &Record, identity: &str) -> bool {
        record.holder.as_deref() == Some(identity)
            && record.acquire_time == Some(self.acquire_time)
            && record.transitions == self.transitions
    }

    /// The record with which `settings`' process holds the lease in this term.
    pub(super) fn record(&self, settings: &Settings, renew_time: Timestamp) -> Record {
        Record {
            holder: Some(Arc::from(settings.identity.as_str())),
            duration: Some(settings.timings.lease_duration()),
            acquire_time: Some(self.acquire_time),
            renew_time: Some(renew_time),
            transitions: self.transitions,
        }
    }
}
