//! The answers about sources: who would restart, and which have most users.
//!
//! Input: a source's key. Output: [`Simulation`], [`SourcesAnswer`]. I/O: none.

use std::sync::Arc;

use tokio::task::yield_now;

use super::about::Inspector;
use crate::{
    explain::{self, ObjectName, Simulation, Simulator, SourcesAnswer, UsedSource, VERSION},
    model::{SourceKey, SourceRef, Workload},
};

/// Workloads that are judged before other tasks may run. The patterns of each may cost 64 µs.
const SLICE: usize = 32;
/// Sources in the answer of those with most users.
const MOST: usize = 20;

impl Inspector {
    /// Who would restart if the source changed now, and when.
    pub(super) async fn simulate(&self, key: &SourceKey) -> Simulation {
        let index = self.context().index();
        let facts = self.facts(&index.source_standing(key));
        let scope = self.scope(&key.namespace);
        let mut simulator = Simulator::new(&facts, self.flags(), &scope);
        let mut restarting = Vec::new();
        for slice in index.workloads_of(&key.namespace).chunks(SLICE) {
            for workload in slice {
                if concerns(workload, &facts.source) && simulator.judge(workload) {
                    restarting.push(Arc::clone(workload));
                }
            }
            yield_now().await;
        }
        let planned = self.plan(key, &facts, restarting, &scope).await;
        simulator.finish(&key.namespace, planned)
    }

    /// The sources that restart most workloads.
    pub(super) async fn most_used(&self) -> SourcesAnswer {
        let index = self.context().index();
        let mut sources: Vec<UsedSource> = Vec::new();
        for namespace in index.namespaces() {
            let used = index.most_used_in(&namespace, MOST);
            sources.extend(used.iter().map(|(reference, users)| UsedSource {
                source: ObjectName::from(&reference.in_namespace(&namespace)),
                users: *users,
            }));
            sources.sort_by(|one, other| {
                other
                    .users
                    .cmp(&one.users)
                    .then_with(|| one.source.cmp(&other.source))
            });
            sources.truncate(MOST);
            yield_now().await;
        }
        SourcesAnswer {
            version: VERSION.to_owned(),
            sources,
        }
    }
}

fn concerns(workload: &Workload, source: &SourceRef) -> bool {
    workload.template.references().any(|used| used == source) || explain::lists(workload, source)
}
