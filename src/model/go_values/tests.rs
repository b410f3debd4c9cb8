use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[test]
fn exactly_gos_booleans_are_booleans() {
    for text in ["1", "t", "T", "TRUE", "true", "True"] {
        assert_eq!(parse_go_bool(text), Some(true), "{text}");
    }
    for text in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(parse_go_bool(text), Some(false), "{text}");
    }
    for text in [
        "", "yes", "no", "on", "off", "tRue", " true", "true ", "y", "2", "01",
    ] {
        assert_eq!(parse_go_bool(text), None, "{text:?}");
    }
}

/// The right side is what Go 1.26's `encoding/csv` reads.
#[rstest]
#[case("", &[])]
#[case("a", &["a"])]
#[case("a,b", &["a", "b"])]
#[case(" a , b ", &[" a ", " b "])]
#[case(",", &["", ""])]
#[case("a,", &["a", ""])]
#[case("\"a,b\",c", &["a,b", "c"])]
#[case("\"a\"\"b\"", &["a\"b"])]
#[case("\"\"", &[""])]
#[case("\"\",\"\"", &["", ""])]
#[case("\na", &["a"])]
#[case("a\nb", &["a"])]
#[case("a\r", &["a"])]
#[case("a\r\nb", &["a"])]
#[case("a\rb", &["a\rb"])]
#[case("\r\r", &["\r"])]
#[case("\"a\nb\"", &["a\nb"])]
#[case("\"a\r\nb\",c", &["a\nb", "c"])]
#[case("\"a\"\r", &["a"])]
#[case("\r\n\r\na,b\r\nc", &["a", "b"])]
fn reads_one_record(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(parse_csv_list(text).unwrap(), expected);
}

#[rstest]
#[case("a\"b", CsvError::BareQuote)]
#[case(" \"a\"", CsvError::BareQuote)]
#[case("\"a", CsvError::Quote)]
#[case("\"a\"b", CsvError::Quote)]
#[case("\"a\" ,b", CsvError::Quote)]
#[case("\"a\n", CsvError::Quote)]
#[case("a,\"b", CsvError::Quote)]
#[case("\n", CsvError::NoRecord)]
#[case("\r\n", CsvError::NoRecord)]
#[case("\r", CsvError::NoRecord)]
fn refuses_what_go_refuses(#[case] text: &str, #[case] error: CsvError) {
    assert_eq!(parse_csv_list(text).unwrap_err(), error);
}

proptest! {
    /// Whatever the fields hold, quoting each gives them back.
    #[test]
    fn quoted_fields_come_back(fields in prop::collection::vec("[a\", \n]{0,6}", 1..5)) {
        let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        prop_assert_eq!(parse_csv_list(&quoted.join(",")).unwrap(), fields);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a\",\r\né]{0,30}") {
        let _ = parse_csv_list(&text);
    }
}
