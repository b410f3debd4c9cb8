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
//! Lazily, in batches: 1 s after a source becomes known, 5 s after it is settled, and before the process ends. A ledger
//! that lags behind is safe, because the marker on the workload shows that the restart has happened. Where the marker
//! cannot show it (the annotations strategy shows only the last source), the worker asks for [`Ledger::flush`] first.
//! When nothing changes, nothing is written.
//!
//! # Who writes it
//! Only the leader, and each write is a compare-and-swap on the object's resourceVersion. A conflict means that another
//! client wrote: its lines for sources that are not ours are kept.
//!
//! # When it cannot be written
//! Without permission it logs so once, and the controller works without a ledger: changes made while no replica runs
//! are not noticed. A deleted ledger is written again from memory. Lines that cannot be parsed are left out, so that
//! the present content of those sources counts as settled.

mod chunks;
mod keeper;
mod store;
mod text;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    index::SourceStatus,
    model::{SourceKey, UnixSeconds},
};

pub use keeper::{Keeper, LedgerWriter};

/// How long a source that is new to the ledger may wait to be written.
const NEW: Duration = Duration::from_secs(1);
/// How long a settled digest may wait to be written.
const SETTLED: Duration = Duration::from_secs(5);

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
        written_at: Option<UnixSeconds>,
    },
    /// Reading it is not permitted.
    Refused,
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
}

#[derive(Debug, Default)]
struct Touched {
    /// The deadline of each source's write.
    sources: HashMap<SourceKey, Instant>,
    /// Counts touches.
    number: u64,
    /// A task waits in [`Ledger::flush`].
    flush: bool,
    /// No task writes, or no longer: a flush must not wait for one.
    idle: bool,
}

impl Ledger {
    /// A ledger that is not stored: the controller does not know its own namespace.
    pub fn none() -> Self {
        let ledger = Self::new();
        ledger.shared.touched().idle = true;
        ledger
    }

    fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                touched: Mutex::default(),
                news: Notify::new(),
                written: watch::Sender::new(0),
            }),
        }
    }

    /// Notes that the source's line has changed: its settled digest, or the workloads that owe.
    ///
    /// Returns the number to pass to [`Ledger::is_written`].
    pub fn touch(&self, source: SourceKey) -> u64 {
        self.touch_within(source, SETTLED)
    }

    /// As [`Self::touch`], for a source that the ledger does not have yet: it is written sooner.
    pub fn touch_new(&self, source: SourceKey) -> u64 {
        self.touch_within(source, NEW)
    }

    fn touch_within(&self, source: SourceKey, wait: Duration) -> u64 {
        let mut touched = self.shared.touched();
        if touched.idle {
            return 0;
        }
        touched.number += 1;
        let number = touched.number;
        let until = Instant::now() + wait;
        let earlier = touched.sources.entry(source).or_insert(until);
        *earlier = until.min(*earlier);
        drop(touched);
        self.shared.news.notify_one();
        number
    }

    /// Whether everything up to that touch has been written, or at least tried.
    pub fn is_written(&self, number: u64) -> bool {
        *self.shared.written.borrow() >= number
    }

    /// Completes when everything touched so far is written, or cannot be.
    pub async fn flush(&self) {
        let number = {
            let mut touched = self.shared.touched();
            if touched.idle || *self.shared.written.borrow() >= touched.number {
                return;
            }
            touched.flush = true;
            touched.number
        };
        self.shared.news.notify_one();
        // An error means that the task has ended, and then nothing is left to wait for.
        let _ = self
            .shared
            .written
            .subscribe()
            .wait_for(|written| *written >= number)
            .await;
    }
}

impl Shared {
    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
