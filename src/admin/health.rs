//! Whether the process lives and whether it is ready, as its loops report it.
//!
//! Input: beats of loops and states of watches. Output: the checks behind `/live` and `/ready`. I/O: none.
//!
//! Alive means that every loop makes progress; it never depends on the API server, because a restart does not cure an
//! outage there. Ready means that every watch has seen its first complete list: standbys are ready too, or else a
//! rollout of the controller itself would wait without end.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The registry of everything that is checked; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    loops: Mutex<Vec<Arc<Loop>>>,
    watches: Mutex<Vec<Arc<Watch>>>,
    details: OnceLock<Details>,
}

/// Says what else an operator asks first, one line each.
type Details = Box<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("loops", &self.loops)
            .field("watches", &self.watches)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Loop {
    name: String,
    allowed_silence: Duration,
    last_beat: Mutex<Instant>,
}

#[derive(Debug)]
struct Watch {
    name: String,
    state: Mutex<WatchState>,
}

/// One loop's handle: it beats whenever it made progress. Dropping it does not end the check, because a loop that is
/// gone makes no progress.
#[derive(Clone, Debug)]
#[must_use = "a loop that never beats makes the process look dead"]
pub struct Beat {
    shared: Arc<Loop>,
}

/// One watch's handle: it reports the state of the watch.
#[derive(Clone, Debug)]
#[must_use = "a watch that never reports keeps the process unready"]
pub struct WatchCheck {
    shared: Arc<Watch>,
}

/// The state of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// The first complete list has not arrived yet.
    Unsynced,
    /// The cache is complete.
    Synced,
    /// Requests fail; the cache is stale.
    Failing {
        /// When the first of the failures in a row happened.
        since: Instant,
        /// The last failure, without any object's data.
        reason: String,
    },
    /// The permission is missing. Counts as ready: the controller works without this watch, and restarting it would not
    /// help.
    Denied {
        /// The API server's message.
        reason: String,
    },
    /// The kind does not exist in this cluster (yet). Counts as ready: there is nothing to watch.
    NotInstalled,
    /// A permission is missing that the controller cannot work without. Not ready.
    Refused {
        /// The API server's message.
        reason: String,
    },
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked, for example `watch-configmaps`.
    pub name: String,
    /// Whether it passed, and why not.
    pub outcome: CheckResult,
}

/// Whether a check passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It passed.
    Ok,
    /// It passed: what it would check is not installed.
    Absent,
    /// It passed, with something an operator should know.
    Degraded(String),
    /// It failed for this reason.
    Failed(String),
}

// === impl Health ===

impl Health {
    /// A registry without checks: alive and ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a loop that must beat at least every `allowed_silence`, counted from now on.
    pub fn heartbeat(&self, name: impl Into<String>, allowed_silence: Duration) -> Beat {
        let shared = Arc::new(Loop {
            name: name.into(),
            allowed_silence,
            last_beat: Mutex::new(Instant::now()),
        });
        lock(&self.inner.loops).push(Arc::clone(&shared));
        Beat { shared }
    }

    /// Adds a watch, which starts as [`WatchState::Unsynced`].
    pub fn watch(&self, name: impl Into<String>) -> WatchCheck {
        let shared = Arc::new(Watch {
            name: name.into(),
            state: Mutex::new(WatchState::Unsynced),
        });
        lock(&self.inner.watches).push(Arc::clone(&shared));
        WatchCheck { shared }
    }

    /// `?verbose` shows these lines as well, made for each request. To be called once.
    pub fn describe(&self, details: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        // A second description would be of another replica in one process, of which there is none.
        let _ = self.inner.details.set(Box::new(details));
    }

    /// What [`Self::describe`] was given says now.
    pub fn details(&self) -> Vec<String> {
        self.inner
            .details
            .get()
            .map(|details| details())
            .unwrap_or_default()
    }

    /// The checks behind `/live`, in the order in which they were added.
    pub fn live(&self, now: Instant) -> Vec<Check> {
        let check = |registered: &Arc<Loop>| {
            let silence = now.saturating_duration_since(*lock(&registered.last_beat));
            Check {
                name: registered.name.clone(),
                outcome: if silence > registered.allowed_silence {
                    CheckResult::Failed(format!(
                        "no progress for {}s, allowed are {}s",
                        silence.as_secs(),
                        registered.allowed_silence.as_secs()
                    ))
                } else {
                    CheckResult::Ok
                },
            }
        };
        lock(&self.inner.loops).iter().map(check).collect()
    }

    /// The checks behind `/ready`, in the order in which they were added.
    pub fn ready(&self, now: Instant) -> Vec<Check> {
        let check = |registered: &Arc<Watch>| Check {
            name: registered.name.clone(),
            outcome: match &*lock(&registered.state) {
                WatchState::Synced => CheckResult::Ok,
                WatchState::Unsynced => CheckResult::Failed("the first list is not complete yet".to_owned()),
                WatchState::Failing { since, reason } => CheckResult::Failed(format!(
                    "failing for {}s: {reason}",
                    now.saturating_duration_since(*since).as_secs()
                )),
                WatchState::Denied { reason } => CheckResult::Degraded(format!("not permitted: {reason}")),
                WatchState::NotInstalled => CheckResult::Absent,
                WatchState::Refused { reason } => CheckResult::Failed(format!("not permitted: {reason}")),
            },
        };
        lock(&self.inner.watches).iter().map(check).collect()
    }
}

// === impl Beat ===

impl Beat {
    /// The loop made progress, now.
    pub fn beat(&self) {
        *lock(&self.shared.last_beat) = Instant::now();
    }
}

// === impl WatchCheck ===

impl WatchCheck {
    /// Sets the state of the watch. A failure that follows a failure keeps the time of the first.
    pub fn set(&self, mut state: WatchState) {
        let mut current = lock(&self.shared.state);
        if let (WatchState::Failing { since: first, .. }, WatchState::Failing { since, .. }) =
            (&*current, &mut state)
        {
            *since = *first;
        }
        *current = state;
    }

    /// The state of the watch.
    pub fn state(&self) -> WatchState {
        lock(&self.shared.state).clone()
    }
}

// === impl Check ===

impl Check {
    /// Whether it did not fail.
    pub const fn passed(&self) -> bool {
        !matches!(self.outcome, CheckResult::Failed(_))
    }
}

impl fmt::Display for Check {
    /// One line in the form of the API server's own `?verbose` output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, outcome } = self;
        match outcome {
            CheckResult::Ok => write!(f, "[+]{name} ok"),
            CheckResult::Absent => write!(f, "[+]{name} ok: not installed"),
            CheckResult::Degraded(note) => write!(f, "[+]{name} ok: {note}"),
            CheckResult::Failed(reason) => write!(f, "[-]{name} failed: {reason}"),
        }
    }
}

/// The data behind these locks is whole after every statement, so a panic elsewhere must not take health down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_secs(30);

    fn outcomes(checks: &[Check]) -> Vec<String> {
        checks.iter().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_may_be_silent_for_as_long_as_allowed_and_no_longer() {
        let health = Health::new();
        let beat = health.heartbeat("workers", ALLOWED);

        tokio::time::advance(ALLOWED).await;
        assert!(health.live(Instant::now()).iter().all(Check::passed));

        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            outcomes(&health.live(Instant::now())),
            ["[-]workers failed: no progress for 31s, allowed are 30s"]
        );

        beat.beat();
        assert_eq!(outcomes(&health.live(Instant::now())), ["[+]workers ok"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_gone_is_not_alive() {
        let health = Health::new();
        drop(health.heartbeat("lease", ALLOWED));
        tokio::time::advance(ALLOWED * 2).await;
        assert!(!health.live(Instant::now()).iter().any(Check::passed));
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_follows_the_watch() {
        let health = Health::new();
        let watch = health.watch("watch-secrets");
        let line = || outcomes(&health.ready(Instant::now())).concat();
        assert_eq!(
            line(),
            "[-]watch-secrets failed: the first list is not complete yet"
        );

        watch.set(WatchState::Synced);
        assert_eq!(line(), "[+]watch-secrets ok");

        let fail = |reason: &str| {
            watch.set(WatchState::Failing {
                since: Instant::now(),
                reason: reason.to_owned(),
            });
        };
        fail("connection refused");
        tokio::time::advance(Duration::from_secs(7)).await;
        fail("timed out");
        assert_eq!(line(), "[-]watch-secrets failed: failing for 7s: timed out");

        watch.set(WatchState::Denied {
            reason: "secrets is forbidden".to_owned(),
        });
        assert_eq!(line(), "[+]watch-secrets ok: not permitted: secrets is forbidden");
        watch.set(WatchState::NotInstalled);
        assert_eq!(line(), "[+]watch-secrets ok: not installed");
        assert!(health.ready(Instant::now()).iter().all(Check::passed));
    }
}
