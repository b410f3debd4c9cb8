//! How a source comes, changes, goes and returns, and which of that somebody owes a restart for.
//!
//! Input: sources as the streams show them. Output: [`Effect`]s. I/O: none.
//!
//! | what is seen | is a change from | where |
//! |---|---|---|
//! | another digest | the digest before | always |
//! | a source not known before | its absence | `--reload-on-create`, if it is certainly new |
//! | a source of which nothing is known | anything | `--sync-after-restart` with `--reload-on-create`; only markers tell |
//! | no source any more | the digest before | `--reload-on-delete` |
//! | a deleted source again | its absence | with both flags: the deletion was a change, and so is this |
//! | a deleted source again | the digest before | otherwise |
//!
//! A source is certainly new when its stream has shown a complete list without it, or when the ledger says that a
//! workload was waiting for it. Each stream counts for itself: one that is slow, or not watched at all, makes no other
//! source look new.

use std::{collections::HashSet, sync::Arc};

use super::{
    Change, Effect, SourceChange,
    namespace::{Namespace, interests},
};
use crate::model::{Content, Digest, Source, SourceKey, SourceKind, SourceRef, Workload};

/// How many deleted sources a namespace remembers so that a recreated one with other content counts as a change.
/// Bounds tools that give every version of a ConfigMap a new name.
const DELETED_SOURCES_KEPT: usize = 1024;

#[derive(Debug)]
pub(super) struct SourceSlot {
    /// As it is now; where it is gone, as it was last.
    pub(super) source: Source,
    pub(super) presence: Presence,
    generation: u32,
}

/// Whether a source exists. The number orders deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It does.
    Here,
    /// It is deleted; its last content is kept because some workload opted into it.
    Gone(u64),
    /// An earlier leader knew it, and no complete list has shown yet whether it still exists.
    Unconfirmed(u64),
}

impl SourceSlot {
    pub(super) fn is_present(&self) -> bool {
        self.presence == Presence::Here
    }

    const fn deletion(&self) -> Option<u64> {
        match self.presence {
            Presence::Here => None,
            Presence::Gone(number) | Presence::Unconfirmed(number) => Some(number),
        }
    }
}

impl Namespace {
    /// `listed`: the stream has shown a complete list before, so that what was not known until now is new.
    pub(super) fn source_seen(
        &mut self,
        source: Source,
        generation: u32,
        listed: bool,
        change: &Change,
    ) -> Effect {
        let reference = source.key.reference();
        let key = source.key.clone();
        let now = source.digest;
        let annotations = (source.ignored, source.matched);
        let slot = Box::new(SourceSlot {
            source,
            presence: Presence::Here,
            generation,
        });
        let awaited = self.missing.remove(&reference);
        let Some(before) = self.sources.insert(reference.clone(), slot) else {
            let mut effect = Effect::of(SourceChange::Created);
            let interesting = awaited || self.is_awaited(&reference) || self.is_opted_into(&reference);
            effect.touched.extend(interesting.then(|| key.clone()));
            if self.counts_creation(reference.kind) && (listed || awaited) {
                self.came(&reference, Some(Content::Absent), change, &mut effect);
            } else if self.options.trust_markers && self.counts_creation(reference.kind) {
                let tentative = Change {
                    tentative: true,
                    ..*change
                };
                self.came(&reference, None, &tentative, &mut effect);
            }
            return effect;
        };
        let known = Content::Present(before.source.digest);
        // Whom it concerns may be others now, or nobody: the ledger has to hear of that before the next change.
        let other_annotations = (before.source.ignored, before.source.matched) != annotations;
        match before.presence {
            Presence::Here if before.source.digest == now => Effect {
                touched: Vec::from_iter(other_annotations.then_some(key)),
                ..Effect::of(SourceChange::Unchanged)
            },
            Presence::Here => {
                let mut effect = Effect::of(SourceChange::Updated);
                effect.touched.extend(other_annotations.then(|| key.clone()));
                effect.due = self.changed(&reference, Some(known), change);
                effect.changed.extend(self.selected.then_some(key));
                effect
            }
            Presence::Unconfirmed(_) => {
                let mut effect = Effect::of(SourceChange::Created);
                self.came(&reference, Some(known), change, &mut effect);
                effect.due.extend(self.doubt_source(&reference));
                effect
            }
            Presence::Gone(_) => {
                let mut effect = Effect::of(SourceChange::Created);
                effect.touched.push(key);
                let from = self.while_deleted(reference.kind, before.source.digest);
                self.came(&reference, Some(from), change, &mut effect);
                effect
            }
        }
    }

    /// What a source changes from when it returns after its deletion.
    pub(super) fn while_deleted(&self, kind: SourceKind, last: Digest) -> Content {
        if self.counts_deletion(kind) && self.counts_creation(kind) {
            Content::Absent
        } else {
            Content::Present(last)
        }
    }

    /// The source is there now, and was not before: a change for whoever is older than its content.
    pub(super) fn came(
        &mut self,
        reference: &SourceRef,
        from: Option<Content>,
        change: &Change,
        effect: &mut Effect,
    ) {
        if from.is_some() && self.target(reference) == from {
            effect.due.extend(self.weigh_again(reference));
            return;
        }
        let mut due = self.changed(reference, from, change);
        self.excuse_the_younger(reference);
        due.retain(|key| self.owes(key, reference));
        effect.due.extend(due);
        let here = self.sources.get(reference).filter(|_| self.selected);
        effect.changed.extend(here.map(|slot| slot.source.key.clone()));
    }

    pub(super) fn source_gone(&mut self, reference: &SourceRef, change: &Change) -> Effect {
        self.deletions += 1;
        let number = self.deletions;
        let Some(slot) = self.sources.get_mut(reference).filter(|slot| slot.is_present()) else {
            return Effect::default();
        };
        slot.presence = Presence::Gone(number);
        let key = slot.source.key.clone();
        let before = Content::Present(slot.source.digest);
        let mut effect = Effect::of(SourceChange::Deleted);
        if self.counts_deletion(reference.kind) {
            effect.due = self.changed(reference, Some(before), change);
            effect.changed.extend(self.selected.then(|| key.clone()));
        }
        effect.touched.push(key);
        // Workloads that are not known yet may have opted into it.
        let may_concern = self.selected && self.counts_deletion(reference.kind) && change.remember;
        if may_concern || !self.forget_deleted(reference) {
            self.bound_deleted();
        }
        effect
    }

    /// What the complete list did not show is gone, whether this process or an earlier leader knew it.
    pub(super) fn sweep_sources(&mut self, kind: SourceKind, generation: u32, change: &Change) -> Effect {
        let mut effect = Effect::default();
        let unseen: Vec<(SourceRef, Presence)> = self
            .sources
            .iter()
            .filter(|(reference, slot)| reference.kind == kind && slot.generation != generation)
            .map(|(reference, slot)| (reference.clone(), slot.presence))
            .collect();
        for (reference, presence) in unseen {
            match presence {
                Presence::Here => effect.merge(self.source_gone(&reference, change)),
                Presence::Unconfirmed(_) => self.confirm_gone(&reference, change, &mut effect),
                Presence::Gone(_) => {}
            }
        }
        self.missing.retain(|reference| reference.kind != kind);
        effect
    }

    /// The source was deleted while nobody ran. What the workloads run with is not known: the leader before may have
    /// restarted some without having written it down.
    pub(super) fn confirm_gone(&mut self, reference: &SourceRef, change: &Change, effect: &mut Effect) {
        let Some(slot) = self.sources.get_mut(reference) else {
            return;
        };
        slot.presence = Presence::Gone(slot.deletion().unwrap_or_default());
        let key = slot.source.key.clone();
        if self.counts_deletion(reference.kind) {
            effect.due.extend(self.changed(reference, None, change));
            effect.changed.extend(self.selected.then(|| key.clone()));
        }
        // Before its workloads are listed nobody seems to want it: the ledger would forget it.
        effect
            .touched
            .extend(self.is_opted_into(reference).then_some(key));
    }

    /// A class of the Secrets Store CSI driver is there while pods mount it: that is no creation, here and upstream.
    pub(super) fn counts_creation(&self, kind: SourceKind) -> bool {
        self.options.reload_on_create && kind != SourceKind::SecretProviderClass
    }

    fn counts_deletion(&self, kind: SourceKind) -> bool {
        self.options.reload_on_delete && kind != SourceKind::SecretProviderClass
    }

    /// What a workload has to be brought to; `None` where the source is away and that changes nothing.
    pub(super) fn target(&self, reference: &SourceRef) -> Option<Content> {
        let slot = self.sources.get(reference)?;
        match slot.presence {
            Presence::Here => Some(Content::Present(slot.source.digest)),
            Presence::Gone(_) if self.counts_deletion(reference.kind) => Some(Content::Absent),
            Presence::Gone(_) | Presence::Unconfirmed(_) => None,
        }
    }

    /// Drops a deleted source that no workload opted into. Returns whether it is gone now.
    pub(super) fn forget_deleted(&mut self, reference: &SourceRef) -> bool {
        let Some(slot) = self.sources.get(reference).filter(|slot| !slot.is_present()) else {
            return false;
        };
        let forgotten = self.concerned(&slot.source).is_empty();
        if forgotten {
            self.drop_source(reference);
        }
        forgotten
    }

    fn bound_deleted(&mut self) {
        let deleted = self
            .sources
            .iter()
            .filter_map(|(reference, slot)| Some((slot.deletion()?, reference)));
        if deleted.clone().count() > DELETED_SOURCES_KEPT
            && let Some(oldest) = deleted.min().map(|(_, reference)| reference.clone())
        {
            self.drop_source(&oldest);
        }
    }

    fn drop_source(&mut self, reference: &SourceRef) {
        self.sources.remove(reference);
        self.unclaimed.remove(reference);
        if reference.kind == SourceKind::SecretProviderClass {
            self.mounted.forget(&reference.name);
        }
        for slot in self.workloads.values_mut() {
            slot.owed.remove(reference);
        }
    }

    /// The last content of a source that no stream shows (yet), as an earlier leader wrote it down.
    pub(super) fn insert_away(&mut self, key: &SourceKey, digest: Digest, presence: fn(u64) -> Presence) {
        self.deletions += 1;
        let presence = presence(self.deletions);
        let last = || SourceSlot {
            source: Source {
                key: key.clone(),
                uid: Box::default(),
                resource_version: 0,
                modified_at: None,
                digest,
                ignored: false,
                matched: false,
            },
            presence,
            generation: 0,
        };
        let slot = self.sources.entry(key.reference());
        let slot = slot.or_insert_with(|| Box::new(last()));
        slot.source.digest = digest;
        slot.presence = presence;
    }

    pub(super) fn source_counts(&self) -> [usize; SourceKind::ALL.len()] {
        let mut counts = [0; SourceKind::ALL.len()];
        for (reference, slot) in &self.sources {
            counts[reference.kind as usize] += usize::from(slot.is_present());
        }
        counts
    }

    /// Sources that take up memory, deleted ones included.
    #[cfg(test)]
    pub(super) fn known_sources(&self) -> usize {
        self.sources.len()
    }

    /// The sources that some workload opted into, deleted ones included.
    pub(super) fn opted_sources(&self) -> Vec<SourceKey> {
        let opted = self
            .sources
            .values()
            .filter(|slot| !self.concerned(&slot.source).is_empty());
        opted.map(|slot| slot.source.key.clone()).collect()
    }

    fn is_opted_into(&self, reference: &SourceRef) -> bool {
        self.sources
            .get(reference)
            .is_some_and(|slot| !self.concerned(&slot.source).is_empty())
    }

    /// Whether a workload uses or lists the source, which need not exist.
    pub(super) fn is_awaited(&self, reference: &SourceRef) -> bool {
        self.selected && self.counts_creation(reference.kind) && self.interested.contains_key(reference)
    }

    /// The sources that workloads use or list and that do not exist: their creation will be a change.
    /// `namespace` is this one's name.
    pub(super) fn awaited_in(&self, namespace: &Arc<str>) -> Vec<SourceKey> {
        let missing = |reference: &&SourceRef| !self.sources.contains_key(*reference);
        let awaited = self.interested.keys().filter(missing);
        awaited
            .filter(|reference| self.is_awaited(reference))
            .map(|reference| reference.in_namespace(namespace))
            .collect()
    }

    /// The known sources that the workload opted into, and those that it waits for.
    pub(super) fn sources_of(&self, workload: &Workload) -> Vec<SourceKey> {
        let auto_reload_all = self.options.auto_reload_all;
        if workload.opt_in.is_empty() && !auto_reload_all {
            return Vec::new();
        }
        let patterns = SourceKind::ALL
            .into_iter()
            .any(|kind| workload.opt_in.has_patterns(kind));
        let named: HashSet<SourceRef> = interests(workload, auto_reload_all).into_iter().collect();
        let candidates: Vec<&SourceSlot> = if patterns {
            self.sources.values().map(Box::as_ref).collect()
        } else {
            named
                .iter()
                .filter_map(|reference| self.sources.get(reference).map(Box::as_ref))
                .collect()
        };
        let opted = candidates
            .into_iter()
            .filter(|slot| self.concerns(&slot.source, workload))
            .map(|slot| slot.source.key.clone());
        let awaited = named
            .iter()
            .filter(|reference| self.is_awaited(reference) && !self.sources.contains_key(*reference))
            .map(|reference| reference.in_namespace(&workload.key.namespace));
        opted.chain(awaited).collect()
    }
}
