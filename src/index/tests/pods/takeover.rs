//! What another client did while the leader was about to die.

use super::*;

/// The leader died before the ledger had its last restart. What the ledger says, that the workload owes one or nothing, and
/// the marker are of before what this replica has watched.
///
/// A source that was last seen to be written before the ledger was stored may have changed since, on a watch that is dead.
#[rstest]
#[case::after_the_source(31, 2, false)]
#[case::before_the_source(29, 2, true)]
#[case::blind_for_the_source(31, -30, true)]
fn a_template_that_others_change_before_a_takeover_settles_what_the_ledger_lacks(
    #[case] edited: u64,
    #[case] source_written: i64,
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
    }
    let changed = Source {
        resource_version: 30,
        modified_at: Some(stored.saturating_add(source_written)),
        ..source("app", 2)
    };
    fixture.event(CONFIGMAPS, Event::SourceSeen(changed));
    if edited > 30 {
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
    // What it has watched of a rollout that is under way rests until that ends.
    let rests = edited > 30 && !is_complete;
    assert_eq!(!fixture.owed("web").is_empty(), owes && !rests);
    if !owes && rests {
        // Its pods of before may be left, and are of anything.
        fixture.sees(of_others(40, 2));
        assert!(fixture.proof().is_some());
    }
}
