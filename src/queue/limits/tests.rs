use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

/// Grants among requests every millisecond from the first on, until `until` milliseconds after it.
fn grants(limiter: &mut Limiter, start: Instant, until: u64) -> usize {
    (0..=until)
        .filter(|ms| limiter.take(start + Duration::from_millis(*ms)).is_ok())
        .count()
}

#[test]
fn a_burst_and_then_the_rate() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 5), start);
    // 5 at once, then one each 100 ms.
    assert_eq!(grants(&mut limiter, start, 0), 1);
    assert_eq!(grants(&mut limiter, start, 0), 1);
    assert_eq!((0..10).filter(|_| limiter.take(start).is_ok()).count(), 3);
    assert_eq!(grants(&mut limiter, start, 10_000), 100);
}

#[test]
fn a_refusal_names_the_next_free_slot_and_costs_nothing() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 1), start);
    limiter.take(start).unwrap();
    let slot = start + Duration::from_millis(100);
    for ms in [0, 1, 50, 99] {
        assert_eq!(limiter.take(start + Duration::from_millis(ms)), Err(slot));
    }
    assert_eq!(limiter.take(slot), Ok(()));
}

#[test]
fn a_grant_given_back_is_as_if_it_had_never_been() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 2), start);
    limiter.take(start).unwrap();
    let full_at = limiter.full_at();
    for _ in 0..5 {
        limiter.take(start).unwrap();
        limiter.give_back(start);
    }
    assert_eq!(limiter.full_at(), full_at);
    assert_eq!(limiter.take(start), Ok(()));
    assert!(limiter.take(start).is_err());
}

#[test]
fn an_older_grant_is_given_back_after_later_ones() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 3), start);
    for ms in [0, 20, 40] {
        limiter.take(start + Duration::from_millis(ms)).unwrap();
    }
    limiter.give_back(start);
    assert_eq!(limiter.take(start + Duration::from_millis(50)), Ok(()));
    assert!(limiter.take(start + Duration::from_millis(50)).is_err());
}

/// Otherwise a slow round that writes nothing would let one write too many through.
#[test]
fn a_grant_that_was_refilled_meanwhile_is_not_given_back_again() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 1), start);
    limiter.take(start).unwrap();
    let later = start + Duration::from_millis(150);
    limiter.take(later).unwrap();
    limiter.give_back(start);
    assert!(limiter.take(later).is_err());
}

#[test]
fn is_full_again_after_the_burst_was_refilled() {
    let start = Instant::now();
    let mut limiter = Limiter::new(rate(10, 5), start);
    assert!(limiter.full_at() <= start);
    for _ in 0..3 {
        limiter.take(start).unwrap();
    }
    assert_eq!(limiter.full_at(), start + Duration::from_millis(300));
}

proptest! {
    /// In no interval more than burst + rate × length; and a key that waits as long as asked gets through.
    #[test]
    fn never_more_than_the_rate(
        per_second in 1_u32..1_000,
        burst in 1_u32..20,
        pauses in prop::collection::vec(0_u64..300, 1..60),
    ) {
        let start = Instant::now();
        let mut limiter = Limiter::new(rate(per_second, burst), start);
        let mut granted = Vec::new();
        let mut now = start;
        for pause in pauses {
            now += Duration::from_millis(pause);
            if let Err(slot) = limiter.take(now) {
                prop_assert!(slot > now);
                now = slot;
                prop_assert_eq!(limiter.take(now), Ok(()));
            }
            granted.push(now);
        }
        for (first, from) in granted.iter().enumerate() {
            for (last, to) in granted.iter().enumerate().skip(first) {
                let length = (*to - *from).as_secs_f64();
                let most = f64::from(burst) + f64::from(per_second) * length + 1e-3;
                let count = f64::from(u32::try_from(last - first + 1).unwrap());
                prop_assert!(count <= most, "{} in {}", count, length);
            }
        }
    }
}
