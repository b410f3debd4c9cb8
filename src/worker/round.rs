//! How one round of a worker on a workload ends.
//!
//! Input: the error of a request. Output: what is counted, and what the queue does next. I/O: none.

use crate::{
    api_error::{ApiError, Class},
    metrics::ReconcileResult,
    queue::{self, Retry},
};

/// How one round on a workload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// It was restarted or resumed.
    Written,
    /// There was nothing to write.
    Skipped,
    /// The restart has to wait, and comes back to the queue when it need not any more.
    Deferred,
    /// A request failed.
    Failed(Retry),
}

impl Round {
    /// The round ended with this error.
    pub(super) const fn failed(error: &ApiError) -> Self {
        Self::Failed(match error.class {
            // A conflict or a missing object means that the watch is behind: it will have caught up in a moment.
            Class::Unavailable | Class::Conflict | Class::Exists | Class::NotFound => Retry::Unavailable,
            Class::Throttled(after) => Retry::After(after),
            Class::Rejected => Retry::Rejected,
        })
    }

    /// What is counted.
    pub(super) const fn result(self) -> ReconcileResult {
        match self {
            Self::Written => ReconcileResult::Success,
            Self::Skipped | Self::Deferred => ReconcileResult::Skipped,
            Self::Failed(_) => ReconcileResult::Error,
        }
    }

    /// What the queue does with the key.
    pub(super) const fn outcome(self) -> queue::Outcome {
        match self {
            Self::Written => queue::Outcome::Settled,
            Self::Skipped | Self::Deferred => queue::Outcome::Skipped,
            Self::Failed(retry) => queue::Outcome::Retry(retry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Class::Unavailable, Retry::Unavailable)]
    #[case(
        Class::Throttled(Duration::from_secs(7)),
        Retry::After(Duration::from_secs(7))
    )]
    #[case(Class::Conflict, Retry::Unavailable)]
    #[case(Class::Exists, Retry::Unavailable)]
    #[case(Class::NotFound, Retry::Unavailable)]
    #[case(Class::Rejected, Retry::Rejected)]
    fn an_error_says_when_to_retry(#[case] class: Class, #[case] expected: Retry) {
        let error = ApiError {
            class,
            code: None,
            message: String::new(),
        };
        assert_eq!(Round::failed(&error), Round::Failed(expected));
    }
}
