use std::{
    collections::HashMap,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures::task::{ArcWake, waker};
use tokio::{
    task::{JoinSet, yield_now},
    time::{advance, sleep, timeout, timeout_at},
};

use super::*;
use crate::model::WorkloadKind;

const HOUR: Duration = Duration::from_hours(1);

fn key(name: &str) -> WorkloadKey {
    let (namespace, name) = name.split_once('/').unwrap();
    WorkloadKey::new(WorkloadKind::Deployment, namespace, name)
}

impl Queue {
    /// Keys that wait; those that are out do not count.
    fn len(&self) -> usize {
        let stats = self.stats();
        stats.depth_high + stats.depth_low
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn eager() -> Queue {
    Queue::new(Settings {
        window: Duration::ZERO,
        ..Settings::default()
    })
}

/// The next ticket; with the clock paused an hour passes at once if there is none.
async fn next(queue: &Queue) -> Option<Ticket> {
    timeout(HOUR, queue.next()).await.ok().flatten()
}

/// A call of [`Queue::next`] polled by hand, which counts how often it is woken.
struct Waiter<'a> {
    future: Pin<Box<dyn Future<Output = Option<Ticket>> + Send + 'a>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<'a> Waiter<'a> {
    /// Already waiting.
    fn new(queue: &'a Queue) -> Self {
        let mut waiter = Self {
            future: Box::pin(queue.next()),
            wakes: Arc::default(),
        };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<Option<Ticket>> {
        let waker = waker(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn woken(&self) -> bool {
        self.wakes.0.load(Ordering::SeqCst) > 0
    }

    /// Polls if it was woken since the last time.
    fn poll_if_woken(&mut self) -> Option<Ticket> {
        if self.wakes.0.swap(0, Ordering::SeqCst) == 0 {
            return None;
        }
        match self.poll() {
            Poll::Ready(ticket) => ticket,
            Poll::Pending => None,
        }
    }
}

fn woken(waiters: &[Waiter<'_>]) -> usize {
    waiters.iter().filter(|waiter| waiter.woken()).count()
}

mod waiting {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn until_a_key_is_added_and_its_causes_are_quiet() {
        let queue = Queue::new(Settings::default());
        let start = Instant::now();
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.next().await.unwrap(), Instant::now()) }
        });
        sleep(ms(1_000)).await;
        for _ in 0..5 {
            queue.add(key("a/x"), Priority::High);
            sleep(ms(50)).await;
        }
        let (ticket, got) = worker.await.unwrap();
        // The last of the five causes came 1200 ms after the start.
        assert_eq!(got - start, ms(1_300));
        assert_eq!(ticket.key(), &key("a/x"));
        assert_eq!(ticket.waited_since() - start, ms(1_000));
        assert_eq!(Instant::from_std(ticket.handout.due_since), got);
        assert_eq!((ticket.handout.priority, ticket.attempt()), (Priority::High, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_windows_at_most_for_causes_that_never_end() {
        let queue = Queue::new(Settings::default());
        let start = Instant::now();
        let causes = tokio::spawn({
            let queue = queue.clone();
            async move {
                loop {
                    queue.add(key("a/x"), Priority::High);
                    sleep(ms(30)).await;
                }
            }
        });
        let _ticket = queue.next().await.unwrap();
        assert_eq!(start.elapsed(), ms(1_000));
        causes.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_due_earlier_cuts_the_sleep_short() {
        let queue = eager();
        queue.add(key("a/late"), Priority::High);
        next(&queue)
            .await
            .unwrap()
            .done(Outcome::Retry(Retry::After(ms(60_000))));
        let start = Instant::now();
        let mut waiters = [Waiter::new(&queue), Waiter::new(&queue)];
        advance(ms(10)).await;
        queue.add(key("a/early"), Priority::High);
        let early = waiters.iter_mut().find_map(Waiter::poll_if_woken).unwrap();
        assert_eq!(early.key(), &key("a/early"));
        drop(waiters);
        let late = next(&queue).await.unwrap();
        assert_eq!((late.key(), start.elapsed()), (&key("a/late"), ms(60_000)));
    }
}

mod wake_ups {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_key_wakes_one_of_many() {
        let queue = eager();
        let mut waiters: Vec<_> = (0..32).map(|_| Waiter::new(&queue)).collect();
        queue.add(key("a/x"), Priority::High);
        assert_eq!(woken(&waiters), 1);
        let ticket = waiters.iter_mut().find_map(Waiter::poll_if_woken).unwrap();
        assert_eq!(woken(&waiters), 0);
        ticket.done(Outcome::Settled);
        assert_eq!(woken(&waiters), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_timer_wakes_one_of_many() {
        let queue = Queue::new(Settings::default());
        let mut waiters: Vec<_> = (0..32).map(|_| Waiter::new(&queue)).collect();
        queue.add(key("a/x"), Priority::High);
        assert!(waiters.iter_mut().all(|waiter| waiter.poll_if_woken().is_none()));
        advance(ms(50)).await;
        queue.add(key("a/y"), Priority::High);
        assert_eq!(
            woken(&waiters),
            0,
            "the one that sleeps until x is due sees to y as well"
        );
        advance(ms(50)).await;
        assert_eq!(woken(&waiters), 1);
        let ticket = waiters.iter_mut().find_map(Waiter::poll_if_woken).unwrap();
        assert_eq!(ticket.key(), &key("a/x"));
        assert_eq!(woken(&waiters), 1, "the next one to sleep, until y is due");
    }

    #[tokio::test(start_paused = true)]
    async fn many_keys_reach_as_many_workers() {
        let queue = Queue::new(Settings::default());
        let mut waiters: Vec<_> = (0..32).map(|_| Waiter::new(&queue)).collect();
        for n in 0..20 {
            queue.add(key(&format!("a/{n}")), Priority::High);
        }
        assert!(waiters.iter_mut().all(|waiter| waiter.poll_if_woken().is_none()));
        advance(ms(100)).await;
        let mut tickets = Vec::new();
        while woken(&waiters) > 0 {
            assert_eq!(woken(&waiters), 1, "one wakes the next");
            let index = waiters.iter().position(Waiter::woken).unwrap();
            if let Some(ticket) = waiters[index].poll_if_woken() {
                tickets.push(ticket);
                waiters.remove(index);
            }
        }
        assert_eq!(tickets.len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_sleeper_passes_its_alarm_on() {
        let queue = Queue::new(Settings::default());
        let sleeper = Waiter::new(&queue);
        let mut other = Waiter::new(&queue);
        queue.add(key("a/x"), Priority::High);
        let mut sleeper = sleeper;
        assert!(sleeper.poll_if_woken().is_none());
        assert!(!other.woken());
        drop(sleeper);
        assert!(other.woken());
        assert!(other.poll_if_woken().is_none());
        advance(ms(100)).await;
        assert_eq!(other.poll_if_woken().unwrap().key(), &key("a/x"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_cancelled_after_its_notification_swallows_nothing() {
        let queue = eager();
        let mut waiters: Vec<_> = (0..3).map(|_| Waiter::new(&queue)).collect();
        queue.add(key("a/x"), Priority::High);
        let notified = waiters.iter().position(Waiter::woken).unwrap();
        drop(waiters.remove(notified));
        assert_eq!(woken(&waiters), 1);
        let ticket = waiters.iter_mut().find_map(Waiter::poll_if_woken).unwrap();
        assert_eq!(ticket.key(), &key("a/x"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_worker_cancelled_leaves_the_key_to_a_later_one() {
        let queue = eager();
        let waiter = Waiter::new(&queue);
        queue.add(key("a/x"), Priority::High);
        drop(waiter);
        assert_eq!(next(&queue).await.unwrap().key(), &key("a/x"));
    }
}

mod tickets {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_worker_that_panicked_come_back() {
        let queue = eager();
        queue.add(key("a/x"), Priority::High);
        let ticket = next(&queue).await.unwrap();
        let start = Instant::now();
        let worker = tokio::spawn(async move {
            let _working_on = ticket;
            panic!("on purpose");
        });
        assert!(worker.await.unwrap_err().is_panic());
        assert_eq!((queue.in_flight(), queue.len()), (0, 1));
        let again = next(&queue).await.unwrap();
        assert_eq!((again.key(), again.attempt()), (&key("a/x"), 1));
        assert!(start.elapsed() >= ms(250) && start.elapsed() <= ms(501));
    }

    #[tokio::test(start_paused = true)]
    async fn settled_are_gone() {
        let queue = eager();
        queue.add(key("a/x"), Priority::Low);
        next(&queue).await.unwrap().done(Outcome::Settled);
        assert_eq!(queue.len(), 0);
        assert!(next(&queue).await.is_none());
        assert_eq!(queue.stats().namespaces, 0);
    }

    /// Longest and shortest wait in milliseconds among the 10th to 30th failure in a row.
    async fn waits(retry: Retry) -> (u128, u128) {
        let queue = eager();
        queue.add(key("a/x"), Priority::High);
        let mut waits = Vec::new();
        for _ in 0..30 {
            let start = Instant::now();
            let ticket = next(&queue).await.unwrap();
            waits.push(start.elapsed().as_millis());
            ticket.done(Outcome::Retry(retry));
        }
        let late = &waits[10..];
        (*late.iter().min().unwrap(), *late.iter().max().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn that_fail_are_tried_for_ever_at_the_cap() {
        // tokio's timer rounds up to a whole millisecond.
        let (least, most) = waits(Retry::Unavailable).await;
        assert!(least >= 2_500 && most <= 5_001, "{least} to {most}");
        let (least, most) = waits(Retry::Rejected).await;
        assert!(least >= 30_000 && most <= 60_001, "{least} to {most}");
        assert_eq!(waits(Retry::After(ms(7_000))).await, (7_000, 7_000));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_changed_workload_come_at_once() {
        let queue = Queue::new(Settings::default());
        queue.add(key("a/x"), Priority::High);
        next(&queue).await.unwrap().done(Outcome::Retry(Retry::Rejected));
        let mut waiter = Waiter::new(&queue);
        queue.add(key("a/x"), Priority::High);
        assert!(waiter.poll_if_woken().is_none());
        queue.wake(key("a/x"));
        assert_eq!(waiter.poll_if_woken().unwrap().attempt(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn show_in_the_running_times() {
        let queue = eager();
        queue.add(key("a/x"), Priority::High);
        queue.add(key("a/y"), Priority::Low);
        let ticket = next(&queue).await.unwrap();
        advance(ms(30)).await;
        let stats = queue.stats();
        assert_eq!(
            (stats.longest_running, stats.unfinished, stats.in_flight),
            (ms(30), ms(30), 1)
        );
        assert_eq!((stats.depth(Priority::High), stats.depth(Priority::Low)), (0, 1));
        drop(ticket);
        assert_eq!((queue.stats().retries, queue.stats().adds), (1, 2));
    }
}

mod ending {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_every_wait_and_lets_tickets_finish() {
        let queue = eager();
        queue.add(key("a/out"), Priority::High);
        let out = next(&queue).await.unwrap();
        let mut waiters: Vec<_> = (0..8).map(|_| Waiter::new(&queue)).collect();
        queue.shutdown();
        for waiter in &mut waiters {
            assert!(waiter.woken());
            assert!(matches!(waiter.poll(), Poll::Ready(None)));
        }
        queue.add(key("a/late"), Priority::High);
        assert!(queue.next().await.is_none());
        assert_eq!(queue.in_flight(), 1);
        out.done(Outcome::Settled);
        assert_eq!(queue.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_key_is_not_handed_out_until_it_is_added_again() {
        let queue = Queue::new(Settings::default());
        for name in ["a/1", "a/2", "b/1"] {
            queue.add(key(name), Priority::Low);
        }
        queue.remove(&key("a/1"));
        assert_eq!(queue.len(), 2);
        for name in ["a/2", "b/1"] {
            queue.remove(&key(name));
        }
        assert!(next(&queue).await.is_none());
        queue.add(key("a/2"), Priority::Low);
        assert_eq!(next(&queue).await.unwrap().key(), &key("a/2"));
    }
}

mod isolation {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_elsewhere_costs_one_hand_out() {
        let queue = Queue::new(Settings::default());
        for n in 0..10_000 {
            queue.add(key(&format!("a/{n}")), Priority::High);
        }
        queue.add(key("b/only"), Priority::High);
        let first = next(&queue).await.unwrap();
        let second = next(&queue).await.unwrap();
        assert!([first.key(), second.key()].contains(&&key("b/only")));
    }

    /// Keys handed out to a worker within ten seconds, the end excluded, by namespace.
    async fn handed_out(queue: &Queue) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        let end = Instant::now() + ms(9_999);
        while let Ok(Some(ticket)) = timeout_at(end, queue.next()).await {
            *counts.entry(ticket.key().namespace.to_string()).or_default() += 1;
            ticket.done(Outcome::Settled);
        }
        counts
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_namespace_gets_its_own_rate_exactly() {
        let queue = Queue::new(Settings {
            window: Duration::ZERO,
            namespace_rate: Some(rate(20, 5)),
            total_rate: None,
            ..Settings::default()
        });
        for n in 0..1_000 {
            queue.add(key(&format!("a/{n}")), Priority::High);
            queue.add(key(&format!("b/{n}")), Priority::Low);
        }
        queue.add(key("c/only"), Priority::High);
        // A burst of 5, then one each 50 ms.
        let counts = handed_out(&queue).await;
        assert_eq!((counts["a"], counts["b"], counts["c"]), (5 + 199, 5 + 199, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn all_namespaces_share_the_rate_over_all() {
        let queue = Queue::new(Settings {
            window: Duration::ZERO,
            namespace_rate: None,
            total_rate: Some(rate(10, 1)),
            ..Settings::default()
        });
        for n in 0..1_000 {
            queue.add(key(&format!("a/{n}")), Priority::High);
            queue.add(key(&format!("b/{n}")), Priority::High);
        }
        let counts = handed_out(&queue).await;
        assert_eq!((counts["a"], counts["b"]), (50, 50));
    }
}

/// Real threads: a key is never out twice at once, and its last cause is always followed by a hand-out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_neither_share_a_key_nor_lose_a_cause() {
    const KEYS: usize = 50;
    const CAUSES: usize = 4_000;
    struct Slot {
        key: WorkloadKey,
        out: AtomicBool,
        caused: AtomicUsize,
        seen: AtomicUsize,
    }
    let slots: Arc<Vec<_>> = Arc::new(
        (0..KEYS)
            .map(|n| Slot {
                key: key(&format!("ns{}/{n}", n % 7)),
                out: AtomicBool::new(false),
                caused: AtomicUsize::new(0),
                seen: AtomicUsize::new(0),
            })
            .collect(),
    );
    let queue = eager();
    let mut workers = JoinSet::new();
    for _ in 0..32 {
        let (queue, slots) = (queue.clone(), Arc::clone(&slots));
        workers.spawn(async move {
            while let Some(ticket) = queue.next().await {
                let slot = slots.iter().find(|slot| slot.key == *ticket.key()).unwrap();
                assert!(!slot.out.swap(true, Ordering::SeqCst), "out twice at once");
                let caused = slot.caused.load(Ordering::SeqCst);
                yield_now().await;
                slot.seen.fetch_max(caused, Ordering::SeqCst);
                slot.out.store(false, Ordering::SeqCst);
                ticket.done(Outcome::Settled);
            }
        });
    }
    let mut causes = JoinSet::new();
    for task in 0..4 {
        let (queue, slots) = (queue.clone(), Arc::clone(&slots));
        causes.spawn(async move {
            for n in 0..CAUSES {
                let slot = &slots[(n * 13 + task) % KEYS];
                slot.caused.fetch_add(1, Ordering::SeqCst);
                queue.add(slot.key.clone(), Priority::High);
                if n % 16 == 0 {
                    yield_now().await;
                }
            }
        });
    }
    while causes.join_next().await.transpose().unwrap().is_some() {}
    timeout(Duration::from_mins(1), async {
        while queue.len() + queue.in_flight() > 0 {
            yield_now().await;
        }
    })
    .await
    .expect("a wake-up was lost");
    queue.shutdown();
    while workers.join_next().await.transpose().unwrap().is_some() {}
    for slot in slots.iter() {
        assert_eq!(
            slot.seen.load(Ordering::SeqCst),
            slot.caused.load(Ordering::SeqCst)
        );
    }
    assert_eq!(queue.stats().adds, u64::try_from(4 * CAUSES).unwrap());
}
