//! Durations as Go writes them: `100ms`, `2s`, `1m30s`, `1.5h`.
//!
//! Input: text. Output: [`Duration`], and back. I/O: none.

use std::{fmt, time::Duration};

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DurationError {
    /// Nothing, a sign, or a unit without a number.
    #[error("expected a duration like 100ms, 2s or 1m30s")]
    NotADuration,
    /// A number without a unit; only a bare `0` needs none.
    #[error("missing unit; write for example 100ms, 2s or 1m30s")]
    MissingUnit,
    /// A unit that Go does not know, cut after `LONGEST_UNIT` characters.
    #[error("unknown unit `{0}`; allowed are ns, us, µs, ms, s, m, h")]
    UnknownUnit(String),
    /// A duration below zero.
    #[error("must not be negative")]
    Negative,
    /// No time at all, where some is needed.
    #[error("must be more than zero")]
    Zero,
    /// More than Go's 64-bit nanoseconds hold (about 292 years).
    #[error("too long")]
    TooLong,
}

/// Longest part of an unknown unit that is kept, in characters: an annotation may have 256 KiB.
const LONGEST_UNIT: usize = 16;

/// Go's `time.Duration` counts nanoseconds in an `int64`.
const MAX_NANOSECONDS: u128 = i64::MAX as u128;

/// Parses what Go's [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration) accepts, except for negative
/// durations: one or more decimal numbers, each with an optional fraction and a unit; `0` alone needs no unit.
///
/// Digits of a fraction below one nanosecond are cut off, as Go does.
///
/// # Errors
/// [`DurationError`] names what is wrong with the text and what would be valid.
pub fn parse_go_duration(text: &str) -> Result<Duration, DurationError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = magnitude(unsigned)?;
    if negative && !magnitude.is_zero() {
        return Err(DurationError::Negative);
    }
    Ok(magnitude)
}

/// As [`parse_go_duration`], of a time that something may take.
///
/// # Errors
/// As there; [`DurationError::Zero`].
pub fn parse_positive_go_duration(text: &str) -> Result<Duration, DurationError> {
    parse_go_duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err(DurationError::Zero),
        duration => Ok(duration),
    })
}

/// A duration without a sign.
fn magnitude(unsigned: &str) -> Result<Duration, DurationError> {
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = unsigned;
    if rest.is_empty() {
        return Err(DurationError::NotADuration);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_fraction) = match after_whole.strip_prefix('.') {
            Some(tail) => split_digits(tail),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::NotADuration);
        }
        let unit_end = after_fraction
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after_fraction.len());
        let (unit, tail) = after_fraction.split_at(unit_end);
        total = nanoseconds(whole, fraction, unit_length(unit)?)
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= MAX_NANOSECONDS)
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| DurationError::TooLong)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The length of a unit in nanoseconds.
fn unit_length(unit: &str) -> Result<u128, DurationError> {
    Ok(match unit {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        // U+00B5 (micro sign) and U+03BC (Greek mu), as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        other => {
            return Err(DurationError::UnknownUnit(
                other.chars().take(LONGEST_UNIT).collect(),
            ));
        }
    })
}

/// `whole.fraction` units in nanoseconds, `None` if that overflows.
fn nanoseconds(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // The longest unit has 3.6e12 nanoseconds: digits beyond the 18th are worth less than one.
    let digits = &fraction[..fraction.len().min(18)];
    let part = if digits.is_empty() {
        0
    } else {
        let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
        digits.parse::<u128>().ok()? * unit / scale
    };
    whole.checked_mul(unit)?.checked_add(part)
}

/// A duration as Go's [`Duration.String`](https://pkg.go.dev/time#Duration.String) writes it from one second on:
/// `5m0s`, `1h0m1.5s`. Shorter ones are written as a fraction of a second.
#[derive(Clone, Copy, Debug)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0.as_secs() / 60, self.0.as_secs() % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let fraction = format!("{:09}", self.0.subsec_nanos());
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{seconds}s"),
            digits => write!(f, "{seconds}.{digits}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("0", 0)]
    #[case("+0", 0)]
    #[case("-0", 0)]
    #[case("0s", 0)]
    #[case("1ns", 1)]
    #[case("7us", 7_000)]
    #[case("7\u{b5}s", 7_000)]
    #[case("7\u{3bc}s", 7_000)]
    #[case("100ms", 100_000_000)]
    #[case("2s", 2_000_000_000)]
    #[case("1m30s", 90_000_000_000)]
    #[case("1.5h", 5_400_000_000_000)]
    #[case(".5s", 500_000_000)]
    #[case("1.s", 1_000_000_000)]
    #[case("1h2m3s4ms5us6ns", 3_723_004_005_006)]
    #[case("0.3333333333333333333h", 1_200_000_000_000 - 1)]
    fn accepts_gos_grammar(#[case] text: &str, #[case] nanoseconds: u64) {
        assert_eq!(parse_go_duration(text), Ok(Duration::from_nanos(nanoseconds)));
    }

    #[rstest]
    #[case("", DurationError::NotADuration)]
    #[case("+", DurationError::NotADuration)]
    #[case("s", DurationError::NotADuration)]
    #[case(".s", DurationError::NotADuration)]
    #[case(" 1s", DurationError::NotADuration)]
    #[case("15", DurationError::MissingUnit)]
    #[case("1m30", DurationError::MissingUnit)]
    #[case("1d", DurationError::UnknownUnit("d".to_owned()))]
    #[case("1s ", DurationError::UnknownUnit("s ".to_owned()))]
    #[case("-1s", DurationError::Negative)]
    #[case("-", DurationError::NotADuration)]
    #[case("-1d", DurationError::UnknownUnit("d".to_owned()))]
    #[case("2562048h", DurationError::TooLong)]
    #[case("99999999999999999999999999999999999999999999h", DurationError::TooLong)]
    fn rejects_the_rest(#[case] text: &str, #[case] error: DurationError) {
        assert_eq!(parse_go_duration(text), Err(error));
    }

    #[rstest]
    #[case(Duration::ZERO, "0s")]
    #[case(Duration::from_millis(1500), "1.5s")]
    #[case(Duration::from_mins(5), "5m0s")]
    #[case(Duration::from_millis(3_601_250), "1h0m1.25s")]
    fn is_written_as_go_does(#[case] duration: Duration, #[case] text: &str) {
        assert_eq!(GoDuration(duration).to_string(), text);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+.0-9a-zµ ]{0,30}") {
            let _ = parse_go_duration(&text);
        }

        #[test]
        fn reads_back_whole_milliseconds(milliseconds in 0_u64..10_000_000_000) {
            let text = format!("{}s{}ms", milliseconds / 1_000, milliseconds % 1_000);
            prop_assert_eq!(parse_go_duration(&text), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
