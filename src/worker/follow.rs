//! Follows restarts to their end, and tells how stale workloads are.
//!
//! Input: restarts, workloads as the index has them. Output: outcomes into metrics, lines and Events. I/O: none of its own.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    context::{Context, now},
    outcomes::{Outcome, Restarted, Stale, Staleness},
    report::log_recovered,
};
use crate::{
    index::Pending,
    metrics::RolloutResult,
    model::{Owed, WorkloadKey},
};

/// Workloads whose pods run with an earlier configuration for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalest {
    /// The word for the reason.
    pub(crate) reason: &'static str,
    /// How many there are.
    pub(crate) workloads: usize,
    /// The age of the oldest change that is not in healthy pods; zero without one.
    pub(crate) age: Duration,
}

impl Context {
    /// Tells how many workloads are stale, and how stale the worst is, by the word for the reason; on a standby, none. `owing`
    /// are those that owe a restart, with how late that is; `None`: it waits on purpose. It does not keep the context.
    pub(crate) fn stale(
        &self,
    ) -> impl Fn(&[(Option<Duration>, Pending)]) -> Vec<Stalest> + Send + Sync + use<> {
        let (outcomes, index) = (Arc::clone(self.outcomes()), Arc::clone(self.index()));
        let leadership = self.leadership().clone();
        move |owing| {
            let mut staleness = Staleness::default();
            if leadership.is_leader() {
                for (late, pending) in owing {
                    let why = match late {
                        Some(_) => Stale::Pending,
                        None => Stale::Deferred,
                    };
                    let since = pending.owed.iter().map(Owed::changed_at).min();
                    staleness.add(why, since.unwrap_or_else(|| now().unix));
                }
                let keys: HashSet<&WorkloadKey> =
                    owing.iter().map(|(_, owing)| &owing.workload.key).collect();
                let workload =
                    |key: &WorkloadKey| index.workload(key).filter(|_| index.selects(&key.namespace));
                outcomes.add_to(&mut staleness, workload, |key| keys.contains(key));
            }
            let now = now().unix;
            let stalest = Stale::ALL.into_iter().map(|why| {
                let (workloads, age) = staleness.of(why, now);
                Stalest {
                    reason: why.as_str(),
                    workloads,
                    age,
                }
            });
            stalest.collect()
        }
    }

    /// The workload was restarted for these, and is followed until it is healthy.
    pub(super) fn follow(&self, key: &WorkloadKey, uid: &str, restarted_for: &[&Owed]) {
        let Some(changed_at) = restarted_for.iter().map(|owed| owed.changed_at()).min() else {
            return;
        };
        let sources = restarted_for.iter().map(|owed| owed.source.key.clone());
        let restarted = Restarted {
            uid: uid.into(),
            sources: sources.collect(),
            changed_at,
            at: Instant::now(),
        };
        self.outcomes().restarted(key, restarted);
        self.look_at_rollout(key);
        for owed in restarted_for {
            let source = &owed.source;
            // To count all of its workloads again for each restart would tell nothing new.
            if !self.begun().has(&source.key, owed.version)
                && let Some((rules, tally)) = self.gate().progress(source)
                && tally.concerned > 1
                && self.begun().note(&source.key, owed.version)
            {
                self.reporter()
                    .rollout_started(source, owed.version, &rules, &tally);
            }
        }
    }

    /// Says of each change that is rolled out under a limit when it has come to its end. Never ends.
    pub async fn look_after_changes(self: Arc<Self>) {
        loop {
            for (key, version) in self.begun().due().await {
                let source = self.index().source(&key).map(|(source, _)| source);
                let progress = source.as_ref().and_then(|source| self.gate().progress(source));
                let Some((source, (_, tally))) = source.as_ref().zip(progress) else {
                    // It is deleted, or not limited any more.
                    self.begun().end(&key, version);
                    continue;
                };
                if tally.is_complete() && self.begun().end(&key, version) && self.leadership().is_leader() {
                    self.reporter().rollout_complete(source, version, &tally);
                }
            }
        }
    }

    /// The workload's rollout may have ended.
    pub(super) fn look_at_rollout(&self, key: &WorkloadKey) {
        let Some(workload) = self.index().workload(key) else {
            return;
        };
        let metrics = self.metrics();
        match self.outcomes().look_at(&workload, Instant::now()) {
            Some(Outcome::Fresh(after)) => metrics.rollout_ended(key.kind, RolloutResult::Fresh, after),
            Some(Outcome::Failed(after, sources)) => {
                metrics.rollout_ended(key.kind, RolloutResult::Failed, after);
                self.reporter().rollout_failed(&workload, &sources);
            }
            Some(Outcome::Recovered) => log_recovered(key),
            None => {}
        }
    }
}
