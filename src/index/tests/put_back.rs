//! Templates from which another client takes what a restart left there.

use rstest::rstest;

use super::*;
use crate::model::LastWrite;

const RESTARTED: UnixSeconds = UnixSeconds(1_790_000_000);

/// The Deployment `web`, with such markers in its container and its annotation.
fn marked(marker: Option<&str>, annotation: Option<&str>, version: u64) -> Workload {
    let mut workload = workload("web", AUTO, version);
    let variable = |value: &str| ("STAKATER_APP_CONFIGMAP".into(), value.into());
    workload.template.containers[0].markers = marker.map(variable).into_iter().collect();
    workload.template.last_reloaded_from = annotation.map(Into::into);
    workload.template.written_at = Some(RESTARTED);
    workload
}

fn seen(fixture: &Fixture, workload: Workload) -> Vec<PutBack> {
    let deployments = Watched::Workload(WorkloadKind::Deployment);
    fixture
        .event(deployments, Event::WorkloadSeen(Box::new(workload)))
        .put_back
}

#[rstest]
#[case::variable_gone((Some("a"), None), (None, None), true)]
#[case::variable_older((Some("b"), None), (Some("a"), None), true)]
#[case::annotation_gone((None, Some("a")), (None, None), true)]
#[case::annotation_older((None, Some("b")), (None, Some("a")), true)]
#[case::the_same((Some("a"), Some("b")), (Some("a"), Some("b")), false)]
#[case::added((None, None), (Some("a"), Some("b")), false)]
fn a_marker_that_another_client_takes_away_is_noticed(
    #[case] before: (Option<&str>, Option<&str>),
    #[case] after: (Option<&str>, Option<&str>),
    #[case] is_put_back: bool,
    #[values(false, true)] owes: bool,
    #[values(-1, 0, 1)] later: i64,
) {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    assert_eq!(seen(&fixture, marked(before.0, before.1, 10)), []);
    if owes {
        fixture.source("app", 2);
    }
    let mut now = marked(after.0, after.1, 11);
    now.template.written_at = None;
    let at = RESTARTED.saturating_add(later);
    let manager = "operator".into();
    now.written_by = Some(Box::new(LastWrite { manager, at }));
    let expected = PutBack {
        workload: key("web"),
        uid: "uid".into(),
        restarted_at: RESTARTED,
        manager: (later >= 0).then(|| "operator".into()),
    };
    // While it owes, Reloader's own writes come.
    let expected: Vec<_> = (is_put_back && !owes).then_some(expected).into_iter().collect();
    assert_eq!(seen(&fixture, now.clone()), expected);
    assert_eq!(seen(&fixture, now), [], "once");
}

#[test]
fn what_reloader_never_wrote_or_what_was_recreated_is_not_put_back() {
    let mut fixture = Fixture::settled();
    fixture.source("app", 1);
    let mut foreign = marked(Some("a"), None, 10);
    foreign.template.written_at = None;
    assert_eq!(seen(&fixture, foreign), []);
    assert_eq!(seen(&fixture, marked(None, None, 11)), []);
    assert_eq!(seen(&fixture, marked(Some("a"), None, 12)), []);
    let mut recreated = marked(None, None, 13);
    recreated.uid = "another".into();
    assert_eq!(seen(&fixture, recreated), []);
}
