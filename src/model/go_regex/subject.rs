//! A name, prepared to be matched against many wildcards.
//!
//! Input: a name. Output: whether a wildcard fits it. I/O: none.
//!
//! All places of the name at which the rest of the wildcard may go on are followed at once, as the bits of one word:
//! a wildcard takes one step a character, whatever the name, and never goes back.

use std::cell::OnceCell;

/// The bits for the places of a name. The API server's names have 253 characters at most, and there is a place behind
/// the last one.
const PLACES: usize = 256;

/// A set of places.
type Places = [u64; PLACES / 64];

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
        let literal = wildcard.iter().take_while(|byte| **byte != b'.').count();
        let (start, mut rest) = wildcard.split_at(literal);
        if !self.name.as_bytes().starts_with(start) {
            return false;
        }
        let standing = self.standing.get_or_init(|| standing(self.name));
        let mut reached: Places = [0; 4];
        reached[literal / 64] = 1 << (literal % 64);
        while let Some((&token, after)) = rest.split_first() {
            rest = after;
            count_step();
            reached = if token != b'.' {
                let stands = standing.get(usize::from(token)).unwrap_or(&[0; 4]);
                next(and(reached, *stands))
            } else if let Some(after) = rest.strip_prefix(b"*") {
                rest = after;
                and(from_lowest(reached), up_to(length))
            } else {
                and(next(reached), up_to(length))
            };
            if reached == [0; 4] {
                return false;
            }
        }
        reached[length / 64] >> (length % 64) & 1 == 1
    }
}

fn standing(name: &str) -> Box<[Places; 128]> {
    let mut standing = Box::new([[0; 4]; 128]);
    for (place, byte) in name.bytes().enumerate() {
        if let Some(places) = standing.get_mut(usize::from(byte)) {
            places[place / 64] |= 1 << (place % 64);
        }
    }
    standing
}

fn and(left: Places, right: Places) -> Places {
    std::array::from_fn(|word| left[word] & right[word])
}

/// Each place one further.
fn next(places: Places) -> Places {
    std::array::from_fn(|word| {
        let carried = word.checked_sub(1).map_or(0, |below| places[below] >> 63);
        places[word] << 1 | carried
    })
}

/// All places from the lowest one on.
fn from_lowest(places: Places) -> Places {
    let mut is_above = false;
    places.map(|word| {
        let all = if is_above {
            u64::MAX
        } else {
            word | word.wrapping_neg()
        };
        is_above |= word != 0;
        all
    })
}

/// All places of a name of that length, and the one behind it.
fn up_to(length: usize) -> Places {
    std::array::from_fn(|word| match (length + 1).saturating_sub(word * 64) {
        0 => 0,
        bits @ 1..64 => (1 << bits) - 1,
        _ => u64::MAX,
    })
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
