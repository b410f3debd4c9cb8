//! Decides what one workload's next write is, from what it is and what it owes.
//!
//! Input: a [`Workload`], the sources it may owe a restart for ([`Owed`]), [`Options`]. Output: [`Decision`].
//! I/O: none; the same input always gives the same output.

use std::{cmp::Reverse, collections::BTreeMap, str::FromStr, sync::Arc};

use crate::model::{Digest, Owed, Source, SourceKey, Verdict, Workload, WorkloadKey, opt_in::Refusal};

mod container;
mod env_name;
mod marker;

pub use env_name::env_name;

/// Where a restart leaves its marker in the pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One environment variable for each source, its value the source's digest.
    #[default]
    EnvVars,
    /// One annotation, which names the source that was last to cause a restart.
    Annotations,
}

/// The text is no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reload-strategy must be one of: env-vars, annotations")]
pub struct ParseStrategyError;

impl Strategy {
    /// The strategy as the flag spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnvVars => "env-vars",
            Self::Annotations => "annotations",
        }
    }
}

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "env-vars" => Ok(Self::EnvVars),
            "annotations" => Ok(Self::Annotations),
            _ => Err(ParseStrategyError),
        }
    }
}

/// The settings that change decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--reload-strategy`.
    pub strategy: Strategy,
    /// `--auto-reload-all`: a workload whose annotations say nothing is restarted for every source its pods use.
    pub auto_reload_all: bool,
}

/// What to do about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is to be written; all that was owed is settled.
    Skip(SkipReason),
    /// One write restarts the workload once and settles all that was owed.
    Patch(Plan),
}

/// Why a source leads to no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// No source is owed.
    NothingOwed,
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// The workload does not ask to be restarted for the source.
    NotOptedIn,
    /// The workload asks for it, but no container uses the source, or there is no container.
    NoContainer,
    /// The marker in the pod template already shows the source's digest.
    AlreadyMarked,
}

impl SkipReason {
    /// The reason as a metric label. Upstream has one label for a missing container and an unchanged marker.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingOwed => "nothing_owed",
            Self::Ignored => "ignored",
            Self::Excluded => "excluded",
            Self::NotOptedIn => "not_opted_in",
            Self::NoContainer | Self::AlreadyMarked => "strategy_not_updated",
        }
    }

    /// Whether the workload asked for the source, so that upstream would count the skip.
    pub const fn is_opted_in(self) -> bool {
        matches!(self, Self::NoContainer | Self::AlreadyMarked)
    }
}

/// One write to one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The workload.
    pub workload: WorkloadKey,
    /// Where the markers go.
    pub strategy: Strategy,
    /// The markers to write, at least one; exactly one for [`Strategy::Annotations`]. Ordered by container, then name.
    pub marks: Vec<Mark>,
    /// What every owed source came to, in the order given.
    pub settled: Vec<Settlement>,
}

/// The marker of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The source.
    pub source: SourceKey,
    /// Its digest, which the marker shows.
    pub digest: Digest,
    /// The container that carries the marker, or that the annotation names.
    pub container: Arc<str>,
    /// The variable's name; only [`Strategy::EnvVars`] writes it.
    pub env_name: String,
    /// When the change was first seen, in seconds since 1970-01-01 UTC; only [`Strategy::Annotations`] writes it.
    pub observed_at: i64,
}

/// What one owed source came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The source.
    pub source: SourceKey,
    /// The digest that is settled.
    pub digest: Digest,
    /// How it is settled.
    pub outcome: Outcome,
}

/// How an owed source is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan writes its marker.
    Marked,
    /// The plan restarts the workload, but a later change takes the place of its marker.
    Superseded,
    /// It leads to no write.
    Skipped(SkipReason),
}

/// Decides what one workload's next write is.
pub fn decide(workload: &Workload, owed: &[Owed], options: &Options) -> Decision {
    let _ = (workload, owed, options);
    Decision::Skip(SkipReason::NothingOwed)
}
