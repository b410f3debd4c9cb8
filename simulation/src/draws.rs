//! Random choices that do not depend on each other.
//!
//! Input: a seed and what a choice is about. Output: numbers. I/O: none.
//!
//! Each choice is drawn from a stream named after what it decides. So a plan that leaves out one fault keeps every other
//! choice, which is what makes a failing plan shrink.

use std::ops::Range;

use crate::entropy::mix;

/// A stream of random choices.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The stream of that seed.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Another stream, named by what it is for.
    #[must_use]
    pub fn of(&self, name: &str, number: u64) -> Self {
        let named = name.bytes().fold(self.0 ^ number.rotate_left(32), |state, byte| {
            mix(state ^ u64::from(byte))
        });
        Self(mix(named ^ number))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = mix(self.0);
        self.0
    }

    /// A number within the range, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether something happens that happens in so many of a thousand cases.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.within(0..1000) < permille
    }

    /// Mostly short, now and then long: a number up to `most`, whose magnitude is what is drawn evenly.
    pub fn skewed(&mut self, most: u64) -> u64 {
        let magnitudes = u64::from(most.max(1).ilog2()) + 1;
        let top = 1 << self.within(0..magnitudes);
        self.within(top / 2..top + 1).min(most)
    }

    /// One of the items, of which there must be some.
    pub fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.within(0..items.len() as u64)).unwrap_or_default();
        &items[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_differ_by_name_and_number() {
        let seed = Draws::new(7);
        let draw = |name, number| seed.of(name, number).next();
        assert_eq!(draw("delay", 1), draw("delay", 1));
        assert_ne!(draw("delay", 1), draw("delay", 2));
        assert_ne!(draw("delay", 1), draw("loss", 1));
        assert_ne!(draw("delay", 1), Draws::new(8).of("delay", 1).next());
    }

    #[test]
    fn ranges_are_kept() {
        let mut draws = Draws::new(1);
        for _ in 0..1000 {
            assert!((3..9).contains(&draws.within(3..9)));
            assert!(draws.skewed(100) <= 100);
        }
        assert!((150..350).contains(&(0..1000).filter(|_| draws.permille(250)).count()));
    }
}
