//! What becomes of restarts: which of the workloads that this process has restarted are not healthy since.
//!
//! Input: restarts, workloads as they are now. Output: how a rollout ended, what is stale. I/O: none; `now` is a parameter.
//!
//! A workload is followed from its restart until all its pods have its template and are available, or until it is gone.
//! Lost with the process: the next leader follows what it restarts itself.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::model::{Replacement, Rollout, RolloutState, SourceKey, UnixSeconds, Workload, WorkloadKey};

/// Workloads of one namespace that are followed at most.
const MOST_IN_NAMESPACE: usize = 10_000;
/// A rollout under way is asked for where no watch shows it, again after this part of the time since the restart: the longer
/// it takes, the less often.
const ASKED_AGAIN_AFTER: u32 = 8;
/// Sources that are kept of one workload at most.
const MOST_SOURCES: usize = 32;

/// A restart that was written.
#[derive(Clone, Debug)]
pub(super) struct Restarted {
    /// `metadata.uid` of the workload.
    pub(super) uid: Box<str>,
    /// What it was restarted for.
    pub(super) sources: BTreeSet<SourceKey>,
    /// When the oldest of these changed.
    pub(super) changed_at: UnixSeconds,
    /// When it was written.
    pub(super) at: Instant,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All pods have the new template and are available, so long after the restart.
    Fresh(Duration),
    /// It was given up, so long after the restart for these sources.
    Failed(Duration, BTreeSet<SourceKey>),
    /// It was given up, and all pods are available now.
    Recovered,
}

/// Why pods run with an earlier configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stale {
    /// Their restart waits on purpose, or their replacement does for a pause period.
    Deferred,
    /// Their restart is owed.
    Pending,
    /// They are being replaced.
    Rolling,
    /// Their rollout was given up.
    Failed,
    /// Their template was changed, and their controller leaves them as they are.
    TemplateOnly,
}

impl Stale {
    pub(super) const ALL: [Self; 5] = [
        Self::Deferred,
        Self::Pending,
        Self::Rolling,
        Self::Failed,
        Self::TemplateOnly,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Pending => "pending",
            Self::Rolling => "rolling",
            Self::Failed => "failed",
            Self::TemplateOnly => "template_only",
        }
    }
}

/// How many workloads are stale, and since when the stalest is, by [`Stale`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Staleness(HashMap<Stale, (usize, UnixSeconds)>);

impl Staleness {
    pub(super) fn add(&mut self, why: Stale, since: UnixSeconds) {
        let (count, oldest) = self.0.entry(why).or_insert((0, since));
        *count += 1;
        *oldest = since.min(*oldest);
    }

    /// How many are, and for how long the stalest is.
    pub(super) fn of(&self, why: Stale, now: UnixSeconds) -> (usize, Duration) {
        let stale = self.0.get(&why);
        stale.map_or((0, Duration::ZERO), |(count, since)| (*count, since.elapsed(now)))
    }
}

/// The workloads that are followed.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    inner: Mutex<HashMap<Arc<str>, HashMap<WorkloadKey, Followed>>>,
    /// How many there are; read without the lock, because every status of every workload asks.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Followed {
    restarted: Restarted,
    has_failed: bool,
    /// When it was asked for last, or restarted.
    asked_at: Instant,
}

impl Followed {
    fn is_to_be_asked_for(&self, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        since(self.asked_at) >= since(self.restarted.at) / ASKED_AGAIN_AFTER
    }
}

/// How a workload stands after its restart.
enum Now {
    Fresh,
    Stale(Stale),
    /// Its status does not tell.
    Unknown,
}

impl Outcomes {
    /// The workload was restarted; follow it with [`Self::look_at`]. One that was not healthy since the restart before stays as
    /// stale as it was.
    pub(super) fn restarted(&self, key: &WorkloadKey, mut restarted: Restarted) {
        let mut inner = self.lock();
        let here = inner.entry(Arc::clone(&key.namespace)).or_default();
        if let Some(Followed {
            restarted: before, ..
        }) = here.remove(key)
            && before.uid == restarted.uid
        {
            restarted.changed_at = restarted.changed_at.min(before.changed_at);
            restarted.sources.extend(before.sources);
        }
        while restarted.sources.len() > MOST_SOURCES {
            restarted.sources.pop_last();
        }
        if here.len() < MOST_IN_NAMESPACE {
            let followed = Followed {
                asked_at: restarted.at,
                restarted,
                has_failed: false,
            };
            here.insert(key.clone(), followed);
        }
        self.recount(&mut inner);
    }

    /// The workload is as this now. What is new about its rollout.
    pub(super) fn look_at(&self, workload: &Workload, now: Instant) -> Option<Outcome> {
        if self.is_empty() {
            return None;
        }
        let key = &workload.key;
        let mut inner = self.lock();
        let here = inner.get_mut(&key.namespace)?;
        let followed = here.get_mut(key)?;
        let after = now.saturating_duration_since(followed.restarted.at);
        let outcome = if followed.restarted.uid == workload.uid {
            match stands(workload) {
                Now::Stale(Stale::Failed) if !followed.has_failed => {
                    followed.has_failed = true;
                    return Some(Outcome::Failed(after, followed.restarted.sources.clone()));
                }
                Now::Stale(_) => return None,
                Now::Fresh if followed.has_failed => Some(Outcome::Recovered),
                // Without a pod there was no rollout.
                Now::Fresh if workload.rollout.has_pods => Some(Outcome::Fresh(after)),
                Now::Fresh | Now::Unknown => None,
            }
        } else {
            // The pods of another object are new.
            None
        };
        here.remove(key);
        self.recount(&mut inner);
        outcome
    }

    /// The namespaces in which a workload is to be asked for, where no watch shows it. All in them are taken to be.
    pub(super) fn to_be_asked_for(&self, now: Instant) -> Vec<Arc<str>> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut inner = self.lock();
        let due = inner.iter_mut().filter(|(_, here)| {
            let mut followed = here.values();
            followed.any(|followed| followed.is_to_be_asked_for(now))
        });
        let due = due.map(|(namespace, here)| {
            for followed in here.values_mut() {
                followed.asked_at = now;
            }
            Arc::clone(namespace)
        });
        due.collect()
    }

    /// The workload is gone.
    pub(super) fn forget(&self, key: &WorkloadKey) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if let Some(here) = inner.get_mut(&key.namespace) {
            here.remove(key);
        }
        self.recount(&mut inner);
    }

    /// Adds those that are stale now. Forgets those that are not, or that `workload` does not know any more.
    pub(super) fn add_to(
        &self,
        staleness: &mut Staleness,
        workload: impl Fn(&WorkloadKey) -> Option<Arc<Workload>>,
        owes: impl Fn(&WorkloadKey) -> bool,
    ) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for here in inner.values_mut() {
            here.retain(|key, Followed { restarted, .. }| {
                let Some(workload) = workload(key).filter(|workload| workload.uid == restarted.uid) else {
                    return false;
                };
                let Now::Stale(why) = stands(&workload) else {
                    return false;
                };
                // What it owes is counted as such.
                if !owes(key) {
                    staleness.add(why, restarted.changed_at);
                }
                true
            });
        }
        self.recount(&mut inner);
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn recount(&self, inner: &mut HashMap<Arc<str>, HashMap<WorkloadKey, Followed>>) {
        inner.retain(|_, here| !here.is_empty());
        let count = inner.values().map(HashMap::len).sum();
        self.count.store(count, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, HashMap<WorkloadKey, Followed>>> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the workload stands, as its own status says. Of one that uses the template of another it does not say whether that is
/// about the present one.
fn stands(workload: &Workload) -> Now {
    let rollout = workload.rollout;
    match rollout.state {
        // It opts into nothing any more.
        _ if rollout == Rollout::default() => Now::Unknown,
        _ if workload.template_of.is_some() => Now::Unknown,
        RolloutState::Opaque | RolloutState::Never => Now::Unknown,
        RolloutState::Failed => Now::Stale(Stale::Failed),
        RolloutState::Steady if rollout.is_healthy => Now::Fresh,
        RolloutState::Paused if workload.pods.are_complete && rollout.is_healthy => Now::Fresh,
        RolloutState::Paused => Now::Stale(Stale::Deferred),
        RolloutState::Held => match workload.replacement {
            Replacement::Partly(_) if workload.pods.are_complete && rollout.is_healthy => Now::Fresh,
            Replacement::Partly(_) => Now::Stale(Stale::TemplateOnly),
            // Between two steps of a Rollout.
            Replacement::All | Replacement::Unknown => Now::Stale(Stale::Rolling),
        },
        RolloutState::Steady | RolloutState::Unobserved | RolloutState::Rolling => Now::Stale(Stale::Rolling),
    }
}

#[cfg(test)]
mod tests;
