use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::go_values::parse_csv_list;

/// What a flag's value becomes, as text for the API server.
fn parse(value: &str) -> Result<String, SelectorError> {
    let elements = parse_csv_list(value).unwrap();
    let selector = LabelSelector::parse(&elements)?;
    Ok(selector.map(|selector| selector.to_string()).unwrap_or_default())
}

/// Upstream's own results.
#[rstest]
#[case("a:b,c:*", "a=b,c")]
#[case("a=*,b", "a,b")]
#[case("k in (a,b),x", "k in (a,b),x")]
#[case("!x", "!x")]
#[case("a!=b", "a!=b")]
#[case("a:b:c", "a=b")]
#[case("\"c=*\"", "c")]
#[case("", "")]
fn as_upstream(#[case] value: &str, #[case] expected: &str) {
    assert_eq!(parse(value).as_deref(), Ok(expected));
}

/// Where upstream loses a value or gives up, because it does not look inside a quoted element.
#[rstest]
#[case("\"a:b,c:d\"", "a=b,c=d")]
#[case("\"a=b,c=*\"", "a=b,c")]
#[case("\"c=*,a=b\"", "c,a=b")]
#[case("\"a=b,c in (d,e)\"", "a=b,c in (d,e)")]
#[case("a:*, c : d", "a,c=d")]
fn where_upstream_fails(#[case] value: &str, #[case] expected: &str) {
    assert_eq!(parse(value).as_deref(), Ok(expected));
}

#[rstest]
#[case("example.com/team=shop")]
#[case("a==b")]
#[case("a=")]
#[case("a = b")]
#[case("a in (b, c)")]
#[case("a notin (b)")]
#[case("a in (b,)")]
#[case("a>1")]
#[case("a < -5")]
#[case("in in (in)")]
fn valid(#[case] requirement: &str) {
    assert_eq!(parse(requirement).as_deref(), Ok(requirement));
}

#[rstest]
#[case("a=b,,c", "", NO_KEY)]
#[case("a,", "", NO_KEY)]
#[case("=b", "=b", NO_KEY)]
#[case("!", "!", NO_KEY)]
#[case("-a", "-a", BAD_KEY)]
#[case("A/b", "A/b", BAD_KEY)]
#[case("a/b/c", "a/b/c", BAD_KEY)]
#[case("ä=b", "ä=b", BAD_KEY)]
#[case("a=b*", "a=b*", BAD_VALUE)]
#[case("a=-", "a=-", BAD_VALUE)]
#[case("a=b=c", "a=b=c", BAD_VALUE)]
#[case("a!=*", "a!=*", BAD_VALUE)]
#[case("a in (b c)", "a in (b c)", BAD_VALUE)]
#[case("a b", "a b", BAD_OPERATOR)]
#[case("a(b)", "a(b)", BAD_OPERATOR)]
#[case("a in ()", "a in ()", BAD_SET)]
#[case("a in b", "a in b", BAD_SET)]
#[case("a in (b", "a in (b", BAD_SET)]
#[case("a inn (b)", "a inn (b)", BAD_SET)]
#[case("a>b", "a>b", BAD_NUMBER)]
fn invalid(#[case] value: &str, #[case] requirement: &str, #[case] reason: &'static str) {
    assert_eq!(
        parse(value),
        Err(SelectorError {
            requirement: requirement.to_owned(),
            reason
        })
    );
}

proptest! {
    /// An accepted selector is in Kubernetes' syntax: parsed again it means the same, and it is no longer than the
    /// input.
    #[test]
    fn no_selector_makes_it_panic_or_grow(text in "([a-c*:=!()<>,/\"1 -]| in | notin |\\PC){0,40}") {
        let Ok(elements) = parse_csv_list(&text) else { return Ok(()) };
        if let Ok(Some(selector)) = LabelSelector::parse(&elements) {
            let again = LabelSelector::parse(selector.requirements()).unwrap().unwrap();
            prop_assert_eq!(&again, &selector);
            prop_assert!(selector.to_string().len() <= text.len());
        }
    }
}
