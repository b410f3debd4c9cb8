use super::*;

fn limited(namespace_rate: Option<Rate>, total_rate: Option<Rate>) -> Bench {
    Bench::new(Settings {
        window: Duration::ZERO,
        namespace_rate,
        total_rate,
        ..Settings::default()
    })
}

#[test]
fn a_namespace_over_its_limit_delays_no_other() {
    let mut bench = limited(Some(rate(10, 2)), None);
    for name in ["a/1", "a/2", "a/3", "a/4", "b/1"] {
        bench.add(name);
    }
    assert_eq!(bench.take_names(9), ["a/1", "b/1", "a/2"]);
    assert_eq!(bench.next_event(), Some(100));
    bench.at(50).add("b/2");
    assert_eq!(bench.take_names(9), ["b/2"]);
    assert_eq!(bench.at(100).take_names(9), ["a/3"]);
    assert_eq!(bench.at(200).take_names(9), ["a/4"]);
}

#[test]
fn the_limit_over_all_costs_no_namespace_a_slot() {
    let mut bench = limited(Some(rate(10, 2)), Some(rate(100, 1)));
    for name in ["a/1", "a/2", "b/1", "b/2"] {
        bench.add(name);
    }
    // Asked over and over between two slots.
    let mut names = Vec::new();
    for ms in 0..=30 {
        names.extend(bench.at(ms).take_names(9));
        assert_eq!(bench.take(), None);
    }
    assert_eq!(names, ["a/1", "b/1", "a/2", "b/2"]);
}

#[test]
fn sleeps_until_the_next_slot_of_all() {
    let mut bench = limited(None, Some(rate(10, 1)));
    bench.add("a/1");
    bench.add("b/1");
    assert_eq!(bench.take_names(9), ["a/1"]);
    assert_eq!(bench.next_event(), Some(100));
    assert_eq!(bench.at(100).take_names(9), ["b/1"]);
    assert_eq!(bench.next_event(), None);
}

#[test]
fn an_empty_namespace_is_kept_until_its_limit_is_full_again() {
    let mut bench = limited(Some(rate(10, 5)), None);
    for round in 0..3 {
        bench.at(round);
        bench.add("a/x");
        let handout = bench.take().unwrap();
        bench.done(&handout, Outcome::Settled);
    }
    assert_eq!(bench.next_event(), None, "no task is woken to tidy up");
    assert_eq!(bench.at(299).take(), None);
    assert_eq!(bench.stats().namespaces, 1);
    assert_eq!(bench.at(300).take(), None);
    bench.assert_empty();
}

#[test]
fn a_namespace_cannot_shake_off_its_limit_by_being_empty() {
    let mut bench = limited(Some(rate(10, 1)), None);
    let mut handed_out = 0;
    for ms in 0..1_000 {
        bench.at(ms).add("a/x");
        if let Some(handout) = bench.take() {
            handed_out += 1;
            bench.done(&handout, Outcome::Settled);
        }
    }
    assert_eq!(handed_out, 10);
}

#[test]
fn a_namespace_whose_tickets_do_not_come_back_delays_no_other() {
    let mut bench = Bench::new(Settings {
        window: Duration::ZERO,
        namespace_in_flight: 2,
        ..Settings::default()
    });
    for name in ["a/1", "a/2", "a/3", "a/4", "b/1"] {
        bench.add(name);
    }
    let stuck = bench.take().unwrap();
    assert_eq!(
        bench.take_names(9),
        ["b/1", "a/2"],
        "two of a are out, the others wait"
    );
    assert_eq!(
        bench.next_event(),
        None,
        "only a ticket that ends can change that"
    );
    bench.done(&stuck, Outcome::Settled);
    assert_eq!(bench.take_names(9), ["a/3"]);
}

/// What is limited is writes: a revert leaves many keys with nothing to do.
#[test]
fn hand_outs_that_write_nothing_do_not_count() {
    let mut bench = limited(Some(rate(10, 10)), Some(rate(20, 20)));
    for number in 0..146 {
        bench.add(&format!("a/{number}"));
    }
    bench.add("a/last");
    for _ in 0..146 {
        let skipped = bench.take().expect("no limit");
        assert_ne!(&*skipped.key.name, "last");
        bench.done(&skipped, Outcome::Skipped);
    }
    assert_eq!(bench.take_names(9), ["a/last"]);
}

#[test]
fn a_skip_frees_a_namespace_that_was_passed_over_at_once() {
    let mut bench = limited(Some(rate(10, 2)), Some(rate(10, 2)));
    for name in ["a/1", "a/2", "a/3", "a/4"] {
        bench.add(name);
    }
    let first = bench.take().unwrap();
    let _second = bench.take().unwrap();
    assert_eq!(bench.take(), None);
    assert_eq!(bench.next_event(), Some(100));
    bench.at(50).done(&first, Outcome::Skipped);
    assert_eq!(bench.take_names(9), ["a/3"]);
    assert_eq!(bench.next_event(), Some(100));
    assert_eq!(bench.at(100).take_names(9), ["a/4"]);
}

#[test]
fn what_was_written_counts_whatever_is_skipped_beside_it() {
    let mut bench = limited(Some(rate(10, 1)), None);
    let mut written = 0;
    for ms in 0..=1_000 {
        bench.at(ms).add(&format!("a/{ms}"));
        if let Some(handout) = bench.take() {
            let outcome = if handout.key.name.ends_with('7') {
                written += 1;
                Outcome::Settled
            } else {
                Outcome::Skipped
            };
            bench.done(&handout, outcome);
        }
    }
    assert!((5..=11).contains(&written), "{written}");
}
