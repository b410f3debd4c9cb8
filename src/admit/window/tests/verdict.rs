//! Levels: which counts, which adds up, and until when it is closed.

use rstest::rstest;

use super::*;

const NOON: &str = "2026-11-28 12:00+01";

fn closed(levels: &Levels<'_>, now: &str) -> Closed {
    match gate(levels, at(now)) {
        Gate::Closed(closed) => closed,
        Gate::Open => panic!("open"),
    }
}

fn allow(schedule: &str) -> Result<Windows, WindowsError> {
    berlin_said("allow", schedule, "4h")
}

fn deny(schedule: &str) -> Result<Windows, WindowsError> {
    berlin_said("deny", schedule, "4h")
}

fn both(first: &str, second: &str) -> Result<Windows, WindowsError> {
    parse(&format!(
        "- {{schedule: '{first}', duration: 4h}}\n- {{schedule: '{second}', duration: 4h}}"
    ))
}

#[test]
fn where_nothing_is_said_it_is_open() {
    assert_eq!(gate(&Levels::default(), at(NOON)), Gate::Open);
    let empty = Ok(Windows::default());
    assert_eq!(gate(&of_workload(&empty), at(NOON)), Gate::Open);
}

/// Statement 27.
#[test]
fn any_active_allow_opens_whatever_others_are_inactive() {
    let said = both("0 22 * * *", "0 10 * * *");
    assert_eq!(gate(&of_workload(&said), at("2026-11-28 12:00Z")), Gate::Open);
    let said = both("0 10 * * *", "0 22 * * *");
    assert_eq!(gate(&of_workload(&said), at("2026-11-28 12:00Z")), Gate::Open);
    assert_eq!(gate(&of_workload(&said), at("2026-11-28 23:00Z")), Gate::Open);
}

/// Statement 27.
#[test]
fn an_active_deny_closes_whatever_allow_is_active() {
    let text = "- {schedule: 0 10 * * *, duration: 4h}\n- {kind: deny, schedule: 0 11 * * *, duration: 2h}";
    let said = parse(text);
    let expected = Closed {
        level: Level::Workload,
        why: Why::Denied,
        until: Some(at("2026-11-28 13:00Z")),
    };
    assert_eq!(closed(&of_workload(&said), "2026-11-28 12:00Z"), expected);
}

/// Statement 27.
#[test]
fn a_deny_of_the_namespace_beats_the_allow_of_the_workload() {
    let (workload, namespace) = (allow("0 10 * * *"), deny("0 11 * * *"));
    let levels = Levels {
        namespace: Some(&namespace),
        ..of_workload(&workload)
    };
    let expected = Closed {
        level: Level::Namespace,
        why: Why::Denied,
        // The deny ends at 15:00, an hour after the allow.
        until: Some(at("2026-11-29 10:00+01")),
    };
    assert_eq!(closed(&levels, NOON), expected);
    assert_eq!(gate(&levels, at("2026-11-28 10:30+01")), Gate::Open);
}

#[test]
fn the_nearest_level_with_allow_windows_counts_alone() {
    let (night, noon) = (allow("0 22 * * *"), allow("0 10 * * *"));
    let levels = |workload, namespace, flag| Levels {
        workload,
        namespace,
        flag,
    };
    let outside = |levels: Levels<'_>| {
        let closed = closed(&levels, NOON);
        (closed.level, closed.why, closed.until)
    };
    let night_opens = Some(at("2026-11-28 22:00+01"));
    assert_eq!(
        outside(levels(Some(&night), Some(&noon), Some(&noon))),
        (Level::Workload, Why::Outside, night_opens)
    );
    assert_eq!(
        outside(levels(None, Some(&night), Some(&noon))),
        (Level::Namespace, Why::Outside, night_opens)
    );
    assert_eq!(
        outside(levels(None, None, Some(&night))),
        (Level::Flag, Why::Outside, night_opens)
    );
    for open in [
        levels(Some(&noon), Some(&night), Some(&night)),
        levels(None, Some(&noon), Some(&night)),
    ] {
        assert_eq!(gate(&open, at(NOON)), Gate::Open);
    }
}

#[test]
fn a_workload_that_only_denies_leaves_the_allow_windows_to_its_namespace() {
    let (workload, namespace) = (deny("0 2 * * *"), allow("0 22 * * *"));
    let levels = Levels {
        namespace: Some(&namespace),
        ..of_workload(&workload)
    };
    let expected = Closed {
        level: Level::Namespace,
        why: Why::Outside,
        until: Some(at("2026-11-28 22:00+01")),
    };
    assert_eq!(closed(&levels, NOON), expected);
}

#[test]
fn manual_is_an_allow_that_never_opens_and_a_nearer_level_may_replace_it() {
    let (manual, noon) = (parse("manual"), allow("0 10 * * *"));
    let levels = |workload, namespace| Levels {
        workload: Some(workload),
        namespace: Some(namespace),
        flag: None,
    };
    let expected = Closed {
        level: Level::Workload,
        why: Why::Manual,
        until: None,
    };
    assert_eq!(closed(&levels(&manual, &noon), NOON), expected);
    assert_eq!(gate(&levels(&noon, &manual), at(NOON)), Gate::Open);
    let denied = deny("0 11 * * *");
    let denied = closed(&levels(&manual, &denied), NOON);
    assert_eq!((denied.why, denied.until), (Why::Denied, None));
}

/// Statement 28, as far as one verdict goes.
#[rstest]
#[case::the_workload(Level::Workload)]
#[case::the_namespace(Level::Namespace)]
#[case::the_flag(Level::Flag)]
fn a_text_that_cannot_be_read_closes_at_its_level(#[case] level: Level) {
    let bad = parse(r#"[{"schedule":"0 10 * * *","duration":"4h","timeZone":"Europe/Berlni"}]"#);
    let (always, denied) = (Ok(berlin("allow", "* * * * *", "1h")), deny("0 11 * * *"));
    let mut levels = Levels {
        workload: Some(&always),
        namespace: Some(&denied),
        flag: Some(&always),
    };
    *match level {
        Level::Workload => &mut levels.workload,
        Level::Namespace => &mut levels.namespace,
        Level::Flag => &mut levels.flag,
    } = Some(&bad);
    let expected = Closed {
        level,
        why: Why::Unreadable(bad.clone().unwrap_err()),
        until: None,
    };
    assert_eq!(closed(&levels, NOON), expected);
    // It may have been a denial.
    assert_eq!(deny_active(&levels, at(NOON)), Some(expected));
}

#[test]
fn denials_of_all_levels_add_up_and_end_together() {
    let (workload, namespace, flag) = (deny("0 10 * * *"), deny("0 13 * * *"), deny("0 17 * * *"));
    let levels = Levels {
        workload: Some(&workload),
        namespace: Some(&namespace),
        flag: Some(&flag),
    };
    let active = deny_active(&levels, at(NOON)).unwrap();
    assert_eq!(
        (active.level, active.why, active.until),
        (Level::Workload, Why::Denied, Some(at("2026-11-28 21:00+01")))
    );
    let active = deny_active(&levels, at("2026-11-28 20:00+01")).unwrap();
    assert_eq!(
        (active.level, active.until),
        (Level::Flag, Some(at("2026-11-28 21:00+01")))
    );
    assert_eq!(deny_active(&levels, at("2026-11-28 21:00+01")), None);
    assert_eq!(gate(&levels, at("2026-11-28 21:00+01")), Gate::Open);
}

#[test]
fn allow_windows_are_no_denials_open_or_not() {
    let night = allow("0 22 * * *");
    assert_eq!(deny_active(&of_workload(&night), at(NOON)), None);
    let manual = parse("manual");
    assert_eq!(deny_active(&of_workload(&manual), at(NOON)), None);
}

#[rstest]
#[case::of_many_starts("* 9-16 * * *", "1m", Some("2026-11-28 17:00+01"))]
#[case::of_starts_that_overlap("*/5 9-16 * * *", "10m", Some("2026-11-28 17:05+01"))]
#[case::of_days_that_touch("0 0 * * sat,sun", "24h", Some("2026-11-30 00:00+01"))]
#[case::of_a_month("* * 1-30 * *", "1m", Some("2026-12-31 00:00+01"))]
#[case::without_end("* * * * *", "1m", None)]
// That day has 25 hours.
#[case::of_all_days_but_one_hour_in_autumn("0 0 * * *", "24h", Some("2027-10-31 23:00+01"))]
fn a_denial_ends_with_its_last_overlapping_start(
    #[case] schedule: &str,
    #[case] duration: &str,
    #[case] end: Option<&str>,
) {
    let said = Ok(berlin("deny", schedule, duration));
    let levels = of_workload(&said);
    assert_eq!(closed(&levels, NOON).until, end.map(at));
    assert_eq!(deny_active(&levels, at(NOON)).unwrap().until, end.map(at));
}

/// Local days looked at, which do not grow with the minutes of a window.
#[rstest]
#[case::open_daily("0 10 * * *", "4h", 2)]
#[case::open_for_a_week("0 10 * * sun", "168h", 8)]
#[case::closed_daily("0 22 * * *", "4h", 4)]
#[case::closed_until_next_week("0 22 * * fri", "1h", 16)]
#[case::closed_after_a_week("0 11 21 * *", "168h", 45)]
#[case::closed_until_a_leap_day("0 0 29 2 *", "1h", 100)]
fn the_cost_of_a_verdict_is_counted_in_days(
    #[case] schedule: &str,
    #[case] duration: &str,
    #[case] most: u32,
) {
    let said = Ok(berlin("allow", schedule, duration));
    let mut steps = search::Steps::up_to(u32::MAX);
    of_workload(&said).gate(at(NOON), &mut steps);
    assert!((1..=most).contains(&steps.taken()), "{}", steps.taken());
}

#[test]
fn what_never_opens_ends_the_search() {
    // At every instant in question the deny window covers the allow window.
    let text =
        "- {schedule: '*/2 * * * *', duration: 1m}\n- {kind: deny, schedule: '*/2 * * * *', duration: 1m}";
    let said = parse(text);
    let mut steps = search::Steps::up_to(1000);
    let Gate::Closed(closed) = of_workload(&said).gate(at(NOON), &mut steps) else {
        panic!("open")
    };
    assert_eq!((closed.why, closed.until), (Why::Denied, None));
    assert!(steps.taken() < 1010, "{}", steps.taken());
}

#[test]
fn a_sweep_finds_out_once_what_many_workloads_share() {
    let text = r#"[{"schedule":"0 0 29 2 *","duration":"1h"}]"#;
    let said: Vec<Result<Windows, WindowsError>> = (0..10_000).map(|_| parse(text)).collect();
    let mut sweep = Sweep::at(at(NOON));
    let once = gate(&of_workload(&said[0]), at(NOON));
    for said in &said {
        assert_eq!(*sweep.gate(&of_workload(said)), once);
    }
    assert_eq!(sweep.found_out(), 1);
}
