//! What the API server's clock shows, at least.
//!
//! Input: times that the API server has just given an object. Output: its time later on, never too late. I/O: none.
//!
//! Restarts carry the API server's times, so the next leader is told a moment by that clock as well. It need not agree with
//! this machine's; both only have to run equally fast.

use tokio::time::Instant;

use crate::model::UnixSeconds;

/// The API server's clock, as far as its answers have shown it.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    /// The time that an answer had in it, and when that arrived.
    shown: Option<(UnixSeconds, Instant)>,
}

impl ServerClock {
    /// An answer that has just arrived says that something was written then.
    pub(super) fn note(&mut self, written_at: Option<UnixSeconds>) {
        if let Some(written_at) = written_at {
            self.shown = Some((written_at, Instant::now()));
        }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.shown.is_some()
    }

    /// What it shows at that moment to come, or has shown by then: the time that the answer took is not known, and objects
    /// have whole seconds. `None`: it has shown nothing yet.
    pub(super) fn at(&self, moment: Instant) -> Option<UnixSeconds> {
        let (shown, arrived) = self.shown?;
        let since = moment.saturating_duration_since(arrived).as_secs();
        Some(shown.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_last_answer_in_whole_seconds() {
        let mut clock = ServerClock::default();
        clock.note(None);
        assert_eq!(clock.at(Instant::now()), None);
        clock.note(Some(UnixSeconds(100)));
        let later = Instant::now() + Duration::from_millis(4999);
        assert_eq!(clock.at(later), Some(UnixSeconds(104)));
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.note(Some(UnixSeconds(103)));
        assert_eq!(
            clock.at(Instant::now()),
            Some(UnixSeconds(103)),
            "that clock was set back"
        );
        assert_eq!(clock.at(later), Some(UnixSeconds(103)));
    }
}
