//! The holder of the lease.
//!
//! Input: answers to its renewals. Output: when and how to renew, until when it is valid. I/O: none.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::step::{ElectionOutcome, Failure, RACE_SPREAD, Step, Term};
use crate::lease::{
    clock::Moment,
    jitter::Jitter,
    record::{Record, next_renew_time},
    settings::Settings,
    store::StoreError,
};

/// Where in one round of renewing the holder is: client-go's fast path, then its slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Replace the version that was stored last: one request, and the usual case.
    Fast,
    /// That failed: read what is there.
    Read,
    /// Still ours: replace what was read, or create what is missing.
    Slow,
}

#[derive(Clone, Debug)]
pub(super) struct Leading {
    pub(super) term: Term,
    /// As last stored or read; `None` when it was found deleted.
    pub(super) lease: Option<Lease>,
    /// The end of the claim: nothing may be written from here on.
    pub(super) deadline: Moment,
    round: Round,
    round_started: Moment,
    act_at: Moment,
}

impl Leading {
    pub(super) fn new(term: Term, lease: Lease, sent: Moment, settings: &Settings) -> Self {
        Self {
            term,
            lease: Some(lease),
            deadline: sent + settings.timings.renew_deadline(),
            round: Round::Fast,
            round_started: sent,
            act_at: sent + settings.timings.retry_period(),
        }
    }

    pub(super) fn next(&mut self, now: Moment, wall: Timestamp, settings: &Settings) -> Step {
        if now < self.act_at {
            return Step::Wait(self.act_at.min(self.deadline));
        }
        match self.round {
            Round::Read => return Step::Get,
            Round::Fast => self.round_started = now,
            Round::Slow => {}
        }
        let previous = self.lease.as_ref().and_then(|lease| Record::of(lease).renew_time);
        let record = self.term.record(settings, next_renew_time(wall, previous));
        match &self.lease {
            Some(lease) => Step::Replace(Box::new(record.written_over(lease))),
            None => Step::Create(Box::new(record.new_lease(&settings.namespace, &settings.name))),
        }
    }

    /// Others count from when the renewal reached them, which is after it was sent: counting from the sending is
    /// what keeps this deadline the earlier one, however long the answer took.
    pub(super) fn renewed(&mut self, lease: Lease, sent: Moment, settings: &Settings) {
        *self = Self::new(self.term.clone(), lease, sent, settings);
    }

    /// Whether the slow path begins.
    pub(super) fn refused(
        &mut self,
        now: Moment,
        failure: Failure,
        settings: &Settings,
        jitter: &mut Jitter,
    ) -> bool {
        match (self.round, failure) {
            (Round::Fast, _) => {
                self.round = Round::Read;
                return true;
            }
            // Another client changed the Lease between read and write, so the API server answers and there is no reason
            // to wait for long; a whole retry period would collide with a writer of the same period again and again.
            (Round::Read | Round::Slow, Failure::Conflict) => {
                self.round = Round::Read;
                self.act_at = now + jitter.below(RACE_SPREAD);
            }
            (Round::Read | Round::Slow, Failure::Unknown) => self.next_round(now, settings),
        }
        false
    }

    /// Gives the outcome if the lease is lost.
    pub(super) fn read(
        &mut self,
        now: Moment,
        answer: Result<Option<Lease>, StoreError>,
        settings: &Settings,
    ) -> Option<ElectionOutcome> {
        let Ok(lease) = answer else {
            self.next_round(now, settings);
            return None;
        };
        if let Some(record) = lease.as_ref().map(Record::of)
            && !self.term.wrote(&record, &settings.identity)
        {
            return Some(ElectionOutcome::TakenOver(record.holder));
        }
        self.lease = lease;
        self.round = Round::Slow;
        None
    }

    fn next_round(&mut self, now: Moment, settings: &Settings) {
        self.round = Round::Fast;
        self.act_at = now.max(self.round_started + settings.timings.retry_period());
    }
}
