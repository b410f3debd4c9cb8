//! Which workloads wait until they may restart, and when each is looked at again.
//!
//! Input: waits, news about objects. Output: workloads to be looked at. I/O: none but a timer and the wall clock.
//!
//! Only a reminder, as [`Resumes`](super::resumes::Resumes): whether a workload may restart is decided from its state when it
//! is looked at. Lost with the process, and made again from the debts by the next leader. A workload that waits is in no
//! queue; it comes back to one when it may restart.
//!
//! It is looked at when its time has come, when its namespace has news, at most once a second for these, and at each sweep, so
//! that no wait hangs on news. Where the cluster's budget is used up, any rollout that ends is news.
//!
//! Those that are looked at at the same time come in turns of their namespaces: of the free places of a budget, each
//! namespace gets one before any gets a second.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    admit::{Reason, Scope, Wait},
    model::WorkloadKey,
};

/// How often each wait is looked at, whatever happens: the times are those of the wall clock, which may be set, and which
/// goes on while a computer sleeps.
const SWEEP: Duration = Duration::from_secs(10);
/// How often waits are looked at because of news of their namespaces: the more wait, the less often.
const NEWS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(1);
/// What each of those that wait adds to the time until the next look.
const NEWS_EACH: Duration = Duration::from_micros(100);

/// The waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    inner: Mutex<Inner>,
    /// How many there are, those that were let go included; read without the lock, because on most clusters there is never
    /// one.
    count: AtomicUsize,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    of: HashMap<WorkloadKey, Wait>,
    by_namespace: HashMap<Arc<str>, BTreeSet<WorkloadKey>>,
    in_order: BTreeSet<(Timestamp, WorkloadKey)>,
    /// To be looked at now.
    due: BTreeSet<WorkloadKey>,
    /// Namespaces with news.
    dirty: HashSet<Arc<str>>,
    /// When those with news were last looked at.
    spread_at: Option<tokio::time::Instant>,
    swept_at: Option<tokio::time::Instant>,
    /// When those that had waited were let go that are not restarted yet.
    released: HashMap<WorkloadKey, Instant>,
    /// How many wait for a place in the cluster's budget.
    for_any: usize,
    /// The namespace whose wait was let go last: the turn after it is the first.
    last_turn: Option<Arc<str>>,
}

impl Inner {
    fn remove(&mut self, key: &WorkloadKey) -> Option<Wait> {
        let waiting = self.of.remove(key)?;
        self.for_any -= usize::from(is_for_any(&waiting.reason));
        if let Some(until) = waiting.until {
            self.in_order.remove(&(until, key.clone()));
        }
        if let Some(keys) = self.by_namespace.get_mut(&key.namespace) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_namespace.remove(&key.namespace);
            }
        }
        self.due.remove(key);
        Some(waiting)
    }

    /// Takes out what is to be looked at now.
    fn take(&mut self, now: Timestamp, at: tokio::time::Instant) -> Vec<WorkloadKey> {
        if self.of.is_empty() {
            self.swept_at = None;
            self.dirty.clear();
            return Vec::new();
        }
        let swept_at = *self.swept_at.get_or_insert(at);
        if at.duration_since(swept_at) >= SWEEP {
            self.swept_at = Some(at);
            self.due.clear();
            self.dirty.clear();
            let all = self.of.keys().cloned().collect();
            return self.in_turns(all);
        }
        if !self.dirty.is_empty() && self.spread_in(at).is_zero() {
            self.spread_at = Some(at);
            for namespace in std::mem::take(&mut self.dirty) {
                let keys = self.by_namespace.get(&namespace).into_iter().flatten();
                self.due.extend(keys.cloned());
            }
        }
        let mut due: Vec<_> = std::mem::take(&mut self.due).into_iter().collect();
        while let Some((until, key)) = self.in_order.first()
            && *until <= now
        {
            due.push(key.clone());
            self.in_order.pop_first();
        }
        self.in_turns(due)
    }

    /// One of each namespace, then another of each, beginning after the one that was let go last.
    fn in_turns(&self, due: Vec<WorkloadKey>) -> Vec<WorkloadKey> {
        let mut of_namespaces: BTreeMap<Arc<str>, BTreeSet<WorkloadKey>> = BTreeMap::new();
        let all = due.len();
        for key in due {
            of_namespaces
                .entry(Arc::clone(&key.namespace))
                .or_default()
                .insert(key);
        }
        let mut turns: VecDeque<_> = of_namespaces.into_iter().collect();
        if let Some(last) = &self.last_turn {
            let later = turns.partition_point(|(namespace, _)| namespace <= last);
            turns.rotate_left(later);
        }
        let mut ordered = Vec::with_capacity(all);
        while let Some((namespace, mut keys)) = turns.pop_front() {
            ordered.extend(keys.pop_first());
            if !keys.is_empty() {
                turns.push_back((namespace, keys));
            }
        }
        ordered
    }

    /// How long until there may be something to be looked at; `None`: as long as there is no news.
    fn next_in(&self, now: Timestamp, at: tokio::time::Instant) -> Option<Duration> {
        let sweep = self.swept_at.map(|swept_at| swept_at + SWEEP - at);
        let spread = (!self.dirty.is_empty()).then(|| self.spread_in(at));
        let until = self.in_order.first().map(|(until, _)| until.duration_since(now));
        let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
        [sweep, spread, until].into_iter().flatten().min()
    }

    /// How long until namespaces with news may be looked at again.
    fn spread_in(&self, at: tokio::time::Instant) -> Duration {
        self.spread_at.map_or(Duration::ZERO, |before| {
            let waits = u32::try_from(self.of.len()).unwrap_or(u32::MAX);
            let apart = NEWS_EACH.saturating_mul(waits).clamp(*NEWS.start(), *NEWS.end());
            apart.saturating_sub(at.duration_since(before))
        })
    }
}

impl Waits {
    /// The workload waits, for this. Returns whether it did not, or for something else.
    pub(super) fn wait(&self, key: &WorkloadKey, wait: &Wait) -> bool {
        let mut inner = self.lock();
        let before = inner.remove(key);
        let is_new = before
            .as_ref()
            .is_none_or(|before| before.reason.differs(&wait.reason));
        if let Some(until) = wait.until {
            inner.in_order.insert((until, key.clone()));
        }
        inner
            .by_namespace
            .entry(key.namespace.clone())
            .or_default()
            .insert(key.clone());
        if before.is_none() {
            // What it waits for may have come while that was found out.
            inner.due.insert(key.clone());
        }
        inner.for_any += usize::from(is_for_any(&wait.reason));
        inner.of.insert(key.clone(), wait.clone());
        inner.released.remove(key);
        self.recount(&inner);
        drop(inner);
        self.news.notify_one();
        is_new
    }

    /// The workload does not wait any more, because it may restart now.
    pub(super) fn release(&self, key: &WorkloadKey) {
        let mut inner = self.lock();
        if inner.remove(key).is_some() {
            inner.last_turn = Some(Arc::clone(&key.namespace));
            inner.released.insert(key.clone(), Instant::now());
        }
        self.recount(&inner);
    }

    /// The workload owes nothing any more, or is gone.
    pub(super) fn end(&self, key: &WorkloadKey) {
        if !self.is_empty() {
            let mut inner = self.lock();
            inner.remove(key);
            inner.released.remove(key);
            self.recount(&inner);
        }
    }

    /// How long ago the workload was let go, where it had to wait. Forgets that.
    pub(super) fn released(&self, key: &WorkloadKey) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let mut inner = self.lock();
        let released = inner.released.remove(key);
        self.recount(&inner);
        released.map(|at| at.elapsed())
    }

    /// There is news of the workload.
    pub(super) fn look_at(&self, key: &WorkloadKey) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if inner.of.contains_key(key) {
            inner.due.insert(key.clone());
            drop(inner);
            self.news.notify_one();
        }
    }

    /// There is news of something in the namespace, or of the namespace itself.
    pub(super) fn look_into(&self, namespace: &str) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if let Some((namespace, _)) = inner.by_namespace.get_key_value(namespace) {
            let namespace = Arc::clone(namespace);
            inner.dirty.insert(namespace);
            drop(inner);
            self.news.notify_one();
        }
    }

    /// A rollout in the namespace has begun or ended: there may be a free place.
    pub(super) fn rolled(&self, namespace: &str) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if inner.for_any == 0 {
            drop(inner);
            self.look_into(namespace);
            return;
        }
        let all: Vec<_> = inner.by_namespace.keys().cloned().collect();
        inner.dirty.extend(all);
        drop(inner);
        self.news.notify_one();
    }

    /// The namespaces in which something waits.
    pub(super) fn namespaces(&self) -> Vec<Arc<str>> {
        if self.is_empty() {
            return Vec::new();
        }
        self.lock().by_namespace.keys().cloned().collect()
    }

    /// How late the restart of a workload is that owes one since then: `None` while it waits on purpose.
    pub(super) fn lateness(&self, key: &WorkloadKey, since: Instant) -> Option<Duration> {
        if self.is_empty() {
            return Some(since.elapsed());
        }
        let inner = self.lock();
        let is_waiting = inner.of.contains_key(key);
        let since = inner.released.get(key).copied().unwrap_or(since);
        (!is_waiting).then(|| since.elapsed())
    }

    /// Why the workload waits; `None`: it does not.
    pub(super) fn reason(&self, key: &WorkloadKey) -> Option<Reason> {
        if self.is_empty() {
            return None;
        }
        self.lock().of.get(key).map(|wait| wait.reason.clone())
    }

    /// How many wait, by the word for the reason.
    pub(super) fn counts(&self) -> HashMap<&'static str, usize> {
        let mut counts = HashMap::new();
        if !self.is_empty() {
            for waiting in self.lock().of.values() {
                *counts.entry(waiting.reason.as_str()).or_default() += 1;
            }
        }
        counts
    }

    /// The workloads that are to be looked at, once there is one. Cancel safe.
    pub(super) async fn due(&self) -> Vec<WorkloadKey> {
        loop {
            let news = self.news.notified();
            let (now, at) = (Timestamp::now(), tokio::time::Instant::now());
            let sleep = {
                let mut inner = self.lock();
                let due = inner.take(now, at);
                if !due.is_empty() {
                    return due;
                }
                inner.next_in(now, at)
            };
            let Some(sleep) = sleep else {
                news.await;
                continue;
            };
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    fn recount(&self, inner: &Inner) {
        self.count
            .store(inner.of.len() + inner.released.len(), Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held ends the process through supervision; until then the waits are still right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a rollout of any namespace may end it.
fn is_for_any(reason: &Reason) -> bool {
    matches!(reason, Reason::Budget(used_up) if used_up.scope == Scope::Cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admit::{By, Reason, UsedUp},
        model::WorkloadKind,
    };

    fn key(namespace: &str, name: &str) -> WorkloadKey {
        WorkloadKey::new(WorkloadKind::Deployment, namespace, name)
    }

    fn suspended() -> Wait {
        Wait {
            reason: Reason::Suspended(By::Workload),
            until: None,
        }
    }

    /// Waits that were looked at once.
    fn waiting(keys: &[WorkloadKey]) -> Waits {
        let waits = Waits::default();
        for key in keys {
            assert!(waits.wait(key, &suspended()));
        }
        waits.take();
        waits
    }

    impl Waits {
        fn take(&self) -> Vec<WorkloadKey> {
            self.lock().take(Timestamp::now(), tokio::time::Instant::now())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_looked_at_at_once_and_at_each_sweep() {
        let waits = Waits::default();
        assert!(waits.wait(&key("shop", "web"), &suspended()));
        assert_eq!(waits.due().await, [key("shop", "web")]);
        let begun = tokio::time::Instant::now();
        assert!(!waits.wait(&key("shop", "web"), &suspended()), "for the same");
        assert_eq!(waits.due().await, [key("shop", "web")]);
        assert_eq!(begun.elapsed(), SWEEP);
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_of_a_workload_or_of_its_namespace() {
        let (web, cart, other) = (key("shop", "web"), key("shop", "cart"), key("team", "web"));
        let waits = waiting(&[web.clone(), cart.clone(), other.clone()]);
        assert_eq!(waits.take(), []);
        waits.look_at(&cart);
        waits.look_at(&key("shop", "unknown"));
        assert_eq!(waits.take(), std::slice::from_ref(&cart));
        waits.look_into("shop");
        assert_eq!(waits.take(), [cart, web]);
        waits.look_into("team");
        waits.look_into("unknown");
        assert_eq!(waits.take(), [], "news come in bursts");
        tokio::time::advance(*NEWS.start()).await;
        assert_eq!(waits.take(), [other]);
        assert_eq!(waits.namespaces().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_namespace_has_its_turn_before_any_has_a_second() {
        let [one, two, three] = ["1", "2", "3"].map(|name| key("shop", name));
        let (ops, team) = (key("ops", "web"), key("team", "web"));
        let all = [&one, &two, &three, &ops, &team].map(WorkloadKey::clone);
        let waits = waiting(&all);
        let look = || {
            for namespace in ["ops", "shop", "team"] {
                waits.look_into(namespace);
            }
            waits.take()
        };
        assert_eq!(look(), [&ops, &one, &team, &two, &three].map(WorkloadKey::clone));
        // The one that was let go last is the last.
        waits.release(&ops);
        assert!(waits.wait(&ops, &suspended()));
        tokio::time::advance(*NEWS.start()).await;
        assert_eq!(look(), [&one, &team, &ops, &two, &three].map(WorkloadKey::clone));
    }

    #[tokio::test(start_paused = true)]
    async fn any_rollout_is_news_to_what_waits_for_the_clusters_budget() {
        let (shop, team) = (key("shop", "web"), key("team", "web"));
        let waits = waiting(std::slice::from_ref(&shop));
        waits.rolled("team");
        assert_eq!(waits.take(), [], "a suspension does not end by that");
        let used_up = UsedUp {
            scope: Scope::Cluster,
            in_flight: 5,
            limit: 5,
        };
        let wait = Wait {
            reason: Reason::Budget(used_up),
            until: None,
        };
        assert!(waits.wait(&team, &wait));
        assert_eq!(waits.take(), std::slice::from_ref(&team));
        waits.rolled("ops");
        assert_eq!(waits.take(), [shop, team]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_when_its_time_has_come() {
        let waits = Waits::default();
        let past = Timestamp::now() - Duration::from_secs(1);
        let wait = |until| Wait {
            until: Some(until),
            ..suspended()
        };
        waits.wait(&key("shop", "web"), &wait(past));
        waits.wait(&key("shop", "cart"), &wait(past + Duration::from_hours(1)));
        waits.take();
        // The first look at each has taken the time of the one out; what is found then notes it again.
        waits.wait(&key("shop", "web"), &wait(past));
        assert_eq!(waits.take(), [key("shop", "web")]);
    }

    #[test]
    fn what_ended_is_forgotten_and_what_is_let_go_counts_from_then() {
        let (web, cart) = (key("shop", "web"), key("shop", "cart"));
        let waits = waiting(&[web.clone(), cart.clone()]);
        assert_eq!(waits.counts().get("suspended"), Some(&2));
        waits.end(&cart);
        assert_eq!(waits.counts().get("suspended"), Some(&1));
        assert_eq!(waits.released(&cart), None);
        let long_ago = Instant::now().checked_sub(Duration::from_hours(1)).unwrap();
        assert_eq!(waits.lateness(&web, long_ago), None, "it waits");
        waits.release(&web);
        assert!(
            waits
                .lateness(&web, long_ago)
                .is_some_and(|late| late < Duration::from_hours(1))
        );
        assert!(waits.released(&web).is_some());
        assert_eq!(waits.released(&web), None, "once");
        assert!(waits.counts().is_empty());
        let inner = waits.lock();
        assert!(inner.of.is_empty() && inner.by_namespace.is_empty() && inner.due.is_empty());
    }
}
