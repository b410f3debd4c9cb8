//! The role of a process in an election.

/// The role of this process in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waiting for its turn.
    Standby,
    /// Holds the lease.
    Leader,
    /// Releases the lease and writes nothing.
    Releasing,
    /// Lost or released it, or stopped waiting. Final.
    Ended,
}
