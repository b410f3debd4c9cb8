//! Everything against brute force: each minute of the time line turned into local time by jiff, and matched with the
//! fields, in zones and on days whose clocks change.

use jiff::{
    SignedDuration,
    tz::{TimeZone, TimeZoneDatabase},
};
use proptest::prelude::*;

use super::*;

/// Zones whose clocks change by an hour, by half an hour, by two, at midnight, by a whole day, by seconds, or never.
const ZONES: &[&str] = &[
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Europe/Amsterdam",
    "Africa/Monrovia",
    "UTC",
];

/// From the program, as [`Zone`]s are: a system's own zones may have another history.
fn bundled(zone: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(zone).unwrap()
}

const MINUTE: i64 = 60;

/// How far the brute force looks ahead, in minutes.
const AHEAD: i64 = 36 * 60;

/// Five fields as lists of values; no list stands for `*`.
#[derive(Clone, Debug)]
struct Fields {
    minutes: Option<Vec<i8>>,
    hours: Option<Vec<i8>>,
    days_of_month: Option<Vec<i8>>,
    months: Option<Vec<i8>>,
    days_of_week: Option<Vec<i8>>,
}

impl Fields {
    fn text(&self) -> String {
        let fields = [
            &self.minutes,
            &self.hours,
            &self.days_of_month,
            &self.months,
            &self.days_of_week,
        ];
        let text = |field: &Option<Vec<i8>>| {
            let values = field
                .as_ref()
                .map(|values| values.iter().map(ToString::to_string));
            values.map_or_else(|| "*".to_owned(), |values| values.collect::<Vec<_>>().join(","))
        };
        fields.map(text).join(" ")
    }

    fn match_minute(&self, zone: &TimeZone, minute: i64) -> bool {
        let local = zone.to_datetime(Timestamp::from_second(minute * MINUTE).unwrap());
        let has =
            |field: &Option<Vec<i8>>, value: i8| field.as_ref().is_none_or(|values| values.contains(&value));
        let of_month = has(&self.days_of_month, local.day());
        let of_week = has(&self.days_of_week, local.weekday().to_sunday_zero_offset());
        let is_day = match (&self.days_of_month, &self.days_of_week) {
            (Some(_), Some(_)) => of_month || of_week,
            _ => of_month && of_week,
        };
        let is_time = has(&self.minutes, local.minute()) && has(&self.hours, local.hour());
        is_time && is_day && has(&self.months, local.month())
    }
}

/// One window, as text and as what the brute force needs.
#[derive(Clone, Debug)]
struct Case {
    fields: Fields,
    deny: bool,
    seconds: i64,
    zone: &'static str,
}

impl Case {
    fn text(&self) -> String {
        let (kind, schedule) = (if self.deny { "deny" } else { "allow" }, self.fields.text());
        let (seconds, zone) = (self.seconds, self.zone);
        format!(r#"{{"kind":"{kind}","schedule":"{schedule}","duration":"{seconds}s","timeZone":"{zone}"}}"#)
    }

    /// The seconds in which it is open, from the one to the other.
    fn open(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let zone = bundled(self.zone);
        let first = (from - self.seconds).div_euclid(MINUTE);
        let starts =
            (first..=to.div_euclid(MINUTE)).filter(|minute| self.fields.match_minute(&zone, *minute));
        starts
            .map(|minute| (minute * MINUTE, minute * MINUTE + self.seconds))
            .collect()
    }
}

fn covers(open: &[(i64, i64)], second: i64) -> bool {
    open.iter().any(|(start, end)| (*start..*end).contains(&second))
}

fn list(of: std::ops::RangeInclusive<i8>, most: usize) -> impl Strategy<Value = Option<Vec<i8>>> {
    prop::option::of(prop::collection::vec(of, 1..=most))
}

fn fields() -> impl Strategy<Value = Fields> {
    // Hours around those at which clocks change, and any.
    let hours = prop_oneof![list(0..=3, 3), list(0..=23, 4), list(22..=23, 1)];
    let all = (
        list(0..=59, 3),
        hours,
        list(1..=31, 3),
        list(1..=12, 11),
        list(0..=6, 3),
    );
    let of_all = |(minutes, hours, days_of_month, months, days_of_week)| Fields {
        minutes,
        hours,
        days_of_month,
        months,
        days_of_week,
    };
    all.prop_map(of_all)
}

fn case() -> impl Strategy<Value = Case> {
    let seconds = prop_oneof![
        5 => 60_i64..600,
        5 => 3600_i64..3700,
        5 => 60_i64..=30 * 3600,
        5 => Just(24 * 3600),
        1 => Just(7 * 24 * 3600)
    ];
    let parts = (fields(), any::<bool>(), seconds, prop::sample::select(ZONES));
    let case = |(fields, deny, seconds, zone)| Case {
        fields,
        deny,
        seconds,
        zone,
    };
    // A day that no month has is refused.
    parts.prop_map(case).prop_filter("never happens", |case| {
        parse(&format!("[{}]", case.text())).is_ok()
    })
}

/// A second near a change of a zone's clocks between 1930 and 2040, or anywhere where there is none.
fn moment() -> impl Strategy<Value = i64> {
    let parts = (
        prop::sample::select(ZONES),
        -1_262_304_000_i64..2_208_988_800,
        -2 * 86_400_i64..2 * 86_400,
    );
    parts.prop_map(|(zone, from, aside)| {
        let zone = bundled(zone);
        let change = zone.following(Timestamp::from_second(from).unwrap()).next();
        change.map_or(from, |change| change.timestamp().as_second()) + aside
    })
}

fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

proptest! {
    #[test]
    fn a_window_is_open_as_a_walk_over_all_minutes_says(case in case(), now in moment()) {
        let windows = parse(&format!("[{}]", case.text())).unwrap();
        let open = case.open(now - 3600, now + 3600);
        for aside in [0, -1, 1, 59, 60, -1800, 3600] {
            let now = now + aside;
            prop_assert_eq!(windows.list()[0].is_open(timestamp(now)), covers(&open, now), "{}", now);
        }
    }

    #[test]
    fn verdicts_are_those_of_a_walk_over_all_seconds_that_matter(
        levels in prop::array::uniform3(prop::collection::vec(case(), 0..=2)), now in moment(),
    ) {
        let said: Vec<Result<Windows, WindowsError>> = levels
            .iter()
            .map(|cases| {
                let texts: Vec<String> = cases.iter().map(Case::text).collect();
                if texts.is_empty() { parse("") } else { parse(&format!("[{}]", texts.join(","))) }
            })
            .collect();
        let levels_said = Levels { workload: Some(&said[0]), namespace: Some(&said[1]), flag: Some(&said[2]) };
        let last = now + AHEAD * MINUTE;
        let denied: Vec<(i64, i64)> =
            levels.iter().flatten().filter(|case| case.deny).flat_map(|case| case.open(now, last)).collect();
        let nearest = levels.iter().find(|cases| cases.iter().any(|case| !case.deny));
        let allowed: Option<Vec<(i64, i64)>> = nearest.map(|cases| {
            cases.iter().filter(|case| !case.deny).flat_map(|case| case.open(now, last)).collect()
        });
        let is_open = |second: i64| {
            !covers(&denied, second) && allowed.as_ref().is_none_or(|open| covers(open, second))
        };
        // It can open only where something begins or ends.
        let edges = denied.iter().map(|(_, end)| *end).chain(allowed.iter().flatten().map(|(start, _)| *start));
        let mut edges: Vec<i64> = edges.filter(|edge| (now..=last).contains(edge)).collect();
        edges.sort_unstable();
        let ends = |edges: &[i64], is: &dyn Fn(i64) -> bool| edges.iter().copied().find(|edge| is(*edge)).map(timestamp);
        let soon = |until: Option<Timestamp>| until.filter(|until| *until <= timestamp(last));

        match gate(&levels_said, timestamp(now)) {
            Gate::Open => prop_assert!(is_open(now)),
            Gate::Closed(closed) => {
                prop_assert!(!is_open(now));
                prop_assert_eq!(closed.why == Why::Denied, covers(&denied, now));
                prop_assert_eq!(soon(closed.until), ends(&edges, &is_open));
            }
        }
        let active = deny_active(&levels_said, timestamp(now));
        prop_assert_eq!(active.is_some(), covers(&denied, now));
        if let Some(active) = active {
            prop_assert_eq!(soon(active.until), ends(&edges, &|second| !covers(&denied, second)));
        }
    }

    /// What `until` promises is true, however far it is.
    #[test]
    fn it_is_open_at_the_end_of_its_wait_and_not_a_moment_before(case in case(), now in moment()) {
        let said = parse(&format!("[{}]", case.text()));
        let levels = of_workload(&said);
        if let Gate::Closed(Closed { until: Some(until), .. }) = gate(&levels, timestamp(now)) {
            prop_assert!(until > timestamp(now));
            prop_assert_eq!(gate(&levels, until), Gate::Open);
            let before = until - SignedDuration::from_nanos(1);
            prop_assert_ne!(gate(&levels, before), Gate::Open);
        }
    }
}
