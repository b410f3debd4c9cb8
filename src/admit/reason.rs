//! Why a restart has to wait, in words.
//!
//! Input: none. Output: [`Admission`]. I/O: none.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::window::{Closed, Level, Why};
use crate::model::{
    SourceRef, WorkloadKey,
    go_duration::GoDuration,
    limits::MIN_INTERVAL,
    policy::{REQUESTED_AT, RESTART_WINDOW, SUSPEND},
};

/// Whether a workload may restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Now.
    Now,
    /// Not yet.
    Wait(Wait),
}

/// What a restart waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Why.
    pub reason: Reason,
    /// When it ends, if nothing changes until then; `None`: that is not known.
    pub until: Option<Timestamp>,
}

/// Why a restart has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is suspended.
    Suspended(By),
    /// It may begin at other times only.
    Window(Closed),
    /// It restarted a short while ago.
    Interval(Rest),
    /// Restarts for the source failed.
    Halted(Halt),
    /// Workloads of a lower wave come first.
    Wave {
        /// For this source.
        source: SourceRef,
        /// The workload's.
        wave: i32,
        /// The one that comes first.
        lowest: i32,
    },
    /// Others try the content first.
    Canary(Behind),
    /// As many are in progress as may be.
    Budget(UsedUp),
    /// What others are doing is not known.
    Unknown,
}

/// How long a workload rests after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The least time between two restarts.
    pub interval: Duration,
    /// How many restarts followed each other as soon as they might: each has doubled the time.
    pub streak: u32,
}

/// Whose annotation it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The workload's.
    Workload,
    /// That source's.
    Source(SourceRef),
    /// The namespace's of that name.
    Namespace(Arc<str>),
}

impl Admission {
    /// What the restart waits for; `None`: nothing.
    pub fn wait(self) -> Option<Wait> {
        match self {
            Self::Now => None,
            Self::Wait(wait) => Some(wait),
        }
    }
}

impl Reason {
    /// Every word that [`Self::as_str`] returns.
    pub const ALL: [&'static str; 8] = [
        "suspended",
        "window",
        "interval",
        "halted",
        "wave",
        "canary",
        "budget",
        "unknown",
    ];

    /// A word for it: a metric's label, a field of JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Suspended(_) => "suspended",
            Self::Window(_) => "window",
            Self::Interval(_) => "interval",
            Self::Halted(_) => "halted",
            Self::Wave { .. } => "wave",
            Self::Canary(_) => "canary",
            Self::Budget(_) => "budget",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it follows from what the workload and its owners say, and not from what others are doing: then it is worth a
    /// word about each workload that waits.
    pub const fn is_its_own(&self) -> bool {
        matches!(self, Self::Suspended(_) | Self::Window(_) | Self::Interval(_))
    }

    /// Whether it is one which no restart for the source ends.
    pub fn is_stuck(&self, source: &SourceRef) -> bool {
        match self {
            Self::Suspended(_) => true,
            Self::Halted(halt) => halt.source != *source,
            _ => false,
        }
    }

    /// Whether the other is another reason, and not only another number in it.
    pub fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Halted(halt), Self::Halted(other)) => halt.source != other.source,
            _ if self.is_its_own() => self != other,
            _ => self.as_str() != other.as_str(),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload => f.write_str("the workload"),
            Self::Source(source) => source.fmt(f),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended(by) => write!(f, "the annotation {SUSPEND} of {by} suspends it"),
            Self::Window(Closed { level, why, .. }) => {
                match level {
                    Level::Workload => write!(f, "the annotation {RESTART_WINDOW} of the workload")?,
                    Level::Namespace => write!(f, "the annotation {RESTART_WINDOW} of its Namespace")?,
                    Level::Flag => f.write_str("the flag --restart-window")?,
                }
                match why {
                    Why::Unreadable(error) => {
                        write!(f, " cannot be read, so that no restart may begin: {error}")
                    }
                    Why::Denied => f.write_str(" denies restarts now"),
                    Why::Manual => f.write_str(" is `manual`: it has to be released"),
                    Why::Outside => f.write_str(" allows no restart now"),
                }
            }
            Self::Interval(Rest { interval, streak: 0 }) => {
                write!(f, "{MIN_INTERVAL} is {}", GoDuration(*interval))
            }
            Self::Interval(Rest { interval, streak }) => write!(
                f,
                "{MIN_INTERVAL} is {}, doubled {streak} times because restarts followed each other as soon as they might",
                GoDuration(*interval)
            ),
            Self::Halted(halt) => halt.fmt(f),
            Self::Wave { source, wave, lowest } => write!(
                f,
                "workloads of wave {lowest} restart for {source} before those of wave {wave}"
            ),
            Self::Canary(behind) => behind.fmt(f),
            Self::Budget(used_up) => used_up.fmt(f),
            Self::Unknown => f.write_str(
                "what other workloads are doing is not known: this replica has just begun to lead, or a watch fails",
            ),
        }
    }
}

/// What a budget is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that a source concerns.
    Source(SourceRef),
    /// Those of the workload's namespace.
    Namespace,
    /// All.
    Cluster,
}

/// The restarts of a source are held back because of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Whose content is in doubt.
    pub source: SourceRef,
    /// How many failed.
    pub failed: usize,
    /// How many may.
    pub allowed: usize,
    /// Some of those that failed.
    pub names: Vec<WorkloadKey>,
    /// How many have the content.
    pub served: usize,
    /// How many are to have it.
    pub concerned: usize,
}

/// What a canary keeps back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Whose canary it is.
    pub source: SourceRef,
    /// How many are in flight.
    pub in_flight: usize,
    /// How many are on trial.
    pub on_trial: usize,
    /// How many may be either.
    pub allowed: usize,
    /// How many have been proved.
    pub proved: usize,
    /// Some of those in flight, or else of those on trial.
    pub names: Vec<WorkloadKey>,
    /// How many have the content.
    pub served: usize,
    /// How many are to have it.
    pub concerned: usize,
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// Whose budget it is.
    pub scope: Scope,
    /// How many are in flight.
    pub in_flight: usize,
    /// How many may be.
    pub limit: usize,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => source.fmt(f),
            Self::Namespace => f.write_str("the namespace"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            failed,
            allowed,
            names,
            served,
            concerned,
        } = self;
        write!(
            f,
            "restarts for {source} are halted: {failed} failed{} and {allowed} may, {served} of {concerned} have its content. Put \
             it back or mend it: those that failed restart first. To go on all the same, annotate it with {REQUESTED_AT}",
            listed(names, *failed),
        )
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            in_flight,
            on_trial,
            allowed,
            proved,
            names,
            served,
            concerned,
        } = self;
        write!(f, "others try the content of {source} first: ")?;
        let named = if *in_flight > 0 { in_flight } else { on_trial };
        let listed = listed(names, *named);
        match (in_flight, on_trial) {
            (_, 0) => write!(f, "{in_flight} of {allowed} in progress{listed}")?,
            (0, _) => write!(f, "{on_trial} of {allowed} not healthy for long enough{listed}")?,
            _ => write!(
                f,
                "{in_flight} of {allowed} in progress{listed} and {on_trial} not healthy for long enough"
            )?,
        }
        write!(f, ", {proved} healthy, {served} of {concerned} have it")
    }
}

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scope,
            in_flight,
            limit,
        } = self;
        write!(f, "{in_flight} of {limit} rollouts of {scope} are in progress")
    }
}

/// ` (Deployment web, Deployment cart and 3 more)`.
fn listed(some: &[WorkloadKey], all: usize) -> String {
    if some.is_empty() || all == 0 {
        return String::new();
    }
    let named: Vec<_> = some
        .iter()
        .map(|key| format!("{} {}", key.kind, key.name))
        .collect();
    let more = match all.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" ({}{more})", named.join(", "))
}
