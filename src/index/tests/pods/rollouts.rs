//! Restarts while a rollout is under way.

use super::*;

/// The variable alone would bring the first template back, and keep its pods.
#[rstest]
#[case::of_the_first_template(2, false, true)]
#[case::of_none(4, false, false)]
#[case::all_pods_replaced(2, true, false)]
fn a_restart_within_a_rollout_may_bring_a_template_back(
    #[case] content: u8,
    #[case] are_complete: bool,
    #[case] expected: bool,
) {
    let fixture = Fixture::running();
    for (version, shown) in [(31, 2), (41, 3)] {
        fixture.holds_at(version - 1, shown);
        let mut restarted = web(version, u64::from(shown));
        restarted.template.containers[0].markers =
            vec![("STAKATER_APP_CONFIGMAP".into(), digest(shown).to_string().into())];
        restarted.pods.are_complete = are_complete;
        fixture.sees(restarted);
    }
    fixture.holds_at(50, content);
    let pending = fixture.index.pending(&key("web")).unwrap();
    assert_eq!(pending.owed[0].may_bring_back, expected);
}

/// Another client's rollout with the present content of one source is under way when the workload is restarted for another.
#[test]
fn a_restart_for_one_source_leaves_what_a_rollout_under_way_settles_of_another() {
    let fixture = Fixture::running();
    let uses_both = |version, template| {
        let mut web = web(version, template);
        web.template.containers[0].references.push(reference("other"));
        web
    };
    let other_holds = |version, content| {
        let source = Source {
            resource_version: version,
            ..source("other", content)
        };
        fixture.event(CONFIGMAPS, Event::SourceSeen(source));
    };
    other_holds(11, 1);
    fixture.sees(Workload {
        generation: 1,
        ..uses_both(21, 1)
    });
    fixture.sees(uses_both(31, 2));
    fixture.holds_at(30, 2);
    assert_eq!(fixture.proof(), None, "the rollout has the present content");
    other_holds(40, 3);
    let mut restarted = uses_both(41, 3);
    restarted.template.written_at = Some(UnixSeconds(60));
    restarted.template.containers[0].markers =
        vec![("STAKATER_OTHER_CONFIGMAP".into(), digest(3).to_string().into())];
    fixture.index.settle(
        &key("web"),
        [(reference("other"), Content::Present(digest(3)))],
        Settled::ByRestart,
        fixture.now,
    );
    fixture.sees(restarted);
    assert_eq!(
        fixture.index.pending(&key("web")).map(|pending| pending.owed),
        None
    );
}

/// Times have whole seconds: of a marker and a source of one second, the versions tell which came first.
#[test]
fn a_marker_of_the_same_second_proves_nothing_where_it_is_certainly_older() {
    let fixture = Fixture::running();
    let written = |version| {
        let mut web = web(version, 2);
        web.template.written_at = source("app", 2).modified_at;
        web
    };
    fixture.holds_at(30, 2);
    fixture.index.written(written(35), fixture.now);
    fixture.settle("web", 2);
    fixture.holds_at(40, 3);
    let pods = Pods {
        counts: 1,
        ..Pods::default()
    };
    fixture.sees(Workload { pods, ..written(41) });
    fixture.holds_at(50, 2);
    assert_eq!(fixture.proof(), Some(Proof::Nothing), "a pod may run with 3");

    fixture
        .index
        .written(Workload { pods, ..written(55) }, fixture.now);
    assert_eq!(fixture.proof(), Some(Proof::Restart));
}
