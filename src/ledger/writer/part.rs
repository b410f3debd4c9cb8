//! How far one chunk is written.
//!
//! I/O: none but the clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::api_error::{ApiError, Class};

/// How many refusals in a row are not believed: an API server that has just started refuses every client until it knows
/// its roles.
pub(super) const NOT_BELIEVED: u32 = 3;

/// One chunk, as it is stored; by default there is none, and none is needed.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Part {
    /// The resourceVersion; `None` where there is no object yet.
    version: Option<String>,
    /// What is stored is not what should be.
    is_outdated: bool,
    /// Another client may have written or deleted it.
    is_unchecked: bool,
    /// When a write that failed is retried.
    retry_at: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

/// What is to be done with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    Written,
    /// It has to be written.
    Unwritten,
    /// It has to be read first.
    Unchecked,
}

impl Part {
    /// To be written.
    pub(super) fn new() -> Self {
        Self {
            is_outdated: true,
            ..Self::default()
        }
    }

    /// Of another writer.
    pub(super) fn unread() -> Self {
        Self {
            is_unchecked: true,
            ..Self::default()
        }
    }

    /// As it was read; `outdated`: it has to be written anew.
    pub(in crate::ledger) fn read(version: Option<String>, outdated: bool) -> Self {
        Self {
            is_outdated: outdated || version.is_none(),
            version,
            ..Self::default()
        }
    }

    pub(super) fn version(&self) -> Option<String> {
        self.version.clone()
    }

    pub(super) const fn state(&self) -> State {
        match (self.is_unchecked, self.is_outdated) {
            (true, _) => State::Unchecked,
            (false, true) => State::Unwritten,
            (false, false) => State::Written,
        }
    }

    /// When it is to be written or read; `None`: it need not be.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.state() {
            State::Written => None,
            State::Unwritten | State::Unchecked => Some(self.retry_at.unwrap_or(now)),
        }
    }

    /// Whether a failure is not over yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry_at.is_some_and(|retry| retry > Instant::now())
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Its text has changed.
    pub(super) const fn touch(&mut self) {
        self.is_outdated = true;
    }

    /// There is an object of this version.
    pub(super) fn seen(&mut self, version: Option<&str>) {
        let number = |version: &str| version.parse::<u64>().ok();
        let known = self.version.as_deref().and_then(number);
        self.is_unchecked |= known.is_some() && version.and_then(number) > known;
    }

    /// Another client was faster.
    pub(super) const fn check(&mut self) {
        self.is_unchecked = true;
    }

    /// It may be gone. A write would show that, too.
    pub(super) const fn check_unless_due(&mut self) {
        self.is_unchecked |= self.version.is_some() && !self.is_outdated;
    }

    /// It was read, and is of the version that is known.
    pub(super) const fn looked_at(&mut self) {
        self.is_unchecked = false;
    }

    /// There is no object.
    pub(super) fn gone(&mut self) {
        if self.version.take().is_some() || self.is_unchecked {
            *self = Self::new();
        }
    }

    /// Another client has written this version of it.
    pub(super) fn outdated(&mut self, version: Option<String>) {
        self.version = version;
        self.is_outdated = true;
        self.is_unchecked = false;
    }

    pub(super) fn written(&mut self, version: Option<String>) {
        *self = Self {
            version,
            ..Self::default()
        };
    }

    pub(super) fn failed(&mut self, error: &ApiError) {
        self.is_outdated = true;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + backoff(error, self.failures));
    }
}

/// How long after so many failures in a row a write is retried, at least.
fn backoff(error: &ApiError, failures: u32) -> Duration {
    // A refusal lasts until a user does something; the first ones may be of an API server that does not know its roles yet.
    let longest: u64 = match error.class {
        Class::Rejected => 60,
        _ => 5,
    };
    let seconds = 1_u64 << failures.saturating_sub(NOT_BELIEVED).min(6);
    error.pause(Duration::from_secs(seconds.min(longest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: &str) -> Part {
        Part::read(Some(version.to_owned()), false)
    }

    #[test]
    fn only_a_version_that_is_newer_than_its_own_is_of_another_client() {
        for (seen, state) in [
            (Some("9"), State::Written),
            (Some("10"), State::Written),
            (Some("11"), State::Unchecked),
            (Some("other"), State::Written),
            (None, State::Written),
        ] {
            let mut part = written("10");
            part.seen(seen);
            assert_eq!(part.state(), state, "{seen:?}");
        }
    }

    #[test]
    fn what_is_gone_is_written_anew_unless_it_never_was() {
        let mut part = written("10");
        part.gone();
        assert_eq!((part.state(), part.version()), (State::Unwritten, None));
        let mut part = Part::default();
        part.gone();
        assert_eq!(part.state(), State::Written);
    }

    #[test]
    fn a_look_does_not_make_written_what_is_not() {
        let mut part = written("10");
        part.touch();
        part.check();
        assert_eq!(part.state(), State::Unchecked);
        part.looked_at();
        assert_eq!(part.state(), State::Unwritten);
        part.written(Some("11".to_owned()));
        assert_eq!(part.state(), State::Written);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_retried_later_and_later() {
        let refused = ApiError {
            class: Class::Rejected,
            code: Some(422),
            message: String::new(),
        };
        let mut part = written("10");
        let mut pauses = Vec::new();
        for _ in 0..10 {
            part.failed(&refused);
            pauses.push(
                part.due(Instant::now())
                    .unwrap()
                    .duration_since(Instant::now())
                    .as_secs(),
            );
        }
        assert_eq!(pauses, [1, 1, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
