//! What the ledger's key does: it hides the digests, and decides in which chunk a line is.
//!
//! Input: a random key, bytes. Output: sealed text and back, places. I/O: none.
//!
//! Nonces are made from the key and the text instead of from random numbers, so that a line which says the same as before
//! is the same text and need not be written. Texts of different lines differ even where they hold the same.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};

/// Length of a key in bytes.
const KEY_BYTES: usize = 32;
/// Length of what makes a sealed text genuine, in bytes.
const TAG_BYTES: usize = 16;

/// Seals with one key. It has no `Debug`.
pub(super) struct Cipher {
    key: [u8; KEY_BYTES],
    seal: LessSafeKey,
    nonces: hmac::Key,
    places: hmac::Key,
}

impl Cipher {
    /// `None` where the bytes are no key.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let key: [u8; KEY_BYTES] = key.try_into().ok()?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let derived = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let hashed_with = |purpose| hmac::Key::new(hmac::HMAC_SHA256, derived(purpose).as_ref());
        let seal = UnboundKey::new(&CHACHA20_POLY1305, derived("seal").as_ref()).ok()?;
        Some(Self {
            key,
            seal: LessSafeKey::new(seal),
            nonces: hashed_with("nonces"),
            places: hashed_with("places"),
        })
    }

    /// The key as it is stored.
    pub(super) fn stored(&self) -> String {
        STANDARD_NO_PAD.encode(self.key)
    }

    /// The cipher of a key as it is stored.
    pub(super) fn from_stored(text: &str) -> Option<Self> {
        Self::new(&STANDARD_NO_PAD.decode(text).ok()?)
    }

    /// Hides the bytes, which belong to the text `about`.
    pub(super) fn seal(&self, bytes: &[u8], about: &str) -> String {
        let mut told_apart = hmac::Context::with_key(&self.nonces);
        told_apart.update(&about.len().to_le_bytes());
        told_apart.update(about.as_bytes());
        told_apart.update(bytes);
        let hash = told_apart.sign();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hash.as_ref()[..NONCE_LEN]);

        let mut sealed = bytes.to_vec();
        let about = Aad::from(about.as_bytes());
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        // Fails for texts of gigabytes only; what it leaves then cannot be opened.
        let _ = self.seal.seal_in_place_append_tag(nonce_once, about, &mut sealed);
        STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// What was sealed for that text with this key; `None` where it was not.
    pub(super) fn open(&self, sealed: &str, about: &str) -> Option<Vec<u8>> {
        let mut bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let mut sealed = bytes.split_off_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let opened = self
            .seal
            .open_in_place(nonce, Aad::from(about.as_bytes()), &mut sealed);
        opened.ok()?;
        sealed.truncate(sealed.len().checked_sub(TAG_BYTES)?);
        Some(sealed)
    }

    /// A number that only the key's holder can predict.
    pub(super) fn place(&self, text: &str) -> usize {
        let hash = hmac::sign(&self.places, text.as_bytes());
        let [low, high, ..] = hash.as_ref() else { return 0 };
        usize::from(u16::from_le_bytes([*low, *high]))
    }
}

/// `Vec::split_off` that does not panic.
trait SplitOff: Sized {
    fn split_off_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitOff for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Self> {
        (self.len() >= at).then(|| self.split_off(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cipher(byte: u8) -> Cipher {
        Cipher::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_for_the_same_text_only() {
        let sealed = cipher(1).seal(b"digest", "app");
        assert_eq!(cipher(1).open(&sealed, "app").as_deref(), Some(&b"digest"[..]));
        assert_eq!(cipher(1).open(&sealed, "other"), None);
        assert_eq!(cipher(2).open(&sealed, "app"), None);
        assert_eq!(cipher(1).seal(b"digest", "app"), sealed);
        assert_ne!(cipher(1).seal(b"digest", "other")[..16], sealed[..16]);
    }

    #[test]
    fn a_key_is_stored_and_read_back() {
        let stored = cipher(7).stored();
        assert_eq!(Cipher::from_stored(&stored).unwrap().key, [7; KEY_BYTES]);
        assert!(Cipher::from_stored("short").is_none());
    }

    proptest! {
        #[test]
        fn no_text_opens_by_chance(text in "[A-Za-z0-9+/=]{0,99}|\\PC*", about in "\\PC*") {
            prop_assert_eq!(cipher(1).open(&text, &about), None);
        }
    }
}
