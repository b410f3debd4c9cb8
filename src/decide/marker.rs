//! The text of the annotations strategy's marker, equal byte for byte to upstream's, which Go's `encoding/json` writes.
//!
//! Input: a [`Mark`], or the text on a pod template. Output: that text, or its parts. I/O: none.

use serde::{Deserialize, Serialize};

use super::{
    decision::{Mark, Plan},
    options::Strategy,
};
use crate::model::{Content, Digest, SourceKey, SourceKind, UnixSeconds, go_values::escape_json};

/// Longest annotation that is parsed, in bytes. A marker has a few hundred; anything longer is not one.
const MAX_MARKER_LENGTH: usize = 4096;

/// The marker, its fields in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Marker<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    hash: String,
    container_refs: [&'a str; 1],
    observed_at: UnixSeconds,
    /// Not upstream's, and only there where the hash is that of several contents: [`Digest::exact`].
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
}

impl Plan {
    /// The annotation to write, if any: with [`Strategy::EnvVars`] only for what no variable can show. It has room for
    /// one source: that of the last change.
    pub fn annotation(&self) -> Option<String> {
        let shown = |mark: &&Mark| self.strategy == Strategy::Annotations || mark.exact;
        let mark = self
            .marks
            .iter()
            .filter(shown)
            .max_by_key(|mark| mark.observed_at)?;
        Some(mark.annotation_value())
    }
}

impl Mark {
    /// The value of the pod template's [`LAST_RELOADED_FROM`](crate::model::opt_in::LAST_RELOADED_FROM) annotation.
    pub fn annotation_value(&self) -> String {
        let marker = Marker {
            kind: self.source.kind.type_name(),
            name: &self.source.name,
            namespace: &self.source.namespace,
            hash: self.content.shown().to_string(),
            container_refs: [&self.container],
            observed_at: self.observed_at,
            exact: self.exact.then(|| self.content.shown().exact().to_string()),
        };
        // Strings and a number always serialize; an empty text would only cause one repeated restart.
        let json = serde_json::to_string(&marker).unwrap_or_default();
        escape_json(&json)
    }
}

/// The parsed annotation of a pod template.
pub(super) struct LastReloadedFrom<'a> {
    text: &'a str,
    fields: Option<Fields>,
}

/// The fields of a marker that distinguish contents.
#[derive(Deserialize)]
struct Fields {
    /// As [`SourceKind::type_name`](crate::model::SourceKind::type_name); upstream's version 2 names the field `kind` and
    /// writes it in lower case.
    #[serde(rename = "type", alias = "kind")]
    kind: String,
    name: String,
    hash: String,
    exact: Option<String>,
}

impl<'a> LastReloadedFrom<'a> {
    /// Parses the annotation; text that is no marker counts as none.
    pub(super) fn read(text: &'a str) -> Self {
        let text = if text.len() > MAX_MARKER_LENGTH { "" } else { text };
        // Most templates have none, and an error costs an allocation.
        let fields = (!text.is_empty())
            .then(|| serde_json::from_str(text).ok())
            .flatten();
        Self { text, fields }
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether it names that source with that content. Upstream restarts once more here, for every repeated event of a
    /// ConfigMap or Secret; for a SecretProviderClass it is content with the name and the digest anywhere in the text.
    pub(super) fn shows(&self, source: &SourceKey, content: Content) -> bool {
        if source.kind == SourceKind::SecretProviderClass {
            let digest = content.shown().to_string();
            return self.text.contains(&*source.name) && self.text.contains(&digest);
        }
        let shows = |fields: &Fields| fields.hash == content.shown().to_string();
        self.is_of(source) && self.fields.as_ref().is_some_and(shows)
    }

    /// Whether it names that source with exactly that content, and no other that has the same hash.
    pub(super) fn shows_exactly(&self, source: &SourceKey, digest: Digest) -> bool {
        let shows = |fields: &Fields| fields.exact.as_deref() == Some(&*digest.exact().to_string());
        self.is_of(source) && self.fields.as_ref().is_some_and(shows)
    }

    /// Whether it names that source and a content exactly. Such a marker has to move with the content, or it would show
    /// that one again when the content has come back to it.
    pub(super) fn is_exact(&self, source: &SourceKey) -> bool {
        self.is_of(source) && self.fields.as_ref().is_some_and(|fields| fields.exact.is_some())
    }

    /// Whether it names that source.
    pub(super) fn is_of(&self, source: &SourceKey) -> bool {
        self.fields.as_ref().is_some_and(|fields| {
            fields.kind.eq_ignore_ascii_case(source.kind.type_name()) && *fields.name == *source.name
        })
    }
}

#[cfg(test)]
mod tests;
