//! Random waits, so that replicas which saw the same thing do not act in the same instant.
//!
//! Input: a seed. Output: durations. I/O: none.

use std::time::Duration;

/// A small generator (SplitMix64): repeatable from its seed, and good enough to spread requests. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Somewhere in `0..most`.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(bits.checked_rem(most).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread_over_the_whole_range_and_stay_inside() {
        let most = Duration::from_millis(100);
        let mut jitter = Jitter::new(7);
        let values: Vec<_> = (0..1000).map(|_| jitter.below(most)).collect();
        assert!(values.iter().all(|value| *value < most));
        for tenth in 0..10 {
            let range = most * tenth / 10..most * (tenth + 1) / 10;
            let hits = values.iter().filter(|value| range.contains(*value)).count();
            assert!((50..200).contains(&hits), "{hits} of 1000 in {range:?}");
        }
    }

    #[test]
    fn an_empty_range_gives_zero() {
        assert_eq!(Jitter::new(7).below(Duration::ZERO), Duration::ZERO);
    }
}
