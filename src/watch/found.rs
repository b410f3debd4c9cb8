//! What is wrong with objects, beside what is kept of them.
//!
//! I/O: none.

use crate::{
    diagnose::Finding,
    model::{ObjectKey, Source, Workload},
};

/// What is wrong with one object: at least one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The object.
    pub about: ObjectKey,
    /// `metadata.uid` of it.
    pub uid: Box<str>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Found {
    /// `None` where nothing is wrong.
    pub(super) fn new(about: impl FnOnce() -> ObjectKey, uid: &str, findings: Vec<Finding>) -> Option<Self> {
        (!findings.is_empty()).then(|| Self {
            about: about(),
            uid: uid.into(),
            findings,
        })
    }

    pub(super) fn in_workload(workload: &Workload, findings: Vec<Finding>) -> Option<Self> {
        Self::new(
            || ObjectKey::Workload(workload.key.clone()),
            &workload.uid,
            findings,
        )
    }

    pub(super) fn in_source(source: &Source, findings: Vec<Finding>) -> Option<Self> {
        Self::new(
            || ObjectKey::Source(source.key.clone()),
            &source.uid.to_string(),
            findings,
        )
    }
}
