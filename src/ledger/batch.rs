//! What the ledger's task writes in one go.
//!
//! I/O: none.

use crate::model::SourceKey;

/// Everything that was touched until a moment.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) sources: Vec<SourceKey>,
    /// A workload was restarted for one of them.
    pub(super) is_restarted: bool,
    /// What to pass on when it is written.
    pub(super) number: u64,
}
