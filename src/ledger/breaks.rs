//! Breaks in a long computation, for other tasks of the same thread: the election's most of all.
//!
//! I/O: none but the clock.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// How long a computation holds its thread without a break.
const SLICE: Duration = Duration::from_millis(5);

/// The breaks of one computation.
pub(crate) struct Breaks {
    last: Instant,
}

impl Breaks {
    /// The computation begins now.
    pub(crate) fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// Takes a break if it is time.
    pub(crate) async fn take(&mut self) {
        if self.last.elapsed() >= SLICE {
            yield_now().await;
            self.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// All tasks of this test share one thread.
    #[tokio::test]
    async fn another_task_runs_during_a_long_computation() {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let mut breaks = Breaks::new();
        // Without breaks this would never end.
        while turns.load(Ordering::Relaxed) < 3 {
            breaks.take().await;
        }
        other.abort();
    }
}
