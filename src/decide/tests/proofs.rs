//! What a marker proves.

use super::*;

/// The workload as it is after a restart for that content, which Reloader wrote at that time.
fn restarted(options: Options, written_at: i64) -> Workload {
    let before = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    let mut after = apply(
        before.clone(),
        &plan(decide(&before, &[owed(ConfigMap, "cm", 1, 1)], &options)),
    );
    after.template.written_at = Some(UnixSeconds(written_at));
    after
}

#[rstest]
#[case::later(Some(10), 11, true)]
#[case::in_the_same_second(Some(10), 10, true)]
#[case::an_old_marker_that_came_back(Some(10), 9, false)]
#[case::the_source_has_no_time(None, 0, true)]
fn a_marker_proves_a_restart_if_it_was_written_since_the_source(
    #[case] modified_at: Option<i64>,
    #[case] written_at: i64,
    #[case] proves: bool,
    #[values(ENV_VARS, ANNOTATIONS)] options: Options,
    #[values(Proof::Restart, Proof::Unrecorded)] proof: Proof,
) {
    let marked = restarted(options, written_at);
    let mut owed = owed(ConfigMap, "cm", 1, 1);
    owed.proof = proof;
    owed.source.modified_at = modified_at.map(UnixSeconds);
    let decision = decide(&marked, &[owed], &options);
    assert_eq!(decision == Decision::Skip(SkipReason::AlreadyMarked), proves);
}

/// An undo brings the old marker back, and starts pods with the new content.
#[rstest]
fn a_marker_proves_nothing_where_the_pods_certainly_run_with_something_else(
    #[values(ENV_VARS, ANNOTATIONS)] options: Options,
    #[values(1, 5)] order: u64,
) {
    let marked = restarted(options, 9999);
    let owed = Owed {
        proof: Proof::Nothing,
        ..owed(ConfigMap, "cm", 1, order)
    };
    let plan = plan(decide(&marked, std::slice::from_ref(&owed), &options));
    let again = apply(marked.clone(), &plan);
    assert_ne!(again.template, marked.template, "the write restarts");
    assert_eq!(
        decide(&again, &[owed], &options),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
}

/// An undo brings back the annotation of an earlier deletion, and starts pods with what the source held then.
#[rstest]
#[case::certain(Proof::Nothing, 9999, true)]
#[case::older_than_the_data(Proof::Restart, 9, true)]
#[case::newer(Proof::Restart, 10, false)]
fn a_deletion_that_the_annotation_shows_is_judged_as_any_content(
    #[case] proof: Proof,
    #[case] written_at: i64,
    #[case] restarts: bool,
) {
    let before = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    let deleted = |proof| {
        let mut owed = Owed {
            proof,
            ..gone(ConfigMap, "cm", 1)
        };
        owed.source.modified_at = Some(UnixSeconds(10));
        owed
    };
    let first = plan(decide(&before, &[deleted(Proof::Restart)], &ANNOTATIONS));
    let mut marked = apply(before, &first);
    marked.template.written_at = Some(UnixSeconds(written_at));
    match decide(&marked, &[deleted(proof)], &ANNOTATIONS) {
        Decision::Skip(reason) => assert_eq!((restarts, reason), (false, SkipReason::AlreadyMarked)),
        Decision::Patch(plan) => {
            assert!(restarts);
            assert_ne!(apply(marked.clone(), &plan).template, marked.template);
        }
    }
}

/// Nobody has restarted a workload without a marker.
#[rstest]
fn without_a_marker_nothing_proves_a_change(
    #[values(ENV_VARS, ANNOTATIONS)] options: Options,
    #[values(Proof::Change, Proof::Unrecorded)] proof: Proof,
) {
    let workload = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    let mut owed = owed(ConfigMap, "cm", 1, 1);
    owed.proof = proof;
    assert_eq!(
        decide(&workload, &[owed], &options),
        Decision::Skip(SkipReason::Unmarked)
    );
}
