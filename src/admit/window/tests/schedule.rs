//! The five fields, by robfig/cron's rules.

use jiff::civil::date;
use rstest::rstest;

use super::*;

fn schedule(text: &str) -> Result<Schedule, WindowsError> {
    Schedule::parse(text, "timeZone")
}

/// The starts of a day.
fn starts(schedule: &Schedule) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(start) = (from < 24 * 60).then(|| schedule.first_from(from)).flatten() {
        starts.push(start);
        from = start + 1;
    }
    starts
}

#[rstest]
#[case("0 0 * * *", &[0])]
#[case("59 23 * * *", &[1439])]
#[case("0,30 4-6 * * *", &[240, 270, 300, 330, 360, 390])]
#[case("0 */8 * * *", &[0, 480, 960])]
#[case("5/20 1 * * *", &[65, 85, 105])]
#[case("10-30/10 0 * * *", &[10, 20, 30])]
#[case("0 +5,007 * * *", &[300, 420])]
#[case("0 1,,2, ? ? ?", &[60, 120])]
#[case("0/99 3/99 * * *", &[180])]
#[case("  0\t 0  * * * ", &[0])]
fn minutes_and_hours(#[case] text: &str, #[case] expected: &[u32]) {
    assert_eq!(starts(&schedule(text).unwrap()), expected);
}

#[rstest]
// 2026-11-01 is a Sunday.
#[case("* * * * *", &[1, 2, 3, 4, 5, 6, 7, 8])]
#[case("* * 2,4 * *", &[2, 4])]
#[case("* * * * mon,WED", &[2, 4])]
#[case("* * * * 0", &[1, 8])]
#[case("* * * * 7", &[1, 8])]
#[case("* * * * 5-7", &[1, 6, 7, 8])]
#[case("* * * * sat-7", &[1, 7, 8])]
#[case("* * * nov *", &[1, 2, 3, 4, 5, 6, 7, 8])]
#[case("* * * 1-10,DEC *", &[])]
// Either day suffices where both are restricted.
#[case("* * 3 * tue,thu", &[3, 5])]
#[case("* * 3 * mon", &[2, 3])]
// A star with a step restricts, in robfig/cron, unlike in Vixie cron.
#[case("* * */3 * mon", &[1, 2, 4, 7])]
#[case("* * */1 * mon", &[2])]
#[case("* * 2 * */1", &[2])]
#[case("* * 2 * ?", &[2])]
// One star in a list is enough.
#[case("* * 2,* * mon", &[2])]
fn days(#[case] text: &str, #[case] expected: &[i8]) {
    let schedule = schedule(text).unwrap();
    let days: Vec<i8> = (1..=8)
        .filter(|day| schedule.has_day(date(2026, 11, *day)))
        .collect();
    assert_eq!(days, expected);
}

#[rstest]
#[case(
    "",
    "schedule has 0 fields; expected 5: minute, hour, day of month, month, day of week"
)]
#[case("0 0 * *", "schedule has 4 fields; expected 5")]
#[case("0 0 0 * * *", "schedule has 6 fields; expected 5")]
#[case(
    "60 0 * * *",
    "minute `60`: write 0 to 59, `*`, a range `a-b` or a step `*/n`, or a list of them"
)]
#[case("0 24 * * *", "hour `24`: write 0 to 23")]
#[case("0 0 0 * *", "day of month `0`: write 1 to 31")]
#[case("0 0 L * *", "day of month `L`: write 1 to 31")]
#[case("0 0 * 13 *", "month `13`: write 1 to 12 or jan to dec")]
#[case("0 0 * january *", "month `january`: write 1 to 12 or jan to dec")]
#[case("0 0 * * 8", "day of week `8`: write 0 to 6 or sun to sat")]
#[case("0 0 * * mon#1", "day of week `mon#1`: write 0 to 6 or sun to sat")]
#[case("0 0 * * ,", "day of week `,`: write 0 to 6 or sun to sat")]
#[case("-1 0 * * *", "minute `-1`: write 0 to 59")]
#[case("*-5 0 * * *", "minute `*-5`: write 0 to 59")]
#[case("1-2-3 0 * * *", "minute `1-2-3`: write 0 to 59")]
#[case("*/0 0 * * *", "minute `*/0`: write 0 to 59")]
#[case("*/2/2 0 * * *", "minute `*/2/2`: write 0 to 59")]
#[case("1/ 0 * * *", "minute `1/`: write 0 to 59")]
#[case(
    "99999999999999999999 0 * * *",
    "minute `99999999999999999999`: write 0 to 59"
)]
#[case(
    "0 22-2 * * *",
    "hour `22-2`: the range ends before it begins; write two ranges, separated by a comma"
)]
#[case("0 0 * * fri-mon", "day of week `fri-mon`: the range ends before it begins")]
#[case("0 0 * * 7/2", "day of week `7/2`: the range ends before it begins")]
#[case("@daily", "schedule `@daily`: macros are not supported; write \"0 0 * * *\"")]
#[case(
    "@weekly",
    "schedule `@weekly`: macros are not supported; write \"0 0 * * 0\""
)]
#[case(
    "@every 5m",
    "schedule `@every 5m`: macros are not supported; write \"0 0 * * *\""
)]
#[case(
    "TZ=UTC 0 0 * * *",
    "schedule must not contain `TZ=`; write the time zone into `timeZone`"
)]
#[case("CRON_TZ=UTC 0 0 * * *", "schedule must not contain `TZ=`")]
#[case(
    "0 0 30 2 *",
    "schedule `0 0 30 2 *` never happens: none of its months has such a day"
)]
#[case("0 0 31 4,6,9,11 *", "schedule `0 0 31 4,6,9,11 *` never happens")]
fn what_is_no_schedule_is_refused(#[case] text: &str, #[case] message: &str) {
    let error = schedule(text).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[rstest]
#[case("0 0 29 2 *")]
#[case("0 0 30 2 mon")]
#[case("0 0 31 4,5 *")]
fn what_some_year_has_is_accepted(#[case] text: &str) {
    assert_eq!(schedule(text).unwrap().as_str(), text);
}

#[rstest]
#[case("0 0 * * *", 0)]
#[case("* * * * *", 1)]
#[case("0,1 * * * *", 59)]
#[case("0 1,5 * * *", 240)]
#[case("10-20 1,2 * * *", 50)]
fn the_largest_gap_of_a_day(#[case] text: &str, #[case] gap: u32) {
    let schedule = schedule(text).unwrap();
    let starts = starts(&schedule);
    let expected = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    assert_eq!((schedule.largest_gap(), expected), (gap, gap));
}
