//! An API server with one Lease, links to it that can be made to fail, and processes that can be frozen; for tests.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    clock::{Clock, Moment},
    driver::{Ended, Error, elect_seeded},
    leadership::Leadership,
    settings::{Settings, Timings},
    store::{LeaseEvent, LeaseStore, StoreError},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the API server keeps: the Lease, guarded like Kubernetes guards it.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
    watchers: Vec<mpsc::UnboundedSender<LeaseEvent>>,
    writes: Vec<Lease>,
    requests: usize,
}

impl Stored {
    fn store(&mut self, mut lease: Lease) -> Lease {
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        lease
            .metadata
            .uid
            .get_or_insert_with(|| format!("uid-{}", self.version));
        self.lease = Some(lease.clone());
        self.writes.push(lease.clone());
        self.notify(&LeaseEvent::Stored(Box::new(lease.clone())));
        lease
    }

    fn notify(&mut self, change: &LeaseEvent) {
        self.watchers
            .retain(|watcher| watcher.send(change.clone()).is_ok());
    }
}

impl Server {
    pub(super) fn lease(&self) -> Option<Lease> {
        lock(&self.0).lease.clone()
    }

    /// Every version of the Lease so far.
    pub(super) fn writes(&self) -> Vec<Lease> {
        lock(&self.0).writes.clone()
    }

    pub(super) fn requests(&self) -> usize {
        lock(&self.0).requests
    }

    /// Another client stores this, whatever was there.
    pub(super) fn put(&self, lease: Lease) {
        lock(&self.0).store(lease);
    }

    /// Another client changes the Lease.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Lease)) {
        let mut stored = lock(&self.0);
        let mut lease = stored.lease.clone().unwrap_or_default();
        edit(&mut lease);
        stored.store(lease);
    }

    pub(super) fn delete(&self) {
        let mut stored = lock(&self.0);
        stored.lease = None;
        stored.notify(&LeaseEvent::Deleted);
    }

    /// Watches stay open and show nothing more.
    pub(super) fn forget_watchers(&self) {
        lock(&self.0).watchers.clear();
    }

    fn handle(&self, request: Request) -> Result<Option<Lease>, StoreError> {
        let mut stored = lock(&self.0);
        stored.requests += 1;
        match request {
            Request::Get => Ok(stored.lease.clone()),
            Request::Create(_) if stored.lease.is_some() => Err(StoreError::Conflict),
            Request::Create(lease) => Ok(Some(stored.store(lease))),
            Request::Replace(lease) => match &stored.lease {
                Some(current) if current.metadata.resource_version != lease.metadata.resource_version => {
                    Err(StoreError::Conflict)
                }
                None => Err(StoreError::Conflict),
                // Nothing changes: nothing is stored, the version stays.
                Some(current) if *current == lease => Ok(Some(lease)),
                Some(_) => Ok(Some(stored.store(lease))),
            },
        }
    }
}

enum Request {
    Get,
    Create(Lease),
    Replace(Lease),
}

/// How one request fares.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It does not arrive.
    RequestLost,
    /// It takes effect, its answer does not arrive.
    AnswerLost,
    /// It is refused.
    Refused(StoreError),
}

/// One process's way to the API server.
#[derive(Clone)]
pub(super) struct Link(Arc<Mutex<LinkState>>);

pub(super) struct LinkState {
    /// How long a request travels, and how long its answer does.
    pub(super) latency: (Duration, Duration),
    /// Whether nothing gets through.
    pub(super) cut: bool,
    /// What happens to the next requests.
    pub(super) faults: VecDeque<Fault>,
    /// What happens to every request.
    pub(super) always: Option<Fault>,
    /// Whether a watch is permitted.
    pub(super) may_watch: bool,
}

impl Link {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LinkState {
            latency: (Duration::from_millis(2), Duration::from_millis(2)),
            cut: false,
            faults: VecDeque::new(),
            always: None,
            may_watch: true,
        })))
    }

    pub(super) fn set(&self, set: impl FnOnce(&mut LinkState)) {
        set(&mut lock(&self.0));
    }
}

#[derive(Clone)]
pub(super) struct TestStore {
    server: Server,
    link: Link,
}

impl TestStore {
    /// A request takes effect even when nothing waits for the answer any more.
    async fn send(&self, request: Request) -> Result<Option<Lease>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let (server, link) = (self.server.clone(), self.link.clone());
        tokio::spawn(async move {
            let (there, back, cut, fault) = {
                let mut link = lock(&link.0);
                let fault = link.faults.pop_front().or_else(|| link.always.clone());
                (link.latency.0, link.latency.1, link.cut, fault)
            };
            sleep(there).await;
            let result = match fault {
                _ if cut => return std::future::pending().await,
                Some(Fault::RequestLost) => return std::future::pending().await,
                Some(Fault::Refused(error)) => {
                    lock(&server.0).requests += 1;
                    Err(error)
                }
                Some(Fault::AnswerLost) => {
                    let _ = server.handle(request);
                    return std::future::pending().await;
                }
                None => server.handle(request),
            };
            sleep(back).await;
            if lock(&link.0).cut {
                return std::future::pending().await;
            }
            let _ = answer.send(result);
        });
        answered.await.unwrap_or(Err(StoreError::Timeout))
    }
}

fn stored(lease: Option<Lease>) -> Result<Lease, StoreError> {
    lease.ok_or(StoreError::Conflict)
}

impl LeaseStore for TestStore {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.send(Request::Get).await
    }

    async fn create(&self, lease: Lease) -> Result<Lease, StoreError> {
        self.send(Request::Create(lease)).await.and_then(stored)
    }

    async fn replace(&self, lease: Lease) -> Result<Lease, StoreError> {
        self.send(Request::Replace(lease)).await.and_then(stored)
    }

    fn watch(&self) -> BoxStream<'static, LeaseEvent> {
        if !lock(&self.link.0).may_watch {
            return stream::iter([LeaseEvent::Forbidden])
                .chain(stream::pending())
                .boxed();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.server.0).watchers.push(sender);
        let link = self.link.clone();
        stream::unfold((receiver, link), |(mut receiver, link)| async move {
            loop {
                let Some(change) = receiver.recv().await else {
                    return std::future::pending().await;
                };
                let latency = lock(&link.0).latency.1;
                sleep(latency).await;
                if !lock(&link.0).cut {
                    return Some((change, (receiver, link)));
                }
            }
        })
        .boxed()
    }
}

/// Virtual time, plus what is wrong with this machine's clocks.
pub(super) struct TestClock {
    start: Instant,
    /// How far the clock was put forward.
    ahead: AtomicU64,
    /// How fast it runs, in thousandths.
    rate: AtomicU64,
    /// How far the wall clock is off, in seconds.
    wall_offset: AtomicI64,
    /// Whether the wall clock stands still.
    wall_rate: AtomicI64,
}

impl TestClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            ahead: AtomicU64::new(1),
            rate: AtomicU64::new(1000),
            wall_offset: AtomicI64::new(0),
            wall_rate: AtomicI64::new(1),
        }
    }

    /// The machine was suspended for that long, and its timers with it.
    pub(super) fn jump(&self, by: Duration) {
        self.ahead
            .fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn run_at(&self, thousandths: u64) {
        self.rate.store(thousandths, Ordering::SeqCst);
    }

    pub(super) fn put_wall(&self, seconds: i64) {
        self.wall_offset.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn stop_wall(&self) {
        self.wall_rate.store(0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap();
        let elapsed = elapsed / 1000 * self.rate.load(Ordering::SeqCst);
        Moment::from_nanos(elapsed + self.ahead.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap();
        let base = Timestamp::from_second(1_760_000_000 + self.wall_offset.load(Ordering::SeqCst)).unwrap();
        base + SignedDuration::from_micros(elapsed * self.wall_rate.load(Ordering::SeqCst))
    }
}

/// A future that is not polled while it is frozen, like a process after SIGSTOP.
struct Freezable<F> {
    inner: Pin<Box<F>>,
    frozen: watch::Receiver<bool>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if *self.frozen.borrow() {
            let (mut thawed, waker) = (self.frozen.clone(), context.waker().clone());
            tokio::spawn(async move {
                let _ = thawed.wait_for(|frozen| !frozen).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context)
    }
}

/// A process that takes part.
pub(super) struct Candidate {
    pub(super) leadership: Leadership,
    pub(super) link: Link,
    pub(super) clock: Arc<TestClock>,
    pub(super) task: JoinHandle<Result<Ended, Error>>,
    frozen: watch::Sender<bool>,
}

impl Candidate {
    pub(super) fn start(server: &Server, identity: &str) -> Self {
        Self::start_with(server, identity, Link::new())
    }

    pub(super) fn start_with(server: &Server, identity: &str, link: Link) -> Self {
        let store = TestStore {
            server: server.clone(),
            link: link.clone(),
        };
        let clock = Arc::new(TestClock::new());
        let seed = identity
            .bytes()
            .fold(1, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        let (leadership, future) = elect_seeded(store, settings(identity), clock.clone(), seed);
        let (frozen, receiver) = watch::channel(false);
        let task = tokio::spawn(Freezable {
            inner: Box::pin(future),
            frozen: receiver,
        });
        Self {
            leadership,
            link,
            clock,
            task,
            frozen,
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// As kill -9 does: nothing is released.
    pub(super) fn kill(&self) {
        self.task.abort();
    }
}

pub(super) fn settings(identity: &str) -> Settings {
    Settings {
        name: "lock".to_owned(),
        namespace: "reloader".to_owned(),
        identity: identity.to_owned(),
        timings: Timings::default(),
    }
}

/// How often [`pass`] looks.
const TICK: Duration = Duration::from_millis(5);

/// Lets virtual time pass, and fails as soon as two of them may write at once.
pub(super) async fn pass(time: Duration, candidates: &[Candidate]) {
    pass_until(time, candidates, || false).await;
}

/// Like [`pass`], until `done`; gives the time it took, or `None` when it did not happen.
pub(super) async fn pass_until(
    time: Duration,
    candidates: &[Candidate],
    done: impl Fn() -> bool,
) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < time {
        sleep(TICK).await;
        let writers: Vec<_> = (0..candidates.len())
            .filter(|i| candidates[*i].leadership.may_write())
            .collect();
        assert!(writers.len() <= 1, "{writers:?} may all write");
        if done() {
            return Some(start.elapsed());
        }
    }
    None
}
