//! What carries annotations.
//!
//! Input: none. Output: plain values. I/O: none.

use std::collections::BTreeMap;

use crate::model::{SourceKind, WorkloadKind};

/// Annotations or labels, by key.
pub type Pairs = BTreeMap<String, String>;

/// What carries an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A workload; `None`: of a kind that is not known here, a custom one perhaps.
    Workload(Option<WorkloadKind>),
    /// The pod template of one.
    Template(Option<WorkloadKind>),
    Source(SourceKind),
    /// An object of another product, which may pass its annotations on.
    Operator,
    /// A Namespace.
    Namespace,
    Other,
}
