//! The values that pass between the parts of the index: what was seen, and what it led to.
//!
//! I/O: none.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::model::{
    Content, Owed, RolloutState, SourceKey, UnixSeconds, Workload, WorkloadKey, WorkloadKind,
};

/// The moment at which something was seen, on both clocks that matter.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// For measuring how long a restart took.
    pub at: Instant,
    /// For markers.
    pub unix: UnixSeconds,
}

/// The settings that change what is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Options {
    /// Namespaces are watched for their annotations only: without `--namespace-selector`.
    pub every_namespace_counts: bool,
    /// Workloads without annotations are opted in (`--auto-reload-all`).
    pub auto_reload_all: bool,
    /// The creation of a source is a change (`--reload-on-create`).
    pub reload_on_create: bool,
    /// The deletion of a source is a change (`--reload-on-delete`).
    pub reload_on_delete: bool,
    /// A source that neither this process nor the ledger knows may have changed: a marker with other content shows it
    /// (`--sync-after-restart` with `--reload-on-create`).
    pub trust_markers: bool,
    /// How long after a change of a source the watch of workloads may still show them as they were before: until a
    /// dead connection is given up, and what it missed has been sent.
    pub longest_lag: Duration,
}

/// What an observation led to.
#[derive(Debug, Default)]
pub struct Effect {
    /// Workloads that owe a restart because of it.
    pub due: Vec<WorkloadKey>,
    /// Workloads that owed a restart before and have changed themselves: worth another attempt at once.
    pub woken: Vec<WorkloadKey>,
    /// Workloads that Reloader has paused, or had: when to resume them may differ now. None in a namespace that is not
    /// selected: another Reloader may look after them.
    pub pauses: Vec<WorkloadKey>,
    /// Workloads that are gone, or owe nothing any more because their namespace is not selected any more.
    pub gone: Vec<WorkloadKey>,
    /// What happened to the source, where the observation was about one.
    pub source: Option<SourceChange>,
    /// Sources whose change workloads may owe a restart for, those included that no stream has shown yet.
    pub changed: Vec<SourceKey>,
    /// Sources whose [`super::SourceStatus`] may differ now.
    pub touched: Vec<SourceKey>,
    /// Sources for which a workload owes nothing any more, or something else, without a write of ours.
    pub settled: Vec<SourceKey>,
    /// Workloads whose annotations on restarts or pauses are new, have changed or count from now on.
    pub opted: Vec<Arc<Workload>>,
    /// Workloads whose template another client put back after a restart.
    pub put_back: Vec<PutBack>,
    /// Workloads whose rollout stands otherwise than before. None of one that opts into nothing or does not count.
    pub rollouts: Vec<RolloutChange>,
    /// The object's namespace is not selected: whatever happened to it, no workload owes a restart.
    pub unselected: bool,
}

impl Effect {
    pub(super) fn of(change: SourceChange) -> Self {
        Self {
            source: Some(change),
            ..Self::default()
        }
    }

    /// Adds what the observation of another object led to; which object it was about is not kept.
    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            due,
            woken,
            pauses,
            gone,
            source: _,
            changed,
            touched,
            settled,
            opted,
            put_back,
            rollouts,
            unselected: _,
        } = other;
        self.due.extend(due);
        self.woken.extend(woken);
        self.pauses.extend(pauses);
        self.gone.extend(gone);
        self.changed.extend(changed);
        self.touched.extend(touched);
        self.settled.extend(settled);
        self.opted.extend(opted);
        self.put_back.extend(put_back);
        self.rollouts.extend(rollouts);
    }
}

/// A pod template from which another client took what a restart had left there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// Whose template it is.
    pub workload: WorkloadKey,
    /// `metadata.uid` of it.
    pub uid: Box<str>,
    /// When Reloader had last written it.
    pub restarted_at: UnixSeconds,
    /// The manager that wrote it last since then; `None`: `metadata.managedFields` do not show it.
    pub manager: Option<Box<str>>,
}

/// A rollout that stands otherwise than before, where the workload was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutChange {
    /// Whose rollout it is.
    pub key: WorkloadKey,
    /// `metadata.uid` of it as it is now: it may have been recreated.
    pub uid: Box<str>,
    /// How far it was.
    pub from: RolloutState,
    /// How far it is.
    pub to: RolloutState,
    /// Every pod that is asked for is available.
    pub is_healthy: bool,
}

/// How a workload was brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was restarted, or its markers show that it was.
    ByRestart,
    /// Nothing had to be written.
    WithoutRestart,
}

/// What happened to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// Seen for the first time, or again after its deletion.
    Created,
    /// Its content differs from before.
    Updated,
    /// Seen again with the same content.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// What one workload owes.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The workload as the watch last showed it.
    pub workload: Arc<Workload>,
    /// The sources it owes a restart for, as they are now. A source that does not exist is among them only with
    /// [`Options::reload_on_delete`].
    pub owed: Vec<Owed>,
    /// The API server may know better what the workload runs with: an earlier leader may have done more than is written
    /// down, and a patch may have been applied without an answer.
    pub is_uncertain: bool,
    /// When the oldest of the changes was seen.
    pub since: Instant,
}

/// A change of a source: when it was seen, and how certain it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) seen: Seen,
    /// Its place in the order of all changes.
    pub(super) order: u64,
    /// Workloads that are seen later may owe it too.
    pub(super) remember: bool,
    /// It may not have happened: only a marker that shows other content makes it due.
    pub(super) tentative: bool,
    /// Only the ledger says what the source held before.
    pub(super) inherited: bool,
}

/// What has become of a source, as far as the workloads that opted into it are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// Nothing they could owe a restart for: it is adopted, unchanged, or absent where that does not count.
    Silent,
    /// It held `from` until now; `None`: it is not known what.
    Changed { from: Option<Content> },
    /// It is there and was not, or was not known to be. Workloads created after its content was written have always
    /// had that content.
    Appeared { from: Option<Content> },
    /// It is there, and nothing is known of what it held before: only markers tell.
    AppearedUnknown,
    /// It is back as it was before.
    Returned,
}

impl Transition {
    /// It appears with the content `to`, and was `from`.
    pub(super) fn appeared(from: Option<Content>, to: Content) -> Self {
        if from == Some(to) {
            Self::Returned
        } else {
            Self::Appeared { from }
        }
    }

    /// As a change that workloads may owe: what the source held before, and the change with its certainty.
    pub(super) fn as_change(self, change: &Change) -> Option<(Option<Content>, Change)> {
        match self {
            Self::Silent | Self::Returned => None,
            Self::Changed { from } | Self::Appeared { from } => Some((from, *change)),
            Self::AppearedUnknown => Some((
                None,
                Change {
                    tentative: true,
                    ..*change
                },
            )),
        }
    }
}

/// How a workload came to be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    /// A watch has shown what has just happened to it, and its resourceVersion is that of the event. Otherwise it was
    /// listed or read, and may have become so at any time before.
    pub(super) is_event: bool,
    /// How many changes had been seen by then.
    pub(super) order: u64,
    /// When.
    pub(super) at: UnixSeconds,
}

/// A workload inside its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WorkloadId {
    pub(super) kind: WorkloadKind,
    pub(super) name: Arc<str>,
}

impl From<&WorkloadKey> for WorkloadId {
    fn from(key: &WorkloadKey) -> Self {
        Self {
            kind: key.kind,
            name: Arc::clone(&key.name),
        }
    }
}
