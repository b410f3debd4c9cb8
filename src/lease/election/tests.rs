//! Single steps of the rules; whole elections are in the driver's tests.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::lease::settings::Timings;

const ME: &str = "me";

fn at(millis: u64) -> Moment {
    Moment::from_start(Duration::from_millis(millis))
}

fn wall() -> Timestamp {
    Timestamp::from_second(1_760_000_000).unwrap()
}

fn new() -> Election {
    let settings = Settings {
        name: "lock".to_owned(),
        namespace: "reloader".to_owned(),
        identity: ME.to_owned(),
        timings: Timings::default(),
    };
    Election::new(settings, 1)
}

/// As the API server would return it.
fn at_version(mut lease: Lease, version: &str) -> Lease {
    lease.metadata.resource_version = Some(version.to_owned());
    lease
}

fn held_by(holder: &str, version: &str) -> Lease {
    let record = Record {
        holder: Some(Arc::from(holder)),
        duration: Some(Duration::from_secs(15)),
        acquire_time: Some(wall()),
        renew_time: Some(wall()),
        transitions: 3,
    };
    at_version(record.new_lease("reloader", "lock"), version)
}

/// A leader whose acquisition was sent at 0 ms and answered at 1 s, and the Lease it stored.
fn leading() -> (Election, Lease) {
    let mut election = new();
    assert_eq!(election.next(at(0), wall()), Step::Get);
    election.read(at(0), Ok(Some(at_version(Lease::default(), "1"))));
    let Step::Wait(until) = election.next(at(0), wall()) else {
        panic!("waits to spread the race")
    };
    let Step::Replace(lease) = election.next(until, wall()) else {
        panic!("takes a free lease")
    };
    let lease = at_version(*lease, "2");
    election.wrote(at(0), at(1000), Ok(lease.clone()));
    (election, lease)
}

#[test]
fn the_claim_runs_from_the_sending_of_the_write() {
    let (election, _) = leading();
    assert_eq!(
        (election.role(), election.deadline()),
        (Role::Leader, Some(at(10_000)))
    );
}

#[test]
fn a_write_is_guarded_by_the_version_that_was_seen() {
    let (mut election, _) = leading();
    let Step::Replace(renewal) = election.next(at(2000), wall()) else {
        panic!("renews after a retry period")
    };
    assert_eq!(renewal.metadata.resource_version.as_deref(), Some("2"));
}

#[test]
fn an_acquisition_answered_after_its_deadline_is_no_claim() {
    let mut election = new();
    election.read(at(0), Ok(None));
    let Step::Wait(_) = election.next(at(0), wall()) else {
        panic!("does not create at once")
    };
    let Step::Create(lease) = election.next(at(2500), wall()) else {
        panic!("creates then")
    };
    election.wrote(at(2500), at(12_500), Ok(at_version(*lease, "1")));
    assert_eq!((election.role(), election.deadline()), (Role::Standby, None));
    assert_eq!(election.next(at(12_500), wall()), Step::Get);
}

#[test]
fn a_renewal_answered_after_the_deadline_does_not_bring_the_claim_back() {
    let (mut election, lease) = leading();
    let Step::Replace(_) = election.next(at(9900), wall()) else {
        panic!("renews")
    };
    election.wrote(at(9900), at(10_000), Ok(at_version(lease, "3")));
    assert_eq!(
        election.next(at(10_000), wall()),
        Step::Done(ElectionOutcome::Expired)
    );
}

#[test]
fn a_lost_lease_stays_lost() {
    let (mut election, lease) = leading();
    assert_eq!(
        election.next(at(10_000), wall()),
        Step::Done(ElectionOutcome::Expired)
    );
    election.read(at(10_000), Ok(Some(lease.clone())));
    election.wrote(at(10_000), at(10_000), Ok(lease.clone()));
    election.changed(at(10_000), LeaseEvent::Stored(Box::new(lease)));
    election.release(at(10_000));
    assert_eq!(
        election.next(at(10_001), wall()),
        Step::Done(ElectionOutcome::Expired)
    );
    assert_eq!(election.deadline(), None);
}

#[test]
fn a_leader_ignores_the_echo_of_its_predecessor() {
    let (mut election, _) = leading();
    election.changed(
        at(1500),
        LeaseEvent::Stored(Box::new(held_by("predecessor", "1"))),
    );
    election.changed(at(1500), LeaseEvent::Deleted);
    assert_eq!(
        (election.role(), election.holder().map(AsRef::as_ref)),
        (Role::Leader, Some(ME))
    );
}

#[test]
fn a_conflict_makes_the_leader_read_and_a_foreign_holder_ends_it() {
    let (mut election, _) = leading();
    let Step::Replace(_) = election.next(at(2000), wall()) else {
        panic!("renews")
    };
    election.wrote(at(2000), at(2000), Err(StoreError::Conflict));
    assert_eq!(election.next(at(2000), wall()), Step::Get);
    assert_eq!(election.slow_path(), 1);
    election.read(at(2001), Ok(Some(held_by("rival", "3"))));
    assert_eq!(
        election.next(at(2001), wall()),
        Step::Done(ElectionOutcome::TakenOver(Some(Arc::from("rival"))))
    );
}

#[rstest]
#[case::another_time(|record: &mut Record| record.acquire_time = None)]
#[case::another_count(|record: &mut Record| record.transitions += 1)]
fn its_own_identity_in_a_record_of_another_term_is_foreign(#[case] change: fn(&mut Record)) {
    let (mut election, lease) = leading();
    let mut record = Record::of(&lease);
    change(&mut record);
    election.read(at(2000), Ok(Some(record.written_over(&lease))));
    assert_eq!(
        election.next(at(2000), wall()),
        Step::Done(ElectionOutcome::TakenOver(Some(Arc::from(ME))))
    );
}

/// Tries to take an expired lease at 15.1 s; gives what was sent.
fn trying() -> (Election, Lease) {
    let mut election = new();
    election.read(at(0), Ok(Some(held_by("other", "1"))));
    let Step::Replace(lease) = election.next(at(15_100), wall()) else {
        panic!("takes the expired lease")
    };
    (election, at_version(*lease, "2"))
}

#[test]
fn a_first_attempt_that_takes_effect_after_a_second_was_sent_is_recognised() {
    let (mut election, first) = trying();
    election.wrote(at(15_100), at(17_100), Err(StoreError::Timeout));
    election.read(at(20_000), Ok(Some(held_by("other", "1"))));
    let Step::Replace(_) = election.next(at(20_000), wall()) else {
        panic!("tries again")
    };
    election.wrote(at(20_000), at(20_001), Err(StoreError::Conflict));
    election.read(at(20_200), Ok(Some(first)));
    let Step::Replace(renewal) = election.next(at(20_200), wall()) else {
        panic!("goes on with its own record")
    };
    assert_eq!(Record::of(&renewal).transitions, 4);
}

#[test]
fn a_record_like_its_own_is_foreign_when_its_own_attempt_was_refused() {
    let (mut election, same) = trying();
    election.wrote(at(15_100), at(15_101), Err(StoreError::Conflict));
    election.read(at(15_300), Ok(Some(same)));
    assert!(matches!(election.next(at(15_300), wall()), Step::Wait(_)));
}

#[test]
fn without_a_watch_a_candidate_looks_every_second_until_watching_works() {
    let mut election = new();
    election.read(at(0), Ok(Some(held_by("other", "1"))));
    election.changed(at(0), LeaseEvent::Forbidden);
    let mut looked = at(0);
    for version in 2..30 {
        let Step::Wait(until) = election.next(looked, wall()) else {
            panic!("waits")
        };
        assert!((Duration::from_secs(1)..Duration::from_millis(1200)).contains(&until.since(looked)));
        looked = until;
        assert_eq!(election.next(looked, wall()), Step::Get);
        let renewed = Record {
            transitions: version,
            ..Record::of(&held_by("other", ""))
        };
        election.read(looked, Ok(Some(renewed.new_lease("reloader", "lock"))));
    }
    election.changed(looked, LeaseEvent::Stored(Box::new(held_by("other", "99"))));
    let Step::Wait(until) = election.next(looked, wall()) else {
        panic!("waits")
    };
    assert!(until.since(looked) >= Duration::from_secs(2));
}

#[test]
fn an_unchanged_record_expires_by_local_time_and_a_changed_one_starts_anew() {
    let mut election = new();
    election.read(at(0), Ok(Some(held_by("other", "1"))));
    election.read(at(14_000), Ok(Some(held_by("other", "2"))));
    let Step::Replace(_) = election.next(at(15_100), wall()) else {
        panic!("a new version is no renewal")
    };

    let mut election = new();
    election.read(at(0), Ok(Some(held_by("other", "1"))));
    let mut renewed = held_by("other", "2");
    renewed.spec.get_or_insert_default().renew_time = None;
    election.read(at(14_000), Ok(Some(renewed)));
    assert_ne!(
        election.next(at(15_100), wall()),
        Step::Done(ElectionOutcome::NotHolding)
    );
    assert!(matches!(election.next(at(15_100), wall()), Step::Wait(_)));
}

#[test]
fn taking_over_counts_a_transition_and_starts_a_new_term() {
    let mut election = new();
    election.read(at(0), Ok(Some(held_by("other", "1"))));
    let later = Timestamp::from_second(1_760_000_100).unwrap();
    let Step::Replace(lease) = election.next(at(15_100), later) else {
        panic!("takes the expired lease")
    };
    let record = Record::of(&lease);
    assert_eq!((record.holder.as_deref(), record.transitions), (Some(ME), 4));
    assert_eq!(
        (record.acquire_time, record.renew_time),
        (Some(later), Some(later))
    );
}

#[test]
fn after_a_failed_write_a_candidate_reads_before_it_writes_again() {
    for error in [StoreError::Conflict, StoreError::Timeout] {
        let mut election = new();
        election.read(at(0), Ok(Some(held_by("other", "1"))));
        let Step::Replace(_) = election.next(at(15_100), wall()) else {
            panic!("takes the expired lease")
        };
        election.wrote(at(15_100), at(15_100), Err(error.clone()));
        let Step::Wait(until) = election.next(at(15_100), wall()) else {
            panic!("pauses")
        };
        assert_eq!(election.next(until, wall()), Step::Get, "{error}");
    }
}

#[test]
fn a_release_names_no_holder_and_is_guarded_by_the_version() {
    let (mut election, _) = leading();
    election.release(at(3000));
    assert_eq!(election.deadline(), None);
    let Step::Replace(lease) = election.next(at(3000), wall()) else {
        panic!("releases")
    };
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("2"));
    assert_eq!(Record::of(&lease).holder, None);
    election.wrote(at(3000), at(3001), Ok(*lease));
    assert_eq!(
        election.next(at(3001), wall()),
        Step::Done(ElectionOutcome::Released)
    );
}

#[test]
fn a_release_does_not_touch_what_belongs_to_another() {
    let (mut election, _) = leading();
    election.release(at(3000));
    election.wrote(at(3000), at(3001), Err(StoreError::Conflict));
    assert_eq!(election.next(at(3001), wall()), Step::Get);
    election.read(at(3002), Ok(Some(held_by("rival", "3"))));
    assert_eq!(
        election.next(at(3002), wall()),
        Step::Done(ElectionOutcome::Released)
    );
}
