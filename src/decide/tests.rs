use proptest::{prelude::*, strategy::Strategy as ProptestStrategy};
use rstest::rstest;

use super::{Strategy, *};
use crate::model::{
    AnnotationKeys, Digest, OptIn, PodTemplate, Pods, Replacement, Restart, Rollout, Source, SourceKind,
    SourceRef, UnixSeconds, WorkloadKey, WorkloadKind,
};
use SourceKind::{ConfigMap, Secret};

mod classes;
mod look_alikes;
mod proofs;

const ENV_VARS: Options = Options {
    strategy: Strategy::EnvVars,
    auto_reload_all: false,
    reload_suspended: false,
};
const ANNOTATIONS: Options = Options {
    strategy: Strategy::Annotations,
    auto_reload_all: false,
    reload_suspended: false,
};

/// A workload with the `auto` annotation if `auto`.
pub(super) fn workload(auto: bool, containers: Vec<Container>) -> Workload {
    let annotation = |key: &str| (auto && key == "reloader.stakater.com/auto").then_some("true");
    Workload {
        key: WorkloadKey::new(WorkloadKind::Deployment, "ns", "app"),
        uid: "uid".into(),
        resource_version: 1,
        created_at: None,
        pause: None,
        template_of: None,
        restart: Restart::default(),
        replacement: Replacement::default(),
        generation: 1,
        pods: Pods::default(),
        rollout: Rollout::default(),
        written_by: None,
        policy: None,
        lacks_template: false,
        opt_in: OptIn::parse(&AnnotationKeys::default(), annotation, |_| None),
        template: PodTemplate {
            containers,
            written_at: Some(UnixSeconds(0)),
            ..PodTemplate::default()
        },
    }
}

/// A container that uses those sources in its environment.
pub(super) fn container(name: &str, references: &[(SourceKind, &str)]) -> Container {
    Container {
        name: name.into(),
        references: references
            .iter()
            .map(|&(kind, name)| SourceRef::new(kind, name))
            .collect(),
        ..Container::default()
    }
}

/// A source whose digest is that byte twenty times.
pub(super) fn owed(kind: SourceKind, name: &str, digest: u8, order: u64) -> Owed {
    Owed {
        source: Source {
            key: SourceKey::new(kind, "ns", name),
            uid: "uid".into(),
            resource_version: 1,
            modified_at: Some(UnixSeconds(0)),
            rewritten: false,
            digest: Digest::from_bytes([digest; 20]),
            ignored: false,
            matched: false,
            policy: None,
        },
        version: 1,
        content: Content::Present(Digest::from_bytes([digest; 20])),
        look_alike: false,
        may_bring_back: false,
        proof: Proof::Restart,
        seen_at: UnixSeconds(1000 + i64::try_from(order).unwrap()),
        order,
    }
}

fn present(digest: u8) -> Content {
    Content::Present(Digest::from_bytes([digest; 20]))
}

/// A source that was deleted.
fn gone(kind: SourceKind, name: &str, order: u64) -> Owed {
    Owed {
        content: Content::Absent,
        ..owed(kind, name, 1, order)
    }
}

/// The workload after the API server applied the plan.
fn apply(mut workload: Workload, plan: &Plan) -> Workload {
    if let Some(annotation) = plan.annotation() {
        workload.template.last_reloaded_from = Some(annotation.into());
    }
    for mark in &plan.marks {
        if plan.strategy == Strategy::Annotations {
            continue;
        }
        let containers = &mut workload.template.containers;
        let container = containers
            .iter_mut()
            .find(|container| container.name == mark.container)
            .unwrap();
        let Content::Present(digest) = mark.content else {
            container.markers.retain(|(name, _)| **name != *mark.env_name);
            continue;
        };
        let value: Box<str> = digest.to_string().into();
        match container
            .markers
            .iter_mut()
            .find(|(name, _)| **name == *mark.env_name)
        {
            Some(marker) => marker.1 = value,
            None => container.markers.push((mark.env_name.clone().into(), value)),
        }
    }
    workload
}

fn plan(decision: Decision) -> Plan {
    match decision {
        Decision::Patch(plan) => plan,
        Decision::Skip(reason) => panic!("skipped: {reason:?}"),
    }
}

fn outcomes(plan: &Plan) -> Vec<SourceOutcome> {
    plan.settled.iter().map(|settlement| settlement.outcome).collect()
}

#[test]
fn several_changes_are_one_patch() {
    let workload = workload(
        true,
        vec![
            container("a", &[(Secret, "s")]),
            container("b", &[(ConfigMap, "cm")]),
        ],
    );
    let owed = [owed(ConfigMap, "cm", 1, 1), owed(Secret, "s", 2, 2)];
    let plan = plan(decide(&workload, &owed, &ENV_VARS));

    let marks: Vec<_> = plan
        .marks
        .iter()
        .map(|mark| (&*mark.container, mark.env_name.as_str(), mark.content))
        .collect();
    assert_eq!(
        marks,
        [
            ("a", "STAKATER_S_SECRET", owed[1].content),
            ("b", "STAKATER_CM_CONFIGMAP", owed[0].content),
        ]
    );
    assert_eq!(outcomes(&plan), [SourceOutcome::Marked, SourceOutcome::Marked]);
    assert_eq!(plan.workload, workload.key);
}

#[test]
fn a_source_that_leads_nowhere_does_not_hold_back_the_others() {
    let workload = workload(
        true,
        vec![container("a", &[(ConfigMap, "cm"), (ConfigMap, "off")])],
    );
    let mut off = owed(ConfigMap, "off", 2, 2);
    off.source.ignored = true;
    let plan = plan(decide(
        &workload,
        &[owed(ConfigMap, "cm", 1, 1), off, owed(Secret, "s", 3, 3)],
        &ENV_VARS,
    ));
    assert_eq!(plan.marks.len(), 1);
    assert_eq!(
        outcomes(&plan),
        [
            SourceOutcome::Marked,
            SourceOutcome::Skipped(SkipReason::Ignored),
            SourceOutcome::Skipped(SkipReason::NoContainer)
        ]
    );
}

#[rstest]
#[case::nothing_owed(true, &[], SkipReason::NothingOwed, "nothing_owed")]
#[case::not_opted_in(false, &[owed(ConfigMap, "cm", 1, 1)], SkipReason::NotOptedIn, "not_opted_in")]
#[case::unused(true, &[owed(ConfigMap, "other", 1, 1)], SkipReason::NoContainer, "strategy_not_updated")]
#[case::the_furthest_reason_counts(true, &[owed(ConfigMap, "marked", 9, 1), owed(ConfigMap, "other", 1, 2)],
    SkipReason::AlreadyMarked, "strategy_not_updated")]
fn says_why_nothing_is_written(
    #[case] auto: bool,
    #[case] owed: &[Owed],
    #[case] reason: SkipReason,
    #[case] label: &str,
) {
    let mut used = container("a", &[(ConfigMap, "cm"), (ConfigMap, "marked")]);
    used.markers = vec![("STAKATER_MARKED_CONFIGMAP".into(), "09".repeat(20).into())];
    assert_eq!(
        decide(&workload(auto, vec![used]), owed, &ENV_VARS),
        Decision::Skip(reason)
    );
    assert_eq!(reason.as_str(), label);
}

#[test]
fn only_the_chosen_container_is_looked_at() {
    let mut other = container("other", &[]);
    other.markers = vec![("STAKATER_CM_CONFIGMAP".into(), "01".repeat(20).into())];
    let workload = workload(true, vec![other, container("user", &[(ConfigMap, "cm")])]);
    let plan = plan(decide(&workload, &[owed(ConfigMap, "cm", 1, 1)], &ENV_VARS));
    assert_eq!(&*plan.marks[0].container, "user");
}

#[test]
fn of_sources_that_share_a_variable_the_later_change_gets_it() {
    let used = container("a", &[(ConfigMap, "a.b"), (ConfigMap, "a-b")]);
    let both = [owed(ConfigMap, "a.b", 1, 2), owed(ConfigMap, "a-b", 2, 1)];
    let before = workload(true, vec![used]);
    let plan = plan(decide(&before, &both, &ENV_VARS));
    assert_eq!(plan.marks.len(), 1);
    assert_eq!(plan.marks[0].content, both[0].content);
    assert_eq!(
        outcomes(&plan),
        [SourceOutcome::Marked, SourceOutcome::Superseded]
    );

    // The loser does not take the variable back.
    let after = apply(before, &plan);
    assert_eq!(
        decide(&after, &both, &ENV_VARS),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
}

#[test]
fn the_annotation_shows_the_last_change_and_settles_all() {
    let workload = workload(true, vec![container("a", &[(ConfigMap, "cm"), (Secret, "s")])]);
    let owed = [owed(ConfigMap, "cm", 1, 7), owed(Secret, "s", 2, 3)];
    let plan = plan(decide(&workload, &owed, &ANNOTATIONS));
    assert_eq!(plan.marks.len(), 1);
    assert_eq!(plan.marks[0].source, owed[0].source.key);
    assert_eq!(plan.marks[0].observed_at, UnixSeconds(1007));
    assert_eq!(
        outcomes(&plan),
        [SourceOutcome::Marked, SourceOutcome::Superseded]
    );
}

#[test]
fn a_source_the_annotation_shows_is_not_written_again() {
    let before = workload(true, vec![container("a", &[(ConfigMap, "cm"), (Secret, "s")])]);
    let shown = owed(ConfigMap, "cm", 1, 7);
    let after = apply(
        before.clone(),
        &plan(decide(&before, std::slice::from_ref(&shown), &ANNOTATIONS)),
    );
    assert_eq!(
        decide(&after, std::slice::from_ref(&shown), &ANNOTATIONS),
        Decision::Skip(SkipReason::AlreadyMarked)
    );

    let plan = plan(decide(&after, &[shown, owed(Secret, "s", 2, 3)], &ANNOTATIONS));
    assert_eq!(plan.marks[0].source.kind, Secret);
    assert_eq!(
        outcomes(&plan),
        [
            SourceOutcome::Skipped(SkipReason::AlreadyMarked),
            SourceOutcome::Marked
        ]
    );
}

#[test]
fn new_content_is_written_over_the_old_marker() {
    for options in [ENV_VARS, ANNOTATIONS] {
        let before = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
        let after = apply(
            before.clone(),
            &plan(decide(&before, &[owed(ConfigMap, "cm", 1, 1)], &options)),
        );
        let plan = plan(decide(&after, &[owed(ConfigMap, "cm", 2, 2)], &options));
        assert_eq!(
            plan.marks[0].content,
            Content::Present(Digest::from_bytes([2; 20]))
        );
    }
}

#[test]
fn the_variable_of_a_deleted_source_is_removed_where_there_is_one() {
    let owed = [gone(ConfigMap, "cm", 1)];
    let mut using = container("a", &[(ConfigMap, "cm")]);
    assert_eq!(
        decide(&workload(true, vec![using.clone()]), &owed, &ENV_VARS),
        Decision::Skip(SkipReason::AlreadyMarked),
        "nothing shows that the workload was ever restarted for it"
    );
    // Whatever it shows; a variable of that name elsewhere does not count.
    using.markers = vec![("STAKATER_CM_CONFIGMAP".into(), "09".repeat(20).into())];
    let other = Container {
        name: "other".into(),
        references: Vec::new(),
        ..using.clone()
    };
    let before = workload(true, vec![using, other]);
    let plan = plan(decide(&before, &owed, &ENV_VARS));
    assert_eq!(plan.marks.len(), 1);
    assert_eq!(
        (&*plan.marks[0].container, plan.marks[0].content),
        ("a", Content::Absent)
    );
    assert_eq!(
        decide(&apply(before, &plan), &owed, &ENV_VARS),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
}

/// What `--sync-after-restart` makes of a source of which nothing is known.
#[rstest]
#[case::never_restarted_for_it(None, Some(SkipReason::Unmarked))]
#[case::restarted_for_this_content(Some(present(1)), Some(SkipReason::AlreadyMarked))]
#[case::restarted_for_another(Some(present(2)), None)]
fn only_a_marker_that_shows_something_else_counts(
    #[case] marked: Option<Content>,
    #[case] skipped: Option<SkipReason>,
    #[values(ENV_VARS, ANNOTATIONS)] options: Options,
) {
    let mut workload = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    if let Some(content) = marked {
        let before = Owed {
            content,
            ..owed(ConfigMap, "cm", 1, 1)
        };
        let plan = plan(decide(&workload, &[before], &options));
        workload = apply(workload, &plan);
    }
    let tentative = Owed {
        proof: Proof::Change,
        ..owed(ConfigMap, "cm", 1, 2)
    };
    match (decide(&workload, &[tentative], &options), skipped) {
        (Decision::Skip(reason), Some(expected)) => assert_eq!(reason, expected),
        (Decision::Patch(_), None) => {}
        (decision, _) => panic!("{decision:?}"),
    }
}

#[test]
fn the_annotation_shows_a_deletion_once() {
    let before = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    let owed = [gone(ConfigMap, "cm", 1)];
    let plan = plan(decide(&before, &owed, &ANNOTATIONS));
    assert_eq!(plan.marks[0].content, Content::Absent);
    assert_eq!(
        decide(&apply(before, &plan), &owed, &ANNOTATIONS),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
}

#[test]
fn a_deleted_source_does_not_take_the_variable_from_one_that_shares_it() {
    let used = container("a", &[(ConfigMap, "a.b"), (ConfigMap, "a-b")]);
    let both = [owed(ConfigMap, "a.b", 1, 1), gone(ConfigMap, "a-b", 2)];
    let before = workload(true, vec![used]);
    let plan = plan(decide(&before, &both, &ENV_VARS));
    assert_eq!(plan.marks.len(), 1);
    assert_eq!(plan.marks[0].content, both[0].content);
    assert_eq!(
        outcomes(&plan),
        [SourceOutcome::Marked, SourceOutcome::Superseded]
    );
}

#[test]
fn a_deleted_source_that_is_ignored_restarts_nothing() {
    let mut ignored = gone(ConfigMap, "cm", 1);
    ignored.source.ignored = true;
    let workload = workload(true, vec![container("a", &[(ConfigMap, "cm")])]);
    assert_eq!(
        decide(&workload, &[ignored], &ANNOTATIONS),
        Decision::Skip(SkipReason::Ignored)
    );
}

#[test]
fn auto_reload_all_covers_a_workload_that_says_nothing() {
    let options = Options {
        auto_reload_all: true,
        ..ENV_VARS
    };
    let workload = workload(false, vec![container("a", &[(ConfigMap, "cm")])]);
    assert_eq!(
        plan(decide(&workload, &[owed(ConfigMap, "cm", 1, 1)], &options))
            .marks
            .len(),
        1
    );
}

#[test]
fn strategies_are_spelt_as_the_flag_has_them() {
    for strategy in [Strategy::EnvVars, Strategy::Annotations] {
        assert_eq!(strategy.as_str().parse(), Ok(strategy));
    }
    for text in ["", "default", "Env-Vars", "annotation"] {
        let error = text.parse::<Strategy>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "reload-strategy must be one of: env-vars, annotations"
        );
    }
}

/// Sources with few names, so that they share variables and digests.
fn owed_set() -> impl ProptestStrategy<Value = Vec<Owed>> {
    let kinds = prop_oneof![Just(ConfigMap), Just(Secret)];
    // A source without a digest is gone.
    let one = (kinds, "(a\\.b|a-b|c|d)", prop::option::of(0..3_u8), 0..4_u64);
    let sets = prop::collection::vec(one, 0..6);
    sets.prop_map(|mut sources| {
        sources.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        sources.dedup_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
        sources
            .into_iter()
            .map(|(kind, name, digest, order)| match digest {
                Some(digest) => owed(kind, &name, digest, order),
                None => gone(kind, &name, order),
            })
            .collect()
    })
}

/// Two containers that use some of the sources [`owed_set`] gives.
fn some_workload() -> impl ProptestStrategy<Value = Workload> {
    let every: Vec<SourceRef> = SourceKind::ALL
        .into_iter()
        .flat_map(|kind| ["a.b", "a-b", "c", "d"].map(|name| SourceRef::new(kind, name)))
        .collect();
    let some = prop::sample::subsequence(every, 0..=8);
    (some.clone(), some).prop_map(|(first, second)| {
        let using = |name: &str, references| Container {
            references,
            ..container(name, &[])
        };
        workload(true, vec![using("one", first), using("two", second)])
    })
}

proptest! {
    #[test]
    fn a_plan_that_was_applied_is_not_made_again(before in some_workload(), owed in owed_set(), annotations: bool) {
        let options = if annotations { ANNOTATIONS } else { ENV_VARS };
        if let Decision::Patch(plan) = decide(&before, &owed, &options) {
            prop_assert!(!plan.marks.is_empty());
            prop_assert_eq!(plan.settled.len(), owed.len());
            let after = apply(before, &plan);
            // An annotation has room for one source: what it pushed out is settled elsewhere.
            let again: Vec<Owed> = owed.iter().zip(&plan.settled)
                .filter(|(_, settlement)| !annotations || settlement.outcome == SourceOutcome::Marked)
                .map(|(owed, _)| owed.clone())
                .collect();
            let decision = decide(&after, &again, &options);
            prop_assert!(matches!(decision, Decision::Skip(_)), "{decision:?}");
        }
    }

    #[test]
    fn the_order_in_which_sources_are_given_does_not_matter(
        workload in some_workload(),
        (owed, shuffled) in owed_set().prop_flat_map(|owed| (Just(owed.clone()), Just(owed).prop_shuffle())),
        annotations: bool,
    ) {
        let options = if annotations { ANNOTATIONS } else { ENV_VARS };
        match (decide(&workload, &owed, &options), decide(&workload, &shuffled, &options)) {
            (Decision::Patch(one), Decision::Patch(other)) => prop_assert_eq!(one.marks, other.marks),
            (one, other) => prop_assert_eq!(one, other),
        }
    }
}

#[test]
fn a_suspended_cron_job_is_left_alone_unless_asked_for() {
    let suspended = Workload {
        restart: Restart::NewJob { suspended: true },
        ..workload(true, vec![container("main", &[(ConfigMap, "cm")])])
    };
    let owed = [owed(ConfigMap, "cm", 1, 0)];
    assert_eq!(
        decide(&suspended, &owed, &ENV_VARS),
        Decision::Skip(SkipReason::Suspended)
    );
    let like_upstream = Options {
        reload_suspended: true,
        ..ENV_VARS
    };
    assert!(matches!(
        decide(&suspended, &owed, &like_upstream),
        Decision::Patch(_)
    ));
}

/// The sources were last written in the seconds 10 and 20.
#[rstest]
#[case::never_restarted(None, Some(21), 2)]
#[case::before_both(Some(5), Some(21), 2)]
#[case::in_the_second_of_the_first(Some(10), Some(21), 2)]
#[case::after_the_first(Some(11), Some(21), 1)]
#[case::in_the_second_of_the_second(Some(20), Some(21), 1)]
#[case::after_both(Some(21), None, 0)]
#[case::much_later(Some(1000), None, 0)]
fn a_restart_covers_what_was_written_before_it(
    #[case] last: Option<i64>,
    #[case] restart_at: Option<i64>,
    #[case] restarted_for: usize,
    #[values(ENV_VARS, ANNOTATIONS)] options: Options,
) {
    let rollout = Workload {
        restart: Restart::At {
            last: last.map(UnixSeconds),
        },
        ..workload(
            true,
            vec![container("main", &[(ConfigMap, "a"), (ConfigMap, "b")])],
        )
    };
    let mut owed = [owed(ConfigMap, "a", 1, 0), owed(ConfigMap, "b", 1, 1)];
    owed[0].source.modified_at = Some(UnixSeconds(10));
    owed[1].source.modified_at = Some(UnixSeconds(20));
    match (decide(&rollout, &owed, &options), restart_at) {
        (Decision::Skip(reason), None) => assert_eq!(reason, SkipReason::AlreadyMarked),
        (Decision::Patch(plan), Some(at)) => {
            assert_eq!(plan.write, Write::RestartAt(UnixSeconds(at)));
            assert_eq!(plan.marks.len(), restarted_for);
        }
        other => panic!("{other:?}"),
    }
}

/// As upstream: there is no variable to remove, and no annotation that would show the deletion.
#[test]
fn a_deletion_restarts_what_keeps_no_marker_under_annotations_only() {
    let pods = workload(true, vec![container("main", &[(ConfigMap, "cm")])]);
    let rollout = |last| Workload {
        restart: Restart::At { last },
        ..pods.clone()
    };
    let owed = [gone(ConfigMap, "cm", 5)];
    for last in [None, Some(UnixSeconds(900))] {
        assert_eq!(
            decide(&rollout(last), &owed, &ENV_VARS),
            Decision::Skip(SkipReason::AlreadyMarked)
        );
        let plan = plan(decide(&rollout(last), &owed, &ANNOTATIONS));
        assert_eq!(
            plan.write,
            Write::RestartAt(UnixSeconds(1006)),
            "after it was seen to be gone"
        );
    }
    assert_eq!(
        decide(&rollout(Some(UnixSeconds(1006))), &owed, &ANNOTATIONS),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
}

#[rstest]
#[case(WorkloadKind::StatefulSet, None, Write::Strategic)]
#[case(
    WorkloadKind::Rollout,
    None,
    Write::Live(WorkloadKey::new(WorkloadKind::Rollout, "ns", "app"))
)]
#[case(
    WorkloadKind::Rollout,
    Some("web"),
    Write::Live(WorkloadKey::new(WorkloadKind::Deployment, "ns", "web"))
)]
fn a_template_is_patched_where_it_is(
    #[case] kind: WorkloadKind,
    #[case] template_of: Option<&str>,
    #[case] write: Write,
) {
    let mut workload = workload(true, vec![container("main", &[(ConfigMap, "cm")])]);
    workload.key.kind = kind;
    workload.template_of = template_of.map(Arc::from);
    let plan = plan(decide(&workload, &[owed(ConfigMap, "cm", 1, 0)], &ENV_VARS));
    assert_eq!(plan.write, write);
}
