//! The SHA-1 digest of a source's data, equal byte for byte to the one upstream Reloader writes into workloads.
//!
//! Input: the key and value pairs of a ConfigMap or Secret. Output: [`Digest`]. I/O: none.
//!
//! Each pair becomes one entry `key=value`; the entries are sorted as whole byte strings, joined by `;` and
//! hashed. There is no escaping, so two different sources can share a digest; the form is kept nevertheless,
//! because a digest that differed from the one already on a workload would restart it at migration.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// SHA-1 over the canonical form of a source's data; prints as 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 20]);

/// The text is not a digest: 40 lower-case hex digits are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 40 lower-case hex digits")]
pub struct ParseDigestError;

impl Digest {
    /// What stands for a source that was deleted: upstream's markers show the SHA-1 of this text,
    /// `__RELOADER_EMPTY_DELETE_MARKER__`. No source has it, since the canonical form of data holds a `=`.
    pub const OF_NOTHING: Self = Self([
        0xaa, 0xe4, 0x5b, 0xad, 0xef, 0x99, 0x28, 0x4e, 0x4d, 0xae, 0x01, 0xd6, 0x04, 0x61, 0x54, 0xea, 0x9d,
        0x99, 0x53, 0x2f,
    ]);

    /// A digest from its raw bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The digest of a ConfigMap: `data` as text, `binaryData` as the bytes it stands for.
    pub fn of_config_map<'a>(
        data: impl IntoIterator<Item = (&'a str, &'a str)>,
        binary_data: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut canonical = Canonical::new();
        for (key, value) in data {
            canonical.push_text(key, value.as_bytes());
        }
        for (key, value) in binary_data {
            canonical.push_binary(key, value);
        }
        canonical.finish()
    }

    /// The digest of a Secret: `data` as the bytes its base64 stands for.
    pub fn of_secret<'a>(data: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut canonical = Canonical::new();
        for (key, value) in data {
            canonical.push_text(key, value);
        }
        canonical.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: &[u8; 40] = text.as_bytes().try_into().map_err(|_| ParseDigestError)?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
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
    entries: Vec<Vec<u8>>,
}

impl Canonical {
    /// No entries yet; an object without data has the digest of the empty string.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `key=value`: a ConfigMap's `data` pair, or a Secret's with its base64 decoded.
    pub fn push_text(&mut self, key: &str, value: &[u8]) {
        let mut entry = Vec::with_capacity(key.len() + 1 + value.len());
        entry.extend_from_slice(key.as_bytes());
        entry.push(b'=');
        entry.extend_from_slice(value);
        self.entries.push(entry);
    }

    /// Adds a ConfigMap's `binaryData` pair as the API sends it: padded base64 of the standard alphabet, which is
    /// what the API server itself always writes.
    pub fn push_base64(&mut self, key: &str, base64_text: &str) {
        self.push_text(key, base64_text.as_bytes());
    }

    /// Adds a ConfigMap's `binaryData` pair whose base64 was decoded.
    pub fn push_binary(&mut self, key: &str, value: &[u8]) {
        self.push_base64(key, &STANDARD.encode(value));
    }

    /// The digest of all entries, whatever the order in which they were added.
    pub fn finish(mut self) -> Digest {
        self.entries.sort_unstable();
        let mut hash = Sha1::new();
        for (position, entry) in self.entries.iter().enumerate() {
            if position > 0 {
                hash.update(b";");
            }
            hash.update(entry);
        }
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests;
