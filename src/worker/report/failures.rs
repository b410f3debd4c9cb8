//! Which failures of a workload's restarts and resumes are reported, and how often.
//!
//! Input: errors, in the order of the attempts; `now`. Output: what to do about each. I/O: none.

use std::time::{Duration, Instant};

use dashmap::DashMap;

use crate::{api_error::ApiError, model::WorkloadKey};

/// How often a failure that lasts is reported again. Below the hour for which the API server keeps an Event, so that there
/// is always one, and its count shows how long the failure has lasted.
const AGAIN_AFTER: Duration = Duration::from_mins(30);
/// Failures remembered of one operation. A message may differ in each attempt: no more than so many are reported within
/// [`AGAIN_AFTER`].
const REMEMBERED: usize = 4;

/// What failed. Each fails and recovers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// A restart.
    Restart,
    /// The end of a pause.
    Resume,
}

/// How a failure compares with those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is another one, or the first.
    New,
    /// It was reported a while ago, and lasts.
    Lasting,
    /// It is the first refusal for lack of a permission: not reported unless it repeats, since an API server that has just
    /// started refuses all requests until it knows its roles.
    Unconfirmed,
    /// It has been reported.
    Repeated,
}

/// The last failures of every workload.
#[derive(Debug, Default)]
pub(super) struct Failures(DashMap<(WorkloadKey, Operation), History>);

impl Failures {
    /// Takes in the error of an attempt.
    pub(super) fn note(&self, key: &WorkloadKey, what: Operation, error: &ApiError, now: Instant) -> Failure {
        let mut history = self.0.entry((key.clone(), what)).or_default();
        history.note(error, now)
    }

    /// The last failure of the workload, of its restarts before that of its resumes; `None`: the last attempt of both
    /// succeeded.
    pub(super) fn last(&self, key: &WorkloadKey) -> Option<String> {
        let of = |what| Some(self.0.get(&(key.clone(), what))?.last.clone());
        of(Operation::Restart).or_else(|| of(Operation::Resume))
    }

    /// Whether the API server refused the workload's last restart.
    pub(super) fn is_refused(&self, key: &WorkloadKey) -> bool {
        let history = self.0.get(&(key.clone(), Operation::Restart));
        history.is_some_and(|history| history.is_refused)
    }

    /// The next failure is new, whatever it is.
    pub(super) fn succeeded(&self, key: &WorkloadKey, what: Operation) {
        self.0.remove(&(key.clone(), what));
    }
}

/// The last failures of one operation on one workload.
#[derive(Debug, Default)]
struct History {
    known: Vec<Known>,
    /// The message of the last one, with advice.
    last: String,
    /// It was a refusal: without a change of something, the next attempt ends in the same way.
    is_refused: bool,
}

#[derive(Debug)]
struct Known {
    message: String,
    /// When it was reported; `None`: not yet.
    reported: Option<Instant>,
}

impl History {
    /// Takes in the error of an attempt.
    fn note(&mut self, error: &ApiError, now: Instant) -> Failure {
        self.last = format!("{}{}", error.message, error.advice());
        self.is_refused = error.is_refusal();
        let is_old = |known: &Known| {
            known
                .reported
                .is_none_or(|at| now.duration_since(at) >= AGAIN_AFTER)
        };
        if let Some(known) = self.known.iter_mut().find(|known| known.message == error.message) {
            let failure = match known.reported {
                None => Failure::New,
                Some(_) if is_old(known) => Failure::Lasting,
                Some(_) => return Failure::Repeated,
            };
            known.reported = Some(now);
            return failure;
        }
        if self.known.len() == REMEMBERED {
            let Some(forgotten) = self.known.iter().position(is_old) else {
                return Failure::Repeated;
            };
            self.known.remove(forgotten);
        }
        let is_unconfirmed = error.is_missing_permission();
        self.known.push(Known {
            message: error.message.clone(),
            reported: (!is_unconfirmed).then_some(now),
        });
        if is_unconfirmed {
            Failure::Unconfirmed
        } else {
            Failure::New
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::model::WorkloadKind;

    const NO_ROLE: &str = "deployments.apps \"web\" is forbidden: User \"a\" cannot patch resource \"deployments\" in API \
                           group \"apps\" in the namespace \"b\"";
    const QUOTA: &str = "exceeded quota: few";

    fn refusal(message: &str) -> ApiError {
        ApiError::from_status(&Status::failure(message, "Forbidden").with_code(403))
    }

    /// How each of the refusals in a row compares with those before.
    fn refused(messages: &[&str]) -> Vec<Failure> {
        let (mut failures, now) = (History::default(), Instant::now());
        let note = |message: &&str| failures.note(&refusal(message), now);
        messages.iter().map(note).collect()
    }

    #[test]
    fn a_missing_permission_is_reported_once_it_repeats() {
        use Failure::{New, Repeated, Unconfirmed};
        assert_eq!(
            refused(&[NO_ROLE, NO_ROLE, NO_ROLE]),
            [Unconfirmed, New, Repeated]
        );
        assert_eq!(refused(&[QUOTA, QUOTA]), [New, Repeated]);
        assert_eq!(refused(&[NO_ROLE, QUOTA, NO_ROLE]), [Unconfirmed, New, New]);
    }

    /// Retries are up to a minute apart.
    #[test]
    fn what_fails_for_hours_is_reported_each_half_hour() {
        let (mut failures, begun) = (History::default(), Instant::now());
        let reported: Vec<u64> = (0..180)
            .filter(|minute| {
                let failure = failures.note(&refusal(QUOTA), begun + Duration::from_mins(*minute));
                assert_ne!(failure == Failure::New, *minute > 0);
                failure != Failure::Repeated
            })
            .collect();
        assert_eq!(reported, [0, 30, 60, 90, 120, 150]);
    }

    #[test]
    fn failures_that_alternate_are_reported_once_each() {
        use Failure::{New, Repeated};
        assert_eq!(
            refused(&["a", "b", "a", "b", "a"]),
            [New, New, Repeated, Repeated, Repeated]
        );
    }

    #[test]
    fn messages_that_always_differ_are_reported_a_few_times_each_half_hour() {
        let (mut failures, begun) = (History::default(), Instant::now());
        let reported: Vec<u64> = (0..60)
            .filter(|minute| {
                let error = refusal(&format!("request {minute} refused"));
                failures.note(&error, begun + Duration::from_mins(*minute)) == Failure::New
            })
            .collect();
        assert_eq!(reported, [0, 1, 2, 3, 30, 31, 32, 33]);
    }

    #[test]
    fn a_restart_and_the_end_of_a_pause_fail_and_recover_by_themselves() {
        use Operation::{Restart, Resume};
        let (failures, now) = (Failures::default(), Instant::now());
        let web = WorkloadKey::new(WorkloadKind::Deployment, "shop", "web");
        let note = |what, message| failures.note(&web, what, &refusal(message), now);
        assert_eq!(note(Restart, "a"), Failure::New);
        assert_eq!(note(Resume, "b"), Failure::New);
        assert_eq!(failures.last(&web).as_deref(), Some("a (403)"));
        failures.succeeded(&web, Resume);
        assert_eq!(note(Restart, "a"), Failure::Repeated);
        assert_eq!(note(Resume, "a"), Failure::New);
    }
}
