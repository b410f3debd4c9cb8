//! Pods that start without a restart of ours: by a template that somebody else changes, one by one, or not at all, because
//! a new workload adopts those of the one before.
//!
//! Input: workloads as they were and are. Output: debts that others have settled or made. I/O: none.

use super::super::{
    change::{Change, WorkloadId},
    objects::Objects,
    replaced::{Replaced, Span},
};
use super::{
    Debts,
    belief::Belief,
    candidates,
    debt::Debt,
    released::{self, Pods},
};
use crate::model::{Replacement, Restart, SourceRef, Workload};

impl Debts {
    /// The workload was seen again, and pods of it may have started since it was seen before: all of them where its
    /// template has become another one. Returns the sources for which it owes something else now.
    pub(in crate::index) fn workload_moved(
        &mut self,
        workload: &Workload,
        replaced: &Replaced,
        objects: &Objects,
    ) -> Vec<SourceRef> {
        // Whose template another one lends: its own resourceVersion says nothing of that.
        if workload.template_of.is_some() || !objects.workloads.may_be_concerned(workload) {
            return Vec::new();
        }
        let settled = self.started_meanwhile(workload, replaced, objects);
        if workload.pods.are_complete {
            // No pod of the template before is left.
            self.book
                .retain(&WorkloadId::from(&workload.key), |_, debt| !debt.is_replaced());
        }
        settled
    }

    fn started_meanwhile(
        &mut self,
        workload: &Workload,
        replaced: &Replaced,
        objects: &Objects,
    ) -> Vec<SourceRef> {
        let id = WorkloadId::from(&workload.key);
        let (span, all) = match (replaced.template_changed, replaced.pods_moved) {
            (Some(span), _) if workload.replacement == Replacement::All => (span, true),
            (Some(span), _) | (None, Some(span)) if workload.restart == Restart::Template => (span, false),
            _ => return Vec::new(),
        };
        let owed = self.of(&id).map(|(reference, _)| reference);
        // Of the many that may have changed lately, those that did so after the workload was seen before.
        let candidates = || candidates(workload, objects);
        let changed = self.unclaimed.changed_since(span.since, candidates);
        let mut references: Vec<SourceRef> = owed.cloned().chain(changed).collect();
        references.sort_unstable();
        references.dedup();
        references.retain(|reference| self.pods_started(reference, (workload, replaced), span, all, objects));
        references
    }

    /// Pods have started during that time, `all` of them or some. Returns whether the debt is another one now.
    fn pods_started(
        &mut self,
        reference: &SourceRef,
        (workload, replaced): (&Workload, &Replaced),
        span: Span,
        all: bool,
        objects: &Objects,
    ) -> bool {
        let known = objects.sources.with_target(reference);
        let Some((source, target)) = known.filter(|(source, _)| objects.workloads.concerns(source, workload))
        else {
            return false;
        };
        let id = WorkloadId::from(&workload.key);
        let mut belief = Belief::of(self.unclaimed.contents(reference, span, target));
        let debt = self.book.get_mut(&id, reference);
        let is_replaced = debt.as_ref().is_some_and(|debt| debt.is_replaced());
        if !is_replaced && replaced.is_restart_beside(workload, reference, target) {
            // They run with what the source holds all the same, but the marker has to follow.
            belief.forget();
        }
        if let Some(debt) = debt {
            // Where the changes are forgotten, what the source held before the last one is not known.
            let is_known = self.unclaimed.last(reference).is_some() || debt.version() <= span.since;
            let before = debt.state();
            let remains = if all && replaced.template_returned {
                debt.taken_back(&belief, target)
            } else if all && is_known {
                debt.rolled(&belief, target)
            } else {
                debt.pods_started(&belief, target)
            };
            let differs = !remains || before != debt.state();
            if !remains {
                self.forget(&id, reference);
            }
            return differs;
        }
        if !all || replaced.template_returned {
            belief.add(target);
        }
        let Some(change) = self.last_change(reference).filter(|_| !belief.is(Some(target))) else {
            return false;
        };
        self.insert(&id, reference, Debt::with(belief, &change, Some(source)));
        true
    }

    /// The workload is going, and its pods stay for whoever comes under its name.
    pub(in crate::index) fn release(&mut self, workload: &Workload, change: &Change, objects: &Objects) {
        let id = WorkloadId::from(&workload.key);
        let held = objects.of_workload(workload).into_iter().filter_map(|reference| {
            let belief = match self.book.get(&id, &reference) {
                Some(debt) => *debt.belief(),
                None => Belief::of([Some(objects.sources.target(&reference)?)]),
            };
            Some((reference, belief))
        });
        let pods = Pods {
            fingerprint: workload.template.fingerprint,
            held: held.take(released::MOST_SOURCES).collect(),
            since: *change,
        };
        self.released.note(id, pods);
    }

    /// A workload has appeared that may adopt pods which were left behind.
    pub(in crate::index) fn adopt_released(&mut self, workload: &Workload, objects: &Objects) {
        let id = WorkloadId::from(&workload.key);
        let Some(pods) = self.released.adopt(&id, workload.template.fingerprint) else {
            return;
        };
        for (reference, belief) in pods.held {
            let known = objects.sources.with_target(&reference);
            if let Some((source, target)) = known
                && !belief.is(Some(target))
                && objects.workloads.concerns(source, workload)
            {
                self.insert(&id, &reference, Debt::with(belief, &pods.since, Some(source)));
            }
        }
    }
}
