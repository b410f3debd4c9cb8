//! `metadata.uid`, in as little memory as it takes: a replica keeps one for each source of the cluster.
//!
//! Input: its text. Output: [`Uid`], which prints the same text. I/O: none.

use std::fmt;

/// Where the hyphens of a UUID are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// How long its text is.
const LENGTH: usize = 36;

/// `metadata.uid` of an object. A UUID in lower case, which the API server gives, needs no heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Uuid([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(uuid(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self(Form::Text(Box::default()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(bytes) => {
                let mut printed = 0;
                for byte in bytes {
                    if HYPHENS.contains(&printed) {
                        f.write_str("-")?;
                        printed += 1;
                    }
                    write!(f, "{byte:02x}")?;
                    printed += 2;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Its bytes, where printing them gives that text again.
fn uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (place, byte) in text.bytes().enumerate() {
        if HYPHENS.contains(&place) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_takes_no_heap() {
        let uid = Uid::from("0a1b2c3d-4e5f-6789-abcd-ef0123456789");
        assert!(matches!(uid.0, Form::Uuid(_)));
        assert_eq!(uid.to_string(), "0a1b2c3d-4e5f-6789-abcd-ef0123456789");
        assert!(size_of::<Uid>() <= 24);
        assert_eq!(Uid::default(), Uid::from(""));
    }

    proptest! {
        #[test]
        fn any_text_is_printed_as_it_was(
            text in prop_oneof![
                ".*",
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[0-9a-gA-F-]{36}",
                "[0-9a-f]{7}é-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11}",
            ],
            other in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ) {
            prop_assert_eq!(Uid::from(&*text).to_string(), &*text);
            prop_assert_eq!(Uid::from(&*text) == Uid::from(&*other), text == other);
        }
    }
}
