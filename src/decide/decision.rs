//! The result of a decision: a plan of one write, or why there is none.

use std::{num::NonZeroU64, sync::Arc};

use k8s_openapi::jiff::Timestamp;

use super::{options::Strategy, write::Write};
use crate::model::{Content, SourceKey, UnixSeconds, WorkloadKey};

/// What to do about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing needs to be written; all that was owed is settled.
    Skip(SkipReason),
    /// One write restarts the workload once and settles all that was owed.
    Patch(Plan),
}

/// Why a source leads to no write, ordered by how far the decision got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// No source is owed.
    NothingOwed,
    /// The workload has not opted into the source.
    NotOptedIn,
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// The workload is a suspended CronJob.
    Suspended,
    /// The change is unconfirmed, and no marker of the source confirms it.
    Unmarked,
    /// The workload opted in, but no container uses the source, or there is no container.
    NoContainer,
    /// The marker in the pod template already shows the source's digest; or the source is gone and has no variable.
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
            Self::Suspended => "suspended",
            Self::NoContainer | Self::Unmarked | Self::AlreadyMarked => "strategy_not_updated",
        }
    }
}

/// One write to one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The workload.
    pub workload: WorkloadKey,
    /// `metadata.uid` of the workload: another object of the same name is left alone.
    pub uid: Box<str>,
    /// How it is written.
    pub write: Write,
    /// The workload's resourceVersion that the plan rests on: on any other the API server refuses the patch. `None`:
    /// written unconditionally.
    pub resource_version: Option<NonZeroU64>,
    /// Where the markers go.
    pub strategy: Strategy,
    /// The markers to write, at least one; exactly one for [`Strategy::Annotations`]. Ordered by container, then name.
    /// None where the write only resumes a Deployment.
    pub marks: Vec<Mark>,
    /// What the write does to a pause of the workload; it depends on the time, so [`super::decide`] leaves it open.
    pub pause: Option<PauseChange>,
    /// The outcome of every owed source, in the order given.
    pub settled: Vec<Settlement>,
}

impl Plan {
    /// The sources whose change the write restarts the workload for.
    pub fn restarted_for(&self) -> impl Iterator<Item = &SourceKey> {
        let is_restarting = |outcome| matches!(outcome, SourceOutcome::Marked | SourceOutcome::Superseded);
        self.settled
            .iter()
            .filter(move |settled| is_restarting(settled.outcome))
            .map(|settled| &settled.source)
    }
}

/// The marker of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The source.
    pub source: SourceKey,
    /// What the marker shows: its digest, or that it is gone. For the latter [`Strategy::EnvVars`] removes the variable.
    pub content: Content,
    /// The container that carries the marker, or that the annotation names.
    pub container: Arc<str>,
    /// The variable's name; only [`Strategy::EnvVars`] writes it.
    pub env_name: String,
    /// When the change was first seen; only the annotation shows it.
    pub observed_at: UnixSeconds,
    /// Another content prints the same digest: the annotation shows this one exactly, whatever the strategy.
    pub exact: bool,
}

/// The outcome of one owed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The source.
    pub source: SourceKey,
    /// The content that is settled.
    pub content: Content,
    /// How it is settled.
    pub outcome: SourceOutcome,
}

/// How an owed source is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceOutcome {
    /// The plan writes its marker.
    Marked,
    /// The plan restarts the workload, but the marker shows a later change, or this kind of restart has no marker.
    Superseded,
    /// It leads to no write.
    Skipped(SkipReason),
}

/// What a write does to a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseChange {
    /// Begins it at that time, in whole seconds.
    Begin(Timestamp),
    /// Ends it.
    End,
}
