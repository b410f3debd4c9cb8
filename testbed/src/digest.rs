//! What marks a ConfigMap of the tests. Input: its content; output: the digest. I/O: none.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

/// What marks a source whose one key is `key`: computed here, so that the controller is not compared with itself.
#[must_use]
pub fn digest_of(value: &str) -> String {
    let digest = Sha1::digest(format!("key={value}"));
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
