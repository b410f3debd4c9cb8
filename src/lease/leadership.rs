//! The handle that everybody who writes asks first.
//!
//! Input: what the election's driver publishes, and a clock. Output: yes or no. I/O: reads the clock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::{BootClock, Clock, Moment};

/// What this process is in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waiting for its turn.
    Standby,
    /// Holds the lease.
    Leader,
    /// Lost or released it, or stopped waiting. Final.
    Ended,
}

/// What is known about the election; changes are published as they are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What this process is.
    pub role: Role,
    /// `holderIdentity` of the record seen last; `None` while nobody holds the lease.
    pub holder: Option<Arc<str>>,
}

/// Counts since the start of the process, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `leader_election_master_status`: whether this process holds the lease.
    pub master: bool,
    /// `leader_election_slowpath_total`: renewals that needed more than one request.
    pub slow_path: u64,
    /// How often the holder was seen to change, the first one included.
    pub transitions: u64,
}

/// Whether this process may write. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Leadership {
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
}

/// What the driver and the handles share.
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of the [`Moment`] until which writing is allowed; 0 = not at all.
    deadline: AtomicU64,
    pub(super) slow_path: AtomicU64,
    pub(super) transitions: AtomicU64,
    /// Set by [`Leadership::release`].
    pub(super) release: CancellationToken,
}

impl Leadership {
    pub(super) fn new(clock: Arc<dyn Clock>) -> (Self, Arc<Shared>, watch::Sender<State>) {
        let shared = Arc::new(Shared {
            clock,
            deadline: AtomicU64::new(0),
            slow_path: AtomicU64::new(0),
            transitions: AtomicU64::new(0),
            release: CancellationToken::new(),
        });
        let (publish, state) = watch::channel(State {
            role: Role::Standby,
            holder: None,
        });
        (
            Self {
                shared: Arc::clone(&shared),
                state,
            },
            shared,
            publish,
        )
    }

    /// For running without leader election: may always write, is never lost.
    pub fn always() -> Self {
        let (leadership, shared, publish) = Self::new(Arc::new(BootClock));
        shared.deadline.store(u64::MAX, Ordering::Release);
        publish.send_replace(State {
            role: Role::Leader,
            holder: None,
        });
        leadership
    }

    /// Whether a write may be sent now. Ask right before every attempt, retries included: the answer is about the
    /// clock, not about what was last published.
    pub fn may_write(&self) -> bool {
        self.shared.clock.now() < Moment::from_nanos(self.shared.deadline.load(Ordering::Acquire))
    }

    /// Whether this process holds the lease, as last published; for status, not for fencing.
    pub fn is_leader(&self) -> bool {
        self.state.borrow().role == Role::Leader
    }

    /// Completes once this process holds the lease; never if the election ends before.
    pub async fn acquired(&self) {
        if self
            .state
            .clone()
            .wait_for(|state| state.role == Role::Leader)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Completes once the election has ended for this process: lost, released, or its future is gone.
    /// Never for [`Leadership::always`].
    pub async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    /// Who leads, and whether that is this process: a channel that always holds the newest state.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The counts for metrics.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Gives the lease back so that another replica takes over at once, and completes when the election has ended.
    ///
    /// Call it only when nothing of this process writes any more: from here on [`Leadership::may_write`] is false,
    /// but a request already under way cannot be called back. The election's future must be polled meanwhile.
    pub async fn release(&self) {
        self.shared.release.cancel();
    }
}
