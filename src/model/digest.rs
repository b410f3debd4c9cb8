//! The SHA-1 digest of a source's data, equal byte for byte to the one upstream Reloader writes into workloads.
//!
//! Input: the key and value pairs of a ConfigMap or Secret. Output: [`Digest`]. I/O: none.
//!
//! Each pair becomes one entry `key=value`; the entries are sorted as whole byte strings, joined by `;` and hashed.
//! There is no escaping, so two different contents can share a SHA-1; the form is kept nevertheless, because a digest
//! that differed from the one already on a workload would restart it at migration. What distinguishes such look-alikes
//! is kept beside the SHA-1 and printed by [`Digest::exact`] only.

use std::{fmt, str::FromStr};

use sha1::{Digest as _, Sha1};

/// SHA-1 over the canonical form of a source's data; prints as 40 lower-case hex digits. Two are equal if the data is
/// equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    sha1: [u8; 20],
    reading: Reading,
}

/// Which data the canonical form was made of, where it could have been made of other data too: a hash of where its
/// entries end. [`PLAIN`] where there is one way to read it, which is so unless a value holds `;key=` or is binary.
type Reading = [u8; 4];

const PLAIN: Reading = [0; 4];
/// A value that no data has.
const UNKNOWN: Reading = [0xff; 4];

/// The text is not a digest: 40 lower-case hex digits are expected, and what [`Digest::exact`] adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 40 lower-case hex digits")]
pub struct ParseDigestError;

impl Digest {
    /// Stands for a deleted source: upstream's markers show the SHA-1 of this text, `__RELOADER_EMPTY_DELETE_MARKER__`.
    /// No source has it, since the canonical form of data holds a `=`.
    pub const OF_NOTHING: Self = Self::from_bytes([
        0xaa, 0xe4, 0x5b, 0xad, 0xef, 0x99, 0x28, 0x4e, 0x4d, 0xae, 0x01, 0xd6, 0x04, 0x61, 0x54, 0xea, 0x9d,
        0x99, 0x53, 0x2f,
    ]);

    /// A digest from the bytes of a SHA-1 that stands for one content only.
    pub const fn from_bytes(sha1: [u8; 20]) -> Self {
        Self { sha1, reading: PLAIN }
    }

    /// Whether both print alike, so that a marker of the one is also one of the other.
    pub fn prints_like(&self, other: &Self) -> bool {
        self.sha1 == other.sha1
    }

    /// Whether they are of different data and yet print alike.
    pub fn is_look_alike_of(&self, other: &Self) -> bool {
        self.prints_like(other) && self != other
    }

    /// What prints like this one but is of data that no source has.
    #[must_use]
    pub const fn unknown_look_alike(self) -> Self {
        Self {
            reading: UNKNOWN,
            ..self
        }
    }

    /// All that is known: the SHA-1, and 4 bytes that distinguish data which prints alike.
    pub fn to_exact_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..20].copy_from_slice(&self.sha1);
        bytes[20..].copy_from_slice(&self.reading);
        bytes
    }

    /// The digest of which [`Self::to_exact_bytes`] gave these; `None` where there are not as many.
    pub fn from_exact_bytes(bytes: &[u8]) -> Option<Self> {
        let (sha1, reading) = bytes.split_at_checked(20)?;
        Some(Self {
            sha1: sha1.try_into().ok()?,
            reading: reading.try_into().ok()?,
        })
    }

    /// All that is known, in a form that [`str::parse`] reads back: the 40 digits, and `~` with 8 more where other data
    /// prints alike.
    pub fn exact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            fmt::Display::fmt(&self, f)?;
            if self.reading == PLAIN {
                return Ok(());
            }
            f.write_str("~")?;
            write_hex(&self.reading, f)
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.sha1, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.exact(), f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sha1, reading) = match text.split_once('~') {
            Some((sha1, reading)) => (sha1, parse_hex(reading)?),
            None => (text, PLAIN),
        };
        Ok(Self {
            sha1: parse_hex(sha1)?,
            reading,
        })
    }
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseDigestError> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return Err(ParseDigestError);
    };
    let pairs: &[_; N] = pairs.try_into().map_err(|_| ParseDigestError)?;
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Result<u8, ParseDigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseDigestError),
    }
}

/// Collects the entries of one source and hashes them. It holds the source's values: it is dropped with them, and
/// has no `Debug`.
#[derive(Default)]
pub struct Canonical {
    entries: Vec<Entry>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    text: Vec<u8>,
    binary: bool,
}

impl Entry {
    fn new(key: &str, value: &[u8], binary: bool) -> Self {
        let mut text = Vec::with_capacity(key.len() + 1 + value.len());
        text.extend_from_slice(key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
        Self { text, binary }
    }

    /// Whether it could be read as something else: as several entries, or as text.
    fn is_ambiguous(&self) -> bool {
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        let begins_entry = |text: &[u8]| {
            let end = text.iter().position(|byte| !is_key(byte));
            end.is_some_and(|end| end > 0 && text[end] == b'=')
        };
        self.binary || self.text.split(|byte| *byte == b';').skip(1).any(begins_entry)
    }
}

impl Canonical {
    /// Without entries; an object without data has the digest of the empty string.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `key=value`: a ConfigMap's `data` pair, or a Secret's with its base64 decoded.
    pub fn push_text(&mut self, key: &str, value: &[u8]) {
        self.entries.push(Entry::new(key, value, false));
    }

    /// Adds a ConfigMap's `binaryData` pair as the API sends it: padded base64 of the standard alphabet, which is
    /// what the API server itself always writes.
    pub fn push_base64(&mut self, key: &str, base64_text: &str) {
        self.entries.push(Entry::new(key, base64_text.as_bytes(), true));
    }

    /// The digest of all entries, whatever the order in which they were added.
    pub fn finish(mut self) -> Digest {
        self.entries.sort_unstable();
        let mut hash = Sha1::new();
        for (position, entry) in self.entries.iter().enumerate() {
            if position > 0 {
                hash.update(b";");
            }
            hash.update(&entry.text);
        }
        Digest {
            sha1: hash.finalize().into(),
            reading: self.reading(),
        }
    }

    /// Of the entries in their order.
    fn reading(&self) -> Reading {
        if !self.entries.iter().any(Entry::is_ambiguous) {
            return PLAIN;
        }
        let mut hash = Sha1::new();
        for entry in &self.entries {
            hash.update(entry.text.len().to_le_bytes());
            hash.update([u8::from(entry.binary)]);
        }
        let [a, b, c, ..]: [u8; 20] = hash.finalize().into();
        // Different from the two values that have a meaning.
        [a, b, c, 0x01]
    }
}

#[cfg(test)]
mod tests;
