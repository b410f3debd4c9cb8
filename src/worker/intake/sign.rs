//! What an observation shows about its stream, whatever object it is about.
//!
//! Input: an [`Event`]. Output: [`Sign`]. I/O: none.

use crate::watch::{Event, Failure};

/// What an observation shows about its stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign<'a> {
    /// A complete list has ended.
    Listed,
    /// The stream may be listed: one namespace was.
    NamespaceListed,
    /// An object from the watch itself, not from a list.
    Watched,
    /// The watch is open again, and there was nothing to show.
    Resumed,
    /// The kind is not served, and nobody expects it to be.
    NotServed,
    /// The stream failed.
    Failed(&'a Failure),
}

impl<'a> Sign<'a> {
    /// What the event shows; `None`: nothing, as an object of a list that may never be complete.
    pub(super) fn of(event: &'a Event, is_listing: impl FnOnce() -> bool) -> Option<Self> {
        match event {
            Event::Failed(failure) => Some(Self::Failed(failure)),
            Event::NotServed => Some(Self::NotServed),
            Event::Listed => Some(Self::Listed),
            Event::NamespaceListed { .. } => Some(Self::NamespaceListed),
            Event::ListStarted => None,
            _ if is_listing() => None,
            Event::Resumed => Some(Self::Resumed),
            _ => Some(Self::Watched),
        }
    }
}
