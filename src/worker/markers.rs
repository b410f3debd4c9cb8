//! Keeps the ledger ahead of markers that are about to be overwritten.
//!
//! Input: plans. Output: touches and flushes of the ledger. I/O: through [`ledger`](crate::ledger).
//!
//! The ledger is written lazily because the marker on the workload shows that a restart has happened. Where the marker
//! cannot show it (a CronJob's new Job leaves none, the annotations strategy has one for all sources), the ledger has to
//! be written first, or a new leader would find neither and restart the workload again.

use dashmap::DashMap;

use crate::{
    decide::{self, Plan, Strategy},
    ledger::Ledger,
    model::WorkloadKey,
};

/// Above so many entries, those that are written are dropped.
const REMEMBERED: usize = 1024;

/// The markers that the ledger does not cover yet.
pub(super) struct Markers {
    ledger: Ledger,
    /// By workload, the ledger's number up to which it has to be written before the marker may be overwritten. Only for
    /// the annotations strategy.
    uncovered: DashMap<WorkloadKey, u64>,
}

impl Markers {
    /// No marker is uncovered.
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            uncovered: DashMap::new(),
        }
    }

    /// The plan is about to be written: the restart that the present marker stands for has to be in the ledger.
    pub(super) async fn before_write(&self, plan: &Plan) {
        if plan.strategy == Strategy::Annotations
            && let Some((_, number)) = self.uncovered.remove(&plan.workload)
            && !self.ledger.is_written(number)
        {
            self.ledger.flush().await;
        }
    }

    /// The plan was written: what it settled goes into the ledger, at once where no marker shows it.
    pub(super) async fn after_write(&self, plan: &Plan) {
        let touched = plan
            .settled
            .iter()
            .map(|settled| self.ledger.touch_restarted(settled.source.clone()))
            .max();
        if !plan.write.leaves_marker() {
            self.ledger.flush().await;
            return;
        }
        if plan.strategy != Strategy::Annotations {
            return;
        }
        let is_superseded =
            |settled: &decide::Settlement| settled.outcome == decide::SourceOutcome::Superseded;
        if plan.settled.iter().any(is_superseded) {
            // Several sources, one marker: only the ledger can tell that the others are settled too.
            self.ledger.flush().await;
        } else if let Some(number) = touched {
            self.uncovered.insert(plan.workload.clone(), number);
            if self.uncovered.len() > REMEMBERED {
                self.uncovered
                    .retain(|_, number| !self.ledger.is_written(*number));
            }
        }
    }
}
