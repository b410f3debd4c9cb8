//! What workloads owe: how a debt arises, is attempted, settled, and handed from one leader to the next.
//!
//! Input: changes of sources, outcomes of patches. Output: [`Pending`] work, [`Standing`]s. I/O: none.

use super::{
    Change, OwedBy, Pending, Seen, Standing,
    namespace::{LocalWorkload, Namespace, SourceSlot, local},
};
use crate::model::{Digest, Owed, Source, SourceKey, SourceKind, SourceRef, Workload, WorkloadKey};

/// Above so many workloads owing one source, the ledger's line says that all of them do: their markers tell a later
/// leader who was served already, and a line of a few KiB stays one.
const LONGEST_LIST: usize = 64;

/// What is owed for one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    /// The content the workload runs with; `None` where it may be either, after a patch of unknown outcome.
    running: Option<Digest>,
    /// When the first change since then was seen.
    first: Seen,
    /// When the last change was seen.
    last_unix: i64,
    order: u64,
    /// The source's resourceVersion at that change.
    version: u64,
}

impl Debt {
    fn new(running: Option<Digest>, change: &Change, source: Option<&SourceSlot>) -> Self {
        Self {
            running,
            first: change.seen,
            last_unix: change.seen.unix,
            order: change.order,
            version: source.map_or(0, |slot| slot.source.resource_version),
        }
    }
}

impl Debt {
    /// It is not known which content the workload runs with.
    pub(super) const fn forget_running(&mut self) {
        self.running = None;
    }
}

impl Namespace {
    /// The source had that content before: notes it against every workload it concerns, known or not.
    pub(super) fn changed(
        &mut self,
        reference: &SourceRef,
        before: Digest,
        change: &Change,
    ) -> Vec<WorkloadKey> {
        if change.remember && self.selected {
            self.unclaimed
                .entry(reference.clone())
                .or_insert((before, *change))
                .1 = *change;
        }
        let Some(slot) = self.sources.get(reference) else {
            return Vec::new();
        };
        let now = slot.source.digest;
        let mut due = Vec::new();
        for id in self.concerned(&slot.source) {
            let source = self.sources.get(reference);
            let Some(slot) = self.workloads.get_mut(&id) else {
                continue;
            };
            let debt = slot
                .owed
                .entry(reference.clone())
                .or_insert_with(|| Debt::new(Some(before), change, source));
            debt.version = source.map_or(0, |slot| slot.source.resource_version);
            debt.order = change.order;
            debt.last_unix = change.seen.unix;
            if debt.running == Some(now) {
                // Back to the content it runs with, before anything was sent.
                slot.owed.remove(reference);
            } else {
                due.push(slot.workload.key.clone());
            }
        }
        due
    }

    /// A workload seen for the first time owes the changes that came before it was seen, unless it is younger.
    pub(super) fn claim(&mut self, id: &LocalWorkload, workload: &Workload) -> Option<WorkloadKey> {
        let mut owed: Vec<(SourceRef, Debt)> = Vec::new();
        for (reference, (before, change)) in &self.unclaimed {
            let Some(slot) = self.sources.get(reference) else {
                continue;
            };
            let changed = slot.source.digest != *before && self.concerns(&slot.source, workload);
            if changed && !workload.is_younger_than(&slot.source) {
                owed.push((reference.clone(), Debt::new(Some(*before), change, Some(slot))));
            }
        }
        for (reference, running) in self.left_over.remove(id).unwrap_or_default() {
            if let Some((_, change)) = self.unclaimed.get(&reference) {
                let source = self.sources.get(&reference);
                let debt = Debt::new(running, change, source);
                owed.push((reference, debt));
            }
        }
        let slot = self.workloads.get_mut(id)?;
        slot.owed.extend(owed);
        (!slot.owed.is_empty()).then(|| workload.key.clone())
    }

    /// Every workload is known now.
    pub(super) fn forget_changes(&mut self) {
        self.unclaimed.clear();
        self.left_over.clear();
    }

    pub(super) fn pending(&self, key: &WorkloadKey) -> Option<Pending> {
        let slot = self.workloads.get(&local(key))?;
        let since = slot.owed.values().map(|debt| debt.first.at).min()?;
        let owed = slot.owed.iter().filter_map(|(reference, debt)| {
            let source = self
                .sources
                .get(reference)
                .filter(|slot| slot.is_present())?
                .source
                .clone();
            Some(Owed {
                source,
                version: debt.version,
                seen_at: debt.last_unix,
                order: debt.order,
            })
        });
        Some(Pending {
            workload: slot.workload.clone(),
            owed: owed.collect(),
            since,
        })
    }

    pub(super) fn attempt(&mut self, key: &WorkloadKey, sources: impl IntoIterator<Item = SourceRef>) {
        let Some(slot) = self.workloads.get_mut(&local(key)) else {
            return;
        };
        for reference in sources {
            if let Some(debt) = slot.owed.get_mut(&reference) {
                debt.running = None;
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        key: &WorkloadKey,
        settled: impl IntoIterator<Item = (SourceRef, Digest)>,
        change: &Change,
    ) -> bool {
        let Some(slot) = self.workloads.get_mut(&local(key)).filter(|_| self.selected) else {
            return false;
        };
        for (reference, digest) in settled {
            match self.sources.get(&reference) {
                Some(source) if source.source.digest != digest => {
                    let debt = slot
                        .owed
                        .entry(reference)
                        .or_insert_with(|| Debt::new(None, change, Some(source)));
                    debt.running = Some(digest);
                }
                _ => _ = slot.owed.remove(&reference),
            }
        }
        !slot.owed.is_empty()
    }

    pub(super) fn owing(&self) -> Vec<WorkloadKey> {
        let owing = self.workloads.values().filter(|slot| !slot.owed.is_empty());
        owing.map(|slot| slot.workload.key.clone()).collect()
    }

    pub(super) fn owing_for(&self, reference: &SourceRef) -> Vec<WorkloadKey> {
        let owing = self
            .workloads
            .values()
            .filter(|slot| slot.owed.contains_key(reference));
        owing.map(|slot| slot.workload.key.clone()).collect()
    }

    pub(super) fn is_unsettled(&self) -> bool {
        !self.unclaimed.is_empty() || self.workloads.values().any(|slot| !slot.owed.is_empty())
    }

    pub(super) fn owes(&self, key: &WorkloadKey, reference: &SourceRef) -> bool {
        self.workloads
            .get(&local(key))
            .is_some_and(|slot| slot.owed.contains_key(reference))
    }

    pub(super) fn standing(&self, reference: &SourceRef) -> Option<Standing> {
        let source = &self.sources.get(reference)?.source;
        let concerned = self.concerned(source);
        if concerned.is_empty() {
            return None;
        }
        let debts = concerned.iter().filter_map(|id| {
            let debt = self.workloads.get(id)?.owed.get(reference)?;
            Some(OwedBy {
                kind: id.0,
                name: id.1.clone(),
                running: debt.running,
            })
        });
        let owed: Vec<OwedBy> = debts.collect();
        if owed.len() > LONGEST_LIST {
            // The content before the change, or one that no source can have: either way everybody owes.
            let before = owed.iter().find_map(|owed| owed.running);
            let digest = before.unwrap_or_else(|| Digest::from_bytes([0; 20]));
            return Some(Standing {
                digest,
                owed: Vec::new(),
            });
        }
        Some(Standing {
            digest: source.digest,
            owed,
        })
    }

    /// `listing`: a complete list of the statuses that show classes is still to come.
    pub(super) fn restore(&mut self, key: &SourceKey, standing: &Standing, listing: bool, change: &Change) {
        if !self.selected {
            return;
        }
        let reference = key.reference();
        for slot in self.workloads.values_mut() {
            slot.owed.remove(&reference);
        }
        if key.kind == SourceKind::SecretProviderClass {
            self.restore_class(key, standing.digest, listing);
        }
        match self.sources.get(&reference) {
            None => self.insert_absent(Source {
                key: key.clone(),
                uid: Box::default(),
                resource_version: 0,
                modified_at: i64::MAX,
                digest: standing.digest,
                ignored: false,
                matched: false,
            }),
            Some(slot) if slot.source.digest != standing.digest => {
                self.changed(&reference, standing.digest, change);
                self.excuse_the_younger(&reference);
            }
            Some(_) => {}
        }
        for OwedBy { kind, name, running } in &standing.owed {
            let id = (*kind, name.clone());
            if let Some(slot) = self.workloads.get_mut(&id) {
                let debt = Debt::new(*running, change, self.sources.get(&reference));
                slot.owed.insert(reference.clone(), debt);
            } else if change.remember {
                self.unclaimed
                    .entry(reference.clone())
                    .or_insert((standing.digest, *change));
                self.left_over
                    .entry(id)
                    .or_default()
                    .push((reference.clone(), *running));
            }
        }
    }

    /// Workloads created after the source was last written have always had its present content.
    pub(super) fn excuse_the_younger(&mut self, reference: &SourceRef) {
        let Some(source) = self.sources.get(reference) else {
            return;
        };
        for slot in self.workloads.values_mut() {
            if slot.workload.is_younger_than(&source.source) {
                slot.owed.remove(reference);
            }
        }
    }
}
