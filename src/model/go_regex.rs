//! Name patterns of the reload annotations, with the meaning Go's `regexp` gives them.
//!
//! Input: one item of a reload annotation's comma list. Output: [`NamePattern`]. I/O: none.
//!
//! Upstream compiles the text `^` + item + `$`, anchors not grouped, so that `app|zzz` matches every name that
//! starts with `app` or ends with `zzz`, and `*-cm` every name that ends with `-cm`. Users rely on both.
//!
//! Names of ConfigMaps and Secrets are [DNS subdomains](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/),
//! made of `[a-z0-9.-]`. Go and Rust share RE2's syntax, so `gate.rs` only settles where they differ and refuses what no
//! name needs.

use regex::bytes::{Regex, RegexBuilder};

mod error;
mod gate;

pub use error::PatternError;

/// The longest item that is compiled, in bytes. Names have at most 253, so no useful pattern comes near.
pub const MAX_PATTERN_LENGTH: usize = 1024;

/// The most memory one compiled expression may take, in bytes, before it is refused; its cache for matching may take as
/// much again.
///
/// The largest that a name of 253 characters can need takes 64 KiB, most take 10 to 16 KiB. A workload may have three
/// lists of [`MAX_REGEXES`](super::opt_in::MAX_REGEXES): built to be large, they take 25 MiB and not 200.
const MAX_COMPILED_SIZE: usize = 128 << 10;

/// One compiled item. The common items need no regular expression engine: tens of thousands of workloads each hold
/// their patterns in memory.
#[derive(Clone, Debug)]
pub enum NamePattern {
    /// Only letters, digits, `-` and `_`: the name itself.
    Exact(Box<str>),
    /// Those and `.`, which is any one character, or `.*`, which is any run of them.
    Wildcard(Box<str>),
    /// Anything else.
    Regex(Box<str>, Regex),
}

impl NamePattern {
    /// The item's pattern if it needs no regular expression engine.
    pub fn plain(item: &str) -> Option<Self> {
        let literal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if item.len() > MAX_PATTERN_LENGTH {
            None
        } else if item.bytes().all(literal) {
            Some(Self::Exact(item.into()))
        } else if item
            .replace(".*", ".")
            .bytes()
            .all(|byte| literal(byte) || byte == b'.')
        {
            Some(Self::Wildcard(item.into()))
        } else {
            None
        }
    }

    /// Compiles one item of a reload annotation. Fails where Go's `regexp.Compile` fails, on items beyond
    /// [`MAX_PATTERN_LENGTH`] or the size limits, and on [unsupported](PatternError::Unsupported) syntax.
    pub fn compile(item: &str) -> Result<Self, PatternError> {
        if item.len() > MAX_PATTERN_LENGTH {
            return Err(PatternError::TooLong);
        }
        if let Some(plain) = Self::plain(item) {
            return Ok(plain);
        }
        let regex = RegexBuilder::new(&gate::admit(&format!("^{item}$"))?)
            .unicode(false)
            .size_limit(MAX_COMPILED_SIZE)
            .dfa_size_limit(MAX_COMPILED_SIZE)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
                _ => PatternError::Unsupported,
            })?;
        Ok(Self::Regex(item.into(), regex))
    }

    /// Whether the pattern matches that name.
    pub fn is_match(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Wildcard(text) => wildcard_match(text.as_bytes(), name.as_bytes()),
            Self::Regex(_, regex) => regex.is_match(name.as_bytes()),
        }
    }

    /// The item as it was written, trimmed.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Wildcard(text) | Self::Regex(text, _) => text,
        }
    }

    /// The one name this pattern matches, if it can match only one.
    pub fn exact_name(&self) -> Option<&str> {
        match self {
            Self::Exact(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for NamePattern {}

/// Matches `.` and `.*` without an engine: on a mismatch the last `.*` takes one more character and the rest is
/// tried again, which is at most pattern × name steps.
fn wildcard_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern[at..].starts_with(b".*") {
            at += 2;
            retry = Some((at, position));
        } else if at == pattern.len() && position == name.len() {
            return true;
        } else if at < pattern.len()
            && name
                .get(position)
                .is_some_and(|&byte| byte == pattern[at] || (pattern[at] == b'.' && byte != b'\n'))
        {
            at += 1;
            position += 1;
        } else {
            match retry {
                Some((after, start)) if name.get(start).is_some_and(|&byte| byte != b'\n') => {
                    retry = Some((after, start + 1));
                    (at, position) = (after, start + 1);
                }
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests;
