//! Sources whose contents before and after print the same digest.

use rstest::rstest;

use super::*;

/// What the ConfigMap `cm` holds now looks like what it held before.
fn look_alike(pairs: &[(&str, &str)]) -> Owed {
    let digest = Digest::of_config_map(pairs.iter().copied(), []);
    let owed = owed(ConfigMap, "cm", 1, 0);
    Owed {
        source: Source {
            digest,
            ..owed.source.clone()
        },
        content: Content::Present(digest),
        look_alike: true,
        may_bring_back: false,
        ..owed
    }
}

const ONE: &[(&str, &str)] = &[("a", "1;b=2")];
const TWO: &[(&str, &str)] = &[("a", "1"), ("b", "2")];

#[rstest]
#[case(ENV_VARS)]
#[case(ANNOTATIONS)]
fn each_change_between_contents_that_look_alike_is_one_write(#[case] options: Options) {
    let first = Owed {
        look_alike: false,
        may_bring_back: false,
        ..look_alike(ONE)
    };
    let mut workload = apply(
        unmarked(),
        &plan(decide(&unmarked(), std::slice::from_ref(&first), &options)),
    );
    assert_eq!(
        decide(&workload, &[first], &options),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
    for content in [TWO, ONE, TWO] {
        let owed = look_alike(content);
        let plan = plan(decide(&workload, std::slice::from_ref(&owed), &options));
        workload = apply(workload, &plan);
        assert_eq!(
            decide(&workload, &[owed], &options),
            Decision::Skip(SkipReason::AlreadyMarked)
        );
    }
}

/// Pods may be left of an earlier template with the same variable: the template must become another one.
#[test]
fn a_marker_that_could_bring_a_template_back_is_beside_an_annotation() {
    let owed = Owed {
        may_bring_back: true,
        ..owed(ConfigMap, "cm", 1, 1)
    };
    let restarted = plan(decide(&unmarked(), std::slice::from_ref(&owed), &ENV_VARS));
    assert!(restarted.annotation().is_some());
    let workload = apply(unmarked(), &restarted);
    assert_eq!(
        decide(&workload, &[owed], &ENV_VARS),
        Decision::Skip(SkipReason::AlreadyMarked),
        "by another leader"
    );
}

/// Without a trace of the content in between, the marker of the first change would be taken for one of the last.
#[rstest]
#[case(ENV_VARS)]
#[case(ANNOTATIONS)]
fn what_was_marked_exactly_once_is_so_until_the_marker_is_another(#[case] options: Options) {
    let mut workload = unmarked();
    let other = owed(ConfigMap, "cm", 9, 1);
    let back = Owed {
        look_alike: false,
        may_bring_back: false,
        ..look_alike(ONE)
    };
    for owed in [look_alike(TWO), other, back, look_alike(TWO)] {
        let plan = plan(decide(&workload, &[owed], &options));
        workload = apply(workload, &plan);
    }
}

#[test]
fn an_ordinary_change_writes_no_annotation_beside_the_variable() {
    let plan = plan(decide(&unmarked(), &[owed(ConfigMap, "cm", 9, 1)], &ENV_VARS));
    assert_eq!(plan.annotation(), None);
}

fn unmarked() -> Workload {
    workload(true, vec![container("main", &[(ConfigMap, "cm")])])
}
