//! What a process is in an election.

/// What this process is in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waiting for its turn.
    Standby,
    /// Holds the lease.
    Leader,
    /// Gives the lease back; writes nothing any more.
    Releasing,
    /// Lost or released it, or stopped waiting. Final.
    Ended,
}
