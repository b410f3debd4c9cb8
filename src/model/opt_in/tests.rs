use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::{Digest, SourceKey};
use SourceKind::{ConfigMap, Secret};

mod classes;

type Annotations = [(&'static str, &'static str)];

const AUTO: &str = "reloader.stakater.com/auto";
const CONFIGMAP_AUTO: &str = "configmap.reloader.stakater.com/auto";
const SECRET_AUTO: &str = "secret.reloader.stakater.com/auto";
const CONFIGMAP_RELOAD: &str = "configmap.reloader.stakater.com/reload";
const SECRET_RELOAD: &str = "secret.reloader.stakater.com/reload";
const SEARCH: &str = "reloader.stakater.com/search";
const IGNORE: &str = "reloader.stakater.com/ignore";
const CONFIGMAP_EXCLUDE: &str = "configmaps.exclude.reloader.stakater.com/reload";

fn parse(workload: &[(&str, &str)], template: &[(&str, &str)]) -> OptIn {
    fn get<'a>(annotations: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
        annotations
            .iter()
            .find(|(name, _)| *name == key)
            .map(|&(_, value)| value)
    }
    OptIn::parse(
        &AnnotationKeys::default(),
        |key| get(workload, key),
        |key| get(template, key),
    )
}

fn source(kind: SourceKind, name: &str) -> Source {
    Source {
        key: SourceKey::new(kind, "ns", name),
        uid: "uid".into(),
        resource_version: 1,
        modified_at: None,
        rewritten: false,
        digest: Digest::from_bytes([0; 20]),
        ignored: false,
        matched: false,
        policy: None,
    }
}

fn config_map() -> Source {
    source(ConfigMap, "app-cm")
}

fn matched() -> Source {
    Source {
        matched: true,
        ..config_map()
    }
}

fn ignored() -> Source {
    Source {
        ignored: true,
        ..config_map()
    }
}

const NOT_OPTED_IN: Verdict = Verdict::No(Refusal::NotOptedIn);
const EXCLUDED: Verdict = Verdict::No(Refusal::Excluded);
const IGNORED: Verdict = Verdict::No(Refusal::Ignored);

/// Rows that were run against upstream's own decision code. Row 10 (ignore is `True`) is an unignored source here:
/// only the exact text `true` sets [`Source::ignored`].
#[rstest]
#[case::row_1_off(config_map(), &[], &[], false, NOT_OPTED_IN)]
#[case::row_1_on(config_map(), &[], &[], true, Verdict::Auto)]
#[case::row_2_true(config_map(), &[(AUTO, "true")], &[], false, Verdict::Auto)]
#[case::row_2_t(config_map(), &[(AUTO, "T")], &[], false, Verdict::Auto)]
#[case::row_2_1(config_map(), &[(AUTO, "1")], &[], false, Verdict::Auto)]
#[case::row_3_no_boolean_counts_as_set(config_map(), &[(AUTO, "yes")], &[], true, NOT_OPTED_IN)]
#[case::row_4_empty_counts_as_unset(config_map(), &[(AUTO, "")], &[], true, Verdict::Auto)]
#[case::row_5(config_map(), &[(AUTO, "false")], &[], true, NOT_OPTED_IN)]
#[case::row_6(config_map(), &[(AUTO, "false"), (CONFIGMAP_AUTO, "true")], &[], false, Verdict::Auto)]
#[case::row_7(config_map(), &[(AUTO, "false"), (CONFIGMAP_RELOAD, "app-cm")], &[], false, Verdict::Named)]
#[case::row_8_config_map(config_map(), &[(CONFIGMAP_AUTO, "false")], &[], true, NOT_OPTED_IN)]
#[case::row_8_secret(source(Secret, "s"), &[(CONFIGMAP_AUTO, "false")], &[], true, Verdict::Auto)]
#[case::row_9(ignored(), &[(AUTO, "true"), (CONFIGMAP_RELOAD, "app-cm")], &[], true, IGNORED)]
#[case::row_10(config_map(), &[(AUTO, "true")], &[], false, Verdict::Auto)]
#[case::row_11_ignore_on_workload(config_map(), &[(AUTO, "true"), (IGNORE, "true")], &[], false, Verdict::Auto)]
#[case::row_12(config_map(), &[(CONFIGMAP_RELOAD, "app-cm"), (CONFIGMAP_EXCLUDE, "app-cm")], &[], false, EXCLUDED)]
#[case::row_13_no_regex_in_exclude(config_map(), &[(AUTO, "true"), (CONFIGMAP_EXCLUDE, "app-.*")], &[], false,
    Verdict::Auto)]
#[case::row_14_exclude_on_template(config_map(), &[], &[(AUTO, "true"), (CONFIGMAP_EXCLUDE, "app-cm")], false,
    Verdict::Auto)]
#[case::row_15(config_map(), &[(CONFIGMAP_EXCLUDE, "app-cm")], &[(AUTO, "true")], false, EXCLUDED)]
#[case::row_16_any_key_hides_the_template(config_map(), &[(SEARCH, "false")], &[(AUTO, "true")], false, NOT_OPTED_IN)]
#[case::row_17_other_kinds_list_hides_nothing(config_map(), &[(SECRET_RELOAD, "foo")],
    &[(CONFIGMAP_RELOAD, "app-cm")], false, Verdict::Named)]
#[case::row_17_other_kinds_auto_hides_nothing(config_map(), &[(SECRET_AUTO, "true")],
    &[(CONFIGMAP_RELOAD, "app-cm")], false, Verdict::Named)]
#[case::row_18_search_on_template(matched(), &[], &[(SEARCH, "true")], false, Verdict::Auto)]
#[case::row_19(config_map(), &[(CONFIGMAP_RELOAD, "other")], &[], true, Verdict::Auto)]
#[case::row_20_bad_items_are_skipped(config_map(), &[(CONFIGMAP_RELOAD, "bad[, app-cm")], &[], false, Verdict::Named)]
#[case::row_21_empty_name(source(ConfigMap, ""), &[], &[], false, Verdict::Named)]
#[case::search_without_match(config_map(), &[(SEARCH, "true")], &[], false, NOT_OPTED_IN)]
#[case::match_without_search(matched(), &[], &[], false, NOT_OPTED_IN)]
#[case::search_is_exactly_true(matched(), &[(SEARCH, "True")], &[], false, NOT_OPTED_IN)]
#[case::search_and_auto_reload_all(config_map(), &[(SEARCH, "true")], &[], true, Verdict::Auto)]
#[case::exclude_is_trimmed(config_map(), &[(AUTO, "true"), (CONFIGMAP_EXCLUDE, "x, app-cm ")], &[], false, EXCLUDED)]
#[case::exclude_beats_auto_reload_all(config_map(), &[(CONFIGMAP_EXCLUDE, "app-cm")], &[], true, EXCLUDED)]
#[case::exclude_of_the_other_kind(source(Secret, "app-cm"), &[(AUTO, "1"), (CONFIGMAP_EXCLUDE, "app-cm")], &[], false,
    Verdict::Auto)]
#[case::empty_auto_hides_the_template(config_map(), &[(AUTO, "")], &[(AUTO, "true")], false, NOT_OPTED_IN)]
#[case::patterns(config_map(), &[(CONFIGMAP_RELOAD, "foo, app-.*")], &[], false, Verdict::Named)]
fn the_verdict_is_upstreams(
    #[case] source: Source,
    #[case] workload: &Annotations,
    #[case] template: &Annotations,
    #[case] auto_reload_all: bool,
    #[case] expected: Verdict,
) {
    assert_eq!(
        parse(workload, template).verdict(&source, auto_reload_all),
        expected
    );
}

/// The table "Annotations that do nothing" of docs/troubleshooting.md: read without an error, and without effect on `app-cm`.
#[rstest]
#[case::a_boolean_for_a_list(&[(CONFIGMAP_RELOAD, "true")])]
#[case::an_empty_list(&[(CONFIGMAP_RELOAD, "")])]
#[case::a_newline_between_names(&[(CONFIGMAP_RELOAD, "other\napp-cm")])]
#[case::a_semicolon_between_names(&[(CONFIGMAP_RELOAD, "other;app-cm")])]
#[case::with_its_namespace(&[(CONFIGMAP_RELOAD, "ns/app-cm")])]
#[case::a_shells_pattern(&[(CONFIGMAP_RELOAD, "app*")])]
#[case::yes(&[(AUTO, "yes")])]
#[case::on(&[(AUTO, "on")])]
#[case::enabled(&[(AUTO, "enabled")])]
#[case::a_space(&[(AUTO, " true")])]
#[case::match_on_a_workload(&[("reloader.stakater.com/match", "true")])]
#[case::an_invented_list(&[("reloader.stakater.com/configmap", "app-cm"), ("reloader.stakater.com/reload", "app-cm")])]
#[case::another_domain(&[("reloader.stakater.io/auto", "true")])]
#[case::a_plural(&[("configmaps.reloader.stakater.com/reload", "app-cm")])]
fn common_mistakes_do_nothing(#[case] workload: &Annotations) {
    let opt_in = parse(workload, &[]);
    assert_eq!(opt_in.verdict(&config_map(), false), NOT_OPTED_IN);
    assert_eq!(opt_in.bad_items().count(), 0);
}

/// The other half of that table: what is meant to hold a restart back, and does not.
#[rstest]
#[case::a_pattern_of_exclusions(&[(AUTO, "true"), (CONFIGMAP_EXCLUDE, "app-.*")])]
#[case::exclusions_under_another_prefix(&[(AUTO, "true"), ("configmap.exclude.reloader.stakater.com/reload", "app-cm")])]
fn common_mistakes_hold_nothing_back(#[case] workload: &Annotations) {
    assert_eq!(parse(workload, &[]).verdict(&config_map(), false), Verdict::Auto);
}

#[test]
fn renamed_keys_take_the_place_of_the_defaults() {
    let keys = AnnotationKeys {
        auto: "example.com/auto".to_owned(),
        ..AnnotationKeys::default()
    };
    let opt_in = |key: &str| OptIn::parse(&keys, |name| (name == key).then_some("true"), |_| None);
    assert_eq!(
        opt_in("example.com/auto").verdict(&config_map(), false),
        Verdict::Auto
    );
    assert_eq!(opt_in(AUTO).verdict(&config_map(), false), NOT_OPTED_IN);
}

#[test]
fn bad_items_are_reported_with_their_kind() {
    let opt_in = parse(&[(CONFIGMAP_RELOAD, "bad[, app-cm"), (SECRET_RELOAD, "a**")], &[]);
    let reports: Vec<_> = opt_in
        .bad_items()
        .map(|(kind, bad)| (kind, &*bad.item, bad.error.to_string()))
        .collect();
    assert_eq!(
        reports,
        [
            (ConfigMap, "bad[", "missing closing ]".to_owned()),
            (
                Secret,
                "a**",
                "repetition operator directly after another one".to_owned()
            ),
        ]
    );
}

#[test]
fn the_index_learns_what_to_look_up() {
    let opt_in = parse(
        &[(CONFIGMAP_RELOAD, "one, two,three.*"), (SECRET_AUTO, "true")],
        &[],
    );
    let list = opt_in.listed(ConfigMap).unwrap();
    assert_eq!(list.names().collect::<Vec<_>>(), ["one", "two"]);
    assert!(list.has_patterns());
    assert!(opt_in.listed(Secret).is_none());
    assert!(!opt_in.wants_references(ConfigMap, false));
    assert!(opt_in.wants_references(ConfigMap, true));
    assert!(opt_in.wants_references(Secret, false));
    assert!(parse(&[(SEARCH, "true")], &[]).wants_references(ConfigMap, false));
    assert!(!parse(&[(AUTO, "false")], &[]).wants_references(ConfigMap, true));
}

#[rstest]
#[case(&[], true)]
#[case(&[(CONFIGMAP_EXCLUDE, "a")], true)]
#[case(&[(AUTO, "false")], true)]
#[case(&[(CONFIGMAP_RELOAD, "")], true)]
#[case(&[(AUTO, "true")], false)]
#[case(&[(SEARCH, "true")], false)]
#[case(&[(SECRET_RELOAD, "a")], false)]
#[case(&[(SECRET_RELOAD, "a[")], false)]
fn a_workload_that_asks_for_nothing_is_empty(#[case] workload: &Annotations, #[case] empty: bool) {
    assert_eq!(parse(workload, &[]).is_empty(), empty);
}

#[test]
fn nothing_to_remember_takes_one_pointer() {
    assert_eq!(size_of::<OptIn>(), size_of::<usize>());
    assert!(parse(&[], &[]).0.is_none());
    assert_eq!(parse(&[], &[]), OptIn::default());
}

#[test]
fn equality_follows_the_text() {
    let opt_in = |text: &str| parse(&[(CONFIGMAP_RELOAD, text)], &[]);
    assert_eq!(opt_in("a[bc],d"), opt_in("a[bc] , d"));
    assert_ne!(opt_in("a[bc]"), opt_in("a[bd]"));
}

proptest! {
    // Few cases: each compiles up to 32 expressions.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_annotation_makes_it_panic(text in r"([a-z*+?|()\[\]^$\\{}0-9:,.é -]|\{1,1000\}){0,4096}", name in "[a-z.-]{0,9}") {
        let opt_in = parse(&[(CONFIGMAP_RELOAD, &text), (AUTO, &text), (CONFIGMAP_EXCLUDE, &text)], &[]);
        opt_in.verdict(&source(ConfigMap, &name), false);
    }

}

proptest! {
    /// The look-ups that the index makes find every source the verdict would take.
    #[test]
    fn the_index_misses_nothing(
        list in "([ab.,*]){0,6}", auto in "(true|false|)", search in "(true|)", name in "[ab]{1,3}",
        matched: bool, all: bool,
    ) {
        let opt_in = parse(&[(CONFIGMAP_RELOAD, &list), (AUTO, &auto), (SEARCH, &search)], &[]);
        let source = Source { matched, ..source(ConfigMap, &name) };
        match opt_in.verdict(&source, all) {
            Verdict::Named => {
                let list = opt_in.listed(ConfigMap).unwrap();
                prop_assert!(list.has_patterns() || list.names().any(|exact| exact == name));
            }
            Verdict::Auto => prop_assert!(opt_in.wants_references(ConfigMap, all)),
            Verdict::No(_) => {}
        }
    }
}

#[test]
fn a_workload_whose_list_has_no_room_is_restarted_for_what_its_pods_use_alone() {
    let names = [(CONFIGMAP_RELOAD, "other"), (AUTO, "true")];
    let opt_in = parse(&names, &[]).within(|_| false);
    assert_eq!(opt_in.verdict(&source(ConfigMap, "other"), false), Verdict::Auto);
    let (kind, bad) = opt_in.bad_items().next().unwrap();
    assert_eq!((kind, bad.error), (ConfigMap, BadPatternReason::NamespaceFull));
}

#[test]
fn a_workload_whose_exclusions_have_no_room_is_not_restarted() {
    let names = [(CONFIGMAP_EXCLUDE, "other"), (AUTO, "true")];
    let opt_in = parse(&names, &[]).within(|_| false);
    assert_eq!(opt_in.verdict(&config_map(), true), NOT_OPTED_IN);
    assert_eq!(opt_in.verdict(&source(Secret, "s"), true), Verdict::Auto);
    assert_eq!(opt_in.bad_items().count(), 1);
}
