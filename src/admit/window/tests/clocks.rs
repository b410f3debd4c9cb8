//! Half-open intervals, and days whose clocks change.

use rstest::rstest;

use super::*;

fn is_open(windows: &Windows, now: &str) -> bool {
    windows.open_at(at(now), Kind::Allow).next().is_some()
}

/// Statement 25.
#[rstest]
#[case("2026-11-28 21:59:59+01", false)]
#[case("2026-11-28 21:59:59.999999999+01", false)]
#[case("2026-11-28 22:00:00+01", true)]
#[case("2026-11-29 01:59:59+01", true)]
#[case("2026-11-29 01:59:59.999999999+01", true)]
#[case("2026-11-29 02:00:00+01", false)]
fn a_window_has_its_first_instant_and_lacks_its_last(#[case] now: &str, #[case] open: bool) {
    let windows = berlin("allow", "0 22 * * *", "4h");
    assert_eq!(is_open(&windows, now), open);
}

#[test]
fn a_duration_may_end_within_a_minute() {
    let windows = berlin("allow", "0 22 * * *", "1m30.5s");
    assert!(is_open(&windows, "2026-11-28 22:01:30.499+01"));
    assert!(!is_open(&windows, "2026-11-28 22:01:30.5+01"));
}

/// Statement 26: on 2026-03-29 clocks in Berlin go from 2:00 to 3:00.
#[test]
fn a_time_that_a_spring_night_lacks_does_not_open() {
    let said = Ok(berlin("allow", "30 2 * * *", "1h"));
    let levels = of_workload(&said);
    for hour in 0..12 {
        for minute in 0..60 {
            let now = at("2026-03-29 00:00:00+01") + jiff::SignedDuration::from_mins(hour * 60 + minute);
            assert!(matches!(gate(&levels, now), Gate::Closed(_)), "{now}");
        }
    }
    let Gate::Closed(closed) = gate(&levels, at("2026-03-29 00:00:00+01")) else {
        panic!("open")
    };
    assert_eq!(closed.until, Some(at("2026-03-30 02:30:00+02")));
}

/// Statement 26: on 2026-10-25 clocks in Berlin go from 3:00 back to 2:00.
#[test]
fn a_time_that_an_autumn_night_has_twice_opens_twice_and_an_hour_lasts_an_hour() {
    let windows = berlin("allow", "30 2 * * *", "1h");
    assert!(!is_open(&windows, "2026-10-25 02:29:59+02"));
    assert!(is_open(&windows, "2026-10-25 02:30:00+02"));
    assert!(is_open(&windows, "2026-10-25 02:29:59+01"));
    assert!(is_open(&windows, "2026-10-25 02:30:00+01"));
    assert!(is_open(&windows, "2026-10-25 03:29:59+01"));
    assert!(!is_open(&windows, "2026-10-25 03:30:00+01"));
    let short = berlin("allow", "30 2 * * *", "10m");
    assert!(is_open(&short, "2026-10-25 02:39:59+02"));
    assert!(!is_open(&short, "2026-10-25 02:40:00+02"));
    assert!(is_open(&short, "2026-10-25 02:30:00+01"));
    assert!(!is_open(&short, "2026-10-25 02:40:00+01"));
    let before = berlin("allow", "30 1 * * *", "1h");
    assert!(is_open(&before, "2026-10-25 02:29:59+02"));
    assert!(!is_open(&before, "2026-10-25 02:00:00+01"));
}

#[rstest]
#[case::today("0 22 * * *", "2026-11-28 21:00+01", Some("2026-11-28 22:00+01"))]
#[case::tomorrow("0 22 * * *", "2026-11-29 02:00+01", Some("2026-11-29 22:00+01"))]
#[case::next_week("0 22 * * sat", "2026-11-29 02:00+01", Some("2026-12-05 22:00+01"))]
#[case::next_year("0 0 1 jan *", "2026-01-01 05:00+01", Some("2027-01-01 00:00+01"))]
#[case::leap_day("0 0 29 2 *", "2024-02-29 04:00+01", Some("2028-02-29 00:00+01"))]
#[case::behind_the_horizon("0 0 29 2 *", "2096-02-29 04:00+01", None)]
#[case::over_a_change_of_the_clocks("0 12 31 3 *", "2026-03-01 00:00+01", Some("2026-03-31 12:00+02"))]
fn it_opens_next_at(#[case] schedule: &str, #[case] now: &str, #[case] expected: Option<&str>) {
    let said = Ok(berlin("allow", schedule, "4h"));
    let Gate::Closed(closed) = gate(&of_workload(&said), at(now)) else {
        panic!("open")
    };
    let (why, until) = (closed.why, closed.until);
    assert_eq!((why, until), (Why::Outside, expected.map(at)));
}

/// Samoa went from the end of 29 December 2011 to the beginning of the 31st.
#[test]
fn a_day_that_a_zone_lacks_does_not_open() {
    let text = r#"[{"schedule":"0 12 30 12 *","duration":"1h","timeZone":"Pacific/Apia"}]"#;
    let said = parse(text);
    let Gate::Closed(closed) = gate(&of_workload(&said), at("2011-12-29 12:00-10")) else {
        panic!("open")
    };
    assert_eq!(closed.until, Some(at("2012-12-30 12:00+14")));
}

#[test]
fn no_instant_is_too_early_or_too_late() {
    let said = Ok(berlin("allow", "0 22 * * *", "168h"));
    let denied = Ok(berlin("deny", "0 0 1 1 *", "168h"));
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let levels = Levels {
            namespace: Some(&denied),
            ..of_workload(&said)
        };
        let _ = (gate(&levels, now), deny_active(&levels, now));
    }
}
