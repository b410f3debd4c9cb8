//! What is kept of an object's annotations and labels until they are checked.
//!
//! Input: JSON of the API. Output: [`Notes`], [`LabelKeys`]. I/O: none.
//!
//! Clients note in annotations what they applied: of a Secret, its data. So of a text that is no word, and whose key has
//! nothing to do with Reloader, only that there is one is kept.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess};

use super::lenient::{Lenient, Loose};
use crate::{
    diagnose::{Pairs, may_be_meant},
    model::policy::{LONGEST_WINDOW, RESTART_WINDOW},
};

/// The longest text that is kept of any annotation, in bytes: that of a boolean.
const WORD: usize = 16;

/// The longest text that is kept of one that may be meant for Reloader, in bytes.
const TEXT: usize = 1024;

/// In place of a longer text.
const LONG: &str = "\u{2026}";

/// The annotations of a source.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Notes(Pairs);

impl Notes {
    /// Whether that annotation is exactly `true`: the only value that means anything on a source.
    pub(super) fn says_true(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| value == "true")
    }

    /// What the annotation says, as far as it is kept.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them, by key.
    pub(super) const fn pairs(&self) -> &Pairs {
        &self.0
    }
}

impl Lenient for Notes {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut pairs = Pairs::new();
        while let Some((key, Loose(value))) = object.next_entry::<String, Loose<Option<String>>>()? {
            if let Some(value) = value {
                let kept = kept(&key, value);
                pairs.insert(key, kept);
            }
        }
        Ok(Some(Self(pairs)))
    }
}

fn kept(key: &str, mut value: String) -> String {
    if may_be_meant(key) {
        // A list of windows that is cut may be another one. What is longer than allowed stays so.
        let longest = if key == RESTART_WINDOW {
            value.ceil_char_boundary(LONGEST_WINDOW + 1)
        } else {
            value.floor_char_boundary(TEXT)
        };
        value.truncate(longest);
        value
    } else if value.len() <= WORD {
        value
    } else {
        LONG.to_owned()
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The keys of an object's labels, each with an empty text: whatever a label says, it is none of Reloader's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelKeys(pub(super) Pairs);

impl Lenient for LabelKeys {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut keys = Pairs::new();
        while let Some((key, IgnoredAny)) = object.next_entry::<String, IgnoredAny>()? {
            keys.insert(key, String::new());
        }
        Ok(Some(Self(keys)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_windows_is_not_cut_to_another_one() {
        let window = "- {schedule: \"0 22 * * *\", duration: 4h}\n";
        for (times, whole) in [(100, true), (1000, false)] {
            let text = window.repeat(times);
            let kept = kept(RESTART_WINDOW, text.clone());
            assert_eq!(kept == text, whole, "{} bytes", kept.len());
            assert_eq!(kept.len() > LONGEST_WINDOW, !whole);
        }
    }

    #[test]
    fn of_a_text_that_is_none_of_reloaders_only_a_word_is_kept() {
        let applied = json!({ "data": { "password": "Y2FuYXJ5" } }).to_string();
        let annotations = json!({
            "kubectl.kubernetes.io/last-applied-configuration": applied,
            "company.example/match": "true",
            "reloader.stakater.com/matched": "for the workloads of another team",
            "none": null,
            "of-another-type": 1,
        });
        let Loose(notes) = serde_json::from_value::<Loose<Notes>>(annotations).unwrap();
        assert!(notes.says_true("company.example/match"));
        let kept: Vec<(&str, &str)> = notes
            .pairs()
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("company.example/match", "true"),
            ("kubectl.kubernetes.io/last-applied-configuration", LONG),
            (
                "reloader.stakater.com/matched",
                "for the workloads of another team",
            ),
        ];
        assert_eq!(kept, expected);
        assert!(!format!("{notes:?}").contains("another team"));
    }
}
