//! A candidate that waits for its turn.
//!
//! Input: what it sees of the Lease. Output: when to look again, when to take it. I/O: none.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::step::{Failure, RACE_SPREAD, Step, Term};
use crate::lease::{
    clock::Moment,
    jitter::Jitter,
    record::{Record, micros, next_renew_time},
    settings::Settings,
    store::StoreError,
};

/// The polling interval where watching is not permitted: a release is then noticed within 1.2 s.
const POLL_WITHOUT_WATCH: Duration = Duration::from_secs(1);

/// What is known of the Lease.
#[derive(Clone, Debug)]
enum View {
    /// Nothing yet.
    Unknown,
    /// There is none.
    Absent {
        /// When to create it.
        take_at: Moment,
    },
    /// It looks like this.
    Present {
        lease: Box<Lease>,
        record: Record,
        /// When the record has been unchanged for long enough to replace it.
        take_at: Moment,
    },
}

/// A write whose outcome is not known from its answer.
#[derive(Clone, Debug)]
struct Attempt {
    /// The resourceVersion that the write replaces; `None` for a creation. The write can only take effect while the
    /// Lease is still at this version, so of all attempts only the last can.
    base: Option<String>,
    term: Term,
    /// Whether one of the attempts on this version may have taken effect without this process learning of it.
    ambiguous: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Standby {
    view: View,
    /// When to read the Lease if no event comes before.
    poll_at: Moment,
    /// Whether to poll more often than the retry period.
    poll_often: bool,
    attempt: Option<Attempt>,
    /// The last write failed: read before writing again.
    recheck: bool,
    /// The last write may have taken effect nevertheless.
    unresolved: bool,
}

impl Default for Standby {
    fn default() -> Self {
        Self {
            view: View::Unknown,
            poll_at: Moment::from_nanos(0),
            poll_often: false,
            attempt: None,
            recheck: false,
            unresolved: false,
        }
    }
}

impl Standby {
    pub(super) fn next(&mut self, now: Moment, wall: Timestamp, settings: &Settings) -> Step {
        let take_at = match &self.view {
            _ if self.recheck => None,
            View::Unknown => None,
            View::Absent { take_at } | View::Present { take_at, .. } => Some(*take_at),
        };
        match take_at {
            Some(take_at) if now >= take_at => self.take(wall, settings),
            _ if now >= self.poll_at => Step::Get,
            Some(take_at) => Step::Wait(take_at.min(self.poll_at)),
            None => Step::Wait(self.poll_at),
        }
    }

    /// The write that takes the lease. A repeated attempt on the same version is the same term, so that either of
    /// the two is recognised if its answer got lost.
    fn take(&mut self, wall: Timestamp, settings: &Settings) -> Step {
        let (base, seen) = match &self.view {
            View::Present { lease, record, .. } => {
                (lease.metadata.resource_version.clone(), Some((lease, record)))
            }
            View::Absent { .. } | View::Unknown => (None, None),
        };
        let is_own = |term: &Term| seen.is_some_and(|(_, record)| term.wrote(record, &settings.identity));
        let (term, ambiguous) = match &self.attempt {
            Some(attempt) if attempt.base == base || is_own(&attempt.term) => {
                (attempt.term.clone(), attempt.ambiguous)
            }
            _ => {
                let transitions = seen.map_or(0, |(_, record)| record.transitions.saturating_add(1));
                (
                    Term {
                        acquire_time: micros(wall),
                        transitions,
                    },
                    false,
                )
            }
        };
        let renew_time = next_renew_time(wall, seen.and_then(|(_, record)| record.renew_time));
        let record = term.record(settings, renew_time);
        self.attempt = Some(Attempt {
            base,
            term,
            ambiguous,
        });
        match seen {
            Some((lease, _)) => Step::Replace(Box::new(record.written_over(lease))),
            None => Step::Create(Box::new(record.new_lease(&settings.namespace, &settings.name))),
        }
    }

    /// A write was accepted: the term that begins, unless the answer took so long that it has ended already.
    pub(super) fn accepted(&mut self, now: Moment, sent: Moment, settings: &Settings) -> Option<Term> {
        if now < sent + settings.timings.renew_deadline() {
            return self.attempt.take().map(|attempt| attempt.term);
        }
        self.unclear(now);
        None
    }

    pub(super) fn refused(
        &mut self,
        now: Moment,
        failure: Failure,
        settings: &Settings,
        jitter: &mut Jitter,
    ) {
        match failure {
            Failure::Conflict => {
                // Certainly without effect, so a record that looks like this attempt is another process's.
                self.attempt = self.attempt.take().filter(|attempt| attempt.ambiguous);
                self.recheck = true;
                self.poll_at = now + jitter.below(RACE_SPREAD);
            }
            Failure::Unknown => self.unclear(now + retry_pause(settings, jitter)),
        }
    }

    /// The last write may or may not have taken effect.
    fn unclear(&mut self, poll_at: Moment) {
        if let Some(attempt) = &mut self.attempt {
            attempt.ambiguous = true;
        }
        self.unresolved = true;
        self.recheck = true;
        self.poll_at = poll_at;
    }

    pub(super) fn read(
        &mut self,
        now: Moment,
        answer: Result<Option<Lease>, StoreError>,
        settings: &Settings,
        jitter: &mut Jitter,
    ) {
        let Ok(lease) = answer else {
            self.poll_at = now + retry_pause(settings, jitter);
            return;
        };
        self.recheck = false;
        self.unresolved = false;
        self.saw(now, lease, settings, jitter);
        self.poll_at = now + self.poll_pause(settings, jitter);
    }

    /// A watch event may be older than what was read last, so it does not show whether a failed write took effect. It
    /// may bring a wrong view, too: that costs a 409, since every write is guarded by the version it rests on.
    pub(super) fn event(
        &mut self,
        now: Moment,
        lease: Option<Lease>,
        settings: &Settings,
        jitter: &mut Jitter,
    ) {
        self.poll_often = false;
        self.saw(now, lease, settings, jitter);
        if !self.recheck {
            self.poll_at = now + self.poll_pause(settings, jitter);
        }
    }

    pub(super) fn poll_often(&mut self, now: Moment, settings: &Settings, jitter: &mut Jitter) {
        self.poll_often = true;
        self.poll_at = self.poll_at.min(now + self.poll_pause(settings, jitter));
    }

    /// The term that a failed write may have begun.
    pub(super) fn unresolved(&self) -> Option<Term> {
        self.attempt
            .as_ref()
            .filter(|_| self.unresolved)
            .map(|attempt| attempt.term.clone())
    }

    fn saw(&mut self, now: Moment, lease: Option<Lease>, settings: &Settings, jitter: &mut Jitter) {
        let Some(lease) = lease else {
            if !matches!(self.view, View::Absent { .. }) {
                self.view = View::Absent {
                    take_at: self.create_at(now, settings, jitter),
                };
            }
            return;
        };
        let record = Record::of(&lease);
        let take_at = match &self.view {
            // It was not renewed: the time runs on from when this record was first seen.
            View::Present {
                record: known,
                take_at,
                ..
            } if *known == record => *take_at,
            _ => self.take_at(now, &record, settings, jitter),
        };
        self.view = View::Present {
            lease: Box::new(lease),
            record,
            take_at,
        };
    }

    fn take_at(&self, now: Moment, record: &Record, settings: &Settings, jitter: &mut Jitter) -> Moment {
        let is_own = |attempt: &Attempt| attempt.term.wrote(record, &settings.identity);
        if self.attempt.as_ref().is_some_and(is_own) {
            return now;
        }
        let spread = jitter.below(RACE_SPREAD);
        match record.holder {
            None => now + spread,
            Some(_) => now + record.duration.unwrap_or(settings.timings.lease_duration()) + spread,
        }
    }

    /// When to create a Lease that has just been found missing; see the module's documentation for why not at once.
    fn create_at(&self, now: Moment, settings: &Settings, jitter: &mut Jitter) -> Moment {
        let settled = now + settings.timings.retry_period() * 6 / 5 + jitter.below(RACE_SPREAD);
        match &self.view {
            View::Present { take_at, record, .. } if record.holder.is_some() => settled.max(*take_at),
            _ => settled,
        }
    }

    fn poll_pause(&self, settings: &Settings, jitter: &mut Jitter) -> Duration {
        if self.poll_often {
            let period = settings.timings.retry_period().min(POLL_WITHOUT_WATCH);
            period + jitter.below(period / 5)
        } else {
            retry_pause(settings, jitter)
        }
    }
}

/// client-go's wait between two tries of a candidate: 1 to 2.2 retry periods, so that candidates drift apart.
fn retry_pause(settings: &Settings, jitter: &mut Jitter) -> Duration {
    let period = settings.timings.retry_period();
    period + jitter.below(period * 6 / 5)
}
