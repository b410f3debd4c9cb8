//! The proof that Reloader made a Job's copy.
//!
//! Input: a secret key, a text. Output: the text's seal, a keyed hash (HMAC-SHA-256), and whether a seal is genuine.
//! I/O: none.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::hmac;

/// Length of a key in bytes.
pub(super) const KEY_BYTES: usize = 32;

/// Kept apart from whatever else the key may seal one day.
const PURPOSE: &[u8] = b"copy\0";

/// Seals texts with one key.
#[derive(Clone)]
pub struct Seal(hmac::Key);

impl Seal {
    /// The seal of this key.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The seal of the text, as an annotation holds it.
    pub fn of(&self, text: &str) -> String {
        let sealed = [PURPOSE, text.as_bytes()].concat();
        STANDARD_NO_PAD.encode(hmac::sign(&self.0, &sealed))
    }

    /// Whether this is the seal of the text. The comparison takes the same time wherever the two differ.
    pub fn is_of(&self, seal: &str, text: &str) -> bool {
        let Ok(seal) = STANDARD_NO_PAD.decode(seal) else {
            return false;
        };
        let sealed = [PURPOSE, text.as_bytes()].concat();
        hmac::verify(&self.0, &sealed, &seal).is_ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_seal_is_of_one_key_and_one_text() {
        let seal = Seal::new(&[1; KEY_BYTES]);
        let text = seal.of("a");
        assert!(seal.is_of(&text, "a"));
        assert!(!seal.is_of(&text, "b"));
        assert!(!Seal::new(&[2; KEY_BYTES]).is_of(&text, "a"));
        assert!(!format!("{seal:?}").contains('1'));
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_seal(forged in "\\PC*", text in "\\PC*") {
            prop_assert!(!Seal::new(&[1; KEY_BYTES]).is_of(&forged, &text));
        }
    }
}
