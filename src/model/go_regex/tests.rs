use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// What Go 1.26 says. First row: the names; each other row: an item, then `error`, or one digit a name, 1 for a match.
/// The first items were chosen, the others drawn at random from fragments of the syntax. What Go accepts may be refused,
/// but only as [`PatternError::Unsupported`].
const CORPUS: &str = include_str!("corpus.tsv");

/// The literal meaning of a cell of the corpus, which may not hold a tab.
fn cell(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\\\", "\\")
}

#[test]
fn every_item_means_what_it_means_to_go() {
    let mut lines = CORPUS.lines();
    let names: Vec<String> = lines.next().unwrap().split('\t').skip(1).map(cell).collect();
    let mut wrong = Vec::new();
    let (mut rows, mut unsupported) = (0, 0);
    for line in lines {
        let (item, expected) = line.split_once('\t').unwrap();
        let actual = match NamePattern::compile(item) {
            Err(PatternError::Unsupported) if expected != "error" => {
                unsupported += 1;
                expected.to_owned()
            }
            Err(_) => "error".to_owned(),
            Ok(pattern) => names
                .iter()
                .map(|name| if pattern.is_match(name) { '1' } else { '0' })
                .collect(),
        };
        if actual != expected {
            wrong.push(format!("{item:?}\n  go   {expected}\n  rust {actual}"));
        }
        rows += 1;
    }
    assert!(rows >= 800, "the corpus has only {rows} rows");
    assert_eq!(unsupported, 124, "rows that Go accepts and the gate refuses");
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

/// Patterns are found by it: one that says too much would lose restarts.
#[test]
fn what_a_pattern_matches_begins_with_its_prefix() {
    let mut lines = CORPUS.lines();
    let names: Vec<String> = lines.next().unwrap().split('\t').skip(1).map(cell).collect();
    let mut prefixes = 0;
    for line in lines {
        let Ok(pattern) = NamePattern::compile(line.split_once('\t').unwrap().0) else {
            continue;
        };
        let prefix = pattern.prefix();
        prefixes += usize::from(!prefix.is_empty());
        // Names that go on or end where the prefix does are the most likely ones to show a mistake.
        let cut = (0..=prefix.len()).map(|length| prefix[..length].to_owned());
        for name in names.iter().cloned().chain(cut) {
            assert!(
                !pattern.is_match(&name) || name.starts_with(prefix),
                "{} matches {name}, which does not begin with {prefix}",
                pattern.as_str()
            );
        }
    }
    assert!(prefixes >= 40, "only {prefixes} patterns have a prefix");
}

#[rstest]
#[case::plain("app", "app")]
#[case::wildcard("app-.*", "app-")]
#[case::wildcard_in_front(".*-app", "")]
#[case::class("app-[a-z]+", "app-")]
#[case::plus("app+", "app")]
#[case::star_takes_the_last("app*", "ap")]
#[case::question_mark_takes_the_last("app?-x", "ap")]
#[case::count_takes_the_last("app{2}", "ap")]
#[case::alternatives_may_begin_anyhow("app|zzz", "")]
#[case::group("app-(x)-.*", "app-")]
#[case::anchor("^app", "")]
fn the_prefix_of_a_pattern(#[case] item: &str, #[case] prefix: &str) {
    assert_eq!(NamePattern::compile(item).unwrap().prefix(), prefix);
}

#[rstest]
#[case::star_matches_every_name("*", &["app", "x-cm", ""], &[])]
#[case::star_suffix_matches_every_end("*-cm", &["app-cm", "-cm"], &["app", "app-cm-2"])]
#[case::question_mark_matches_every_name("?", &["app", ""], &[])]
#[case::plus_matches_no_real_name("+", &[""], &["app", "+"])]
#[case::trailing_star_repeats_the_dash("app-*", &["app", "app-", "app--"], &["app-config"])]
#[case::alternation_escapes_the_anchors("app|zzz", &["app", "app-1", "my-zzz"], &["my-app", "zzz-1"])]
#[case::dot_is_a_wildcard("my.config", &["my.config", "my-config"], &["myconfig"])]
#[case::torn_count_is_literal("a{2", &["a{2"], &["aa"])]
#[case::trailing_backslash_escapes_the_anchor("app\\", &["app$", "app$-1"], &["app", "app\\"])]
fn accidents_that_users_rely_on(#[case] item: &str, #[case] yes: &[&str], #[case] no: &[&str]) {
    let pattern = NamePattern::compile(item).unwrap();
    for name in yes {
        assert!(pattern.is_match(name), "{item} should match {name:?}");
    }
    for name in no {
        assert!(!pattern.is_match(name), "{item} should not match {name:?}");
    }
}

#[rstest]
#[case("app-config", true)]
#[case("my.config", false)]
#[case("app-.*", false)]
#[case("app-[ab]", false)]
fn only_plain_names_are_exact(#[case] item: &str, #[case] exact: bool) {
    let pattern = NamePattern::compile(item).unwrap();
    assert_eq!(pattern.exact_name(), exact.then_some(item));
    assert_eq!(pattern.as_str(), item);
}

#[test]
fn common_items_need_no_engine() {
    for item in ["app", "my.config", "app-.*", ".*-cm", ".*"] {
        assert!(NamePattern::plain(item).is_some(), "{item}");
    }
    for item in ["app-.+", "a*", ".**", "*", "app|b"] {
        assert!(NamePattern::plain(item).is_none(), "{item}");
    }
}

#[rstest]
#[case("a**", PatternError::NestedRepeat)]
#[case("(*)", PatternError::MissingRepeatArgument)]
#[case("(a{10}){101}", PatternError::RepeatSize)]
#[case("(a{1,1000}){1,1000}", PatternError::RepeatSize)]
#[case("(a", PatternError::MissingParenthesis)]
#[case("a)", PatternError::UnexpectedParenthesis)]
#[case("[a", PatternError::MissingBracket)]
#[case("[z-a]", PatternError::CharacterClass)]
#[case("[[:foo:]]", PatternError::CharacterClass)]
#[case("\\C", PatternError::Escape)]
#[case("(?=a)", PatternError::Group)]
#[case("(?P<>a)", PatternError::GroupName)]
#[case::beyond_ascii("é", PatternError::Unsupported)]
#[case::control_character("a\\n", PatternError::Unsupported)]
#[case::character_code("[\\x61]", PatternError::Unsupported)]
#[case::octal_code("\\141", PatternError::Unsupported)]
#[case::unicode_class("\\p{Lu}", PatternError::Unsupported)]
#[case::empty_quotation("a+\\Q\\E?", PatternError::Unsupported)]
#[case::repeated_flags("a(?i)*", PatternError::Unsupported)]
#[case::flag_given_twice("(?ii)a", PatternError::Unsupported)]
#[case::name_given_twice("(?P<n>a)(?P<n>b)", PatternError::Unsupported)]
fn says_what_is_wrong(#[case] item: &str, #[case] error: PatternError) {
    assert_eq!(NamePattern::compile(item).unwrap_err(), error);
}

#[test]
fn refuses_what_would_take_too_much_memory() {
    let long = "a".repeat(MAX_PATTERN_LENGTH + 1);
    assert_eq!(NamePattern::compile(&long).unwrap_err(), PatternError::TooLong);
    let large = r"\w{1000}".repeat(100);
    assert_eq!(NamePattern::compile(&large).unwrap_err(), PatternError::TooLarge);
    let deep = format!("{}a{}", "(".repeat(400), ")".repeat(400));
    assert_eq!(NamePattern::compile(&deep).unwrap_err(), PatternError::TooLarge);
}

/// Counts within counts multiply: what would need more than its share of memory is refused, whatever its form.
#[rstest]
#[case::multiplied("(a{1,1000}){1,1000}", PatternError::RepeatSize)]
#[case::multiplied_thrice("((a{1,10}){1,10}){1,11}", PatternError::RepeatSize)]
#[case::side_by_side(&r"(\w{0,500}x?)".repeat(70), PatternError::TooLarge)]
#[case::classes(&r"[a-ce-gi-km-o]{1000}".repeat(50), PatternError::TooLarge)]
#[case::alternatives("(?:(?:ab|cd|ef|gh|ij|kl)*m?){1000}", PatternError::TooLarge)]
#[case::any_case("(?i)[a-z]{1000}[a-z]{1000}", PatternError::TooLarge)]
#[case::empty_repeats(&"(?:a?){1000}".repeat(80), PatternError::TooLarge)]
#[case::groups(&"(".repeat(1000), PatternError::MissingParenthesis)]
fn bombs_are_refused(#[case] item: &str, #[case] error: PatternError) {
    assert_eq!(NamePattern::compile(item).unwrap_err(), error);
}

/// On these a backtracking engine takes 2²⁵³ steps, which is for ever.
#[rstest]
#[case("(a*)*b")]
#[case("(a+)+b")]
#[case("(a|aa)+b")]
#[case("(.*a){20}b")]
#[case("(a?){250}a{250}b")]
#[case(&"a*".repeat(500))]
#[case(&".*".repeat(512))]
#[case(&format!("{}b", ".*a".repeat(300)))]
fn matching_takes_no_longer_than_pattern_times_name(#[case] item: &str) {
    let pattern = NamePattern::compile(item).unwrap();
    let name = "a".repeat(253);
    assert_eq!(pattern.is_match(&name), !item.ends_with('b'), "{item}");
}

#[test]
fn every_name_length_of_kubernetes_can_be_asked_for() {
    let pattern = NamePattern::compile("[a-z0-9.-]{1,253}|.{250}").unwrap();
    assert!(pattern.is_match(&"a".repeat(253)));
}

/// Without a table: to remember which of the words came takes 2ⁿ states.
#[test]
fn alternatives_at_any_place_need_no_table() {
    let words: Vec<String> = (10..20).map(|number| format!(".*x{number}.*")).collect();
    let pattern = NamePattern::compile(&format!("({})", words.join("|"))).unwrap();
    assert!(matches!(pattern, NamePattern::Regex(_, Engine::States(_))));
    let long = "a".repeat(200);
    for (name, expected) in [("x19", true), ("ax10b", true), ("x20", false), (&long, false)] {
        assert_eq!(pattern.is_match(name), expected, "{name}");
    }
    assert!(pattern.is_match(&format!("{long}x15{}", "b".repeat(50))));
}

#[test]
fn patterns_are_equal_by_their_text() {
    let compile = |item| NamePattern::compile(item).unwrap();
    assert_eq!(compile("a[bc]"), compile("a[bc]"));
    assert_ne!(compile("a[bc]"), compile("a[cb]"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(item in ".{0,300}", name in "[a-z0-9.-]{0,20}") {
        if let Ok(pattern) = NamePattern::compile(&item) {
            pattern.is_match(&name);
        }
    }

    #[test]
    fn no_syntax_makes_it_panic(item in r"([*+?|()\[\]^$\\{},0-9a-z:&~.-]|\(\?|\[:|\\[a-zQEpPx]){0,60}") {
        if let Ok(pattern) = NamePattern::compile(&item) {
            pattern.is_match("app-config");
        }
    }

    /// The shortcut without an engine and the engine agree.
    #[test]
    fn wildcards_mean_what_the_engine_says(item in "([ab]|-|\\.|\\.\\*){0,8}", name in "[ab.-]{0,8}") {
        prop_assert_eq!(as_wildcard(&item, &name), as_regex(&item, &name));
    }

    /// Also where a name takes more than one word of bits.
    #[test]
    fn long_wildcards_mean_what_the_engine_says(
        item in "(a{0,66}|b|\\.|\\.\\*|\\.\\*a{60,66}){0,6}", name in "(a{0,66}|b|a{62,66}b){0,3}",
    ) {
        prop_assert_eq!(as_wildcard(&item, &name), as_regex(&item, &name));
    }
}

fn as_wildcard(item: &str, name: &str) -> bool {
    let pattern = NamePattern::plain(item).unwrap();
    pattern.is_match(name)
}

fn as_regex(item: &str, name: &str) -> bool {
    let pattern = NamePattern::compile(&format!("(?:{item})")).unwrap();
    assert!(matches!(pattern, NamePattern::Regex(..)));
    pattern.is_match(name)
}
