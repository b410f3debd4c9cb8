//! What has started pods while no leader, or only a blind one, looked.

use super::*;

/// The leader died before the ledger had its last restart. What the ledger says, that the workload owes one or nothing, and
/// the marker are of before what this replica has watched.
#[rstest]
#[case::after_the_source(31, false)]
#[case::before_the_source(29, true)]
fn a_template_that_others_change_before_a_takeover_settles_what_the_ledger_lacks(
    #[case] edited: u64,
    #[case] owes: bool,
    #[values(false, true)] is_complete: bool,
    #[values(Some(2), None)] running: Option<u8>,
) {
    let fixture = Fixture::running();
    let stored = fixture.now.unix;
    let of_others = |version, template| {
        let mut web = web(version, template);
        web.template.containers[0].markers =
            vec![("STAKATER_APP_CONFIGMAP".into(), digest(1).to_string().into())];
        web.template.written_at = Some(stored.saturating_add(2));
        web.template.touched_at = Some(stored.saturating_add(5));
        web.pods.are_complete = is_complete;
        web
    };
    fixture.sees(of_others(21, 2));
    if edited < 30 {
        fixture.sees(of_others(edited, 3));
        fixture.holds_at(30, 2);
    } else {
        fixture.holds_at(30, 2);
        fixture.sees(of_others(edited, 3));
    }
    fixture.index.restores_from(stored);
    let owed = running.map(|running| OwedBy {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
        running: Some(Content::Present(digest(running))),
    });
    let status = SourceStatus {
        state: SourceState::Present(digest(if owed.is_some() { 1 } else { 2 })),
        owed: Vec::from_iter(owed),
    };
    fixture.index.restore(&app(), &status, fixture.now);
    fixture.check_unrecorded(stored);
    assert_eq!(!fixture.owed("web").is_empty(), owes);
    if !owes && !is_complete {
        // Its pods of before may be left, and are of anything.
        fixture.sees(of_others(40, 2));
        assert_eq!(fixture.proof(), Some(Proof::Restart));
    }
}

/// The watch of an earlier leader was dead when the source changed and returned, and this replica has started since: nothing
/// but the time of the source and the pods that are moving show it.
#[rstest]
#[case::returned_while_pods_start(5, true, 0, Some(Proof::Unrecorded))]
#[case::so_long_ago_that_it_was_noticed(5, true, 60, None)]
#[case::returned_while_none_starts(5, false, 0, None)]
#[case::as_it_was_when_the_ledger_was_stored(-60, true, 0, None)]
fn pods_that_may_have_started_before_the_source_returned_are_checked(
    #[case] source_written: i64,
    #[case] are_moving: bool,
    #[case] later: u32,
    #[case] expected: Option<Proof>,
) {
    let mut fixture = Fixture::settled_with(Options {
        longest_lag: Duration::from_secs(30),
        ..Options::default()
    });
    let stored = fixture.now.unix;
    let source = Source {
        resource_version: 30,
        modified_at: Some(stored.saturating_add(source_written)),
        ..source("app", 1)
    };
    fixture.event(CONFIGMAPS, Event::SourceSeen(source));
    let mut restarted = web(20, 2);
    restarted.created_at = Some(stored.saturating_add(-90));
    restarted.pods.are_moving = are_moving;
    restarted.template.written_at = Some(stored.saturating_add(-30));
    fixture.sees(restarted);
    fixture.pass(later);
    fixture.index.restores_from(stored);
    let settled = SourceStatus {
        state: SourceState::Present(digest(1)),
        owed: Vec::new(),
    };
    fixture.index.restore(&app(), &settled, fixture.now);
    fixture.check_unrecorded(stored);
    assert_eq!(fixture.proof(), expected);
}
