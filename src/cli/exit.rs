//! How a command ends.
//!
//! Input: none. Output: [`Exit`]. I/O: none.

/// How a command ends, and the exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As wished.
    Success = 0,
    /// It failed, or found what it looks for: mistakes.
    Failure = 1,
    /// What the user wrote cannot be read.
    Usage = 2,
    /// There is an answer, and it is no.
    No = 3,
}
