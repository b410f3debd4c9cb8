//! Waiting for a condition without fixed sleeps. Input: a question asked again and again; output: its answer. I/O: none of its own.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long to wait between two looks. Short against the reactions under test (20 ms and up), long against a look (about 1 ms).
const INTERVAL: Duration = Duration::from_millis(20);

/// The outcome of one look: the awaited value, or in words what there is instead.
pub trait Probe<T> {
    /// The value, or a description of the state so far.
    ///
    /// # Errors
    /// The description, when the value is not there yet.
    fn outcome(self) -> Result<T, String>;
}

impl<T> Probe<T> for Option<T> {
    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Probe<T> for Result<Option<T>, E> {
    fn outcome(self) -> Result<T, String> {
        match self {
            Ok(found) => found.outcome(),
            // The alternate form prints the whole chain of causes where the error type has one.
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Asks `probe` every 20 ms until it gives a value, for `timeout` at most.
///
/// `what` completes the sentence "waited 5s in vain for ...". The probe returns `Option<T>`, or `Result<Option<T>, E>` whose error is
/// not final but the state to report if time runs out (an assertion message, say).
///
/// # Errors
/// [`Error::Timeout`] with the last state. A look that hangs is cut off at the deadline.
pub async fn eventually<T, P: Probe<T>>(
    timeout: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> P,
) -> Result<T> {
    let started = Instant::now();
    let mut last = "not looked at yet".to_owned();
    loop {
        let remaining = timeout.saturating_sub(started.elapsed());
        match tokio::time::timeout(remaining, probe()).await.map(Probe::outcome) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = state,
            Err(_) => last.push_str(" (the last look did not come back)"),
        }
        if started.elapsed() >= timeout {
            return Err(Error::Timeout {
                what: what.to_owned(),
                waited: started.elapsed(),
                last,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_value_ends_the_wait() {
        let mut looks = 0;
        let value = eventually(Duration::from_mins(1), "the third look", async || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!(value.await.unwrap(), "here");
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    async fn the_failure_says_what_was_awaited_and_the_last_state() {
        let mut looks = 0;
        let failed = eventually(Duration::from_millis(1), "two pods", async || {
            looks += 1;
            Err::<Option<()>, _>(format!("{looks} pod"))
        });
        let message = failed.await.unwrap_err().to_string();
        assert!(
            message.contains("in vain for two pods")
                && message.ends_with(&format!("last state: {looks} pod")),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off() {
        let failed = eventually(Duration::from_millis(1), "an answer", async || {
            std::future::pending::<Option<()>>().await
        });
        assert!(
            failed
                .await
                .unwrap_err()
                .to_string()
                .contains("did not come back")
        );
    }
}
