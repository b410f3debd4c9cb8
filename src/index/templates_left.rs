//! The templates that pods of a workload may still be of, beside its present one: should one come back, these pods are not
//! replaced.
//!
//! I/O: none.

use crate::model::{Fingerprint, Workload};

/// So many are told apart.
const MOST: usize = 4;

/// Since the status last showed that all pods are of the present template.
#[derive(Debug, Default)]
pub(super) struct TemplatesLeft {
    known: Vec<Fingerprint>,
    /// And any other.
    or_any: bool,
}

impl TemplatesLeft {
    /// Of a workload that was not known.
    pub(super) const fn of(workload: &Workload) -> Self {
        Self {
            known: Vec::new(),
            or_any: workload.pods.are_moving,
        }
    }

    /// The workload has become another. Returns whether its template came back before all its pods were replaced.
    pub(super) fn note(&mut self, before: &Workload, now: &Workload) -> bool {
        // Each change of the spec counts: there may have been another template in between.
        self.or_any |= now.generation > before.generation.saturating_add(1);
        let (left, template) = (before.template.fingerprint, now.template.fingerprint);
        let has_returned = self.contains(template);
        if left.differs(template) && !self.known.contains(&left) {
            self.or_any |= self.known.len() >= MOST;
            self.known.truncate(MOST - 1);
            self.known.push(left);
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

    fn contains(&self, template: Fingerprint) -> bool {
        self.or_any || self.known.iter().any(|left| left.is_same(template))
    }
}
