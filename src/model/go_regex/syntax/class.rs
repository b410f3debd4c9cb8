//! Character classes and escapes of Go's syntax, reduced to the ASCII characters they hold.
//!
//! Input: text at a `[` or `\`. Output: [`AsciiSet`], or a character. I/O: none.

use std::fmt;

use super::{super::PatternError, unicode};

/// A set of ASCII characters, one bit each; prints as an atom of Rust's syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AsciiSet(u128);

const UPPER: AsciiSet = AsciiSet::from_bytes(b'A', b'Z');
const LOWER: AsciiSet = AsciiSet::from_bytes(b'a', b'z');
const DIGIT: AsciiSet = AsciiSet::from_bytes(b'0', b'9');
const ALPHA: AsciiSet = UPPER.or(LOWER);
const ALNUM: AsciiSet = ALPHA.or(DIGIT);
const WORD: AsciiSet = ALNUM.or(AsciiSet::from_char('_'));
const GRAPH: AsciiSet = AsciiSet::from_bytes(b'!', b'~');
/// `\s`, which leaves the vertical tab out; `[:space:]` has it.
const PERL_SPACE: AsciiSet = AsciiSet::from_char('\t')
    .or(AsciiSet::from_char('\n'))
    .or(AsciiSet::from_bytes(0x0c, b'\r'))
    .or(AsciiSet::from_char(' '));

impl AsciiSet {
    /// Every ASCII character.
    pub(super) const ALL: Self = Self(u128::MAX);
    /// None.
    pub(super) const EMPTY: Self = Self(0);

    /// The characters from `low` to `high`, both included and both ASCII.
    pub(super) const fn from_bytes(low: u8, high: u8) -> Self {
        Self((u128::MAX >> (127 - (high - low))) << low)
    }

    /// That character, which must be ASCII.
    pub(super) const fn from_char(character: char) -> Self {
        Self(1 << character as u32)
    }

    /// The ASCII characters of a range, with `fold_case` in either case. Two characters beyond ASCII fold into it:
    /// the long s and the Kelvin sign.
    pub(super) fn from_range(low: impl Into<u32>, high: impl Into<u32>, fold_case: bool) -> Self {
        let (low, high) = (low.into(), high.into());
        let byte = |code: u32| u8::try_from(code.min(127)).unwrap_or(127);
        let ascii = if low < 128 {
            Self::from_bytes(byte(low), byte(high))
        } else {
            Self::EMPTY
        };
        if !fold_case {
            return ascii;
        }
        let folded = [('ſ', 's'), ('\u{212a}', 'k')];
        folded
            .into_iter()
            .filter(|&(from, _)| (low..=high).contains(&u32::from(from)))
            .fold(ascii, |set, (_, to)| set.or(Self::from_char(to)))
            .folded()
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn negated(self) -> Self {
        Self(!self.0)
    }

    /// With every letter also in its other case. `a` is 32 places above `A`.
    const fn folded(self) -> Self {
        Self(self.0 | (self.0 & UPPER.0) << 32 | (self.0 & LOWER.0) >> 32)
    }
}

impl fmt::Display for AsciiSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_power_of_two() {
            return write!(f, "\\x{:02x}", self.0.trailing_zeros());
        }
        if *self == Self::EMPTY {
            return f.write_str(r"[^\x00-\xff]");
        }
        f.write_str("[")?;
        let (mut bits, mut position) = (self.0, 0);
        while bits != 0 {
            let low = position + bits.trailing_zeros();
            bits >>= low - position;
            let length = bits.trailing_ones();
            write!(f, "\\x{low:02x}-\\x{:02x}", low + length - 1)?;
            bits = bits.checked_shr(length).unwrap_or(0);
            position = low + length;
        }
        f.write_str("]")
    }
}

/// Reads a class in brackets.
pub(super) fn bracketed(rest: &mut &str, fold_case: bool) -> Result<AsciiSet, PatternError> {
    *rest = &rest[1..];
    let negated = take(rest, "^");
    let mut set = AsciiSet::EMPTY;
    let mut first = true;
    // A `]` right after the opening is a member.
    while first || !rest.starts_with(']') {
        first = false;
        if let Some(named) = posix(rest, fold_case)? {
            set = set.or(named);
        } else if let Some(escaped) = escaped(rest, fold_case)? {
            set = set.or(escaped);
        } else {
            let low = member(rest)?;
            let mut high = low;
            // A `-` right before the closing is a member.
            if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
                take(rest, "-");
                high = member(rest)?;
                if high < low {
                    return Err(PatternError::CharacterClass);
                }
            }
            set = set.or(AsciiSet::from_range(low, high, fold_case));
        }
    }
    take(rest, "]");
    Ok(if negated { set.negated() } else { set })
}

/// Reads `[:name:]` or `[:^name:]`. Without a `:]` it is no such class, and its characters are members: `None`.
fn posix(rest: &mut &str, fold_case: bool) -> Result<Option<AsciiSet>, PatternError> {
    let Some((name, after)) = rest.strip_prefix("[:").and_then(|body| body.split_once(":]")) else {
        return Ok(None);
    };
    let positive = name.strip_prefix('^');
    let set = match positive.unwrap_or(name) {
        "alnum" => ALNUM,
        "alpha" => ALPHA,
        "ascii" => AsciiSet::ALL,
        "blank" => AsciiSet::from_char('\t').or(AsciiSet::from_char(' ')),
        "cntrl" => AsciiSet::from_bytes(0, 0x1f).or(AsciiSet::from_bytes(0x7f, 0x7f)),
        "digit" => DIGIT,
        "graph" => GRAPH,
        "lower" => LOWER,
        "print" => AsciiSet::from_bytes(b' ', b'~'),
        "punct" => AsciiSet(GRAPH.0 & !ALNUM.0),
        "space" => AsciiSet::from_bytes(b'\t', b'\r').or(AsciiSet::from_char(' ')),
        "upper" => UPPER,
        "word" => WORD,
        "xdigit" => DIGIT
            .or(AsciiSet::from_bytes(b'A', b'F'))
            .or(AsciiSet::from_bytes(b'a', b'f')),
        _ => return Err(PatternError::CharacterClass),
    };
    *rest = after;
    let set = if fold_case { set.folded() } else { set };
    Ok(Some(if positive.is_some() { set.negated() } else { set }))
}

/// Reads an escape that stands for a class: `\d`, `\pL`, `\p{Greek}`. `None` leaves the text where it is.
pub(super) fn escaped(rest: &mut &str, fold_case: bool) -> Result<Option<AsciiSet>, PatternError> {
    let Some(body) = rest.strip_prefix('\\') else {
        return Ok(None);
    };
    let Some(letter) = body.chars().next() else {
        return Ok(None);
    };
    let set = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => PERL_SPACE,
        'w' => WORD,
        'p' => return unicode_class(rest, letter == 'P', fold_case).map(Some),
        _ => return Ok(None),
    };
    *rest = &body[1..];
    Ok(Some(if letter.is_ascii_uppercase() {
        set.negated()
    } else {
        set
    }))
}

/// Reads `\pL`, `\p{Name}`, `\p{^Name}` and the same with `P`.
fn unicode_class(rest: &mut &str, negated: bool, fold_case: bool) -> Result<AsciiSet, PatternError> {
    let body = &rest[2..];
    let (name, after) = match body.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(PatternError::CharacterClass)?,
        None => body.split_at(
            body.chars()
                .next()
                .ok_or(PatternError::CharacterClass)?
                .len_utf8(),
        ),
    };
    let positive = name.strip_prefix('^');
    let set = unicode::ascii_part(positive.unwrap_or(name)).ok_or(PatternError::CharacterClass)?;
    *rest = after;
    let set = if fold_case { set.folded() } else { set };
    Ok(if negated ^ positive.is_some() {
        set.negated()
    } else {
        set
    })
}

/// Reads one member of a class in brackets.
fn member(rest: &mut &str) -> Result<u32, PatternError> {
    if rest.starts_with('\\') {
        return escaped_char(rest);
    }
    let character = next_char(rest).ok_or(PatternError::MissingBracket)?;
    Ok(character.into())
}

/// Reads an escape that stands for one character and gives its code, which can be a surrogate's.
pub(super) fn escaped_char(rest: &mut &str) -> Result<u32, PatternError> {
    take(rest, "\\");
    let letter = next_char(rest).ok_or(PatternError::Escape)?;
    let octal = |text: &str| text.chars().next().and_then(|digit| digit.to_digit(8));
    let code = match letter {
        // A single digit besides 0 would refer back to a group.
        '1'..='7' if octal(rest).is_none() => return Err(PatternError::Escape),
        '0'..='7' => {
            let mut code = u32::from(letter) - u32::from('0');
            for _ in 0..2 {
                let Some(digit) = octal(rest) else { break };
                code = code * 8 + digit;
                *rest = &rest[1..];
            }
            code
        }
        'x' => return hexadecimal(rest),
        'a' => 0x07,
        'f' => 0x0c,
        'n' => u32::from('\n'),
        'r' => u32::from('\r'),
        't' => u32::from('\t'),
        'v' => 0x0b,
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => other.into(),
        _ => return Err(PatternError::Escape),
    };
    Ok(code)
}

/// Reads what follows `\x`: two digits, or any number of them in braces.
fn hexadecimal(rest: &mut &str) -> Result<u32, PatternError> {
    let digits = if take(rest, "{") {
        let (digits, after) = rest.split_once('}').ok_or(PatternError::Escape)?;
        *rest = after;
        digits
    } else {
        let (digits, after) = rest.split_at_checked(2).ok_or(PatternError::Escape)?;
        *rest = after;
        digits
    };
    if digits.is_empty() {
        return Err(PatternError::Escape);
    }
    let code = digits.chars().try_fold(0, |code: u32, digit| {
        let code = code * 16 + digit.to_digit(16)?;
        (code <= u32::from(char::MAX)).then_some(code)
    });
    code.ok_or(PatternError::Escape)
}

fn next_char(rest: &mut &str) -> Option<char> {
    let character = rest.chars().next()?;
    *rest = &rest[character.len_utf8()..];
    Some(character)
}

/// Takes the token off the front of the text, if it is there.
fn take(rest: &mut &str, token: &str) -> bool {
    let after = rest.strip_prefix(token);
    *rest = after.unwrap_or(rest);
    after.is_some()
}
