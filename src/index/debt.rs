//! What workloads owe: how a debt arises, is attempted, settled, and handed from one leader to the next.
//!
//! Input: changes of sources, outcomes of patches. Output: [`Pending`] work, [`Standing`]s. I/O: none.

use std::collections::HashMap;

use super::{
    Change, Effect, OwedBy, Pending, Seen, Settled, SourceState, Standing,
    namespace::{LocalWorkload, Namespace, WorkloadSlot, local},
    sources::Presence,
    unclaimed::{Past, Sight, Unclaimed},
};
use crate::model::{
    Content, Digest, Owed, Source, SourceKey, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey,
};

/// Above so many workloads owing one source, the ledger's line says that all of them do: their markers tell a later
/// leader who was served already, and a line of a few KiB stays one.
const LONGEST_LIST: usize = 64;

/// What is owed for one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    /// The content the workload runs with; `None` where it may be either, after a patch of unknown outcome.
    running: Option<Content>,
    /// What it ran with for certain, before a patch of unknown outcome.
    ran: Option<Content>,
    /// Nothing is known to have changed: only a marker that shows something else makes it due.
    tentative: bool,
    /// The ledger said so: the leader before may have done more than it had written down.
    hearsay: bool,
    /// The source is gone, and the workload need not be restarted for that: nothing is due, but should the source
    /// return with what the workload runs with, nothing has happened at all.
    declined: bool,
    /// When the first change since then was seen.
    first: Seen,
    /// When the last change was seen.
    last_unix: UnixSeconds,
    order: u64,
    /// The source's resourceVersion at that change.
    version: u64,
}

impl Debt {
    pub(super) fn new(running: Option<Content>, change: &Change, source: Option<&Source>) -> Self {
        Self {
            running,
            ran: None,
            tentative: change.tentative,
            hearsay: false,
            declined: false,
            first: change.seen,
            last_unix: change.seen.unix,
            order: change.order,
            version: source.map_or(0, |source| source.resource_version),
        }
    }

    /// As the ledger has it.
    fn restored(running: Option<Content>, change: &Change, source: Option<&Source>) -> Self {
        Self {
            hearsay: true,
            ..Self::new(running, change, source)
        }
    }
}

impl WorkloadSlot {
    /// Whether it owes a restart for some source.
    pub(super) fn owes(&self) -> bool {
        self.owed.values().any(|debt| !debt.declined)
    }
}

impl Debt {
    /// It is not known which content the workload runs with.
    pub(super) const fn forget_running(&mut self) {
        self.running = None;
    }

    /// Whether the workload was certainly created after the last change: creation times have whole seconds.
    pub(super) fn is_older_than(&self, workload: &Workload) -> bool {
        workload.created_at > Some(self.last_unix)
    }

    /// It may run with the target by now. That its marker cannot tell stays true.
    fn attempted(&mut self, target: Option<Content>) {
        self.ran = self.running.or(self.ran);
        self.running = match target {
            Some(Content::Present(digest)) if self.is_look_alike(digest) => {
                Some(Content::Present(digest.unknown_look_alike()))
            }
            _ => None,
        };
    }

    /// It may run with what the source held before this target.
    fn may_run_with(&mut self, before: Option<Content>, target: Content) {
        if let (None, Some(Content::Present(before)), Content::Present(target)) =
            (self.running, before, target)
            && before.is_look_alike_of(&target)
        {
            self.running = Some(Content::Present(before.unknown_look_alike()));
        }
    }

    /// Whether the workload may run with other data that prints alike.
    fn is_look_alike(&self, digest: Digest) -> bool {
        let prints_alike =
            |content| matches!(content, Content::Present(other) if digest.is_look_alike_of(&other));
        [self.running, self.ran].into_iter().flatten().any(prints_alike)
    }
}

impl Namespace {
    /// The source held `before` until now, as far as that is known: notes the change against every workload it
    /// concerns, known or not.
    pub(super) fn changed(
        &mut self,
        reference: &SourceRef,
        before: Option<Content>,
        change: &Change,
    ) -> Vec<WorkloadKey> {
        if change.remember && self.selected {
            self.remember(reference, before, change);
        }
        let (Some(slot), Some(target)) = (self.sources.get(reference), self.target(reference)) else {
            return Vec::new();
        };
        let mut due = Vec::new();
        for id in self.concerned(&slot.source) {
            let source = self.sources.get(reference).map(|slot| &slot.source);
            let Some(slot) = self.workloads.get_mut(&id) else {
                continue;
            };
            let debt = slot
                .owed
                .entry(reference.clone())
                .or_insert_with(|| Debt::new(before, change, source));
            debt.may_run_with(before, target);
            debt.version = source.map_or(0, |source| source.resource_version);
            debt.order = change.order;
            debt.last_unix = change.seen.unix;
            debt.declined = false;
            debt.tentative &= change.tentative;
            if debt.running == Some(target) {
                // Back to the content it runs with, before anything was sent.
                slot.owed.remove(reference);
            } else {
                due.push(slot.workload.key.clone());
            }
        }
        due
    }

    /// The source is back as it was last: who owed a restart for it before still does, but for those that run with it.
    pub(super) fn weigh_again(&mut self, reference: &SourceRef) -> Vec<WorkloadKey> {
        let target = self.target(reference);
        let mut due = Vec::new();
        for slot in self.workloads.values_mut() {
            let Some(debt) = slot.owed.get_mut(reference) else {
                continue;
            };
            debt.declined = false;
            if debt.running.is_some() && debt.running == target {
                slot.owed.remove(reference);
            } else {
                due.push(slot.workload.key.clone());
            }
        }
        due
    }

    /// A workload seen for the first time owes the changes that came before it was seen, unless it is younger.
    /// `is_event`: see [`Sight`].
    pub(super) fn claim(
        &mut self,
        id: &LocalWorkload,
        workload: &Workload,
        is_event: bool,
    ) -> Option<WorkloadKey> {
        let mut owed = self.debts(workload, |_, unclaimed| {
            unclaimed.first_after_new(workload, is_event)
        });
        for (reference, running) in self.left_over.remove(id).unwrap_or_default() {
            if running.is_some() && running == self.target(&reference) {
                owed.remove(&reference);
            } else if let Some(unclaimed) = self.unclaimed.get(&reference) {
                let debt = Debt::restored(
                    running,
                    &unclaimed.change,
                    self.sources.get(&reference).map(|slot| &slot.source),
                );
                owed.insert(reference, debt);
            }
        }
        let slot = self.workloads.get_mut(id)?;
        slot.owed.extend(owed);
        slot.owes().then(|| workload.key.clone())
    }

    /// A workload that uses other sources than `before`, or listens to others, owes their changes that came after it
    /// did.
    pub(super) fn claim_anew(
        &mut self,
        id: &LocalWorkload,
        workload: &Workload,
        sight: Sight,
        (before, read_at): (&Workload, u64),
    ) -> Option<WorkloadKey> {
        let same_template = before.template == workload.template;
        let mut owed = self.debts(workload, |source, unclaimed| {
            let is_news = !self.concerns(source, before);
            is_news
                .then(|| unclaimed.first_after_changed(workload, sight, (before, read_at), same_template))
                .flatten()
        });
        let slot = self.workloads.get_mut(id)?;
        owed.retain(|reference, _| !slot.owed.contains_key(reference));
        let is_due = !owed.is_empty();
        slot.owed.extend(owed);
        is_due.then(|| workload.key.clone())
    }

    /// What a workload owes of each source that has changed since, from the change on that `first` tells.
    fn debts<'a>(
        &'a self,
        workload: &Workload,
        first: impl Fn(&Source, &'a Unclaimed) -> Option<&'a Past>,
    ) -> HashMap<SourceRef, Debt> {
        let debt = |(reference, unclaimed): (&SourceRef, &'a Unclaimed)| {
            let source = &self.sources.get(reference)?.source;
            let target = self.target(reference)?;
            let running = first(source, unclaimed)?.before;
            let owes = running != Some(target) && self.concerns(source, workload);
            owes.then(|| {
                (
                    reference.clone(),
                    Debt::new(running, &unclaimed.change, Some(source)),
                )
            })
        };
        self.unclaimed.iter().filter_map(debt).collect()
    }

    /// Keeps a change for workloads that are seen later.
    fn remember(&mut self, reference: &SourceRef, before: Option<Content>, change: &Change) {
        let here = self.sources.get(reference).filter(|slot| slot.is_present());
        let source = here.map(|slot| &slot.source);
        self.unclaimed
            .entry(reference.clone())
            .or_insert_with(|| Unclaimed::new(*change))
            .note(before, source, *change);
        self.oldest_unclaimed.get_or_insert(change.seen.at);
    }

    /// Every workload that existed when this replica began to lead is known now.
    pub(super) fn all_is_known(&mut self) {
        self.left_over.clear();
        self.unrecorded = None;
    }

    pub(super) fn pending(&self, key: &WorkloadKey) -> Option<Pending> {
        let slot = self.workloads.get(&local(key))?;
        let due = || slot.owed.iter().filter(|(_, debt)| !debt.declined);
        let since = due().map(|(_, debt)| debt.first.at).min()?;
        let owed = due().filter_map(|(reference, debt)| {
            let content = self.target(reference)?;
            Some(Owed {
                content,
                look_alike: matches!(content, Content::Present(digest) if debt.is_look_alike(digest)),
                source: self.sources.get(reference)?.source.clone(),
                version: debt.version,
                only_if_marked: debt.tentative,
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
        for reference in sources {
            let target = self.target(&reference);
            let slot = self.workloads.get_mut(&local(key));
            if let Some(debt) = slot.and_then(|slot| slot.owed.get_mut(&reference)) {
                debt.attempted(target);
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        key: &WorkloadKey,
        settled: impl IntoIterator<Item = (SourceRef, Content)>,
        by: Settled,
        change: &Change,
    ) -> bool {
        let settled: Vec<_> = settled
            .into_iter()
            .map(|(reference, content)| {
                let target = self.target(&reference);
                let last = self.sources.get(&reference);
                let now = target.or_else(|| last.map(|slot| Content::Present(slot.source.digest)));
                (reference, content, now)
            })
            .collect();
        let Some(slot) = self.workloads.get_mut(&local(key)).filter(|_| self.selected) else {
            return false;
        };
        for (reference, content, now) in settled {
            let moved_on = now.is_some_and(|now| now != content);
            let source = self.sources.get(&reference).map(|slot| &slot.source);
            if by == Settled::WithoutRestart && content == Content::Absent {
                // The pods run with what they ran with before the deletion.
                match slot.owed.get_mut(&reference) {
                    Some(debt) if !moved_on && debt.running.is_some() && !debt.hearsay => {
                        debt.declined = true;
                    }
                    Some(_) if !moved_on => _ = slot.owed.remove(&reference),
                    _ => {}
                }
            } else if moved_on {
                let debt = slot
                    .owed
                    .entry(reference)
                    .or_insert_with(|| Debt::new(None, change, source));
                debt.running = Some(content);
                debt.ran = None;
            } else {
                slot.owed.remove(&reference);
            }
        }
        slot.owes()
    }

    pub(super) fn owing(&self) -> Vec<WorkloadKey> {
        let owing = self.workloads.values().filter(|slot| self.has_work(slot));
        owing.map(|slot| slot.workload.key.clone()).collect()
    }

    pub(super) fn is_unsettled(&self) -> bool {
        !self.unclaimed.is_empty() || self.workloads.values().any(|slot| self.has_work(slot))
    }

    /// Whether there is something to bring it to: where a source is away, that may not be so until it returns.
    fn has_work(&self, slot: &WorkloadSlot) -> bool {
        let mut due = slot.owed.iter().filter(|(_, debt)| !debt.declined);
        due.any(|(reference, _)| self.target(reference).is_some())
    }

    pub(super) fn owes(&self, key: &WorkloadKey, reference: &SourceRef) -> bool {
        self.workloads
            .get(&local(key))
            .is_some_and(|slot| slot.owed.contains_key(reference))
    }

    pub(super) fn standing(&self, reference: &SourceRef) -> Option<Standing> {
        let Some(slot) = self.sources.get(reference) else {
            return self.is_awaited(reference).then_some(Standing {
                state: SourceState::Missing,
                owed: Vec::new(),
            });
        };
        let concerned = self.concerned(&slot.source);
        if concerned.is_empty() {
            return None;
        }
        let debts = concerned.iter().filter_map(|id| {
            let debt = self.workloads.get(id)?.owed.get(reference)?;
            (!debt.declined && !debt.tentative).then(|| OwedBy {
                kind: id.0,
                name: id.1.clone(),
                running: debt.running,
            })
        });
        let owed: Vec<OwedBy> = debts.collect();
        if owed.len() > LONGEST_LIST {
            // As it was before the change, or with a digest that no source can have: either way everybody owes.
            let none = Digest::from_bytes([0; 20]);
            let state = match owed.iter().find_map(|owed| owed.running) {
                Some(Content::Present(digest)) => SourceState::Present(digest),
                Some(Content::Absent) => SourceState::Deleted(none),
                None => SourceState::Present(none),
            };
            return Some(Standing {
                state,
                owed: Vec::new(),
            });
        }
        let digest = slot.source.digest;
        let state = match slot.presence {
            Presence::Here | Presence::Unconfirmed(_) => SourceState::Present(digest),
            Presence::Gone(_) => SourceState::Deleted(digest),
        };
        Some(Standing { state, owed })
    }

    /// `listed`: the source's stream has shown a complete list. `listing`: a complete list of the statuses that show
    /// classes is still to come.
    pub(super) fn restore(
        &mut self,
        key: &SourceKey,
        standing: &Standing,
        (listed, listing): (bool, bool),
        change: &Change,
    ) -> Effect {
        if !self.selected {
            return Effect::default();
        }
        let reference = key.reference();
        for slot in self.workloads.values_mut() {
            slot.owed.remove(&reference);
        }
        if key.kind == SourceKind::SecretProviderClass
            && let SourceState::Present(digest) | SourceState::Deleted(digest) = standing.state
        {
            self.restore_class(key, digest, listing);
        }
        self.unclaimed.remove(&reference);
        let here = self.sources.get(&reference).filter(|slot| slot.is_present());
        let mut effect = Effect::default();
        match (standing.state, here.map(|slot| slot.source.digest)) {
            (SourceState::Present(digest), None) => {
                self.insert_away(key, digest, Presence::Unconfirmed);
                if listed {
                    self.confirm_gone(&reference, change, &mut effect);
                }
            }
            (SourceState::Deleted(digest), None) => self.insert_away(key, digest, Presence::Gone),
            (SourceState::Missing, None) if listed => {}
            (SourceState::Missing, None) => _ = self.missing.insert(reference.clone()),
            (SourceState::Present(before), Some(_)) => {
                self.came(&reference, Some(Content::Present(before)), change, &mut effect);
            }
            (SourceState::Deleted(before), Some(_)) => {
                let from = self.while_deleted(key.kind, before);
                self.came(&reference, Some(from), change, &mut effect);
            }
            (SourceState::Missing, Some(_)) if self.counts_creation(key.kind) => {
                self.came(&reference, Some(Content::Absent), change, &mut effect);
            }
            (SourceState::Missing, Some(_)) => {}
        }
        let target = self.target(&reference);
        for OwedBy { kind, name, running } in &standing.owed {
            let id = (*kind, name.clone());
            if let Some(slot) = self.workloads.get_mut(&id) {
                if running.is_some() && *running == target {
                    slot.owed.remove(&reference);
                } else {
                    let debt = Debt::restored(
                        *running,
                        change,
                        self.sources.get(&reference).map(|slot| &slot.source),
                    );
                    slot.owed.insert(reference.clone(), debt);
                }
            } else if change.remember {
                // What this says of the others is that they owe nothing.
                let settled = target.or(standing.state.content());
                if !self.unclaimed.contains_key(&reference) {
                    self.remember(&reference, settled, change);
                }
                self.left_over
                    .entry(id)
                    .or_default()
                    .push((reference.clone(), *running));
            }
        }
        effect
    }

    /// Workloads created after the source was last written have always had its present content.
    pub(super) fn excuse_the_younger(&mut self, reference: &SourceRef) {
        let Some(source) = self.sources.get(reference) else {
            return;
        };
        for slot in self.workloads.values_mut() {
            if slot.workload.is_younger_than(&source.source, slot.first_version) {
                slot.owed.remove(reference);
            }
        }
    }
}
