//! The templates that pods of a workload may still be of, beside its present one: should one come back, these pods are not
//! replaced.
//!
//! I/O: none.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Content, Fingerprint, PodTemplate, Workload};

/// So many are told apart.
const MOST: usize = 16;

/// One of them.
#[derive(Debug)]
struct Left {
    fingerprint: Fingerprint,
    /// What its markers show: a bit for each, which several contents may share.
    shown: u64,
}

/// Those that there was no room for: a bit for each, which several may share.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    fingerprints: u64,
    /// What their markers show.
    shown: u64,
}

/// Since the status last showed that all pods are of the present template.
#[derive(Debug, Default)]
pub(super) struct TemplatesLeft {
    known: Vec<Left>,
    dropped: Dropped,
    /// And others, which were never seen.
    or_unseen: bool,
}

impl TemplatesLeft {
    /// Of a workload that was not known.
    pub(super) fn of(workload: &Workload) -> Self {
        Self {
            or_unseen: workload.pods.are_moving,
            ..Self::default()
        }
    }

    /// The workload has become another. Returns whether its template came back before all its pods were replaced.
    pub(super) fn note(&mut self, before: &Workload, now: &Workload) -> bool {
        // Each change of the spec counts: there may have been another template in between.
        self.or_unseen |= now.generation > before.generation.saturating_add(1);
        let (fingerprint, template) = (before.template.fingerprint, now.template.fingerprint);
        let has_returned = self.contains(template);
        let mut known = self.known.iter();
        if fingerprint.differs(template) && !known.any(|left| left.fingerprint == fingerprint) {
            if self.known.len() >= MOST
                && let Some(dropped) = self.known.pop()
            {
                self.dropped.fingerprints |= bit_of(dropped.fingerprint);
                self.dropped.shown |= dropped.shown;
            }
            let shown = shown(&before.template);
            self.known.push(Left { fingerprint, shown });
        }
        has_returned
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether one of them was seen.
    pub(super) const fn is_any_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether one of them may show that content.
    pub(super) fn may_show(&self, content: Content) -> bool {
        let Content::Present(digest) = content else {
            // As it was before the source's marker.
            return self.or_unseen || self.is_any_known();
        };
        let bit = bit(&digest.to_string());
        let mut shown = self.known.iter().map(|left| left.shown);
        self.or_unseen || self.dropped.shown & bit != 0 || shown.any(|shown| shown & bit != 0)
    }

    fn contains(&self, template: Fingerprint) -> bool {
        let mut known = self.known.iter();
        let is_dropped = self.dropped.fingerprints & bit_of(template) != 0;
        self.or_unseen || is_dropped || known.any(|left| left.fingerprint.is_same(template))
    }
}

fn shown(template: &PodTemplate) -> u64 {
    let containers = template.containers.iter().chain(&template.init_containers);
    let markers = containers.flat_map(|container| &container.markers);
    markers.fold(0, |bits, (_, value)| bits | bit(value))
}

fn bit(value: &str) -> u64 {
    bit_by(|hasher| hasher.write(value.as_bytes()))
}

fn bit_of(template: Fingerprint) -> u64 {
    bit_by(|hasher| template.hash(hasher))
}

fn bit_by(hash: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(&mut hasher);
    1 << (hasher.finish() % u64::from(u64::BITS))
}

#[cfg(test)]
mod tests;
