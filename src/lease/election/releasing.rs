//! A holder that releases the lease.
//!
//! Input: answers to its attempts. Output: the write that names no holder. I/O: none.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::step::{ElectionOutcome, Failure, Step, Term};
use crate::lease::{
    clock::Moment,
    record::{Record, next_renew_time},
    settings::Settings,
    store::StoreError,
};

/// The pause after a failed attempt: short, because the process is about to end.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub(super) struct Releasing {
    /// What is released: only a record of this term.
    term: Term,
    /// The version to replace; `None` = read it first.
    lease: Option<Lease>,
    act_at: Moment,
    give_up_at: Moment,
}

impl Releasing {
    pub(super) fn new(term: Term, lease: Option<Lease>, give_up_at: Moment) -> Self {
        Self {
            term,
            lease,
            act_at: Moment::from_nanos(0),
            give_up_at,
        }
    }

    pub(super) fn next(&mut self, now: Moment, wall: Timestamp) -> Step {
        if now >= self.give_up_at {
            return Step::Done(ElectionOutcome::LeftToExpire);
        }
        if now < self.act_at {
            return Step::Wait(self.act_at.min(self.give_up_at));
        }
        let Some(lease) = &self.lease else {
            return Step::Get;
        };
        let time = Some(next_renew_time(wall, Record::of(lease).renew_time));
        let record = Record {
            holder: None,
            duration: Some(Duration::from_secs(1)),
            acquire_time: time,
            renew_time: time,
            transitions: self.term.transitions,
        };
        Step::Replace(Box::new(record.written_over(lease)))
    }

    pub(super) fn refused(&mut self, now: Moment, failure: Failure) {
        self.lease = None;
        if failure == Failure::Unknown {
            self.act_at = now + PAUSE;
        }
    }

    /// Gives the outcome if there is nothing left to release.
    pub(super) fn read(
        &mut self,
        now: Moment,
        answer: Result<Option<Lease>, StoreError>,
        settings: &Settings,
    ) -> Option<ElectionOutcome> {
        let Ok(lease) = answer else {
            self.act_at = now + PAUSE;
            return None;
        };
        match lease {
            Some(lease) if self.term.wrote(&Record::of(&lease), &settings.identity) => {
                self.lease = Some(lease);
                None
            }
            // Gone, cleared by an attempt whose answer was lost, or held by another process by now.
            _ => Some(ElectionOutcome::Released),
        }
    }
}
