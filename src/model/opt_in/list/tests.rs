use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn subject(name: &str) -> Subject<'_> {
    Subject::new(name)
}

#[test]
fn one_of_ten_thousand_engines_is_one_of_the_first_32() {
    let items: Vec<String> = (0..10_000).map(|number| format!("a+{number}")).collect();
    let list = NameList::parse(&items.join(","));
    assert_eq!(list.patterns.len(), MAX_REGEXES);
    assert_eq!(list.bad_items().len(), MAX_BAD_PATTERNS);
    assert_eq!(list.bad_items()[0].error, BadPatternReason::TooMany);
    assert!(list.matches(&subject("aa31")));
    assert!(!list.matches(&subject("aa32")));
}

/// As much as the API server takes: 256 KiB of annotations. What is kept is bounded, and so is what a name costs.
#[rstest]
#[case::names("a", 1, 0, 0)]
#[case::long_names("app-config.example.com", 0, 1, MAX_BAD_PATTERNS)]
#[case::wildcards("a.*", 0, 1, 16)]
#[case::engines("[ab]+", 0, 1, MAX_BAD_PATTERNS)]
#[case::multiplied("(a{999}){999}", 0, 0, MAX_BAD_PATTERNS)]
#[case::large("(?:(?:ab|cd|ef|gh|ij|kl)*m?){1000}", 0, 0, MAX_BAD_PATTERNS)]
#[case::many_states(".*[ab].{250}", 0, 0, MAX_BAD_PATTERNS)]
#[case::unclosed("[", 0, 0, MAX_BAD_PATTERNS)]
#[case::nested(&"(".repeat(1000), 0, 0, MAX_BAD_PATTERNS)]
#[case::beyond_ascii("\u{1F980}", 0, 0, MAX_BAD_PATTERNS)]
fn the_largest_annotation_is_bounded(
    #[case] item: &str,
    #[case] names: usize,
    #[case] patterns: usize,
    #[case] bad: usize,
) {
    let list = NameList::parse(&format!("{item},").repeat((256 << 10) / (item.len() + 1)));
    let found = (list.names().len(), list.patterns.len(), list.bad_items().len());
    assert_eq!(found, (names, patterns, bad));
    let longest = list.bad_items().iter().map(|bad| bad.item.len()).max();
    assert!(longest.unwrap_or(0) <= MAX_BAD_ITEM_LENGTH * 4);
}

/// Different items, so that none is one of the others: the most that one list can cost.
#[rstest]
#[case::names("n", "", 0)]
#[case::wildcards(".*", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 16)]
#[case::engines("[ab]+", "", 16)]
#[case::engines_of_many_states("[a-z0-9.-]{1,253}[cd]", "", 16)]
#[case::engines_without_a_table(".*[ab].{30}x", "", 16)]
fn a_name_costs_no_more_than_stated(#[case] start: &str, #[case] end: &str, #[case] bad: usize) {
    let items: Vec<String> = (0..40_000)
        .map(|number| format!("{start}{number}{end}"))
        .collect();
    let mut text = items.join(",");
    text.truncate(256 << 10);
    let list = NameList::parse(&text);
    assert!(list.bad_items().len() <= bad, "{}", list.bad_items().len());
    assert!(
        list.steps() <= STEPS_OF_A_LIST + MAX_LIST_STEPS,
        "{}",
        list.steps()
    );
    assert!(
        list.size() <= (512 << 10) + MAX_REGEXES * (41 << 10),
        "{}",
        list.size()
    );
    let name = "a".repeat(253);
    let steps = crate::model::go_regex::steps_of(|| {
        assert!(!list.matches(&subject(&name)));
    });
    assert!(steps <= list.steps(), "{steps} of {}", list.steps());
}

#[test]
fn tens_of_thousands_of_names_take_little_more_than_their_text() {
    let names: Vec<String> = (0..46_000).map(|number| format!("{number:05}")).collect();
    let text = names.join(",");
    let list = NameList::parse(&text);
    assert!(list.size() < text.len() * 2, "{} of {}", list.size(), text.len());
    assert_eq!(list.names().len(), names.len());
    assert!(names.iter().all(|name| list.matches(&subject(name))));
    assert!(!list.matches(&subject("46000")));
    assert!(list.bad_items().is_empty());
}

#[test]
fn a_text_is_one_list_as_long_as_a_workload_has_it() {
    let lists = SharedLists::default();
    let list = lists.get("a, b.*", NameList::parse).unwrap();
    assert!(Arc::ptr_eq(&list, &lists.get("a, b.*", NameList::parse).unwrap()));
    let literal = lists.get("a, b.*", NameList::of_names).unwrap();
    assert!(literal.holds("b.*") && !literal.matches(&subject("bc")));
    assert_eq!(lists.get(" , ", NameList::parse), None);

    drop((list, literal));
    for number in 0..1_000 {
        lists.get(&number.to_string(), NameList::parse);
    }
    assert!(lists.known().lists.len() <= 65);
}

#[test]
fn the_order_of_items_does_not_matter() {
    let parse = NameList::parse;
    assert_eq!(parse("a,b,c.*,d.*"), parse("d.*, b,c.*, a,a"));
    assert_ne!(parse("a[bc]"), parse("a[bd]"));
    assert_ne!(parse("a"), parse("a["));
}

proptest! {
    /// A list matches a name if one of its items, alone, does.
    #[test]
    fn a_list_means_what_its_items_mean(
        items in proptest::collection::vec(r"([ab]|-|\.|\.\*|\||[ab]\*|\[ab\]){0,5}", 0..40),
        names in proptest::collection::vec("[ab.-]{1,6}", 1..20),
    ) {
        let list = NameList::parse(&items.join(","));
        // More than 32 of them are limited.
        let is_engine = |item: &&String| NamePattern::plain(item).is_none();
        prop_assume!(items.iter().filter(is_engine).count() <= MAX_REGEXES);
        for name in names {
            let alone = |item: &String| {
                !item.is_empty() && NamePattern::compile(item).is_ok_and(|pattern| pattern.is_match(&name))
            };
            prop_assert_eq!(list.matches(&subject(&name)), items.iter().any(alone), "{}", name);
        }
    }

    #[test]
    fn a_list_of_names_holds_these_and_no_others(
        names in proptest::collection::btree_set("[a-d]{1,3}", 0..40), others in proptest::collection::vec("[a-d]{1,3}", 10),
    ) {
        let text = names.iter().rev().cloned().collect::<Vec<_>>().join(" ,");
        let list = NameList::parse(&text);
        prop_assert!(list.names().eq(names.iter()));
        for name in others {
            prop_assert_eq!(list.holds(&name), names.contains(&name));
        }
    }
}
