//! Durable record: the content of each source that workloads were last restarted for.
//!
//! Input: [`SourceStatus`]s of sources. Output: the same, to the next leader. I/O: reads and writes ConfigMaps.
//!
//! An informer loses its state when the process ends. The ledger keeps it: the leader records, for every source that
//! some workload opted into, the digest that is settled and the workloads that still owe a restart for it. The next
//! leader compares that with what the watches show now. The difference is owed: what changed while no replica ran is a
//! change like any other.
//!
//! # When it is written
//! Lazily, in batches: 1 s after a source becomes known, 5 s after it is settled (6 while workloads are restarted), and before
//! the process ends. A ledger that lags behind is safe, because the marker on the workload shows that the restart has
//! happened. Where the marker cannot show it (the annotations strategy shows only the last source), the worker asks for [`Ledger::flush`] first.
//! When nothing changes, nothing is written.
//!
//! # Until when it is complete
//! It says so itself: restarts since then may be missing. A write says *until it is stored, but at most until 2 s after it was
//! composed*. A restart is noted before it is sent. One that was noted later than that is sent when the API server has
//! answered, or after those 2 s. So what it says is true, whenever it is stored.
//!
//! # Who writes it
//! Only the leader, and each write is a compare-and-swap on the object's resourceVersion. A conflict means that another
//! client wrote: its lines for sources that are not ours are kept. What is deleted or edited meanwhile is written anew.
//!
//! # When it cannot be read or written
//! Reading is retried, and nothing is restarted until it succeeds; after 30 s without permission the controller works
//! without a ledger until it may read it. Writing is retried for each ConfigMap by itself. Lines that cannot be parsed are
//! kept; the present content of their sources counts as settled.

mod batch;
mod breaks;
mod chunks;
mod cipher;
mod clock;
mod first_format;
mod keeper;
mod line;
mod on_store;
mod store;
mod watcher;
mod writer;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    index::SourceStatus,
    model::{SourceKey, UnixSeconds},
};

use batch::Batch;
pub(crate) use breaks::Breaks;
pub(crate) use keeper::Keeper;
pub(crate) use writer::LedgerWriter;

/// What a line of the ledger hides: the seal of it, the rest of its text, and the key as chunk 0 has it. For tests.
pub fn open(key: &str, sealed: &str, rest: &str) -> Option<Vec<u8>> {
    cipher::Cipher::from_stored(key)?.open(sealed, rest)
}

/// How long a source that is new to the ledger may wait to be written.
const NEW: Duration = Duration::from_secs(1);
/// How long a settled digest may wait to be written.
const SETTLED: Duration = Duration::from_secs(5);
/// How long a write waits for the last restart to be of an earlier second, at most: times in objects have whole seconds, and
/// of a restart in the second of the write it is not known whether the ledger has it.
const LATER_SECOND: Duration = Duration::from_secs(1);
/// How long a worker waits for a write: a restart is worth more than that the next leader knows of it. More than whole seconds
/// and an answer on its way take of what is known of the API server's clock: else no write could say that it has all.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

/// The content of the ledger when it was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It does not exist: the first start. The present content of every source is settled.
    First,
    /// It exists.
    Known {
        /// The status of each source.
        sources: Vec<(SourceKey, SourceStatus)>,
        /// When Reloader last wrote to it, by the API server's clock; `None`: not recorded.
        stored_at: Option<UnixSeconds>,
        /// Every restart before then is in it, by the same clock; `None`: not recorded.
        complete_until: Option<UnixSeconds>,
    },
}

/// Passes changes to the ledger's task. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    touched: Mutex<Touched>,
    /// A source was touched, or a flush was requested.
    news: Notify,
    /// The highest [`Touched::number`] up to which everything is written.
    written: watch::Sender<u64>,
    /// Until when a restart waits that is not in the write under way, unless the API server answers it before: the write says
    /// that it has every restart until it is stored, or until then.
    restarts_wait: watch::Sender<Option<Instant>>,
    /// The number of sources that are left out.
    left_out: AtomicUsize,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Touched {
    sources: HashSet<SourceKey>,
    /// When the first of them has to be written; all are then.
    due: Option<Instant>,
    /// A workload was restarted for one of them. The ledger says until when it has every restart, so it is written even if no
    /// line differs: a content that has come, gone and come back since leaves the line as it was.
    restarted_at: Option<Instant>,
    /// Counts touches.
    number: u64,
    /// A task waits in [`Ledger::flush`].
    flush: bool,
    /// The process ends.
    closing: bool,
    /// Touches are written some day.
    is_kept: bool,
    /// A task writes: a flush must not wait for one that does not, or not yet.
    has_writer: bool,
}

impl Touched {
    /// When it is to be written.
    fn due(&self) -> Option<Instant> {
        let due = self.due?;
        let later = self
            .restarted_at
            .map_or(due, |restarted| restarted + LATER_SECOND);
        Some(later.clamp(due, due + LATER_SECOND))
    }

    fn take(&mut self) -> Batch {
        self.flush = false;
        self.closing = false;
        self.due = None;
        Batch {
            sources: self.sources.drain().collect(),
            is_restarted: self.restarted_at.take().is_some(),
            number: self.number,
        }
    }
}

impl Ledger {
    /// A ledger that is not stored: the controller does not know its own namespace.
    pub fn none() -> Self {
        Self {
            shared: Arc::new(Shared {
                touched: Mutex::default(),
                news: Notify::new(),
                written: watch::Sender::new(0),
                restarts_wait: watch::Sender::new(None),
                left_out: AtomicUsize::new(0),
            }),
        }
    }

    fn new() -> Self {
        let ledger = Self::none();
        ledger.shared.touched().is_kept = true;
        ledger
    }

    /// Notes that the source's line has changed: its settled digest, or the workloads that owe.
    ///
    /// Returns the number to pass to [`Ledger::is_written`].
    pub fn touch(&self, source: SourceKey) -> u64 {
        self.touch_within(source, SETTLED)
    }

    /// As [`Self::touch`], after a workload was restarted for it, by this leader or by the one before.
    pub fn touch_restarted(&self, source: SourceKey) -> u64 {
        self.shared.touched().restarted_at = Some(Instant::now());
        self.touch(source)
    }

    /// As [`Self::touch`], for a source that the ledger does not have yet: it is written sooner.
    pub fn touch_new(&self, source: SourceKey) -> u64 {
        self.touch_within(source, NEW)
    }

    fn touch_within(&self, source: SourceKey, wait: Duration) -> u64 {
        let mut touched = self.shared.touched();
        if !touched.is_kept {
            return 0;
        }
        touched.number += 1;
        let number = touched.number;
        let until = Instant::now() + wait;
        let is_first = touched.due.is_none_or(|due| until < due);
        if is_first {
            touched.due = Some(until);
        }
        touched.sources.insert(source);
        drop(touched);
        if is_first {
            self.shared.news.notify_one();
        }
        number
    }

    /// Whether everything up to that touch has been written, or at least tried.
    pub fn is_written(&self, number: u64) -> bool {
        *self.shared.written.borrow() >= number
    }

    /// Completes when everything touched so far is written, or cannot be; after 2 s in any case.
    pub async fn flush(&self) {
        let number = {
            let mut touched = self.shared.touched();
            if !touched.has_writer || *self.shared.written.borrow() >= touched.number {
                return;
            }
            touched.flush = true;
            touched.number
        };
        let _ = timeout(LONGEST_FLUSH, self.written_up_to(number)).await;
    }

    /// Completes when a restart that was touched for may be sent: not while a write is under way that was composed before and
    /// would claim to have it. Of one write, whatever becomes of it, after 2 s in any case.
    pub async fn not_while_stored(&self) {
        let mut waiting = self.shared.restarts_wait.subscribe();
        let Some(until) = *waiting.borrow_and_update() else {
            return;
        };
        // A later write has it. An error means that the task has ended.
        let _ = timeout_at(until, waiting.wait_for(|other| *other != Some(until))).await;
    }

    /// As [`Self::flush`], before the process ends: what failed a moment ago is tried again, and what was deleted is
    /// written anew.
    pub async fn close(&self) {
        let number = {
            let mut touched = self.shared.touched();
            if !touched.has_writer {
                return;
            }
            touched.number += 1;
            touched.flush = true;
            touched.closing = true;
            touched.number
        };
        self.written_up_to(number).await;
    }

    async fn written_up_to(&self, number: u64) {
        self.shared.news.notify_one();
        let mut written = self.shared.written.subscribe();
        // An error means that the task has ended, and then nothing is left to wait for.
        let _ = written.wait_for(|written| *written >= number).await;
    }

    /// The number of sources that are left out, because their namespace has too many.
    pub fn left_out(&self) -> usize {
        self.shared.left_out.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing was touched after that.
    fn is_taken_in(&self, number: u64) -> bool {
        self.touched().number == number
    }

    /// A write is composed that has every touch up to that number: restarts that it lacks wait from here on until it is
    /// answered. Returns until when they do at most; `None`: it lacks one already.
    fn hold_restarts(&self, number: u64) -> Option<Instant> {
        let touched = self.touched();
        let has_everything = touched.number == number;
        let until = has_everything.then(|| Instant::now() + LONGEST_FLUSH)?;
        self.restarts_wait.send_replace(Some(until));
        Some(until)
    }

    /// The API server has said what became of that write.
    fn release_restarts(&self) {
        self.restarts_wait.send_replace(None);
    }

    fn set_left_out(&self, sources: usize) {
        self.left_out.store(sources, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceKind;

    fn source() -> SourceKey {
        SourceKey::new(SourceKind::Secret, "team", "db")
    }

    /// A write that is never answered.
    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_the_ledger_without_end() {
        let ledger = Ledger::new();
        ledger.flush().await;
        ledger.shared.touched().has_writer = true;
        let number = ledger.touch(source());
        let begun = Instant::now();
        ledger.flush().await;
        assert_eq!(begun.elapsed(), LONGEST_FLUSH);
        assert!(!ledger.is_written(number));
        let until = ledger.shared.hold_restarts(number);
        assert_eq!(until, Some(begun + 2 * LONGEST_FLUSH));
        tokio::time::sleep(LONGEST_FLUSH / 2).await;
        ledger.not_while_stored().await;
        assert_eq!(Some(Instant::now()), until, "from when it was composed");
        ledger.not_while_stored().await;
        assert_eq!(Some(Instant::now()), until, "once for each write");
    }

    /// What is stored afterwards was composed before, and says that it has all.
    #[tokio::test(start_paused = true)]
    async fn a_restart_waits_until_what_was_composed_before_is_stored() {
        let ledger = Ledger::new();
        let number = ledger.touch(source());
        assert!(ledger.shared.hold_restarts(number).is_some());
        ledger.touch(source());
        assert_eq!(
            ledger.shared.hold_restarts(number),
            None,
            "it would not have the last one"
        );
        let stored = async {
            tokio::time::sleep(LONGEST_FLUSH / 2).await;
            ledger.shared.release_restarts();
        };
        let begun = Instant::now();
        tokio::join!(ledger.not_while_stored(), stored);
        assert_eq!(begun.elapsed(), LONGEST_FLUSH / 2);
        ledger.not_while_stored().await;
        assert_eq!(begun.elapsed(), LONGEST_FLUSH / 2);
    }

    /// All that was touched is one batch, due with the first of it.
    #[tokio::test(start_paused = true)]
    async fn what_is_new_is_written_sooner_and_takes_the_rest_along() {
        let ledger = Ledger::new();
        ledger.touch(source());
        assert_eq!(ledger.shared.touched().due, Some(Instant::now() + SETTLED));
        ledger.touch_new(SourceKey::new(SourceKind::Secret, "team", "new"));
        assert_eq!(ledger.shared.touched().due, Some(Instant::now() + NEW));
        let Batch {
            sources: touched,
            number,
            ..
        } = ledger.shared.touched().take();
        assert_eq!((number, touched.len()), (2, 2));
        assert_eq!(Ledger::none().touch(source()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_for_a_later_second_than_that_of_the_last_restart() {
        let ledger = Ledger::new();
        let (begun, half) = (Instant::now(), LATER_SECOND / 2);
        ledger.touch_restarted(source());
        assert_eq!(
            ledger.shared.touched().due(),
            Some(begun + SETTLED),
            "it is later anyway"
        );
        tokio::time::sleep(SETTLED.checked_sub(half).unwrap()).await;
        ledger.touch_restarted(source());
        assert_eq!(ledger.shared.touched().due(), Some(begun + SETTLED + half));
        tokio::time::sleep(half * 2).await;
        ledger.touch_restarted(source());
        let longest = begun + SETTLED + LATER_SECOND;
        assert_eq!(
            ledger.shared.touched().due(),
            Some(longest),
            "restarts without end"
        );
    }
}
