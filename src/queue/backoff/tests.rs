use std::collections::HashSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[rstest]
#[case::first(Retry::Unavailable, 0, 250, 500)]
#[case::second(Retry::Unavailable, 1, 500, 1_000)]
#[case::fourth(Retry::Unavailable, 3, 2_000, 4_000)]
#[case::unavailable_at_the_cap(Retry::Unavailable, 4, 2_500, 5_000)]
#[case::unavailable_for_ever(Retry::Unavailable, u32::MAX, 2_500, 5_000)]
#[case::rejected_first(Retry::Rejected, 0, 250, 500)]
#[case::rejected_before_the_cap(Retry::Rejected, 6, 16_000, 32_000)]
#[case::rejected_at_the_cap(Retry::Rejected, 7, 30_000, 60_000)]
#[case::rejected_for_ever(Retry::Rejected, u32::MAX, 30_000, 60_000)]
#[case::requested_wait_is_the_minimum(Retry::After(Duration::from_secs(7)), 0, 7_000, 7_000)]
#[case::requested_wait_above_every_cap(Retry::After(Duration::from_mins(5)), 50, 300_000, 300_000)]
#[case::requested_wait_below_the_backoff(Retry::After(Duration::ZERO), 50, 2_500, 5_000)]
#[case::requested_wait_of_days(Retry::After(Duration::MAX), 0, 600_000, 600_000)]
fn waits_between(#[case] retry: Retry, #[case] earlier: u32, #[case] least: u32, #[case] most: u32) {
    for seed in 0..200 {
        let delay = retry.delay(earlier, seed);
        assert!(
            MS * least <= delay && delay <= MS * most,
            "{delay:?} for seed {seed}"
        );
    }
}

#[test]
fn neighbouring_seeds_spread_over_the_whole_jitter() {
    // Keys that failed together draw neighbouring seeds: they must not come back together.
    let tenths: HashSet<_> = (0..200)
        .map(|seed| (Retry::Rejected.delay(20, seed).as_millis() - 30_000) / 3_000)
        .collect();
    assert_eq!(tenths.len(), 10);
}

proptest! {
    #[test]
    fn equal_seeds_wait_equally_long(earlier: u32, seed: u64) {
        prop_assert_eq!(Retry::Rejected.delay(earlier, seed), Retry::Rejected.delay(earlier, seed));
    }

    #[test]
    fn never_spins_and_never_exceeds_the_cap(earlier: u32, seed: u64) {
        for (retry, cap) in [(Retry::Unavailable, UNAVAILABLE_CAP), (Retry::Rejected, REJECTED_CAP)] {
            let delay = retry.delay(earlier, seed);
            prop_assert!(BASE / 2 <= delay && delay <= cap);
        }
    }
}
