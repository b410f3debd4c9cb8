//! The text of the annotations strategy's marker, equal byte for byte to upstream's, which Go's `encoding/json` writes.
//!
//! Input: a [`Mark`]. Output: the text; [`LastReloadedFrom`](crate::model::LastReloadedFrom) reads it. I/O: none.

use serde::Serialize;

use super::{
    decision::{Mark, Plan},
    options::Strategy,
};
use crate::model::{UnixSeconds, go_values::escape_json};

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
    /// Not upstream's, and only there where the hash is that of several contents: [`Digest::exact`](crate::model::Digest::exact).
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

#[cfg(test)]
mod tests;
