//! How far a stream is after an observation, and what is logged about it.
//!
//! Input: how far it was, what an observation shows. Output: [`Status`] and [`Line`]. I/O: none.

use std::time::Duration;

use super::{outage::News, permissions::Access, sign::Sign};
use crate::{
    admin::health::WatchState,
    model::WorkloadKind,
    watch::{Failure, StreamId, Watched},
};

/// How long a refusal (403) must last to be believed: an API server that has just started refuses all requests until it
/// knows its roles. Until then the controller is not ready. Other failures before it do not count.
const REFUSAL_LASTS: Duration = Duration::from_secs(2);

/// The kinds of [`WatchState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The first complete list has not arrived yet.
    Unsynced,
    /// The index shows the cluster.
    Synced,
    /// Requests fail.
    Failing,
    /// The permission is missing; the stream is ignored.
    Denied,
    /// The kind does not exist in this cluster.
    NotInstalled,
    /// The permission is missing without which it is not known which namespaces count.
    Refused,
}

impl Status {
    /// The kind of that state.
    pub(super) const fn of(state: &WatchState) -> Self {
        match state {
            WatchState::Unsynced => Self::Unsynced,
            WatchState::Synced => Self::Synced,
            WatchState::Failing { .. } => Self::Failing,
            WatchState::Denied { .. } => Self::Denied,
            WatchState::NotInstalled => Self::NotInstalled,
            WatchState::Refused { .. } => Self::Refused,
        }
    }
}

/// How far a stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Its status.
    pub(super) status: Status,
    /// How long each request has been refused (403) before this one; zero where the last one was not.
    pub(super) refused_for: Duration,
    /// What was allowed.
    pub(super) access: Access,
    /// Namespaces are watched because only those with some labels count.
    pub(super) selects: bool,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// Its status.
    pub(super) status: Status,
    /// What is logged about it.
    pub(super) line: Option<Line>,
}

/// Something to log about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its first list is complete.
    Synced,
    /// It works again.
    Recovered,
    /// It failed.
    Failed,
    /// It failed and had failed before.
    FailedAgain,
    /// It failed before its first list was complete.
    NeverListed,
    /// It may not be listed, or not watched.
    Denied,
    /// Workloads may be listed, and not watched.
    ListOnly,
    /// Namespaces may not be listed, or not watched.
    NamespacesRefused,
    /// Its kind is not installed.
    NotInstalled,
    /// It is known again that its kind is not served.
    NotServed,
}

/// The level of a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// For a search for causes.
    Debug,
    /// All is well.
    Info,
    /// It may go away by itself.
    Warning,
    /// It has to be fixed.
    Error,
}

/// How far the stream is after that; `None`: as far as before.
pub(super) fn next(watched: Watched, before: Before, sign: Sign<'_>) -> Option<Next> {
    let line = match (sign, before.status) {
        (Sign::Failed(failure), _) => return Some(after_failure(watched, before, failure)),
        (Sign::NotServed, before) => {
            return Some(Next {
                status: Status::NotInstalled,
                line: (before == Status::Failing).then_some(Line::NotServed),
            });
        }
        (Sign::Listed, Status::Unsynced | Status::NotInstalled) => Line::Synced,
        // Even without a new list: the watch has resumed where it was.
        (
            Sign::Listed | Sign::Watched | Sign::Resumed,
            Status::Failing | Status::Denied | Status::Refused,
        ) => Line::Recovered,
        (Sign::NamespaceListed, _)
        | (Sign::Listed | Sign::Watched | Sign::Resumed, Status::Synced)
        | (Sign::Watched | Sign::Resumed, Status::Unsynced | Status::NotInstalled) => return None,
    };
    Some(Next {
        status: Status::Synced,
        line: Some(line),
    })
}

fn after_failure(watched: Watched, before: Before, failure: &Failure) -> Next {
    let was = before.status;
    let once = |line, status| (was != status).then_some(line);
    let (status, line) = match watched {
        _ if failure.not_installed => (
            Status::NotInstalled,
            once(Line::NotInstalled, Status::NotInstalled),
        ),
        Watched::Namespace if before.selects && failure.denied && is_lasting(before) => {
            (Status::Refused, once(Line::NamespacesRefused, Status::Refused))
        }
        // Workloads that may be listed are not ignored. That listing is refused as well shows when a list is waited for.
        Watched::Workload(_) if failure.only_watch && is_lasting(before) => {
            (Status::Denied, once(Line::ListOnly, Status::Denied))
        }
        _ if failure.denied && is_lasting(before) => {
            let is_logged = was == Status::Denied && before.access != Access::ListOnly;
            (Status::Denied, (!is_logged).then_some(Line::Denied))
        }
        _ => {
            let line = match was {
                Status::Failing => Line::FailedAgain,
                Status::Unsynced => Line::NeverListed,
                Status::Synced | Status::Denied | Status::NotInstalled | Status::Refused => Line::Failed,
            };
            (Status::Failing, Some(line))
        }
    };
    Next { status, line }
}

/// Whether a refusal now is not only that of an API server that has just started.
fn is_lasting(before: Before) -> bool {
    match before.status {
        Status::Denied | Status::Refused => true,
        Status::Failing => before.refused_for >= REFUSAL_LASTS,
        Status::Unsynced | Status::Synced | Status::NotInstalled => false,
    }
}

impl Line {
    /// How important it is. What belongs to an outage that is logged is of no interest to most.
    pub(super) const fn level(self, news: News) -> Level {
        match self {
            Self::FailedAgain => Level::Debug,
            Self::Failed | Self::NeverListed | Self::Recovered | Self::NotServed
                if matches!(news, News::Known) =>
            {
                Level::Debug
            }
            Self::Synced | Self::Recovered | Self::NotInstalled | Self::NotServed => Level::Info,
            Self::Failed | Self::NeverListed | Self::ListOnly => Level::Warning,
            Self::Denied | Self::NamespacesRefused => Level::Error,
        }
    }

    /// The text about that stream; `reason` is the message of the failure, if it is about one.
    pub(super) fn text(self, stream: &StreamId, reason: &str, news: News) -> String {
        let resource = stream.watched.resource();
        match self {
            Self::Synced => format!("created controller for: {resource}"),
            Self::Recovered => format!("Watching {stream} again{}", last_of(news)),
            Self::NotServed => format!("The cluster has no {resource}{}", last_of(news)),
            Self::Failed => format!("Watch of {stream} failed, trying again: {reason}"),
            Self::FailedAgain => format!("Watch of {stream} failed again: {reason}"),
            Self::NeverListed => {
                format!("Waiting for the API server: {stream} could not be listed: {reason}")
            }
            Self::Denied => {
                let or = match stream.watched {
                    Watched::Workload(WorkloadKind::DeploymentConfig) => ", or set --is-openshift=false",
                    _ => "",
                };
                format!(
                    "Not allowed to list and watch {stream}: {reason}. Grant the verbs list and watch on them{or}; until \
                     then they are ignored, and requests are retried"
                )
            }
            Self::ListOnly => format!(
                "Not allowed to watch {stream}: the namespace of a changed source is listed instead. Grant the verb \
                 watch on them to make restarts faster and cheaper"
            ),
            Self::NamespacesRefused => format!(
                "Not allowed to list and watch namespaces, so it is not known which ones --namespace-selector selects: \
                 {reason}. Grant the verbs list and watch on them by a ClusterRole, or remove the flag; until then only \
                 namespaces that were selected before count"
            ),
            Self::NotInstalled if stream.watched == Watched::Workload(WorkloadKind::DeploymentConfig) => {
                format!(
                    "The cluster has no {resource}: its API server does not serve apps.openshift.io/v1. Watching starts within \
                 a minute after it does"
                )
            }
            Self::NotInstalled => format!(
                "The cluster has no {resource}: their CustomResourceDefinition is not installed. Watching starts within a \
                 minute of its installation"
            ),
        }
    }
}

/// That an outage has ended.
fn last_of(news: News) -> String {
    match news {
        News::Ends { others } if others > 0 => {
            format!(", the last of {} watches that had failed", others + 1)
        }
        News::Ends { .. } | News::Known | News::Begins => String::new(),
    }
}

#[cfg(test)]
mod tests;
