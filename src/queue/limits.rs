//! How many keys a second may be handed out.
//!
//! Input: a rate and a time. Output: yes, or when. I/O: none; the clock is driven by the caller.

use std::num::NonZeroU32;

/// A limit on hand-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Keys a second in the long run, 1 to 10⁹.
    pub per_second: NonZeroU32,
    /// Keys that may go out at once after a pause long enough, at least 1.
    pub burst: NonZeroU32,
}
