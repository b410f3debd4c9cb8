//! The sources of one namespace: how each comes, changes, goes and returns.
//!
//! Input: sources as the streams show them. Output: [`Transition`]s. I/O: none.
//!
//! | what is seen | is a change from | where |
//! |---|---|---|
//! | other content | the content before | always |
//! | a source not known before | its absence | `--reload-on-create`, if it is certainly new |
//! | a source of which nothing is known | anything | `--sync-after-restart` with `--reload-on-create`; only markers tell |
//! | a source that only the ledger knew | what the ledger has | always |
//! | no source any more | the content before | `--reload-on-delete` |
//! | a deleted source again | its absence | with both flags: the deletion was a change, and so is this |
//! | a deleted source again | the content before | otherwise |
//!
//! A source is certainly new when its stream has shown a complete list without it, or when the ledger says that a
//! workload was waiting for it. Each stream counts for itself: one that is slow, or not watched at all, makes no other
//! source look new.
//!
//! **Tombstones.** A deleted source that some workload opted into keeps its last content, so that the same name with
//! other content is a change. The number of tombstones is bounded, oldest forgotten first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::OnceLock,
};

use super::{
    change::{Options, SourceChange, Transition},
    source_status::SourceState,
};
use crate::model::{ClassAnnotations, Content, Digest, Source, SourceKey, SourceKind, SourceRef, Uid};

/// How many deleted sources a namespace remembers so that a recreated one with other content counts as a change.
/// Bounds tools that give every version of a ConfigMap a new name.
const TOMBSTONES: usize = 1024;

#[derive(Debug)]
pub(super) struct Sources {
    options: Options,
    /// Boxed, because a hash table holds room for up to twice as many as there are.
    slots: HashMap<SourceRef, Box<Slot>>,
    /// Counts deletions, so that the oldest can be told.
    deletions: u32,
    /// Those that do not exist, by the number of their deletion.
    absent: BTreeMap<u32, SourceRef>,
    /// How many exist, of each kind.
    present: [usize; SourceKind::ALL.len()],
    /// All names in order; made when a pattern asks first.
    ordered: OnceLock<BTreeSet<SourceRef>>,
}

#[derive(Debug)]
struct Slot {
    /// As it is now; where it is gone, as it was last.
    source: Source,
    presence: Presence,
    /// Only the ledger says what it held.
    inherited: bool,
    /// The list in which it was last seen.
    generation: u32,
}

/// Whether a source exists. The number orders deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It does.
    Here,
    /// It is deleted; its last content is kept because some workload opted into it.
    Gone(u32),
    /// An earlier leader knew it, and no complete list has shown yet whether it still exists.
    Unconfirmed(u32),
}

impl Slot {
    fn is_present(&self) -> bool {
        self.presence == Presence::Here
    }

    /// Whether the other is what the watch showed after this one, with the same data: nothing was between them.
    fn shows_the_next(&self, other: &Self) -> bool {
        self.is_present()
            && self.generation == other.generation
            && self.source.uid == other.source.uid
            && self.source.digest == other.source.digest
    }
}

impl Presence {
    const fn deletion(self) -> Option<u32> {
        match self {
            Self::Here => None,
            Self::Gone(number) | Self::Unconfirmed(number) => Some(number),
        }
    }
}

/// What it means that a stream has shown a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceSeen {
    pub(super) change: SourceChange,
    pub(super) transition: Transition,
    pub(super) was: Before,
    /// Only the ledger says what it held before.
    pub(super) inherited: bool,
    /// The resourceVersion of its deletion, where that was watched; otherwise 0.
    pub(super) deleted: u64,
}

/// What was known of a source before it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Unknown,
    /// It existed.
    Known,
    /// It existed, and its annotations were others: it may concern other workloads now.
    OtherAnnotations,
    /// It was deleted.
    Deleted,
    /// Only the ledger knew it.
    Unconfirmed,
}

/// How the stream that shows a source knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// The stream has shown a complete list without it, or the ledger says that it was missing.
    Certain,
    /// It may have existed all along.
    Uncertain,
}

impl Sources {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            slots: HashMap::new(),
            deletions: 0,
            absent: BTreeMap::new(),
            present: [0; SourceKind::ALL.len()],
            ordered: OnceLock::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A stream has shown the source. `novelty`: what that means if it was not known.
    pub(super) fn seen(&mut self, source: Source, generation: u32, novelty: Novelty) -> SourceSeen {
        let kind = source.key.kind;
        let to = Content::Present(source.digest);
        let annotations = (source.ignored, source.matched);
        let mut slot = Box::new(Slot {
            presence: Presence::Here,
            inherited: false,
            generation,
            source,
        });
        let reference = slot.source.key.reference();
        if let Some(before) = self.slots.get(&reference)
            && (before.source.digest != slot.source.digest || before.source.uid == slot.source.uid)
        {
            // A write that only removes keys leaves no time, then or later: it came after the one before all the same.
            slot.source.modified_at = slot.source.modified_at.max(before.source.modified_at);
            if before.shows_the_next(&slot) && kind != SourceKind::SecretProviderClass {
                // Who owns the data has written something else: a label.
                slot.source.modified_at = before.source.modified_at;
            }
        }
        let before = self.slots.insert(reference.clone(), slot);
        let presence = before.as_ref().map(|before| before.presence);
        self.note(&reference, presence, Some(Presence::Here));
        let Some(before) = before else {
            return SourceSeen {
                change: SourceChange::Created,
                transition: self.first_sight(kind, novelty, to),
                was: Before::Unknown,
                inherited: false,
                deleted: 0,
            };
        };
        let known = Content::Present(before.source.digest);
        match before.presence {
            Presence::Here => SourceSeen {
                change: if known == to {
                    SourceChange::Unchanged
                } else {
                    SourceChange::Updated
                },
                transition: if known == to {
                    Transition::Silent
                } else {
                    Transition::Changed { from: Some(known) }
                },
                was: if (before.source.ignored, before.source.matched) == annotations {
                    Before::Known
                } else {
                    Before::OtherAnnotations
                },
                inherited: false,
                deleted: 0,
            },
            Presence::Unconfirmed(_) => SourceSeen {
                change: SourceChange::Created,
                transition: Transition::appeared(Some(known), to),
                was: Before::Unconfirmed,
                inherited: before.inherited,
                deleted: 0,
            },
            Presence::Gone(_) => SourceSeen {
                change: SourceChange::Created,
                transition: Transition::appeared(Some(self.while_deleted(kind, before.source.digest)), to),
                was: Before::Deleted,
                inherited: before.inherited,
                deleted: before.source.resource_version,
            },
        }
    }

    /// A source that was not known until now.
    fn first_sight(&self, kind: SourceKind, novelty: Novelty, to: Content) -> Transition {
        if !self.counts_creation(kind) {
            Transition::Silent
        } else if novelty == Novelty::Certain {
            Transition::appeared(Some(Content::Absent), to)
        } else if self.options.trust_markers {
            Transition::AppearedUnknown
        } else {
            Transition::Silent
        }
    }

    /// What a source changes from when it returns after its deletion.
    fn while_deleted(&self, kind: SourceKind, last: Digest) -> Content {
        if self.counts_deletion(kind) && self.counts_creation(kind) {
            Content::Absent
        } else {
            Content::Present(last)
        }
    }

    /// The source is deleted, with that resourceVersion, 0 where it is not known; `None` where it was not known to exist.
    pub(super) fn gone(&mut self, reference: &SourceRef, version: u64) -> Option<Transition> {
        self.deletions = self.deletions.wrapping_add(1);
        let slot = self.slots.get_mut(reference).filter(|slot| slot.is_present())?;
        slot.source.resource_version = version;
        let gone = Presence::Gone(self.deletions);
        let before = std::mem::replace(&mut slot.presence, gone);
        let from = Some(Content::Present(slot.source.digest));
        self.note(reference, Some(before), Some(gone));
        Some(self.deleted(reference.kind, from))
    }

    /// A source that only the ledger knows does not exist: it was deleted while no leader ran. What the workloads run
    /// with is not known, since the leader before may have restarted some without having written it down.
    ///
    /// `None` where the source is not such a one.
    pub(super) fn confirm_gone(&mut self, reference: &SourceRef) -> Option<Transition> {
        let slot = self.slots.get_mut(reference)?;
        let Presence::Unconfirmed(deletion) = slot.presence else {
            return None;
        };
        slot.presence = Presence::Gone(deletion);
        Some(self.deleted(reference.kind, None))
    }

    fn deleted(&self, kind: SourceKind, from: Option<Content>) -> Transition {
        if self.counts_deletion(kind) {
            Transition::Changed { from }
        } else {
            Transition::Silent
        }
    }

    /// The sources of that kind which exist as far as is known, and which that list did not show.
    pub(super) fn unseen(&self, kind: SourceKind, generation: u32) -> Vec<SourceRef> {
        let of_kind = self.slots.iter().filter(|(reference, _)| reference.kind == kind);
        let unseen = of_kind.filter(|(_, slot)| slot.generation != generation);
        let unseen = unseen.filter(|(_, slot)| !matches!(slot.presence, Presence::Gone(_)));
        unseen.map(|(reference, _)| reference.clone()).collect()
    }

    /// What an earlier leader wrote down of the source. `listed`: the source's stream has shown a complete list.
    ///
    /// A source that is [`SourceState::Missing`] and not here leaves nothing.
    pub(super) fn restore(&mut self, key: &SourceKey, state: SourceState, listed: bool) -> Transition {
        let reference = key.reference();
        let here = self
            .present(&reference)
            .map(|source| Content::Present(source.digest));
        match (state, here) {
            (SourceState::Present(digest), None) => {
                self.insert_absent(key, digest, Presence::Unconfirmed);
                let confirmed = listed.then(|| self.confirm_gone(&reference)).flatten();
                confirmed.unwrap_or(Transition::Silent)
            }
            (SourceState::Deleted(digest), None) => {
                self.insert_absent(key, digest, Presence::Gone);
                Transition::Silent
            }
            (SourceState::Present(before), Some(here)) => {
                Transition::appeared(Some(Content::Present(before)), here)
            }
            (SourceState::Deleted(before), Some(here)) => {
                Transition::appeared(Some(self.while_deleted(key.kind, before)), here)
            }
            (SourceState::Missing, Some(here)) if self.counts_creation(key.kind) => {
                Transition::appeared(Some(Content::Absent), here)
            }
            (SourceState::Missing, _) => Transition::Silent,
        }
    }

    /// The last content of a source that no stream shows (yet), as an earlier leader wrote it down.
    fn insert_absent(&mut self, key: &SourceKey, digest: Digest, presence: fn(u32) -> Presence) {
        self.deletions = self.deletions.wrapping_add(1);
        let presence = presence(self.deletions);
        let last = || Slot {
            source: Source {
                key: key.clone(),
                uid: Uid::default(),
                resource_version: 0,
                modified_at: None,
                rewritten: false,
                digest,
                ignored: false,
                matched: false,
                policy: None,
            },
            presence,
            inherited: true,
            generation: 0,
        };
        let reference = key.reference();
        let before = self.slots.get(&reference).map(|slot| slot.presence);
        let slot = self.slots.entry(reference.clone());
        let slot = slot.or_insert_with(|| Box::new(last()));
        slot.source.digest = digest;
        slot.presence = presence;
        slot.inherited = true;
        self.note(&reference, before, Some(presence));
    }

    /// Whether the creation of a source is a change. A class of the Secrets Store CSI driver is there while pods mount
    /// it: that is no creation, here and upstream.
    pub(super) fn counts_creation(&self, kind: SourceKind) -> bool {
        self.options.reload_on_create && kind != SourceKind::SecretProviderClass
    }

    /// Whether the deletion of a source is a change.
    pub(super) fn counts_deletion(&self, kind: SourceKind) -> bool {
        self.options.reload_on_delete && kind != SourceKind::SecretProviderClass
    }

    /// What a workload has to be brought to; `None` where the source is absent and that changes nothing.
    pub(super) fn target(&self, reference: &SourceRef) -> Option<Content> {
        let slot = self.slots.get(reference)?;
        match slot.presence {
            Presence::Here => Some(Content::Present(slot.source.digest)),
            Presence::Gone(_) if self.counts_deletion(reference.kind) => Some(Content::Absent),
            Presence::Gone(_) | Presence::Unconfirmed(_) => None,
        }
    }

    /// It, and what a workload has to be brought to.
    pub(super) fn with_target(&self, reference: &SourceRef) -> Option<(&Source, Content)> {
        Some((self.get(reference)?, self.target(reference)?))
    }

    /// What it is, or was last.
    pub(super) fn get(&self, reference: &SourceRef) -> Option<&Source> {
        Some(&self.slots.get(reference)?.source)
    }

    /// It, where it exists.
    pub(super) fn present(&self, reference: &SourceRef) -> Option<&Source> {
        let slot = self.slots.get(reference).filter(|slot| slot.is_present())?;
        Some(&slot.source)
    }

    /// Every source, deleted ones as they were last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Source> {
        self.slots.values().map(|slot| &slot.source)
    }

    /// Whether it exists, for the ledger.
    pub(super) fn state(&self, reference: &SourceRef) -> Option<SourceState> {
        let slot = self.slots.get(reference)?;
        let digest = slot.source.digest;
        Some(match slot.presence {
            Presence::Here | Presence::Unconfirmed(_) => SourceState::Present(digest),
            Presence::Gone(_) => SourceState::Deleted(digest),
        })
    }

    /// Whether it is known and does not exist (yet).
    pub(super) fn is_absent(&self, reference: &SourceRef) -> bool {
        let slot = self.slots.get(reference);
        slot.is_some_and(|slot| !slot.is_present())
    }

    /// The annotations of a class are its source's; `None`: the class is gone, and they with it. Returns whether they
    /// differ from before.
    pub(super) fn annotate(&mut self, reference: &SourceRef, class: Option<&ClassAnnotations>) -> bool {
        let Some(slot) = self.slots.get_mut(reference) else {
            return false;
        };
        let before = (slot.source.ignored, slot.source.matched);
        slot.source.ignored = class.is_some_and(|class| class.ignored);
        slot.source.matched = class.is_some_and(|class| class.matched);
        before != (slot.source.ignored, slot.source.matched)
    }

    /// What the pods show of a class now, where the ledger has what they ran with.
    pub(super) fn restore_class(&mut self, class: &Source) {
        if let Some(slot) = self.slots.get_mut(&class.key.reference()) {
            slot.source.digest = class.digest;
            slot.source.resource_version = class.resource_version;
            slot.source.modified_at = class.modified_at;
        }
    }

    /// The oldest tombstone, where there are more than may be kept.
    pub(super) fn surplus_tombstone(&self) -> Option<SourceRef> {
        let oldest = self.absent.values().next();
        oldest.filter(|_| self.absent.len() > TOMBSTONES).cloned()
    }

    pub(super) fn remove(&mut self, reference: &SourceRef) {
        if let Some(slot) = self.slots.remove(reference) {
            self.note(reference, Some(slot.presence), None);
        }
    }

    pub(super) fn remove_absent(&mut self) {
        for reference in std::mem::take(&mut self.absent).values() {
            self.remove(reference);
        }
    }

    /// How many exist, of each kind.
    pub(super) const fn counts(&self) -> [usize; SourceKind::ALL.len()] {
        self.present
    }

    /// The sources of that kind whose names begin so.
    pub(super) fn starting_with<'a>(
        &'a self,
        kind: SourceKind,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a SourceRef> {
        let ordered = self.ordered.get_or_init(|| self.slots.keys().cloned().collect());
        let from = ordered.range(SourceRef::new(kind, prefix)..);
        from.take_while(move |reference| reference.kind == kind && reference.name.starts_with(prefix))
    }

    /// The source is this now and was that before; `None`: not known.
    fn note(&mut self, reference: &SourceRef, before: Option<Presence>, now: Option<Presence>) {
        let present = &mut self.present[reference.kind as usize];
        *present -= usize::from(before == Some(Presence::Here));
        *present += usize::from(now == Some(Presence::Here));
        if let Some(number) = before.and_then(Presence::deletion) {
            self.absent.remove(&number);
        }
        if let Some(number) = now.and_then(Presence::deletion) {
            self.absent.insert(number, reference.clone());
        }
        if let Some(ordered) = self.ordered.get_mut() {
            match (before, now) {
                (None, Some(_)) => _ = ordered.insert(reference.clone()),
                (Some(_), None) => _ = ordered.remove(reference),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    /// Sources that take up memory, deleted ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests;
