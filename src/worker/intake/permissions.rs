//! Which streams of workloads may be watched, only listed, or neither.
//!
//! Input: what observations show. Output: [`Access`], and what follows from a change of it. I/O: none.
//!
//! ```text
//!              watch refused                  list refused
//!   ┌──────────────────────────► ListOnly ───────────────────┐
//! Watch ◄────── event ────────────  ▲                        ▼
//!   ▲                               └── namespace listed ── Denied
//!   └─────────────── list complete, event ───────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::sign::Sign;
use crate::{
    lease::Role,
    model::WorkloadKind,
    watch::{StreamId, Watched},
};

/// What may be done with the objects of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Access {
    /// List and watch, as far as is known.
    #[default]
    Watch,
    /// List only: after a change of a source its namespace is listed.
    ListOnly,
    /// Neither. Nothing waits for such a list.
    Denied,
}

/// What follows from an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing.
    Nothing,
    /// Watching has just been refused: from now on namespaces are listed.
    BecameListOnly,
    /// Watching is refused again, and listing was: the permission to list may be back by now.
    ListAgain,
    /// A list was refused that workloads may be waiting for.
    ListRefused,
}

/// The access to each stream of workloads.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// Streams that are not here have [`Access::Watch`].
    limited: BTreeMap<StreamId, Access>,
    /// Streams of Deployments that were last listed while another replica led, which may have paused some since.
    outdated: BTreeSet<StreamId>,
}

impl Permissions {
    /// Takes in what was shown about the stream. `role` is this replica's.
    pub(super) fn note(&mut self, stream: &StreamId, sign: Sign<'_>, role: Role) -> Consequence {
        let Watched::Workload(kind) = stream.watched else {
            return Consequence::Nothing;
        };
        let before = self.access(stream);
        match (sign, before) {
            (Sign::Failed(failure), Access::Denied) if failure.only_watch => return Consequence::ListAgain,
            (Sign::Failed(failure), Access::Watch) if failure.only_watch => {
                self.set(stream, Access::ListOnly);
                return Consequence::BecameListOnly;
            }
            (Sign::Failed(failure), _) if failure.denied && !failure.only_watch => {
                self.set(stream, Access::Denied);
                if before == Access::ListOnly {
                    return Consequence::ListRefused;
                }
            }
            (Sign::NamespaceListed, Access::Denied) => self.set(stream, Access::ListOnly),
            (Sign::Listed, _) => {
                // The watch that follows will show whether it is allowed.
                if before == Access::Denied {
                    self.set(stream, Access::Watch);
                }
                if kind == WorkloadKind::Deployment {
                    match role {
                        Role::Leader => _ = self.outdated.remove(stream),
                        _ => _ = self.outdated.insert(stream.clone()),
                    }
                }
            }
            (Sign::Watched, Access::ListOnly | Access::Denied) => self.set(stream, Access::Watch),
            _ => {}
        }
        Consequence::Nothing
    }

    /// What may be done with the stream's objects.
    pub(super) fn access(&self, stream: &StreamId) -> Access {
        self.limited.get(stream).copied().unwrap_or_default()
    }

    /// The streams that cover the namespace and have to be listed to be known.
    pub(super) fn list_only<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a StreamId> {
        self.limited
            .iter()
            .filter(move |(stream, access)| **access == Access::ListOnly && stream.covers(namespace))
            .map(|(stream, _)| stream)
    }

    /// Takes out the streams of Deployments that have to be listed once more to know what another leader has paused.
    pub(super) fn take_outdated(&mut self) -> Vec<StreamId> {
        let limited = &self.limited;
        let is_list_only = |stream: &StreamId| limited.get(stream) == Some(&Access::ListOnly);
        self.outdated
            .extract_if(.., |stream| is_list_only(stream))
            .collect()
    }

    fn set(&mut self, stream: &StreamId, access: Access) {
        match access {
            Access::Watch => _ = self.limited.remove(stream),
            Access::ListOnly | Access::Denied => _ = self.limited.insert(stream.clone(), access),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::{model::SourceKind, watch::Failure};

    const DEPLOYMENTS: Watched = Watched::Workload(WorkloadKind::Deployment);

    #[derive(Clone, Copy, Debug)]
    enum Shown {
        Listed,
        NamespaceListed,
        Watched,
        Resumed,
        WatchRefused,
        ListRefused,
        Unreachable,
    }
    use Shown::{ListRefused, Listed, NamespaceListed, Resumed, Unreachable, WatchRefused};

    fn stream(watched: Watched, namespace: Option<&str>) -> StreamId {
        StreamId {
            watched,
            namespace: namespace.map(Into::into),
        }
    }

    fn note(permissions: &mut Permissions, stream: &StreamId, shown: Shown, role: Role) -> Consequence {
        let failure = Failure {
            category: "list",
            denied: matches!(shown, WatchRefused | ListRefused),
            only_watch: matches!(shown, WatchRefused),
            code: None,
            retry_after: Duration::ZERO,
            not_installed: false,
            message: String::new(),
        };
        let sign = match shown {
            Listed => Sign::Listed,
            NamespaceListed => Sign::NamespaceListed,
            Shown::Watched => Sign::Watched,
            Resumed => Sign::Resumed,
            WatchRefused | ListRefused | Unreachable => Sign::Failed(&failure),
        };
        permissions.note(stream, sign, role)
    }

    /// The permissions after these observations of all Deployments by a leader.
    fn after(shown: &[Shown]) -> Permissions {
        let mut permissions = Permissions::default();
        for shown in shown {
            note(&mut permissions, &stream(DEPLOYMENTS, None), *shown, Role::Leader);
        }
        permissions
    }

    const WATCH: &[Shown] = &[];
    const LIST_ONLY: &[Shown] = &[WatchRefused];
    const DENIED: &[Shown] = &[ListRefused];

    #[rstest]
    #[case(WATCH, Listed, Access::Watch, Consequence::Nothing)]
    #[case(WATCH, NamespaceListed, Access::Watch, Consequence::Nothing)]
    #[case(WATCH, Shown::Watched, Access::Watch, Consequence::Nothing)]
    #[case(WATCH, Resumed, Access::Watch, Consequence::Nothing)]
    #[case(WATCH, WatchRefused, Access::ListOnly, Consequence::BecameListOnly)]
    #[case(WATCH, ListRefused, Access::Denied, Consequence::Nothing)]
    #[case(WATCH, Unreachable, Access::Watch, Consequence::Nothing)]
    // A list says nothing about the permission to watch.
    #[case(LIST_ONLY, Listed, Access::ListOnly, Consequence::Nothing)]
    #[case(LIST_ONLY, NamespaceListed, Access::ListOnly, Consequence::Nothing)]
    #[case(LIST_ONLY, Shown::Watched, Access::Watch, Consequence::Nothing)]
    #[case(LIST_ONLY, Resumed, Access::ListOnly, Consequence::Nothing)]
    #[case(LIST_ONLY, WatchRefused, Access::ListOnly, Consequence::Nothing)]
    #[case(LIST_ONLY, ListRefused, Access::Denied, Consequence::ListRefused)]
    #[case(LIST_ONLY, Unreachable, Access::ListOnly, Consequence::Nothing)]
    #[case(DENIED, Listed, Access::Watch, Consequence::Nothing)]
    #[case(DENIED, NamespaceListed, Access::ListOnly, Consequence::Nothing)]
    #[case(DENIED, Shown::Watched, Access::Watch, Consequence::Nothing)]
    #[case(DENIED, Resumed, Access::Denied, Consequence::Nothing)]
    #[case(DENIED, WatchRefused, Access::Denied, Consequence::ListAgain)]
    #[case(DENIED, ListRefused, Access::Denied, Consequence::Nothing)]
    #[case(DENIED, Unreachable, Access::Denied, Consequence::Nothing)]
    fn an_observation_shows_what_is_allowed(
        #[case] before: &[Shown],
        #[case] shown: Shown,
        #[case] access: Access,
        #[case] consequence: Consequence,
    ) {
        let (mut permissions, deployments) = (after(before), stream(DEPLOYMENTS, None));
        let actual = note(&mut permissions, &deployments, shown, Role::Leader);
        assert_eq!((permissions.access(&deployments), actual), (access, consequence));
    }

    #[rstest]
    #[case::sources(Watched::Source(SourceKind::Secret))]
    #[case::classes(Watched::Class)]
    #[case::namespaces(Watched::Namespace)]
    fn only_workloads_can_be_listed_instead(
        #[case] watched: Watched,
        #[values(WatchRefused, ListRefused)] shown: Shown,
    ) {
        let (mut permissions, stream) = (Permissions::default(), stream(watched, None));
        let consequence = note(&mut permissions, &stream, shown, Role::Leader);
        assert_eq!(
            (permissions.access(&stream), consequence),
            (Access::Watch, Consequence::Nothing)
        );
    }

    #[test]
    fn a_namespace_is_listed_by_the_streams_that_cover_it() {
        let mut permissions = Permissions::default();
        let jobs = Watched::Workload(WorkloadKind::Job);
        let (own, other, all) = (
            stream(DEPLOYMENTS, Some("team")),
            stream(DEPLOYMENTS, Some("other")),
            stream(jobs, None),
        );
        for stream in [&own, &other, &all] {
            note(&mut permissions, stream, WatchRefused, Role::Leader);
        }
        assert_eq!(permissions.list_only("team").collect::<Vec<_>>(), [&own, &all]);
        note(&mut permissions, &own, ListRefused, Role::Leader);
        assert_eq!(permissions.list_only("team").collect::<Vec<_>>(), [&all]);
    }

    #[rstest]
    #[case::listed_by_a_standby(DEPLOYMENTS, &[Listed, WatchRefused], Role::Standby, true)]
    #[case::listed_by_the_leader(DEPLOYMENTS, &[Listed, WatchRefused], Role::Leader, false)]
    #[case::watched(DEPLOYMENTS, &[Listed, Shown::Watched], Role::Standby, false)]
    #[case::denied(DEPLOYMENTS, &[Listed, ListRefused], Role::Standby, false)]
    #[case::never_paused(Watched::Workload(WorkloadKind::Job), &[Listed, WatchRefused], Role::Standby, false)]
    fn deployments_that_another_leader_may_have_paused_are_listed_once_more(
        #[case] watched: Watched,
        #[case] shown: &[Shown],
        #[case] role: Role,
        #[case] expected: bool,
    ) {
        let (mut permissions, stream) = (Permissions::default(), stream(watched, None));
        for shown in shown {
            note(&mut permissions, &stream, *shown, role);
        }
        let expected: Vec<StreamId> = expected.then_some(stream).into_iter().collect();
        assert_eq!(permissions.take_outdated(), expected);
        assert_eq!(permissions.take_outdated(), []);
    }
}
