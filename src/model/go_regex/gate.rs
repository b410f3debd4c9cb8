//! The gate in front of Rust's engine: what Go and Rust read differently is rewritten or refused here.
//!
//! Input: a complete expression. Output: the expression for `regex::bytes` with Unicode off. I/O: none.
//!
//! Both engines have RE2's syntax, so most of an expression passes as it is. What Go takes for text and Rust for an
//! operator is escaped. What Go refuses is refused, and so is what no name needs and the two read differently:
//! characters beyond ASCII, control characters, character codes and Unicode classes.

use std::fmt::Write;

use super::error::PatternError;

/// The most copies of one atom that nested repeat counts may ask for together.
const MAX_REPEAT: u32 = 1000;

/// How deep groups may nest: Rust's parser stops at 250 levels, of which a group takes up to four.
const MAX_DEPTH: usize = 60;

/// The assertions that are escapes and mean the same to both engines.
const ASSERTIONS: [char; 4] = ['A', 'z', 'b', 'B'];

/// The classes that are escapes and mean the same to both engines, inside brackets too.
const CLASSES: [char; 6] = ['d', 'D', 's', 'S', 'w', 'W'];

/// The classes that brackets may name.
const NAMED_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Lets an expression through, rewritten where that is due. Fails where Go fails.
pub(super) fn admit(expression: &str) -> Result<String, PatternError> {
    if !expression.is_ascii() {
        return Err(PatternError::Unsupported);
    }
    let mut gate = Gate {
        rest: expression,
        admitted: String::with_capacity(expression.len() + 8),
        groups: vec![1],
        deepest: 1,
        previous: Previous::Nothing,
    };
    while let Some(first) = gate.take() {
        gate.step(first)?;
    }
    match gate.groups.len() {
        1 if gate.deepest > MAX_DEPTH => Err(PatternError::TooLarge),
        1 => Ok(gate.admitted),
        _ => Err(PatternError::MissingParenthesis),
    }
}

/// What a repetition operator would apply to.
#[derive(Clone, Copy)]
enum Previous {
    /// The start of an expression, group or alternative.
    Nothing,
    /// `(?flags)`: Go then repeats what stands before them, which Rust cannot.
    Flags,
    /// Another repetition.
    Repeat,
    /// An atom or a group, with the most copies that the counts within it ask for.
    Atom(u32),
}

struct Gate<'a> {
    rest: &'a str,
    admitted: String,
    /// The open groups, the whole expression first, each with the most copies of an atom that its counts ask for.
    groups: Vec<u32>,
    deepest: usize,
    previous: Previous,
}

impl Gate<'_> {
    fn step(&mut self, first: char) -> Result<(), PatternError> {
        match first {
            '*' | '+' | '?' => return self.repeat(first.encode_utf8(&mut [0; 4]), 1),
            '{' => {
                if let Some((counts, copies, after)) = counts(self.rest)? {
                    self.rest = after;
                    return self.repeat(&format!("{{{counts}}}"), copies);
                }
                self.literal(first);
            }
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.open()?,
            ')' => self.close()?,
            '|' => {
                self.admitted.push('|');
                self.previous = Previous::Nothing;
            }
            _ => {
                self.admitted.push(first);
                self.previous = Previous::Atom(1);
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn skip(&mut self, token: char) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Admits a character that stands for itself, whatever it means to Rust.
    fn literal(&mut self, character: char) {
        self.range(character, character);
        self.previous = Previous::Atom(1);
    }

    fn range(&mut self, low: char, high: char) {
        // Writing to a String cannot fail.
        let _ = write!(self.admitted, "\\x{:02x}", u32::from(low));
        if high != low {
            let _ = write!(self.admitted, "-\\x{:02x}", u32::from(high));
        }
    }

    /// Reads what follows a `\` outside brackets.
    fn escape(&mut self) -> Result<(), PatternError> {
        if self.skip('Q') {
            let (quoted, after) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            self.rest = after;
            // An operator behind an empty quotation would join the one before it.
            if quoted.is_empty() {
                return Err(PatternError::Unsupported);
            }
            quoted.chars().for_each(|character| self.literal(character));
        } else if self.rest.starts_with(ASSERTIONS) || self.rest.starts_with(CLASSES) {
            let shared = self.take();
            self.admitted.push('\\');
            self.admitted.extend(shared);
            self.previous = Previous::Atom(1);
        } else {
            let character = self.escaped()?;
            self.literal(character);
        }
        Ok(())
    }

    /// Reads what follows a `\` and stands for one character.
    fn escaped(&mut self) -> Result<char, PatternError> {
        match self.take() {
            Some('0'..='7' | 'a' | 'f' | 'n' | 'p' | 'P' | 'r' | 't' | 'v' | 'x') => {
                Err(PatternError::Unsupported)
            }
            Some(other) if !other.is_ascii_alphanumeric() => Ok(other),
            _ => Err(PatternError::Escape),
        }
    }

    /// Reads what follows a `[`. Rust knows nested classes and set operations; here every member is written by its code.
    fn class(&mut self) -> Result<(), PatternError> {
        self.admitted.push('[');
        if self.skip('^') {
            self.admitted.push('^');
        }
        // A `]` right after the opening is a member.
        let mut first = true;
        while first || !self.skip(']') {
            first = false;
            let named = self
                .rest
                .strip_prefix("[:")
                .and_then(|body| body.split_once(":]"));
            if let Some((name, after)) = named {
                if !NAMED_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(PatternError::CharacterClass);
                }
                let _ = write!(self.admitted, "[:{name}:]");
                self.rest = after;
            } else if let Some(after) = self
                .rest
                .strip_prefix('\\')
                .and_then(|rest| rest.strip_prefix(CLASSES))
            {
                self.admitted.push_str(&self.rest[..2]);
                self.rest = after;
            } else {
                let low = self.member()?;
                // A `-` right before the closing is a member.
                let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
                let high = if is_range && self.skip('-') {
                    self.member()?
                } else {
                    low
                };
                if high < low {
                    return Err(PatternError::CharacterClass);
                }
                self.range(low, high);
            }
        }
        self.admitted.push(']');
        self.previous = Previous::Atom(1);
        Ok(())
    }

    fn member(&mut self) -> Result<char, PatternError> {
        match self.take() {
            Some('\\') => self.escaped(),
            Some(member) => Ok(member),
            None => Err(PatternError::MissingBracket),
        }
    }

    /// Reads what follows a `(`: a group, a named one, one with flags, or flags for the rest of the current one.
    fn open(&mut self) -> Result<(), PatternError> {
        let Some(special) = self.rest.strip_prefix('?') else {
            // Captures would take memory and are never read.
            self.admitted.push_str("(?:");
            self.begin_group();
            return Ok(());
        };
        let named = special.strip_prefix("P<").or_else(|| special.strip_prefix('<'));
        let after = if let Some(named) = named {
            let (name, after) = named.split_once('>').ok_or(PatternError::GroupName)?;
            let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
            if name.is_empty() || !name.bytes().all(is_word) {
                return Err(PatternError::GroupName);
            }
            after
        } else {
            let after = special.trim_start_matches(['i', 'm', 's', 'U', '-']);
            after.strip_prefix([':', ')']).ok_or(PatternError::Group)?
        };
        let (opening, after) = self.rest.split_at(self.rest.len() - after.len());
        self.admitted.push('(');
        self.admitted.push_str(opening);
        self.rest = after;
        if opening.ends_with(')') {
            self.previous = Previous::Flags;
        } else {
            self.begin_group();
        }
        Ok(())
    }

    fn begin_group(&mut self) {
        self.groups.push(1);
        self.deepest = self.deepest.max(self.groups.len());
        self.previous = Previous::Nothing;
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let copies = self.groups.pop().unwrap_or(1);
        let outer = self
            .groups
            .last_mut()
            .ok_or(PatternError::UnexpectedParenthesis)?;
        *outer = copies.max(*outer);
        self.admitted.push(')');
        self.previous = Previous::Atom(copies);
        Ok(())
    }

    /// Admits a repetition operator. A `?` after it only makes it prefer fewer copies.
    fn repeat(&mut self, operator: &str, count: u32) -> Result<(), PatternError> {
        let copies = match self.previous {
            Previous::Nothing => return Err(PatternError::MissingRepeatArgument),
            Previous::Flags => return Err(PatternError::Unsupported),
            Previous::Repeat => return Err(PatternError::NestedRepeat),
            Previous::Atom(copies) => copies * count.max(1),
        };
        if copies > MAX_REPEAT {
            return Err(PatternError::RepeatSize);
        }
        if let Some(group) = self.groups.last_mut() {
            *group = copies.max(*group);
        }
        self.skip('?');
        self.admitted.push_str(operator);
        self.previous = Previous::Repeat;
        Ok(())
    }
}

/// Splits the counts of a `{n}`, `{n,}` or `{n,m}` off what follows its `{`: their text, the most copies they ask for,
/// and the rest. Go takes anything else for literal text: `None`.
fn counts(text: &str) -> Result<Option<(&str, u32, &str)>, PatternError> {
    let split = || {
        let (counts, after) = text.split_once('}')?;
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let least = count(least)?;
        let most = if most.is_empty() { least } else { count(most)? };
        Some((counts, least, most, after))
    };
    match split() {
        Some((_, least, most, _)) if most > MAX_REPEAT || least > most => Err(PatternError::RepeatSize),
        Some((counts, _, most, after)) => Ok(Some((counts, most, after))),
        None => Ok(None),
    }
}

/// A decimal number without leading zeros. One too large for the type is too large for Go as well.
fn count(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && (digits == "0" || !digits.starts_with('0'))).then(|| digits.parse().unwrap_or(u32::MAX))
}
