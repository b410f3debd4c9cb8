//! Text for people, and the formats for programs.
//!
//! Input: values. Output: text. I/O: none.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, Unit};
use serde::Serialize;

use super::error::VerbError;
use crate::args::Output;

/// The answer as JSON or YAML; `None`: it is for people.
pub(super) fn structured(output: Output, value: &impl Serialize) -> Result<Option<String>, VerbError> {
    let wrong = |error: String| VerbError::Format(error);
    let text = match output {
        Output::Text | Output::Wide => return Ok(None),
        Output::Json => {
            let mut text = serde_json::to_string_pretty(value).map_err(|error| wrong(error.to_string()))?;
            text.push('\n');
            text
        }
        Output::Yaml => serde_saphyr::to_string(value).map_err(|error| wrong(error.to_string()))?,
    };
    Ok(Some(text))
}

/// Rows below their headings, in columns. The last column may be of any length.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(headings[column].len())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text without what a terminal would act on: errors quote what others wrote.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| *character == '\n' || !character.is_control())
        .collect()
}

/// `-` where there is nothing to show.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// A time in whole seconds, as the API prints it.
pub(super) fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// How long it is between the two, in one or two units: `45s`, `3m20s`, `5h`, `2d`.
pub(super) fn age(from: Timestamp, to: Timestamp) -> String {
    duration(to.duration_since(from))
}

fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => format!("{}m{}s", seconds / 60, seconds % 60),
        600..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = vec![
            vec!["a".to_owned(), "long text".to_owned()],
            vec!["längeres".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "ERROR"], &rows),
            "NAME       ERROR\na          long text\nlängeres\n"
        );
    }

    #[test]
    fn a_terminal_is_not_controlled() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{7}"), "a[31mb\nc");
    }

    #[rstest]
    #[case(-5, "0s")]
    #[case(119, "119s")]
    #[case(200, "3m20s")]
    #[case(3600, "60m")]
    #[case(36_000, "10h")]
    #[case(400_000, "4d")]
    fn ages_have_few_digits(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(duration(SignedDuration::from_secs(seconds)), text);
    }

    #[test]
    fn programs_get_json_or_yaml() {
        let value = serde_json::json!({ "version": "v1", "rows": [1] });
        let json = structured(Output::Json, &value).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        let yaml = structured(Output::Yaml, &value).unwrap().unwrap();
        assert!(yaml.contains("version: v1"), "{yaml}");
        assert!(structured(Output::Wide, &value).unwrap().is_none());
    }
}
