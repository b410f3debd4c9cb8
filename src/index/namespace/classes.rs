//! Classes of the Secrets Store CSI driver: sources whose content is what pods mount.
//!
//! Input: statuses of pods, classes. Output: [`Effect`]s. I/O: none.

use std::sync::Arc;

use super::super::{
    change::{Change, Effect, SourceChange},
    mounted::ClassState,
    sources::Novelty,
};
use super::Namespace;
use crate::model::{ClassAnnotations, PodStatus, SourceKind, SourceRef, WorkloadKey};

impl Namespace {
    /// `listing`: a complete list is under way, so the status may be one of many that appear at once.
    pub(in crate::index) fn status_seen(
        &mut self,
        status: PodStatus,
        generation: u32,
        listing: bool,
        change: &Change,
    ) -> Effect {
        let class = Arc::clone(&status.class);
        let seen = self.mounted.status_seen(status, generation, listing);
        let mut effect = Effect::default();
        for class in seen.replaced.into_iter().chain([class]) {
            effect.merge(self.show_class(class, change));
        }
        Effect {
            source: Some(seen.change),
            ..effect
        }
    }

    pub(in crate::index) fn status_gone(&mut self, name: &str, change: &Change) -> Effect {
        let Some(class) = self.mounted.status_gone(name) else {
            return Effect::default();
        };
        Effect {
            source: Some(SourceChange::Deleted),
            ..self.show_class(class, change)
        }
    }

    /// A complete list has ended: statuses that it did not show are gone, and what changed unseen comes to light.
    pub(in crate::index) fn sweep_statuses(&mut self, generation: u32, change: &Change) -> Effect {
        let mut effect = Effect::default();
        for class in self.mounted.remove_unseen(generation) {
            effect.merge(self.show_class(class, change));
        }
        for class in self.mounted.contents() {
            let reference = SourceRef::new(SourceKind::SecretProviderClass, Arc::clone(&class));
            let moved = self.mounted.conclude(&class);
            let mut shown = self.show_class(class, change);
            if moved {
                self.debts.settle_for_newer_workloads(&reference, &self.objects);
                let owes = |key: &WorkloadKey| self.debts.contains(&key.into(), &reference);
                shown.due.retain(owes);
            }
            effect.merge(shown);
        }
        effect
    }

    pub(in crate::index) fn class_seen(&mut self, class: ClassAnnotations, generation: u32) -> Effect {
        let effect = self.annotate(&class.key.reference(), Some(&class));
        self.mounted.class_seen(class, generation);
        effect
    }

    pub(in crate::index) fn class_gone(&mut self, reference: &SourceRef) -> Effect {
        self.mounted.class_gone(&reference.name);
        self.annotate(reference, None)
    }

    pub(in crate::index) fn sweep_classes(&mut self, generation: u32) -> Effect {
        let mut effect = Effect::default();
        for reference in self.mounted.unseen_classes(generation) {
            effect.merge(self.class_gone(&reference));
        }
        effect
    }

    fn annotate(&mut self, reference: &SourceRef, class: Option<&ClassAnnotations>) -> Effect {
        let differs = self.objects.sources.annotate(reference, class);
        Effect {
            touched: Vec::from_iter(differs.then(|| self.key(reference))),
            ..Effect::default()
        }
    }

    /// Brings the class's source in line with what its pods show.
    fn show_class(&mut self, class: Arc<str>, change: &Change) -> Effect {
        let reference = SourceRef::new(SourceKind::SecretProviderClass, class);
        match self.mounted.state(&self.key(&reference)) {
            ClassState::Shown(source) => self.source_seen(source, 0, Novelty::Uncertain, change),
            ClassState::Undecided => Effect::default(),
            ClassState::Gone => {
                let effect = self.source_gone(&reference, 0, change);
                if self.objects.sources.get(&reference).is_none() {
                    self.mounted.forget(&reference.name);
                }
                effect
            }
        }
    }
}
