//! Go's regular expression syntax, checked and rewritten for Rust's engine.
//!
//! Input: a complete expression. Output: an equivalent one for `regex::bytes` with Unicode off. I/O: none.
//!
//! The rules are those of Go's [`regexp/syntax`](https://pkg.go.dev/regexp/syntax) with the flags that
//! `regexp.Compile` sets. Only whether a name matches is asked, never where, so greediness and captures are checked
//! and then left out. Every atom is written anew, so nothing of the input reaches Rust's parser: what means one
//! thing to Go and another to Rust cannot slip through.

use super::PatternError;

mod class;
mod unicode;

use class::AsciiSet;

/// The most copies of one atom that nested repeat counts may ask for together.
const MAX_REPEAT: u32 = 1000;

/// Rewrites an expression. Fails where Go fails.
pub(super) fn translate(expression: &str) -> Result<String, PatternError> {
    let mut parser = Parser {
        rest: expression,
        flags: Flags::default(),
        open: Vec::new(),
        group: Group::default(),
    };
    parser.run()?;
    if parser.open.is_empty() {
        Ok(parser.group.close().text)
    } else {
        Err(PatternError::MissingParenthesis)
    }
}

/// The flags that `(?ims)` sets. `U` changes nothing about whether a name matches.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
}

/// A piece of the output that a repetition operator would apply to as a whole.
struct Fragment {
    text: String,
    /// How many copies of its innermost atom the counts within it ask for.
    copies: u32,
}

/// What was read since a `(`, or since the start.
#[derive(Default)]
struct Group {
    /// The alternatives before the last `|`, each followed by `|`.
    before: String,
    /// The most copies any of them asks for.
    copies: u32,
    /// The current alternative.
    current: Vec<Fragment>,
}

impl Group {
    fn next_alternative(&mut self) {
        for fragment in self.current.drain(..) {
            self.before.push_str(&fragment.text);
            self.copies = self.copies.max(fragment.copies);
        }
        self.before.push('|');
    }

    fn close(mut self) -> Fragment {
        self.next_alternative();
        self.before.pop();
        Fragment {
            text: format!("(?:{})", self.before),
            copies: self.copies.max(1),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    /// The groups around the current one, each with the flags that its end restores.
    open: Vec<(Group, Flags)>,
    group: Group,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), PatternError> {
        let mut after_repeat = false;
        while let Some(first) = self.rest.chars().next() {
            let repeat = match first {
                '*' | '+' | '?' => {
                    self.rest = &self.rest[1..];
                    Some((first.to_string(), 1))
                }
                '{' => self.counted_repeat()?,
                _ => None,
            };
            if let Some((operator, copies)) = repeat {
                self.repeat(&operator, copies, after_repeat)?;
                after_repeat = true;
            } else {
                self.atom(first)?;
                after_repeat = false;
            }
        }
        Ok(())
    }

    /// Reads one thing that is no repetition operator.
    fn atom(&mut self, first: char) -> Result<(), PatternError> {
        match first {
            '[' => {
                let set = class::bracketed(&mut self.rest, self.flags.fold_case)?;
                self.push_set(set);
                return Ok(());
            }
            '\\' => return self.escape(),
            '(' if self.rest.starts_with("(?") => return self.special_group(),
            _ => self.rest = &self.rest[first.len_utf8()..],
        }
        match first {
            '(' => self.open_group(self.flags),
            ')' => {
                let (outer, flags) = self.open.pop().ok_or(PatternError::UnexpectedParenthesis)?;
                let inner = std::mem::replace(&mut self.group, outer).close();
                self.group.current.push(inner);
                self.flags = flags;
            }
            '|' => self.group.next_alternative(),
            '^' if self.flags.multi_line => self.push("(?m:^)"),
            '^' => self.push(r"\A"),
            '$' if self.flags.multi_line => self.push("(?m:$)"),
            '$' => self.push(r"\z"),
            '.' if self.flags.dot_matches_newline => self.push_set(AsciiSet::ALL),
            '.' => self.push_set(AsciiSet::from_char('\n').negated()),
            literal => self.push_literal(literal),
        }
        Ok(())
    }

    /// Reads what starts with a `\` outside brackets.
    fn escape(&mut self) -> Result<(), PatternError> {
        let after = self.rest.get(1..).unwrap_or_default();
        let assertion = match after.chars().next() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"\b",
            Some('B') => r"\B",
            Some('Q') => {
                let (quoted, rest) = after[1..].split_once(r"\E").unwrap_or((&after[1..], ""));
                self.rest = rest;
                quoted.chars().for_each(|literal| self.push_literal(literal));
                return Ok(());
            }
            _ => {
                if let Some(set) = class::escaped(&mut self.rest, self.flags.fold_case)? {
                    self.push_set(set);
                } else {
                    let literal = class::escaped_char(&mut self.rest)?;
                    let set = AsciiSet::from_range(literal, literal, self.flags.fold_case);
                    self.push_set(set);
                }
                return Ok(());
            }
        };
        self.rest = &after[1..];
        self.push(assertion);
        Ok(())
    }

    /// Reads `(?…`: a named group, flags, or a group with flags.
    fn special_group(&mut self) -> Result<(), PatternError> {
        let body = self.rest.get(2..).unwrap_or_default();
        if let Some(named) = body.strip_prefix("P<").or_else(|| body.strip_prefix('<')) {
            let (name, rest) = named.split_once('>').ok_or(PatternError::GroupName)?;
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            {
                return Err(PatternError::GroupName);
            }
            self.rest = rest;
            self.open_group(self.flags);
            return Ok(());
        }
        let mut flags = self.flags;
        let (mut negative, mut saw_flag) = (false, false);
        for (position, character) in body.char_indices() {
            match character {
                'i' => flags.fold_case = !negative,
                'm' => flags.multi_line = !negative,
                's' => flags.dot_matches_newline = !negative,
                'U' => {}
                '-' if !negative => {
                    (negative, saw_flag) = (true, false);
                    continue;
                }
                ':' | ')' if saw_flag || !negative => {
                    self.rest = &body[position + 1..];
                    if character == ':' {
                        self.open_group(self.flags);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(PatternError::Group),
            }
            saw_flag = true;
        }
        Err(PatternError::Group)
    }

    /// Starts a group whose end restores those flags.
    fn open_group(&mut self, restored: Flags) {
        self.open.push((std::mem::take(&mut self.group), restored));
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` and the number of copies it asks for. Anything else is a literal `{`: `None`.
    fn counted_repeat(&mut self) -> Result<Option<(String, u32)>, PatternError> {
        let Some((min, max, rest)) = parse_counts(self.rest) else {
            return Ok(None);
        };
        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
            return Err(PatternError::RepeatSize);
        }
        self.rest = rest;
        let max_text = max.map(|max| max.to_string()).unwrap_or_default();
        Ok(Some((format!("{{{min},{max_text}}}"), max.unwrap_or(min))))
    }

    /// Repeats the last fragment. A `?` after the operator only makes it prefer fewer copies.
    fn repeat(&mut self, operator: &str, copies: u32, after_repeat: bool) -> Result<(), PatternError> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if after_repeat {
            return Err(PatternError::NestedRepeat);
        }
        let fragment = self
            .group
            .current
            .last_mut()
            .ok_or(PatternError::MissingRepeatArgument)?;
        fragment.text = format!("(?:{}){operator}", fragment.text);
        // No copy at all makes every count within void.
        fragment.copies = match (operator, copies) {
            ("{0,0}", _) => 1,
            _ => fragment.copies * copies.max(1),
        };
        if copies >= 2 && fragment.copies > MAX_REPEAT {
            return Err(PatternError::RepeatSize);
        }
        Ok(())
    }

    fn push_literal(&mut self, literal: char) {
        self.push_set(AsciiSet::from_range(literal, literal, self.flags.fold_case));
    }

    fn push_set(&mut self, set: AsciiSet) {
        self.push(&set.to_string());
    }

    fn push(&mut self, text: &str) {
        self.group.current.push(Fragment {
            text: text.to_owned(),
            copies: 1,
        });
    }
}

/// Splits `{n}`, `{n,}` or `{n,m}` off: the least, the most if there is one, and what follows.
fn parse_counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = parse_count(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, Some(min), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = parse_count(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

/// Splits a decimal number without leading zeros off. One too large for the type is too large for Go as well.
fn parse_count(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
