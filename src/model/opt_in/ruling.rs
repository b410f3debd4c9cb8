//! What a workload's annotations say of a source, and which rule says so.
//!
//! Input: none. Output: plain values. I/O: none.

/// The result of a workload's annotations for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source does not restart the workload.
    No(Refusal),
    /// The workload names the source: its pods need not visibly use it.
    Named,
    /// The workload is restarted for the source if its pods use it.
    Auto,
}

/// Why a source does not restart a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// Nothing in the workload's annotations covers the source.
    NotOptedIn,
}

/// The rule that decides about a source, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// The workload lists the source.
    Listed,
    /// The workload searches, and the source carries the match annotation.
    Searched,
    /// An automatic opt-in annotation is true.
    Auto,
    /// No automatic opt-in annotation has a value, and `--auto-reload-all` is set.
    ByFlag,
    /// The workload searches, and the source does not carry the match annotation.
    Unmatched,
    /// An automatic opt-in annotation has a value, and none is true; or `--auto-reload-all` does not count for the workload.
    Off,
    /// There is no annotation for sources of the kind but, at most, lists without this one.
    NotAsked,
}

impl Ruling {
    /// What follows from it.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Ignored => Verdict::No(Refusal::Ignored),
            Self::Excluded => Verdict::No(Refusal::Excluded),
            Self::Listed => Verdict::Named,
            Self::Searched | Self::Auto | Self::ByFlag => Verdict::Auto,
            Self::Unmatched | Self::Off | Self::NotAsked => Verdict::No(Refusal::NotOptedIn),
        }
    }
}

/// The object that has an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The workload.
    Workload,
    /// Its pod template.
    Template,
    /// The source.
    Source,
}
