//! How one key stands, for users.

use std::time::Instant;

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// When it is due, limits aside; `None`: a worker has it.
    pub due: Option<Instant>,
}
