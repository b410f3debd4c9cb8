//! The priorities of keys.

/// Which of two due keys is handed out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Found by the comparison after a start or a takeover: must not delay live changes.
    Low,
    /// A change that has just happened.
    High,
}

impl Priority {
    /// Every priority, in the order in which they are declared.
    pub const ALL: [Self; 2] = [Self::Low, Self::High];
}
