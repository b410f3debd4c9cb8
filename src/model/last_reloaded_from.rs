//! The annotation by which a pod template shows a restart, as upstream and this controller write it.
//!
//! Input: the text on a pod template. Output: its parts. I/O: none.

use serde::Deserialize;

use super::{Content, Digest, SourceKey, SourceKind, SourceRef};

/// Longest annotation that is parsed, in bytes. A marker has a few hundred; anything longer is not one.
const MAX_MARKER_LENGTH: usize = 4096;

/// The parsed annotation of a pod template.
pub struct LastReloadedFrom<'a> {
    text: &'a str,
    fields: Option<Fields>,
}

/// The fields of a marker that distinguish contents.
#[derive(Deserialize)]
struct Fields {
    /// As [`SourceKind::type_name`]; upstream's version 2 names the field `kind` and
    /// writes it in lower case.
    #[serde(rename = "type", alias = "kind")]
    kind: String,
    name: String,
    hash: String,
    exact: Option<String>,
}

impl<'a> LastReloadedFrom<'a> {
    /// Parses the annotation; text that is no marker counts as none.
    pub fn read(text: &'a str) -> Self {
        let text = if text.len() > MAX_MARKER_LENGTH { "" } else { text };
        // Most templates have none, and an error costs an allocation.
        let fields = (!text.is_empty())
            .then(|| serde_json::from_str(text).ok())
            .flatten();
        Self { text, fields }
    }

    /// Whether it is this text.
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether it names that source with that content. Upstream restarts once more here, for every repeated event of a
    /// ConfigMap or Secret; for a SecretProviderClass it is content with the name and the digest anywhere in the text.
    pub fn shows(&self, source: &SourceKey, content: Content) -> bool {
        if source.kind == SourceKind::SecretProviderClass {
            let digest = content.shown().to_string();
            return self.text.contains(&*source.name) && self.text.contains(&digest);
        }
        let shows = |fields: &Fields| fields.hash == content.shown().to_string();
        self.is_of(source.kind, &source.name) && self.fields.as_ref().is_some_and(shows)
    }

    /// Whether it names that source with exactly that content, and no other that has the same hash.
    pub fn shows_exactly(&self, source: &SourceKey, digest: Digest) -> bool {
        let shows = |fields: &Fields| fields.exact.as_deref() == Some(&*digest.exact().to_string());
        self.is_of(source.kind, &source.name) && self.fields.as_ref().is_some_and(shows)
    }

    /// The hash that it shows of that source; `None` where it names another one.
    pub fn hash_of(&self, kind: SourceKind, name: &str) -> Option<&str> {
        let fields = self.fields.as_ref().filter(|_| self.is_of(kind, name))?;
        Some(&fields.hash)
    }

    /// The source that it names.
    pub fn source(&self) -> Option<SourceRef> {
        let fields = self.fields.as_ref()?;
        let is_it = |kind: &SourceKind| fields.kind.eq_ignore_ascii_case(kind.type_name());
        let kind = SourceKind::ALL.into_iter().find(is_it)?;
        Some(SourceRef::new(kind, &*fields.name))
    }

    /// Whether it names that source and a content exactly. Such a marker has to move with the content, or it would show
    /// that one again when the content has come back to it.
    pub fn is_exact(&self, source: &SourceKey) -> bool {
        self.is_of(source.kind, &source.name)
            && self.fields.as_ref().is_some_and(|fields| fields.exact.is_some())
    }

    /// The digest that it shows, as text.
    pub fn hash(&self) -> Option<&str> {
        self.fields.as_ref().map(|fields| &*fields.hash)
    }

    /// Whether it names that source.
    pub fn is_of(&self, kind: SourceKind, name: &str) -> bool {
        self.fields
            .as_ref()
            .is_some_and(|fields| fields.kind.eq_ignore_ascii_case(kind.type_name()) && *fields.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("")]
    #[case("garbage")]
    #[case("[]")]
    #[case("{}")]
    #[case(r#"{"type":1,"name":"a","hash":"b"}"#)]
    #[case(r#"{"type":"CONFIGMAP","name":"a"}"#)]
    fn what_is_no_marker_counts_as_none(#[case] text: &str) {
        assert!(LastReloadedFrom::read(text).fields.is_none());
    }

    #[test]
    fn reading_is_bounded() {
        let text = |name: usize| {
            format!(
                r#"{{"type":"CONFIGMAP","name":"{}","hash":""}}"#,
                "a".repeat(name)
            )
        };
        assert!(LastReloadedFrom::read(&text(253)).fields.is_some());
        assert!(LastReloadedFrom::read(&text(MAX_MARKER_LENGTH)).fields.is_none());
        assert!(
            LastReloadedFrom::read(&"[".repeat(MAX_MARKER_LENGTH))
                .fields
                .is_none()
        );
    }
}
