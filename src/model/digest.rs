//! The SHA-1 digest of a source's data.

/// stub
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Digest(pub [u8; 20]);
