use std::time::Duration;

use super::*;
use crate::{index::change::Seen, model::SourceKind};

fn source(number: u64) -> SourceRef {
    SourceRef::new(SourceKind::Secret, format!("s-{number}"))
}

/// A storm of 300 sources a second is 90,000 that are remembered: each is looked at when it is over, not at every event.
#[test]
fn changes_are_forgotten_by_their_age() {
    let begun = Instant::now();
    let at = |second: u64| begun + Duration::from_secs(second);
    let mut unclaimed = Unclaimed::default();
    let mut note = |number: u64, second: u64| {
        let seen = Seen {
            at: at(second),
            unix: UnixSeconds(0),
        };
        let change = Change {
            seen,
            order: second,
            remember: true,
            tentative: false,
            inherited: false,
        };
        unclaimed.remember(&source(number), None, Written::At(None, second), &change);
    };
    for number in 0..10 {
        note(number, number);
    }
    note(2, 20);
    note(3, 1);
    unclaimed.forget(&source(4));
    assert_eq!(unclaimed.by_age.len(), unclaimed.by_source.len());
    assert_eq!(unclaimed.forget_until(at(1)), [source(0), source(1), source(3)]);
    assert_eq!(unclaimed.forget_until(at(1)), []);
    assert_eq!(unclaimed.forget_until(at(7)), [source(5), source(6), source(7)]);
    assert!(unclaimed.last(&source(2)).is_some());
    unclaimed.clear();
    assert!(unclaimed.is_empty() && unclaimed.by_age.is_empty());
}

/// What a workload may owe is asked of the sources that it uses.
#[test]
fn a_workload_is_asked_about_its_own_sources() {
    let seen = Seen {
        at: Instant::now(),
        unix: UnixSeconds(0),
    };
    let change = Change {
        seen,
        order: 0,
        remember: true,
        tentative: false,
        inherited: false,
    };
    let mut unclaimed = Unclaimed::default();
    assert_eq!(unclaimed.changed_since(0, || unreachable!()), []);
    for number in 0..100 {
        unclaimed.remember(&source(number), None, Written::At(None, 10 + number), &change);
    }
    let own = || Some(BTreeSet::from([source(1), source(50), source(1000)]));
    assert_eq!(unclaimed.changed_since(0, own), [source(1), source(50)]);
    assert_eq!(unclaimed.changed_since(11, own), [source(50)]);
    assert_eq!(unclaimed.changed_since(108, || None), [source(99)]);
}
