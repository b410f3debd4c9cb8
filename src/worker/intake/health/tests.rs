use rstest::rstest;

use super::*;
use crate::model::{SourceKind, WorkloadKind};

const SECRETS: Watched = Watched::Source(SourceKind::Secret);
const DEPLOYMENTS: Watched = Watched::Workload(WorkloadKind::Deployment);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Unreachable,
    NotInstalled,
    ListRefused,
    WatchRefused,
}
use Fault::{ListRefused, NotInstalled, Unreachable, WatchRefused};

fn failure(fault: Fault) -> Failure {
    Failure {
        category: "list",
        denied: matches!(fault, ListRefused | WatchRefused),
        only_watch: matches!(fault, WatchRefused),
        not_installed: matches!(fault, NotInstalled),
        code: None,
        retry_after: Duration::ZERO,
        message: String::new(),
    }
}

fn before(status: Status) -> Before {
    Before {
        status,
        refused_for: Duration::ZERO,
        access: Access::Watch,
        selects: true,
    }
}

/// A stream that was refused for long enough to believe it.
fn lasting() -> Before {
    Before {
        refused_for: REFUSAL_LASTS,
        ..before(Status::Failing)
    }
}

fn list_only(before: Before) -> Before {
    Before {
        access: Access::ListOnly,
        ..before
    }
}

#[rstest]
#[case::reached_at_first(
    SECRETS,
    before(Status::Unsynced),
    Unreachable,
    Status::Failing,
    Some(Line::NeverListed)
)]
#[case::unreachable(
    SECRETS,
    before(Status::Synced),
    Unreachable,
    Status::Failing,
    Some(Line::Failed)
)]
#[case::unreachable_again(SECRETS, lasting(), Unreachable, Status::Failing, Some(Line::FailedAgain))]
#[case::unreachable_after_denial(
    SECRETS,
    before(Status::Denied),
    Unreachable,
    Status::Failing,
    Some(Line::Failed)
)]
#[case::not_installed(
    SECRETS,
    before(Status::Unsynced),
    NotInstalled,
    Status::NotInstalled,
    Some(Line::NotInstalled)
)]
#[case::still_not_installed(
    SECRETS,
    before(Status::NotInstalled),
    NotInstalled,
    Status::NotInstalled,
    None
)]
// An API server that has just started refuses all requests.
#[case::denied_at_first(
    SECRETS,
    before(Status::Unsynced),
    ListRefused,
    Status::Failing,
    Some(Line::NeverListed)
)]
#[case::denied_soon(
    SECRETS,
    before(Status::Failing),
    ListRefused,
    Status::Failing,
    Some(Line::FailedAgain)
)]
#[case::denied_suddenly(
    SECRETS,
    before(Status::Synced),
    ListRefused,
    Status::Failing,
    Some(Line::Failed)
)]
#[case::denied(SECRETS, lasting(), ListRefused, Status::Denied, Some(Line::Denied))]
#[case::watch_denied(SECRETS, lasting(), WatchRefused, Status::Denied, Some(Line::Denied))]
#[case::still_denied(SECRETS, before(Status::Denied), ListRefused, Status::Denied, None)]
#[case::denied_after_an_outage(
    SECRETS,
    before(Status::Failing),
    ListRefused,
    Status::Failing,
    Some(Line::FailedAgain)
)]
#[case::watch_denied_after_an_outage(
    DEPLOYMENTS,
    list_only(before(Status::Failing)),
    WatchRefused,
    Status::Failing,
    Some(Line::FailedAgain)
)]
// Workloads that may be listed have a line of their own.
#[case::list_only(
    DEPLOYMENTS,
    list_only(lasting()),
    WatchRefused,
    Status::Denied,
    Some(Line::ListOnly)
)]
#[case::still_list_only(
    DEPLOYMENTS,
    list_only(before(Status::Denied)),
    WatchRefused,
    Status::Denied,
    None
)]
#[case::list_denied_too(
    DEPLOYMENTS,
    list_only(before(Status::Denied)),
    ListRefused,
    Status::Denied,
    Some(Line::Denied)
)]
#[case::workloads_denied(DEPLOYMENTS, lasting(), ListRefused, Status::Denied, Some(Line::Denied))]
#[case::workloads_still_denied(DEPLOYMENTS, before(Status::Denied), ListRefused, Status::Denied, None)]
// Without namespaces it is not known what to do.
#[case::namespaces(
    Watched::Namespace,
    lasting(),
    ListRefused,
    Status::Refused,
    Some(Line::NamespacesRefused)
)]
#[case::still_namespaces(
    Watched::Namespace,
    before(Status::Refused),
    WatchRefused,
    Status::Refused,
    None
)]
#[case::namespaces_soon(
    Watched::Namespace,
    before(Status::Failing),
    ListRefused,
    Status::Failing,
    Some(Line::FailedAgain)
)]
fn a_failure_leads_to(
    #[case] watched: Watched,
    #[case] before: Before,
    #[case] fault: Fault,
    #[case] status: Status,
    #[case] line: Option<Line>,
) {
    let actual = next(watched, before, Sign::Failed(&failure(fault)));
    assert_eq!(actual, Some(Next { status, line }));
}

#[rstest]
#[case::first_list(Status::Unsynced, Sign::Listed, Some(Line::Synced))]
#[case::installed(Status::NotInstalled, Sign::Listed, Some(Line::Synced))]
#[case::another_list(Status::Synced, Sign::Listed, None)]
#[case::list_after_failure(Status::Failing, Sign::Listed, Some(Line::Recovered))]
#[case::list_after_denial(Status::Denied, Sign::Listed, Some(Line::Recovered))]
#[case::list_after_refusal(Status::Refused, Sign::Listed, Some(Line::Recovered))]
#[case::event_after_failure(Status::Failing, Sign::Watched, Some(Line::Recovered))]
#[case::event_after_denial(Status::Denied, Sign::Watched, Some(Line::Recovered))]
#[case::resumed(Status::Failing, Sign::Resumed, Some(Line::Recovered))]
#[case::event(Status::Synced, Sign::Watched, None)]
#[case::event_before_the_list(Status::Unsynced, Sign::Watched, None)]
// The list of one namespace does not make up for the watch.
#[case::namespace_listed(Status::Denied, Sign::NamespaceListed, None)]
fn a_success_leads_to(#[case] status: Status, #[case] sign: Sign<'_>, #[case] line: Option<Line>) {
    let expected = line.map(|line| Next {
        status: Status::Synced,
        line: Some(line),
    });
    assert_eq!(next(DEPLOYMENTS, before(status), sign), expected);
}

/// Nobody expects a kind that is watched only where it is served: that it is not is no news.
#[rstest]
#[case::first_answer(Status::Unsynced, None)]
#[case::still(Status::NotInstalled, None)]
#[case::after_an_outage(Status::Failing, Some(Line::NotServed))]
fn a_kind_that_is_not_served_leads_to(#[case] status: Status, #[case] line: Option<Line>) {
    let expected = Next {
        status: Status::NotInstalled,
        line,
    };
    let kind = Watched::Workload(WorkloadKind::DeploymentConfig);
    assert_eq!(next(kind, before(status), Sign::NotServed), Some(expected));
}

#[test]
fn an_outage_ends_with_the_kind_that_is_not_served() {
    let stream = StreamId {
        watched: Watched::Workload(WorkloadKind::DeploymentConfig),
        namespace: None,
    };
    for (news, expected, level) in [
        (
            News::Ends { others: 7 },
            "The cluster has no deploymentconfigs, the last of 8 watches that had failed",
            Level::Info,
        ),
        (News::Known, "The cluster has no deploymentconfigs", Level::Debug),
    ] {
        assert_eq!(Line::NotServed.text(&stream, "", news), expected);
        assert_eq!(Line::NotServed.level(news), level);
    }
}
