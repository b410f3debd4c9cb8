//! What the pods of one namespace mount through the Secrets Store CSI driver, turned into sources: one a class.
//!
//! Input: statuses of pods, annotations of classes. Output: [`Effect`]s. I/O: none.
//!
//! A class is present while some pod shows it. When all are gone its content is remembered like that of a deleted
//! source, so that scaling to zero and back is no change.

use std::{collections::HashMap, sync::Arc};

use super::{
    Change, Effect, SourceChange,
    content::{Content, Shown, Write},
    namespace::Namespace,
};
use crate::model::{ClassAnnotations, Digest, PodStatus, Source, SourceKey, SourceKind, SourceRef};

/// The statuses and classes of one namespace.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    /// By the status's own name.
    statuses: HashMap<Box<str>, Status>,
    /// By class.
    contents: HashMap<Arc<str>, Content>,
    /// What the classes' annotations say; a class may be mounted without being there any more.
    classes: HashMap<Arc<str>, Class>,
}

#[derive(Debug)]
struct Status {
    uid: Box<str>,
    class: Arc<str>,
    shown: Shown,
    generation: u32,
}

#[derive(Debug)]
struct Class {
    annotations: ClassAnnotations,
    generation: u32,
}

impl Mounted {
    pub(super) fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.classes.is_empty()
    }

    /// How many statuses are known.
    pub(super) fn statuses(&self) -> usize {
        self.statuses.len()
    }

    /// How many classes are known.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The remembered content of a class that nobody opted into is dropped.
    pub(super) fn forget(&mut self, class: &str) {
        if let Some(content) = self.contents.get_mut(class) {
            content.forget();
            if !content.is_shown() {
                self.contents.remove(class);
            }
        }
    }

    /// The remembered contents of all classes that nobody mounts are dropped.
    pub(super) fn forget_absent(&mut self) {
        self.contents.retain(|_, content| content.is_shown());
    }

    /// Concludes what is current from all statuses of the class. Returns whether it has moved.
    fn conclude(&mut self, class: &str) -> bool {
        let of_class = self.statuses.values().filter(|status| *status.class == *class);
        let shown: Vec<Shown> = of_class.map(|status| status.shown).collect();
        self.contents
            .get_mut(class)
            .is_some_and(|content| content.conclude(&shown))
    }

    /// The class as a source; `None` while nobody mounts it, or it is not known yet what is current.
    fn source(&self, key: SourceKey) -> Option<Source> {
        let content = self
            .contents
            .get(&key.name)
            .filter(|content| content.is_shown())?;
        let (digest, write) = content.current()?;
        let annotations = self.classes.get(&key.name).map(|class| &class.annotations);
        Some(Source {
            uid: Box::default(),
            resource_version: write.version,
            modified_at: write.at,
            digest,
            ignored: annotations.is_some_and(|class| class.ignored),
            matched: annotations.is_some_and(|class| class.matched),
            key,
        })
    }
}

impl Namespace {
    /// `listing`: a complete list is under way, so the status may be one of many that appear at once.
    pub(super) fn status_seen(
        &mut self,
        status: PodStatus,
        generation: u32,
        listing: bool,
        change: &Change,
    ) -> Effect {
        let key = status.source();
        let PodStatus { uid, class, name, .. } = status;
        let mut shown = Shown {
            digest: status.digest,
            write: Write {
                version: status.resource_version,
                at: status.modified_at,
            },
            rotated: status.rewritten,
        };
        // A status that was recreated belongs to a new pod.
        let (known, replaced) = match self.mounted.statuses.remove(&name) {
            Some(before) if before.uid == uid && before.class == class => (Some(before), None),
            replaced => (None, replaced),
        };
        let content = self.mounted.contents.entry(Arc::clone(&class)).or_default();
        let moved = if let Some(before) = &known {
            let changed = before.shown.digest != shown.digest;
            shown.rotated |= before.shown.rotated || changed;
            changed && content.rotated(before.shown.digest, &shown)
        } else {
            content.appeared(&shown, listing);
            false
        };
        let status = Status {
            uid,
            class,
            shown,
            generation,
        };
        let is_known = known.is_some();
        self.mounted.statuses.insert(name, status);
        let mut effect = Effect::default();
        if let Some(Status { class, shown, .. }) = replaced {
            effect.merge(self.vanished(&key.namespace, class, &shown, change));
        }
        effect.merge(self.show_class(key, change));
        effect.source = Some(match (moved, is_known) {
            (true, _) => SourceChange::Updated,
            (false, true) => SourceChange::Unchanged,
            (false, false) => SourceChange::Created,
        });
        effect.unselected = !self.selected;
        effect
    }

    pub(super) fn status_gone(&mut self, namespace: &Arc<str>, name: &str, change: &Change) -> Effect {
        let Some(status) = self.mounted.statuses.remove(name) else {
            return Effect::default();
        };
        Effect {
            source: Some(SourceChange::Deleted),
            unselected: !self.selected,
            ..self.vanished(namespace, status.class, &status.shown, change)
        }
    }

    fn vanished(&mut self, namespace: &Arc<str>, class: Arc<str>, shown: &Shown, change: &Change) -> Effect {
        if let Some(content) = self.mounted.contents.get_mut(&class) {
            content.vanished(shown.digest);
        }
        let key = SourceKey::new(SourceKind::SecretProviderClass, Arc::clone(namespace), class);
        self.show_class(key, change)
    }

    /// A complete list has ended: statuses that it did not show are gone, and what changed unseen comes to light.
    pub(super) fn sweep_statuses(
        &mut self,
        namespace: &Arc<str>,
        generation: u32,
        change: &Change,
    ) -> Effect {
        let mut effect = Effect::default();
        let statuses = self.mounted.statuses.iter();
        let unseen = statuses.filter(|(_, status)| status.generation != generation);
        let gone: Vec<Box<str>> = unseen.map(|(name, _)| name.clone()).collect();
        for name in gone {
            effect.merge(self.status_gone(namespace, &name, change));
        }
        let classes: Vec<Arc<str>> = self.mounted.contents.keys().cloned().collect();
        for class in classes {
            let moved = self.mounted.conclude(&class);
            let key = SourceKey::new(SourceKind::SecretProviderClass, Arc::clone(namespace), class);
            let mut shown = self.show_class(key.clone(), change);
            if moved {
                let reference = key.reference();
                self.excuse_the_younger(&reference);
                shown.due.retain(|workload| self.owes(workload, &reference));
            }
            effect.merge(shown);
        }
        effect
    }

    pub(super) fn class_seen(&mut self, annotations: ClassAnnotations, generation: u32) -> Effect {
        let ClassAnnotations {
            key,
            ignored,
            matched,
        } = &annotations;
        let effect = self.annotate(&key.reference(), *ignored, *matched);
        let class = Arc::clone(&key.name);
        self.mounted.classes.insert(
            class,
            Class {
                annotations,
                generation,
            },
        );
        effect
    }

    /// Its pods may live on, and say nothing more than any source without annotations.
    pub(super) fn class_gone(&mut self, reference: &SourceRef) -> Effect {
        self.mounted.classes.remove(&reference.name);
        self.annotate(reference, false, false)
    }

    pub(super) fn sweep_classes(&mut self, generation: u32) -> Effect {
        let classes = self.mounted.classes.values();
        let unseen = classes.filter(|class| class.generation != generation);
        let gone: Vec<SourceRef> = unseen.map(|class| class.annotations.key.reference()).collect();
        let mut effect = Effect::default();
        for reference in gone {
            effect.merge(self.class_gone(&reference));
        }
        effect
    }

    /// What an earlier leader wrote down is what the class's workloads run with; what its pods show now may be newer.
    pub(super) fn restore_class(&mut self, key: &SourceKey, digest: Digest, listing: bool) {
        let content = self.mounted.contents.entry(Arc::clone(&key.name)).or_default();
        content.restore(digest);
        if !listing {
            self.mounted.conclude(&key.name);
        }
        let now = self.mounted.contents.get(&key.name).and_then(Content::current);
        if let (Some(slot), Some((digest, write))) = (self.sources.get_mut(&key.reference()), now) {
            slot.source.digest = digest;
            slot.source.resource_version = write.version;
            slot.source.modified_at = write.at;
        }
    }

    /// Brings the class's source in line with its content.
    fn show_class(&mut self, key: SourceKey, change: &Change) -> Effect {
        let reference = key.reference();
        if let Some(source) = self.mounted.source(key) {
            return self.source_seen(source, 0, false, change);
        }
        let shown = |content: &Content| content.is_shown();
        if self.mounted.contents.get(&reference.name).is_some_and(shown) {
            return Effect::default();
        }
        let effect = self.source_gone(&reference, change);
        if !self.sources.contains_key(&reference) {
            self.mounted.forget(&reference.name);
        }
        effect
    }

    fn annotate(&mut self, reference: &SourceRef, ignored: bool, matched: bool) -> Effect {
        let mut effect = Effect::default();
        if let Some(source) = self.sources.get_mut(reference).map(|slot| &mut slot.source)
            && (source.ignored, source.matched) != (ignored, matched)
        {
            source.ignored = ignored;
            source.matched = matched;
            effect.touched.push(source.key.clone());
        }
        effect
    }
}

#[cfg(test)]
mod tests;
