//! When the Deployments that Reloader has paused are to be resumed.
//!
//! Input: workloads and times. Output: workloads whose time has come. I/O: none but a timer and the wall clock.
//!
//! Only a reminder: whether a workload is to be resumed is decided from its state when the time has come. Lost with the
//! process, and made again from the cluster's state by the next leader.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::Notify;

use crate::{decide::pause::Resume, model::WorkloadKey};

/// The longest sleep until the clock is looked at again: the times are those of the wall clock, which may be set, and
/// which goes on while a computer sleeps.
const LOOK: Duration = Duration::from_secs(10);

/// The times.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    times: Mutex<Times>,
    news: Notify,
}

/// Whether a workload has to be looked at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduled {
    /// It is to be resumed now; nothing is noted.
    DueNow,
    /// [`Resumes::due`] will return it, if it is ever to be resumed.
    Noted,
}

#[derive(Debug, Default)]
struct Times {
    /// Whether resumes have begun: not while sources that are not known yet may have changed.
    released: bool,
    of: HashMap<WorkloadKey, Timestamp>,
    in_order: BTreeSet<(Timestamp, WorkloadKey)>,
}

impl Times {
    fn set(&mut self, key: &WorkloadKey, at: Option<Timestamp>) {
        if let Some(before) = self.of.remove(key) {
            self.in_order.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.of.insert(key.clone(), at);
            self.in_order.insert((at, key.clone()));
        }
    }

    /// Takes out those whose time has come.
    fn take(&mut self, now: Timestamp) -> Vec<WorkloadKey> {
        let mut due = Vec::new();
        while self.released
            && let Some((at, key)) = self.in_order.first()
            && *at <= now
        {
            let key = key.clone();
            self.set(&key, None);
            due.push(key);
        }
        due
    }
}

impl Resumes {
    /// Resumes begin. Before the sources are known, a change that was made while no replica ran would miss the rollout
    /// that the resume begins, and cost a second one.
    pub(super) fn release(&self) {
        self.lock().released = true;
        self.news.notify_one();
    }

    /// Notes when the workload is to be resumed. `look` is called under the lock, so that of two calls at the same time
    /// the last one goes by the newer state.
    pub(super) fn schedule(&self, key: &WorkloadKey, look: impl FnOnce() -> Resume) -> Scheduled {
        let mut times = self.lock();
        let resume = look();
        let at = match resume {
            Resume::At(at) => Some(at),
            Resume::Now if !times.released => Some(Timestamp::now()),
            Resume::Now | Resume::Never => None,
        };
        times.set(key, at);
        drop(times);
        self.news.notify_one();
        if resume == Resume::Now && at.is_none() {
            Scheduled::DueNow
        } else {
            Scheduled::Noted
        }
    }

    /// The workloads whose time has come, once there is one. Cancel safe.
    pub(super) async fn due(&self) -> Vec<WorkloadKey> {
        loop {
            let news = self.news.notified();
            let now = Timestamp::now();
            let next = {
                let mut times = self.lock();
                let due = times.take(now);
                if !due.is_empty() {
                    return due;
                }
                times
                    .in_order
                    .first()
                    .filter(|_| times.released)
                    .map(|(at, _)| *at)
            };
            let Some(next) = next else {
                news.await;
                continue;
            };
            let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(wait.min(LOOK)) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        // A panic while the lock was held ends the process through supervision; until then the times are still right.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::WorkloadKind;

    fn key(name: &str) -> WorkloadKey {
        WorkloadKey::new(WorkloadKind::Deployment, "team", name)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn released() -> Resumes {
        let resumes = Resumes::default();
        resumes.release();
        resumes
    }

    #[tokio::test]
    async fn nothing_is_resumed_before_the_sources_are_known() {
        let resumes = Resumes::default();
        assert_eq!(resumes.schedule(&key("a"), || Resume::Now), Scheduled::Noted);
        resumes.schedule(&key("b"), || Resume::At(at(10)));
        let mut waiting = Box::pin(resumes.due());
        assert!(futures::poll!(&mut waiting).is_pending());
        resumes.release();
        assert_eq!(waiting.await, [key("b"), key("a")]);
    }

    #[test]
    fn the_last_time_noted_counts() {
        let resumes = released();
        for (name, resume) in [
            ("a", Resume::At(at(10))),
            ("b", Resume::At(at(5))),
            ("c", Resume::At(at(7))),
            ("a", Resume::At(at(6))),
            ("c", Resume::Never),
        ] {
            assert_eq!(resumes.schedule(&key(name), || resume), Scheduled::Noted);
        }
        assert!(resumes.lock().take(at(4)).is_empty());
        assert_eq!(resumes.lock().take(at(5)), [key("b")]);
        assert_eq!(resumes.lock().take(at(100)), [key("a")]);
        let left = resumes.lock();
        assert!(left.of.is_empty() && left.in_order.is_empty());
    }

    #[test]
    fn what_is_due_now_needs_no_note() {
        let resumes = released();
        resumes.schedule(&key("a"), || Resume::At(at(10)));
        assert_eq!(resumes.schedule(&key("a"), || Resume::Now), Scheduled::DueNow);
        assert!(resumes.lock().in_order.is_empty());
    }

    #[tokio::test]
    async fn a_nearer_time_is_noticed_while_a_later_one_is_waited_for() {
        let resumes = Arc::new(released());
        let now = Timestamp::now();
        resumes.schedule(&key("later"), || Resume::At(now + Duration::from_hours(1)));
        let waiting = tokio::spawn({
            let resumes = Arc::clone(&resumes);
            async move { resumes.due().await }
        });
        tokio::task::yield_now().await;
        resumes.schedule(&key("soon"), || Resume::At(now));
        assert_eq!(waiting.await.unwrap(), [key("soon")]);
    }
}
