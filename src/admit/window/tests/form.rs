//! Texts: what is accepted, what is refused, and in which words.

use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const LIST_YAML: &str =
    "- kind: allow\n  schedule: '10 1 * * *'\n  duration: 1h\n  timeZone: Europe/Amsterdam\n";

#[test]
fn the_list_of_argo_cd_is_read_as_yaml_and_as_json() {
    let yaml = parse(LIST_YAML).unwrap();
    let json = parse(
        "[{\"kind\":\"allow\",\n\t\"schedule\":\"10 1 * * *\",\"duration\":\"1h\",\"timeZone\":\"Europe/Amsterdam\"}]",
    );
    assert_eq!(Ok(&yaml), json.as_ref());
    let [window] = yaml.list() else { panic!("{yaml:?}") };
    assert_eq!(window.kind(), Kind::Allow);
    assert_eq!(window.schedule().as_str(), "10 1 * * *");
    assert_eq!(window.duration(), Duration::from_hours(1));
    assert_eq!(window.zone().name(), "Europe/Amsterdam");
    assert_eq!(
        window.to_string(),
        "allow `10 1 * * *` for 1h0m0s in Europe/Amsterdam"
    );
}

#[test]
fn a_window_of_the_list_allows_in_the_callers_zone_unless_it_says_otherwise() {
    let tokyo = Zone::named("Asia/Tokyo").unwrap();
    let windows = Windows::parse("- schedule: 0 22 * * *\n  duration: 90m", &tokyo).unwrap();
    let [window] = windows.list() else {
        panic!("{windows:?}")
    };
    assert_eq!((window.kind(), window.zone()), (Kind::Allow, &tokyo));
}

#[test]
fn the_word_manual_never_opens_by_itself() {
    let manual = parse(" manual\n").unwrap();
    assert!(manual.is_manual() && manual.list().is_empty());
    assert_ne!(manual, Windows::default());
}

#[test]
fn an_empty_text_says_nothing() {
    assert_eq!(parse(""), Ok(Windows::default()));
    assert_eq!(parse(" \n\t"), Ok(Windows::default()));
}

/// Statement 29.
#[rstest]
#[case(
    r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"1h"}]}"#,
    r#"[{"schedule":"0 0 * * *","duration":"1h"}]"#
)]
#[case(
    r#"{"timezone":"Europe/Berlin","windows":[{"cron":"0 22 * * mon-fri","duration":"4h"},{"cron":"30 2 1,15 * *","duration":"1m"}]}"#,
    "- {schedule: 0 22 * * mon-fri, duration: 4h, timeZone: Europe/Berlin}\n- {kind: allow, schedule: '30 2 1,15 * *', duration: 1m, timeZone: Europe/Berlin}"
)]
// Go matches names of fields in any case of letters.
#[case(
    r#"{"TimeZone":"UTC","WINDOWS":[{"Cron":"0 0 * * *","Duration":"24h"}]}"#,
    r#"[{"kind":"allow","schedule":"0 0 * * *","duration":"24h","timezone":"UTC"}]"#
)]
fn the_text_of_stakaters_1214_means_the_same_as_its_list_form(#[case] policy: &str, #[case] list: &str) {
    assert_eq!(parse(policy).unwrap(), parse(list).unwrap());
}

#[rstest]
#[case::the_longest_of_1214(r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"24h"}]}"#)]
#[case::fractions(r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"1m0.5s"}]}"#)]
#[case::yaml("timezone: UTC\nwindows:\n- cron: '*/5 * * * *'\n  duration: 1m\n")]
#[case::the_longest_of_a_list(r#"[{"schedule":"0 0 * * *","duration":"168h"}]"#)]
#[case::what_it_is_for(r#"[{"schedule":"0 0 * * *","duration":"1h","description":"ticket 1"}]"#)]
#[case::null_is_absent(r#"[{"kind":null,"schedule":"0 0 * * *","duration":"1h","timeZone":null}]"#)]
#[case::zones_in_any_case(r#"[{"schedule":"0 0 * * *","duration":"1h","timeZone":"europe/berlin"}]"#)]
fn further_texts_are_accepted(#[case] text: &str) {
    assert_eq!(parse(text).map(|windows| windows.list().len()), Ok(1));
}

#[rstest]
#[case(
    "Manual",
    "expected `manual`, a list such as [{\"schedule\":\"0 22 * * *\",\"duration\":\"4h\"}], or an object with `timezone` and `windows`"
)]
#[case("22:00-02:00", "expected `manual`, a list such as")]
#[case("[]", "0 windows; expected 1 to 16")]
#[case(
    "{",
    "cannot be read as JSON or YAML (line 1, column 1); write schedules in quotes"
)]
#[case(
    "- schedule: * * * * *\n  duration: 1h",
    "cannot be read as JSON or YAML (line 1, column "
)]
#[case("a: &a 1\nb: *a", "cannot be read as JSON or YAML")]
#[case(
    r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"1h"}]} {}"#,
    "cannot be read as JSON or YAML"
)]
#[case(
    "['0 22 * * *']",
    "window 1: expected an object with `schedule` and `duration`"
)]
#[case(r#"[{"kind":"block"}]"#, "window 1: kind `block`: write `allow` or `deny`")]
#[case(
    r#"[{"duration":"1h"}]"#,
    "window 1: `schedule` is missing; write for example schedule: \"0 22 * * *\""
)]
#[case(
    r#"[{"schedule":"0 22 * * *"}]"#,
    "window 1: `duration` is missing; write for example duration: \"4h\""
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":60}]"#,
    "window 1: `duration` must be a text in quotes, such as \"4h\""
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"7d"}]"#,
    "window 1: duration `7d`: days are not supported; write hours, 168h for 7 days"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"4"}]"#,
    "window 1: duration `4`: missing unit; write for example 100ms, 2s or 1m30s"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"59s"}]"#,
    "window 1: duration `59s`: write 1m to 168h"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"168h1s"}]"#,
    "window 1: duration `168h1s`: write 1m to 168h"
)]
#[case(
    r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"25h"}]}"#,
    "window 1: duration `25h`: write 1m to 24h"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"1h"},{"cron":"0 22 * * *","duration":"1h"}]"#,
    "window 2: unknown field `cron`; did you mean `schedule`?"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","durration":"1h"}]"#,
    "window 1: unknown field `durration`; did you mean `duration`?"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"1h","tz":"UTC"}]"#,
    "window 1: unknown field `tz`; did you mean `timeZone`?"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"1h","weekends":true}]"#,
    "window 1: unknown field `weekends`; allowed are kind, schedule, duration and timeZone"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","duration":"1h","applications":["*"]}]"#,
    "window 1: `applications` has no effect on restarts; remove it"
)]
#[case(
    r#"[{"schedule":"0 22 * * *","Schedule":"0 23 * * *","duration":"1h"}]"#,
    "window 1: `schedule` appears twice; remove one"
)]
#[case(
    r#"{"windows":[{"cron":"0 0 * * *","duration":"1h"}]}"#,
    "`timezone` is missing; write for example timezone: \"Europe/Berlin\""
)]
#[case(r#"{"timezone":"UTC"}"#, "0 windows; expected 1 to 16")]
#[case(r#"{"timezone":"UTC","windows":{}}"#, "expected `manual`")]
#[case(
    r#"{"timezone":"UTC","window":[]}"#,
    "unknown field `window`; did you mean `windows`?"
)]
#[case(
    r#"{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"1h","kind":"deny"}]}"#,
    "window 1: unknown field `kind`; allowed are cron and duration; a list instead of this object has kind, schedule"
)]
#[case(
    r#"{"timezone":"UTC","windows":[{"schedule":"0 0 * * *","duration":"1h"}]}"#,
    "window 1: unknown field `schedule`; did you mean `cron`?"
)]
#[case(
    r#"{"timezone":"Europe/Berlni","windows":[{"cron":"0 0 * * *","duration":"1h"}]}"#,
    "unknown time zone `Europe/Berlni`; did you mean `Europe/Berlin`?"
)]
#[case(
    r#"{"timezone":"Local","windows":[{"cron":"0 0 * * *","duration":"1h"}]}"#,
    "unknown time zone `Local`; write a name of the IANA database, such as Europe/Berlin or UTC"
)]
#[case(
    r#"{"timezone":"","windows":[{"cron":"0 0 * * *","duration":"1h"}]}"#,
    "unknown time zone ``; write a name of the IANA database"
)]
fn other_texts_are_refused_with_a_remedy(#[case] text: &str, #[case] message: &str) {
    let error = parse(text).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[rstest]
#[case("Berlin", Some("Europe/Berlin"))]
#[case("Europe/Kiew", Some("Europe/Kiev"))]
#[case("America/New York", Some("America/New_York"))]
#[case("Europe/Berlni", Some("Europe/Berlin"))]
#[case("UCT2", Some("UCT"))]
#[case("Etc/Unknown", None)]
#[case("+01:00", None)]
#[case("CET-1CEST", None)]
#[case("Mars/Olympus_Mons", None)]
fn a_zone_that_is_unknown_is_refused_and_a_similar_one_named(
    #[case] name: &str,
    #[case] meant: Option<&str>,
) {
    let expected = meant.map_or_else(
        || WindowsError::Zone(name.into()),
        |meant| WindowsError::MisspeltZone {
            name: name.into(),
            meant: meant.into(),
        },
    );
    assert_eq!(Zone::named(name), Err(expected));
}

#[test]
fn at_most_sixteen_windows_are_read() {
    let list = |count: usize| {
        format!(
            "[{}]",
            vec![r#"{"schedule":"0 0 * * *","duration":"1h"}"#; count].join(",")
        )
    };
    assert_eq!(parse(&list(16)).map(|windows| windows.list().len()), Ok(16));
    assert_eq!(parse(&list(17)), Err(WindowsError::Count(17)));
}

#[test]
fn a_text_is_bounded_and_an_error_quotes_a_part_of_it() {
    let long = format!(r#"[{{"kind":"{}"}}]"#, "\\u001b[31m ".repeat(1000));
    let error = parse(&long).unwrap_err().to_string();
    assert!(
        error.len() < 600 && error.contains('…') && !error.contains('\u{1b}'),
        "{error}"
    );
    let too_long = " ".repeat(16 * 1024 + 1);
    assert_eq!(
        parse(&too_long).unwrap_err().to_string(),
        "16385 bytes are too long; at most 16384 are read"
    );
}

/// Texts near the forms: what they are made of, in any order.
fn near_misses() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "-",
        " ",
        "\n",
        "\n  ",
        "\t",
        "\"",
        "'",
        "*",
        "&",
        "|",
        ">",
        "#",
        "!!",
        "?",
        "kind",
        "schedule",
        "duration",
        "timeZone",
        "cron",
        "timezone",
        "windows",
        "manual",
        "allow",
        "deny",
        "\"0 22 * * *\"",
        "* * * * *",
        "@daily",
        "1h",
        "\"7d\"",
        "168h",
        "UTC",
        "\"Europe/Berlin\"",
        "null",
        "1e9",
        "\"schedule\":",
        "\"duration\":",
        "- ",
        "{\"timezone\":\"UTC\",\"windows\":[",
        "\u{0}",
        "é",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_near_the_forms_panics(text in near_misses()) {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_value_of_a_field_panics(
        kind in ".{0,20}", schedule in "[-*/,?@0-9a-zA-Z= ]{0,40}", duration in "[-0-9a-zµ.]{0,20}", zone in "[-A-Za-z/_+0-9 é]{0,80}",
    ) {
        let item = serde_json::json!([{"kind": kind, "schedule": schedule, "duration": duration, "timeZone": zone}]);
        let _ = parse(&item.to_string());
        let item = serde_json::json!([{"schedule": schedule, "duration": "1h"}]);
        let _ = parse(&item.to_string());
        let _ = Zone::named(&zone);
    }

    #[test]
    fn depth_is_bounded(depth in 0_usize..8000, open in "[\\[{(]") {
        let _ = parse(&open.repeat(depth));
        let _ = parse(&"- ".repeat(depth));
        let _ = parse(&"{\"a\":".repeat(depth / 3));
    }
}
