//! What the pods of one namespace mount through the Secrets Store CSI driver, turned into sources: one a class.
//!
//! Input: statuses of pods, annotations of classes. Output: the classes whose source may differ, and that source.
//! I/O: none.
//!
//! A class is present while some pod shows it. When all are gone its content is remembered like that of a deleted
//! source, so that scaling to zero and back is no change. [`class_content`] tells which content is current, out of what
//! each pod shows.

mod class_content;

use std::{collections::HashMap, sync::Arc};

use super::change::SourceChange;
use crate::model::{ClassAnnotations, Digest, PodStatus, Source, SourceKey, SourceRef, Uid};
use class_content::{ClassContent, Shown, Write};

/// The statuses and classes of one namespace.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    /// By the status's own name.
    statuses: HashMap<Box<str>, Status>,
    /// By class.
    contents: HashMap<Arc<str>, ClassContent>,
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

/// What it means that a stream has shown a status.
#[derive(Debug)]
pub(super) struct StatusSeen {
    /// What happened to the content that the class has in it.
    pub(super) change: SourceChange,
    /// Another class that its predecessor of the same name showed.
    pub(super) replaced: Option<Arc<str>>,
}

/// What the pods show of a class, as a source.
#[derive(Debug)]
pub(super) enum ClassState {
    /// It has this content.
    Shown(Source),
    /// Pods mount it, and it is not known yet what is current.
    Undecided,
    /// No pod mounts it.
    Gone,
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

    /// Whether the class exists, whatever mounts it.
    pub(super) fn has_class(&self, name: &str) -> bool {
        self.classes.contains_key(name)
    }

    /// Every class whose content is known.
    pub(super) fn contents(&self) -> Vec<Arc<str>> {
        self.contents.keys().cloned().collect()
    }

    /// `listing`: a complete list is under way, so the status may be one of many that appear at once.
    pub(super) fn status_seen(&mut self, status: PodStatus, generation: u32, listing: bool) -> StatusSeen {
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
        let (known, replaced) = match self.statuses.remove(&name) {
            Some(before) if before.uid == uid && before.class == class => (Some(before), None),
            replaced => (None, replaced),
        };
        let content = self.contents.entry(Arc::clone(&class)).or_default();
        let change = if let Some(before) = known {
            let changed = before.shown.digest != shown.digest;
            shown.rotated |= before.shown.rotated || changed;
            if changed && content.rotated(before.shown.digest, &shown) {
                SourceChange::Updated
            } else {
                SourceChange::Unchanged
            }
        } else {
            content.appeared(&shown, listing);
            SourceChange::Created
        };
        let status = Status {
            uid,
            class,
            shown,
            generation,
        };
        self.statuses.insert(name, status);
        StatusSeen {
            change,
            replaced: replaced.map(|before| self.vanished(before)),
        }
    }

    /// The status is gone: returns the class it showed.
    pub(super) fn status_gone(&mut self, name: &str) -> Option<Arc<str>> {
        let status = self.statuses.remove(name)?;
        Some(self.vanished(status))
    }

    /// A complete list has ended. Removes the statuses that it did not show, and returns their classes.
    pub(super) fn remove_unseen(&mut self, generation: u32) -> Vec<Arc<str>> {
        let unseen = self
            .statuses
            .extract_if(|_, status| status.generation != generation);
        let unseen: Vec<Status> = unseen.map(|(_, status)| status).collect();
        unseen.into_iter().map(|status| self.vanished(status)).collect()
    }

    fn vanished(&mut self, status: Status) -> Arc<str> {
        if let Some(content) = self.contents.get_mut(&status.class) {
            content.vanished(status.shown.digest);
        }
        status.class
    }

    /// Concludes what is current from all statuses of the class. Returns whether it has moved.
    pub(super) fn conclude(&mut self, class: &str) -> bool {
        let of_class = self.statuses.values().filter(|status| *status.class == *class);
        let shown: Vec<Shown> = of_class.map(|status| status.shown).collect();
        self.contents
            .get_mut(class)
            .is_some_and(|content| content.conclude(&shown))
    }

    /// The class as a source.
    pub(super) fn state(&self, key: &SourceKey) -> ClassState {
        let content = self.contents.get(&key.name);
        if !content.is_some_and(ClassContent::is_shown) {
            return ClassState::Gone;
        }
        self.current(key).map_or(ClassState::Undecided, ClassState::Shown)
    }

    fn current(&self, key: &SourceKey) -> Option<Source> {
        let (digest, write) = self.contents.get(&key.name)?.current()?;
        let annotations = self.classes.get(&key.name).map(|class| &class.annotations);
        Some(Source {
            uid: Uid::default(),
            resource_version: write.version,
            modified_at: write.at,
            rewritten: false,
            digest,
            ignored: annotations.is_some_and(|class| class.ignored),
            matched: annotations.is_some_and(|class| class.matched),
            policy: None,
            key: key.clone(),
        })
    }

    /// A class exists, with these annotations.
    pub(super) fn class_seen(&mut self, annotations: ClassAnnotations, generation: u32) {
        let class = Arc::clone(&annotations.key.name);
        let seen = Class {
            annotations,
            generation,
        };
        self.classes.insert(class, seen);
    }

    /// Its pods may live on, and say nothing more than any source without annotations.
    pub(super) fn class_gone(&mut self, class: &str) {
        self.classes.remove(class);
    }

    /// The classes that this list did not show.
    pub(super) fn unseen_classes(&self, generation: u32) -> Vec<SourceRef> {
        let classes = self.classes.values();
        let unseen = classes.filter(|class| class.generation != generation);
        unseen.map(|class| class.annotations.key.reference()).collect()
    }

    /// What an earlier leader wrote down is what the class's workloads run with; what its pods show now may be newer.
    /// `listing`: a complete list of the statuses is still to come. Returns what is current.
    pub(super) fn restore(&mut self, key: &SourceKey, digest: Digest, listing: bool) -> Option<Source> {
        let content = self.contents.entry(Arc::clone(&key.name)).or_default();
        content.restore(digest);
        if !listing {
            self.conclude(&key.name);
        }
        self.current(key)
    }

    /// Drops the remembered content of a class that no workload opted into.
    pub(super) fn forget(&mut self, class: &str) {
        if let Some(content) = self.contents.get_mut(class) {
            content.forget();
            if !content.is_shown() {
                self.contents.remove(class);
            }
        }
    }

    /// Drops the remembered contents of all classes that no pod mounts.
    pub(super) fn forget_absent(&mut self) {
        self.contents.retain(|_, content| content.is_shown());
    }
}
