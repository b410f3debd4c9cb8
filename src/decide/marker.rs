//! The text of the annotations strategy's marker, equal byte for byte to upstream's, which Go's `encoding/json` writes.
//!
//! Input: a [`Mark`], or the text on a pod template. Output: that text, or what it says. I/O: none.

use serde::{Deserialize, Serialize};

use super::Mark;
use crate::model::{Source, go_values::escape_json};

/// The most bytes of an annotation that are read. A marker has a few hundred; anything longer is not one.
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
    observed_at: i64,
}

impl Mark {
    /// The value of the pod template's [`LAST_RELOADED_FROM`](crate::model::opt_in::LAST_RELOADED_FROM) annotation.
    pub fn annotation_value(&self) -> String {
        let marker = Marker {
            kind: self.source.kind.type_name(),
            name: &self.source.name,
            namespace: &self.source.namespace,
            hash: self.digest.to_string(),
            container_refs: [&self.container],
            observed_at: self.observed_at,
        };
        // Strings and a number always serialize; the empty text would only cost one repeated restart.
        let json = serde_json::to_string(&marker).unwrap_or_default();
        escape_json(&json)
    }
}

/// What a marker on a pod template says.
#[derive(Deserialize)]
pub(super) struct LastReloadedFrom {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    hash: String,
}

impl LastReloadedFrom {
    /// Reads the annotation; text that is no marker counts as none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_MARKER_LENGTH {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Whether it names that source with its current digest. Upstream restarts once more here, for every repeated event.
    pub(super) fn shows(&self, source: &Source) -> bool {
        self.kind == source.key.kind.type_name()
            && *self.name == *source.key.name
            && self.hash.parse() == Ok(source.digest)
    }
}

#[cfg(test)]
mod tests;
