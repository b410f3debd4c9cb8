//! Percentiles. Input: samples in any order; output: one of them. I/O: none.

/// The sample that `percent` of all samples do not exceed (nearest rank); not a number without samples.
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Nearest rank, counted from 1: the smallest rank whose share of the samples is at least `percent`.
    let rank = (1..=sorted.len()).find(|rank| share(*rank, sorted.len()) >= percent);
    rank.map_or(f64::NAN, |rank| sorted[rank - 1])
}

#[allow(
    clippy::cast_precision_loss,
    reason = "there are thousands of samples, not 2⁵³"
)]
fn share(rank: usize, count: usize) -> f64 {
    100.0 * rank as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50.0).to_bits(), 50.0_f64.to_bits());
        assert_eq!(percentile(&hundred, 99.0).to_bits(), 99.0_f64.to_bits());
        assert_eq!(percentile(&hundred, 100.0).to_bits(), 100.0_f64.to_bits());
        assert_eq!(percentile(&[7.0], 99.0).to_bits(), 7.0_f64.to_bits());
        assert!(percentile(&[], 50.0).is_nan());
    }
}
