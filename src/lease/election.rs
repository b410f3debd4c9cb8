//! The rules of the election, as a state machine.
//!
//! Input: answers to requests, watch events, the time. Output: [`Step`], the one thing to do next. I/O: none.
//!
//! ```text
//!   Standby ──── own write accepted ───► Leading ──── deadline passed, or no longer ours ─────► Over
//!      │                                    │                                                     ▲
//!      └──────────── release ───────────────┴──► Releasing ───────────────────────────────────────┘
//! ```
//!
//! The caller does one step at a time and reports how it went: [`Election::read`] after [`Step::Get`],
//! [`Election::wrote`] after [`Step::Create`] and [`Step::Replace`]. [`Election::changed`] and
//! [`Election::release`] may come whenever no request is under way.
//!
//! # A missing Lease
//! client-go's candidates create a missing Lease at once. If a user deletes it under a living leader, there are two
//! leaders until the old one renews. Here a candidate first waits:
//! - until the record it saw last would have expired, if it saw one;
//! - else for 1.2 retry periods. A living leader creates the Lease again within one, and creating is a
//!   compare-and-swap, too: the candidate then gets a 409 and sees who leads.
//!
//! What remains: a leader cut off from the API server, whose Lease is deleted while a new process starts.

mod leading;
mod releasing;
mod standby;
mod step;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use self::{leading::Leading, releasing::Releasing, standby::Standby, step::Failure};
use super::{
    clock::Moment,
    jitter::Jitter,
    record::Record,
    role::Role,
    settings::Settings,
    store::{LeaseEvent, StoreError},
};

pub use self::step::{ElectionOutcome, Step};

#[derive(Clone, Debug)]
enum Phase {
    Standby(Standby),
    Leading(Leading),
    Releasing(Releasing),
    Over(ElectionOutcome),
}

/// One process's part in an election.
#[derive(Clone, Debug)]
pub struct Election {
    settings: Settings,
    jitter: Jitter,
    phase: Phase,
    holder: Option<Arc<str>>,
    slow_path: u64,
}

impl Election {
    /// A candidate that knows nothing yet. `seed` decides its random waits: same seed, same waits.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            jitter: Jitter::new(seed),
            phase: Phase::Standby(Standby::default()),
            holder: None,
            slow_path: 0,
        }
    }

    /// What to do at `now`; `wall` is only written into the record.
    pub fn next(&mut self, now: Moment, wall: Timestamp) -> Step {
        if let Phase::Leading(leading) = &self.phase
            && now >= leading.deadline
        {
            self.phase = Phase::Over(ElectionOutcome::Expired);
        }
        match &mut self.phase {
            Phase::Standby(standby) => standby.next(now, wall, &self.settings),
            Phase::Leading(leading) => leading.next(now, wall, &self.settings),
            Phase::Releasing(releasing) => releasing.next(now, wall),
            Phase::Over(outcome) => Step::Done(outcome.clone()),
        }
    }

    /// [`Step::Get`] was answered, or failed.
    pub fn read(&mut self, now: Moment, answer: Result<Option<Lease>, StoreError>) {
        if let Ok(lease) = &answer {
            self.holder = lease.as_ref().and_then(|lease| Record::of(lease).holder);
        }
        let next = match &mut self.phase {
            Phase::Standby(standby) => {
                standby.read(now, answer, &self.settings, &mut self.jitter);
                None
            }
            Phase::Leading(leading) => leading.read(now, answer, &self.settings),
            Phase::Releasing(releasing) => releasing.read(now, answer, &self.settings),
            Phase::Over(_) => None,
        };
        self.end(next);
    }

    /// [`Step::Create`] or [`Step::Replace`], sent at `sent`, was answered or failed.
    pub fn wrote(&mut self, sent: Moment, now: Moment, answer: Result<Lease, StoreError>) {
        let answer = answer.map_err(|error| Failure::from(&error));
        match (&mut self.phase, answer) {
            (Phase::Standby(standby), Ok(lease)) => {
                self.holder = Record::of(&lease).holder;
                if let Some(term) = standby.accepted(now, sent, &self.settings) {
                    self.phase = Phase::Leading(Leading::new(term, lease, sent, &self.settings));
                }
            }
            (Phase::Standby(standby), Err(failure)) => {
                standby.refused(now, failure, &self.settings, &mut self.jitter);
            }
            // Too late: a caller may have asked whether writing is allowed and got a no. It stays no.
            (Phase::Leading(leading), Ok(_)) if now >= leading.deadline => {
                self.end(Some(ElectionOutcome::Expired));
            }
            (Phase::Leading(leading), Ok(lease)) => {
                self.holder = Record::of(&lease).holder;
                leading.renewed(lease, sent, &self.settings);
            }
            (Phase::Leading(leading), Err(failure)) => {
                if leading.refused(now, failure, &self.settings, &mut self.jitter) {
                    self.slow_path += 1;
                }
            }
            (Phase::Releasing(_), Ok(_)) => {
                self.holder = None;
                self.end(Some(ElectionOutcome::Released));
            }
            (Phase::Releasing(releasing), Err(failure)) => releasing.refused(now, failure),
            (Phase::Over(_), _) => {}
        }
    }

    /// An event of the watch. Only a candidate uses it: watch events can be old, and a leader must not lose its lease
    /// to the echo of its predecessor's; it learns of a rival from the 409 to its next renewal.
    pub fn changed(&mut self, now: Moment, change: LeaseEvent) {
        let Phase::Standby(standby) = &mut self.phase else {
            return;
        };
        let lease = match change {
            LeaseEvent::Stored(lease) => Some(*lease),
            LeaseEvent::Deleted => None,
            LeaseEvent::Forbidden => {
                standby.poll_often(now, &self.settings, &mut self.jitter);
                return;
            }
        };
        self.holder = lease.as_ref().and_then(|lease| Record::of(lease).holder);
        standby.event(now, lease, &self.settings, &mut self.jitter);
    }

    /// Stops taking part and releases the lease if it is held. Idempotent.
    pub fn release(&mut self, now: Moment) {
        let give_up_at = now + self.settings.timings.retry_period() * 2;
        match &self.phase {
            Phase::Standby(standby) => match standby.unresolved() {
                Some(term) => self.phase = Phase::Releasing(Releasing::new(term, None, give_up_at)),
                None => self.phase = Phase::Over(ElectionOutcome::NotHolding),
            },
            Phase::Leading(leading) => {
                let (term, lease) = (leading.term.clone(), leading.lease.clone());
                self.phase = Phase::Releasing(Releasing::new(term, lease, give_up_at));
            }
            Phase::Releasing(_) | Phase::Over(_) => {}
        }
    }

    /// Until when this process may write; `None` unless it leads.
    pub fn deadline(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Leading(leading) => Some(leading.deadline),
            _ => None,
        }
    }

    /// The role of this process.
    pub fn role(&self) -> Role {
        match &self.phase {
            Phase::Standby(_) => Role::Standby,
            Phase::Leading(_) => Role::Leader,
            Phase::Releasing(_) => Role::Releasing,
            Phase::Over(_) => Role::Ended,
        }
    }

    /// The holder when the lease was last seen.
    pub fn holder(&self) -> Option<&Arc<str>> {
        self.holder.as_ref()
    }

    /// How many renewals needed more than one request.
    pub fn slow_path(&self) -> u64 {
        self.slow_path
    }

    fn end(&mut self, outcome: Option<ElectionOutcome>) {
        if let Some(outcome) = outcome {
            self.phase = Phase::Over(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
