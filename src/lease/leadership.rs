//! The handle that every writer asks first.
//!
//! Input: what the election's driver publishes, and a clock. Output: yes or no. I/O: reads the clock.

use std::{
    future::{self, Future},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    clock::{BootClock, Clock, Moment},
    election::Election,
    role::Role,
};

/// What is known about the election; changes are published as they are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The role of this process.
    pub role: Role,
    /// `holderIdentity` of the record seen last; `None` while no process holds the lease.
    pub holder: Option<Arc<str>>,
    /// When it got this role, by this machine's clock; `None`: it has never had another one.
    pub since: Option<Timestamp>,
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

/// Whether this process may write. Cheap to clone; clones share one state.
#[derive(Clone)]
pub struct Leadership {
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
    /// The sending side when there is no election to hold it.
    without_election: Option<Arc<watch::Sender<State>>>,
}

/// What the driver and the handles share.
struct Shared {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of the [`Moment`] until which writing is allowed; 0 = not at all.
    deadline: AtomicU64,
    slow_path: AtomicU64,
    transitions: AtomicU64,
    /// Set by [`Leadership::release`].
    release: CancellationToken,
}

impl Leadership {
    /// A handle of a candidate, and the side that publishes its state.
    pub(super) fn new(clock: Arc<dyn Clock>) -> (Self, Publisher) {
        let shared = Arc::new(Shared {
            clock,
            deadline: AtomicU64::new(0),
            slow_path: AtomicU64::new(0),
            transitions: AtomicU64::new(0),
            release: CancellationToken::new(),
        });
        let (state, receiver) = watch::channel(State {
            role: Role::Standby,
            holder: None,
            since: None,
        });
        let leadership = Self {
            shared: Arc::clone(&shared),
            state: receiver,
            without_election: None,
        };
        (leadership, Publisher { shared, state })
    }

    /// For running without leader election: may write until it is released, and is never lost.
    pub fn always() -> Self {
        let shared = Arc::new(Shared {
            clock: Arc::new(BootClock),
            deadline: AtomicU64::new(u64::MAX),
            slow_path: AtomicU64::new(0),
            transitions: AtomicU64::new(0),
            release: CancellationToken::new(),
        });
        let (sender, state) = watch::channel(State {
            role: Role::Leader,
            holder: None,
            since: None,
        });
        Self {
            shared,
            state,
            without_election: Some(Arc::new(sender)),
        }
    }

    /// Whether a write may be sent now. Ask right before every attempt, retries included: the answer is about the
    /// clock, not about what was last published.
    pub fn may_write(&self) -> bool {
        !self.shared.release.is_cancelled()
            && self.shared.clock.now() < Moment::from_nanos(self.shared.deadline.load(Ordering::Acquire))
    }

    /// Drives a request only while [`Leadership::may_write`] allows it; `None`: it does not, and the request is
    /// dropped.
    ///
    /// Asking once before a request is not enough: a request that has to make its connection first goes through several
    /// steps, and a process that is stopped (SIGSTOP, a paused virtual machine) between two of them would continue with
    /// the next one when it wakes, after another replica took over. So this asks before every step. What is left is the
    /// step that hands the bytes to the kernel, some microseconds.
    pub async fn fence<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let mut request = std::pin::pin!(request);
        future::poll_fn(|context| {
            if self.may_write() {
                request.as_mut().poll(context).map(Some)
            } else {
                Poll::Ready(None)
            }
        })
        .await
    }

    /// Whether this process holds the lease, as last published; for status, not for fencing.
    pub fn is_leader(&self) -> bool {
        self.state.borrow().role == Role::Leader
    }

    /// Completes once this process holds the lease; never if the election ends before.
    pub async fn acquired(&self) {
        let mut state = self.state.clone();
        if state.wait_for(|state| state.role == Role::Leader).await.is_err() {
            future::pending::<()>().await;
        }
    }

    /// Completes once the election has ended for this process: lost, released, or its future was dropped.
    /// Never for [`Leadership::always`].
    pub async fn lost(&self) {
        let mut state = self.state.clone();
        // An error means that the driver is gone, which is an end, too.
        let _ = state.wait_for(|state| state.role == Role::Ended).await;
    }

    /// Who leads, and whether that is this process: a channel that always holds the newest state.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The counts for metrics.
    pub fn counters(&self) -> Counters {
        Counters {
            master: self.is_leader(),
            slow_path: self.shared.slow_path.load(Ordering::Relaxed),
            transitions: self.shared.transitions.load(Ordering::Relaxed),
        }
    }

    /// Releases the lease so that another replica takes over at once, and completes when the election has ended.
    ///
    /// Call it only when this process no longer writes: from here on [`Leadership::may_write`] is false, but a request
    /// already under way cannot be called back. The election's future must be polled meanwhile. It takes one request
    /// when the API answers, and at most three retry periods when it does not.
    pub async fn release(&self) {
        self.shared.release.cancel();
        if self.without_election.is_none() {
            self.lost().await;
        }
    }
}

/// The driver's side of [`Leadership`]. When it is dropped, writing is no longer allowed.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    state: watch::Sender<State>,
}

impl Publisher {
    /// Publishes the state of `election`. The deadline goes first: a reader of the role finds it in force.
    pub(super) fn publish(&self, election: &Election) {
        let deadline = election.deadline();
        self.shared
            .deadline
            .store(deadline.map_or(0, Moment::as_nanos), Ordering::Release);
        self.shared
            .slow_path
            .store(election.slow_path(), Ordering::Relaxed);
        let role = election.role();
        self.state.send_if_modified(|state| {
            let holder_changed = state.holder.as_ref() != election.holder();
            if holder_changed {
                state.holder = election.holder().cloned();
                self.shared
                    .transitions
                    .fetch_add(u64::from(state.holder.is_some()), Ordering::Relaxed);
            }
            let role_changed = state.role != role;
            if role_changed {
                state.role = role;
                state.since = Some(self.shared.clock.wall());
            }
            holder_changed || role_changed
        });
    }

    /// Completes once [`Leadership::release`] was called.
    pub(super) fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.release.clone().cancelled_owned()
    }

    /// Whether [`Leadership::release`] was called.
    pub(super) fn is_released(&self) -> bool {
        self.shared.release.is_cancelled()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.deadline.store(0, Ordering::Release);
        self.state.send_modify(|state| state.role = Role::Ended);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock that is set by hand.
    #[derive(Debug, Default)]
    struct Hand(Mutex<u64>);

    impl Clock for Hand {
        fn now(&self) -> Moment {
            Moment::from_nanos(*self.0.lock().unwrap())
        }

        fn wall(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    #[tokio::test]
    async fn a_request_that_was_begun_in_time_takes_no_step_after_the_deadline() {
        let clock = Arc::new(Hand::default());
        let (leadership, publisher) = Leadership::new(clock.clone());
        publisher.shared.deadline.store(10, Ordering::Release);
        assert_eq!(leadership.fence(async { "sent" }).await, Some("sent"));

        let mut steps = 0;
        let request = async {
            steps += 1;
            // The process stands still here, while time goes on.
            *clock.0.lock().unwrap() = 10;
            tokio::task::yield_now().await;
            steps += 1;
        };
        assert_eq!(leadership.fence(request).await, None);
        assert_eq!(steps, 1);
    }
}
