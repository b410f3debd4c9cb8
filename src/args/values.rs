//! Flag values as Go reads them.
//!
//! Input: the text of a value. Output: booleans and lists. I/O: none.

use crate::model::go_values::{parse_csv_list, parse_go_bool};

/// The value of a list flag: one CSV record (pflag's `StringSlice`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvList(pub Vec<String>);

pub(super) fn csv(text: &str) -> Result<CsvList, String> {
    parse_csv_list(text)
        .map(CsvList)
        .map_err(|error| error.to_string())
}

/// A switch that decides by itself unless it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOrBool {
    /// It depends on the cluster.
    #[default]
    Auto,
    /// As the user says.
    Set(bool),
}

/// Case and blanks do not matter, and nothing means `auto`, as in Stakater Reloader's v2.
pub(super) fn auto_or_bool(text: &str) -> Result<AutoOrBool, &'static str> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "" | "auto" => Ok(AutoOrBool::Auto),
        _ => go_bool(&text)
            .map(AutoOrBool::Set)
            .map_err(|_| "expected auto, true or false"),
    }
}

pub(super) fn go_bool(text: &str) -> Result<bool, &'static str> {
    parse_go_bool(text).ok_or("expected true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)")
}

/// pflag takes the word behind a switch for a positional argument, which it ignores.
pub(super) fn stray_bool(text: &str) -> Result<String, String> {
    match parse_go_bool(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(
            "it is neither a flag nor a command, which stands before all flags; `reloader --help` lists both"
                .to_owned(),
        ),
    }
}
