//! SecretProviderClasses: the same rules under annotations of their own, which no flag renames.

use super::*;
use crate::model::SourceKind::SecretProviderClass;

const CLASS_AUTO: &str = "secretproviderclass.reloader.stakater.com/auto";
const CLASS_RELOAD: &str = "secretproviderclass.reloader.stakater.com/reload";
const CLASS_EXCLUDE: &str = "secretproviderclasses.exclude.reloader.stakater.com/reload";

#[rstest]
#[case::auto(&[(AUTO, "true")], Verdict::Auto)]
#[case::typed_auto(&[(CLASS_AUTO, "true")], Verdict::Auto)]
#[case::typed_auto_of_another_kind(&[(SECRET_AUTO, "true")], NOT_OPTED_IN)]
#[case::named(&[(CLASS_RELOAD, "other, my-.*")], Verdict::Named)]
#[case::named_for_another_kind(&[(SECRET_RELOAD, "my-spc")], NOT_OPTED_IN)]
#[case::excluded(&[(AUTO, "true"), (CLASS_EXCLUDE, "my-spc")], Verdict::No(Refusal::Excluded))]
#[case::excluded_by_name_only(&[(AUTO, "true"), (CLASS_EXCLUDE, "my-.*")], Verdict::Auto)]
#[case::search_without_match(&[(SEARCH, "true")], NOT_OPTED_IN)]
fn each_annotation_counts_for_its_kind(#[case] workload: &Annotations, #[case] expected: Verdict) {
    let class = source(SecretProviderClass, "my-spc");
    assert_eq!(parse(workload, &[]).verdict(&class, false), expected);
}

#[test]
fn a_class_is_ignored_and_found_by_its_own_annotations() {
    let class = |ignored, matched| Source {
        ignored,
        matched,
        ..source(SecretProviderClass, "my-spc")
    };
    let search = parse(&[(SEARCH, "true")], &[]);
    assert_eq!(search.verdict(&class(false, true), false), Verdict::Auto);
    assert_eq!(
        search.verdict(&class(true, true), false),
        Verdict::No(Refusal::Ignored)
    );
}
