//! The specification of restart windows.
//!
//! [`form`]: texts; [`schedule`]: the five fields; [`verdict`]: levels; [`clocks`]: daylight saving; [`oracle`]: all of it
//! against every minute, one by one.

use jiff::Timestamp;

use super::*;

mod clocks;
mod form;
mod oracle;
mod schedule;
mod verdict;

fn parse(text: &str) -> Result<Windows, WindowsError> {
    Windows::parse(text, &Zone::UTC)
}

/// A list of one window in Berlin.
fn berlin(kind: &str, schedule: &str, duration: &str) -> Windows {
    berlin_said(kind, schedule, duration).unwrap()
}

/// The same, as a level says it.
fn berlin_said(kind: &str, schedule: &str, duration: &str) -> Result<Windows, WindowsError> {
    parse(&format!(
        r#"[{{"kind":"{kind}","schedule":"{schedule}","duration":"{duration}","timeZone":"Europe/Berlin"}}]"#
    ))
}

/// A time with its offset: `2026-11-28 21:59:59+01`.
fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What a workload alone says.
fn of_workload(said: &Result<Windows, WindowsError>) -> Levels<'_> {
    Levels {
        workload: Some(said),
        ..Levels::default()
    }
}
