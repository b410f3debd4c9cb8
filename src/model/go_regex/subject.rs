//! A name, prepared to be matched against many wildcards.
//!
//! Input: a name. Output: whether a wildcard fits it. I/O: none.
//!
//! All places of the name at which the rest of the wildcard may go on are followed at once, as bits of two words:
//! a wildcard takes one step a character, whatever the name, and never goes back.

use std::cell::OnceCell;

/// The bits for the places of a name. The API server's names have 253 characters at most, and there is a place behind
/// the last one.
const PLACES: usize = 256;

/// A set of places: the first 128 of them, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places(u128, u128);

/// A name to be matched.
#[derive(Debug)]
pub struct Subject<'a> {
    name: &'a str,
    /// Where each ASCII character stands; made when the first wildcard asks.
    standing: OnceCell<Box<[Places; 128]>>,
}

impl<'a> Subject<'a> {
    /// A name of ASCII characters without line breaks. Wildcards fit no name of more than 255 characters.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            standing: OnceCell::new(),
        }
    }

    /// The name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Whether the wildcard fits the whole name: `.` is any character, `.*` any run of them.
    pub(super) fn fits(&self, wildcard: &[u8]) -> bool {
        let length = self.name.len();
        if length >= PLACES {
            return false;
        }
        // Most names differ at the start.
        let mut literal = 0;
        while let Some(byte) = wildcard.get(literal).filter(|byte| **byte != b'.') {
            if self.name.as_bytes().get(literal) != Some(byte) {
                return false;
            }
            literal += 1;
        }
        let standing = self.standing.get_or_init(|| standing(self.name));
        let mut reached = Places::only(literal);
        let mut rest = &wildcard[literal..];
        while let Some((&token, after)) = rest.split_first() {
            rest = after;
            count_step();
            reached = if token != b'.' {
                let stands = standing.get(usize::from(token));
                reached.and(*stands.unwrap_or(&Places::NONE)).next()
            } else if let Some(after) = rest.strip_prefix(b"*") {
                rest = after;
                reached.upwards().and(Places::up_to(length))
            } else {
                reached.next().and(Places::up_to(length))
            };
            if reached == Places::NONE {
                return false;
            }
        }
        reached.and(Places::only(length)) != Places::NONE
    }
}

fn standing(name: &str) -> Box<[Places; 128]> {
    let mut standing = Box::new([Places::NONE; 128]);
    for (place, byte) in name.bytes().enumerate() {
        if let Some(places) = standing.get_mut(usize::from(byte)) {
            *places = places.or(Places::only(place));
        }
    }
    standing
}

impl Places {
    const NONE: Self = Self(0, 0);

    /// One of the 256.
    const fn only(place: usize) -> Self {
        if place < 128 {
            Self(1 << place, 0)
        } else {
            Self(0, 1 << (place - 128))
        }
    }

    /// All up to that one.
    const fn up_to(place: usize) -> Self {
        let Self(low, high) = Self::only(place);
        if high == 0 {
            Self(low | (low - 1), 0)
        } else {
            Self(u128::MAX, high | (high - 1))
        }
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0, self.1 & other.1)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0, self.1 | other.1)
    }

    /// Each one further.
    const fn next(self) -> Self {
        Self(self.0 << 1, self.1 << 1 | self.0 >> 127)
    }

    /// All from the lowest one on.
    const fn upwards(self) -> Self {
        if self.0 == 0 {
            Self(0, self.1 | self.1.wrapping_neg())
        } else {
            Self(self.0 | self.0.wrapping_neg(), u128::MAX)
        }
    }
}

#[cfg(not(test))]
const fn count_step() {}

#[cfg(test)]
use counted::count_step;

#[cfg(test)]
pub(super) mod counted {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_step() {
        STEPS.set(STEPS.get() + 1);
    }

    /// How many steps that takes.
    pub(in crate::model) fn steps_of(act: impl FnOnce()) -> usize {
        let before = STEPS.get();
        act();
        STEPS.get() - before
    }
}
