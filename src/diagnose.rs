//! Finds the mistakes in an object's annotations: what a user wrote, and Reloader does not do.
//!
//! Input: annotations and labels of a workload, of its pod template, of a source or of another object. Output:
//! [`Finding`]s, each with what to write instead where that is known. I/O: none.
//!
//! | Part | Owns |
//! |---|---|
//! | [`catalogue`] | the annotations that exist: where each belongs, what its value is; the nearest to one that does not |
//! | [`finding`] | what can be wrong, in words |
//! | [`object`] | what carries annotations |
//! | [`value`] | what is wrong with one value |
//! | [`workload`] | what is wrong with a workload's annotations together |
//!
//! A finding changes nothing: [`crate::model::OptIn`] alone says what restarts a workload. What is right is silent. A key
//! of another product is none of Reloader's business: one counts as meant for Reloader where it is under a prefix of its
//! own, or nearly.

mod catalogue;
mod finding;
mod object;
mod value;
mod workload;

use crate::model::{AnnotationKeys, SourceKind, SourceRef};
use catalogue::{Belongs, Catalogue};
use finding::MAX_LOOKED_AT;
use object::Holder;

pub use catalogue::may_be_meant;
pub use finding::{Finding, Level, MAX_FINDINGS, Mistake, Place};
pub use object::Pairs;
pub use workload::{WorkloadText, add_missing, missing_sources, refused_lists};

/// Finds mistakes, under the configured names of the annotations.
#[derive(Clone, Debug)]
pub struct Checker {
    keys: AnnotationKeys,
    catalogue: Catalogue,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new(&AnnotationKeys::default())
    }
}

impl Checker {
    /// A checker for these names.
    pub fn new(keys: &AnnotationKeys) -> Self {
        Self {
            keys: keys.clone(),
            catalogue: Catalogue::new(keys),
        }
    }

    /// The mistakes in the annotations of a workload and of its pod template.
    pub fn workload(&self, text: &WorkloadText<'_>) -> Vec<Finding> {
        let mut found = self.each(
            text.own,
            Place::Metadata,
            Holder::Workload(text.kind),
            text.references,
        );
        found.extend(self.each(
            text.template,
            Place::Template,
            Holder::Template(text.kind),
            text.references,
        ));
        found.extend(self.labels(text.labels));
        let together = workload::together(&self.keys, text);
        // Of an item, what is meant is said rather than that it does not compile.
        let is_new = |finding: &Finding| !found.iter().any(|other| other.is_about_item_of(finding));
        let together: Vec<Finding> = together.into_iter().filter(is_new).collect();
        found.extend(together);
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The mistakes in the annotations of a ConfigMap, Secret or SecretProviderClass.
    pub fn source(&self, kind: SourceKind, annotations: &Pairs, labels: &Pairs) -> Vec<Finding> {
        let mut found = self.each(annotations, Place::Metadata, Holder::Source(kind), &[]);
        found.extend(self.labels(labels));
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The mistakes in the annotations of a Namespace.
    pub fn namespace(&self, annotations: &Pairs, labels: &Pairs) -> Vec<Finding> {
        let mut found = self.each(annotations, Place::Metadata, Holder::Namespace, &[]);
        found.extend(self.labels(labels));
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The mistakes in the annotations of an object that is neither a workload nor a source: none of Reloader's has an
    /// effect there.
    pub fn other(&self, annotations: &Pairs, labels: &Pairs) -> Vec<Finding> {
        let mut found = self.each(annotations, Place::Metadata, Holder::Other, &[]);
        found.extend(self.labels(labels));
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The mistakes in the annotations of a custom resource, whose operator may pass them on to a workload or a source.
    pub fn custom(&self, annotations: &Pairs, labels: &Pairs) -> Vec<Finding> {
        let mut found = self.each(annotations, Place::Metadata, Holder::Operator, &[]);
        found.extend(self.labels(labels));
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The value under that key, as it is in a file, is no text.
    pub fn not_text(&self, place: Place, key: &str, value: &str) -> Option<Finding> {
        let value = finding::cut(value);
        let finding = Finding::new(place, key, Mistake::NotText { value });
        self.catalogue.is_meant(key).then_some(finding)
    }

    /// Whether one of the keys is meant for Reloader.
    pub fn concern(&self, pairs: &Pairs) -> bool {
        self.meant(pairs).next().is_some()
    }

    /// The pairs that are meant for Reloader.
    fn meant<'a>(&'a self, pairs: &'a Pairs) -> impl Iterator<Item = (&'a String, &'a String)> {
        let may_be = pairs.iter().filter(|(key, _)| self.catalogue.may_be_meant(key));
        let looked_at = may_be.take(MAX_LOOKED_AT);
        looked_at.filter(|(key, _)| self.catalogue.is_meant(key))
    }

    /// What is wrong with each of the annotations by itself.
    fn each(&self, pairs: &Pairs, place: Place, holder: Holder, references: &[SourceRef]) -> Vec<Finding> {
        let wrong = self.meant(pairs).flat_map(|(key, text)| {
            let mistakes = match self.catalogue.get(key) {
                None => vec![Mistake::UnknownKey {
                    suggestion: self
                        .catalogue
                        .nearest(key, text, holder, references)
                        .map(Into::into),
                }],
                Some(known) if !known.belongs.on(holder) => vec![Mistake::WrongObject {
                    belongs: known.belongs.in_words(),
                }],
                Some(known) => value::mistakes(known, text, self.auto_of(known.source)),
            };
            mistakes
                .into_iter()
                .map(move |mistake| Finding::new(place, key, mistake))
        });
        wrong.take(MAX_FINDINGS).collect()
    }

    fn labels(&self, labels: &Pairs) -> Vec<Finding> {
        let known = self.meant(labels).filter(|(key, _)| {
            self.catalogue
                .get(key)
                .is_some_and(|known| known.belongs != Belongs::Reloader)
        });
        known
            .map(|(key, _)| Finding::new(Place::Label, key, Mistake::IsLabel))
            .take(MAX_FINDINGS)
            .collect()
    }

    fn auto_of(&self, source: Option<SourceKind>) -> &str {
        source.map_or(&self.keys.auto, |kind| &self.keys.of(kind).auto)
    }
}

#[cfg(test)]
mod tests;
