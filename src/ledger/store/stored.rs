//! What one of the ledger's ConfigMaps says.
//!
//! Input: a ConfigMap. Output: [`Stored`]. I/O: none.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::model::{FIELD_MANAGER, UnixSeconds};

/// The key of the lines.
pub(super) const LINES: &str = "sources";
/// On chunk 0: the number of the format.
pub(super) const FORMAT: &str = "format";
/// On chunk 0: the key that digests are sealed with, in base64.
pub(super) const KEY: &str = "key";
/// On chunk 0: the number of chunks.
pub(super) const CHUNKS: &str = "chunks";
/// An annotation: every restart before then, and before this ConfigMap was stored, is in the ledger. In seconds since 1970
/// by the API server's clock.
pub(super) const COMPLETE: &str = "reloader.stakater.com/ledger-complete-until";
/// An annotation: the resourceVersion that it replaced. It makes each write differ: the API server gives one that changes
/// nothing no time.
pub(super) const REPLACES: &str = "reloader.stakater.com/ledger-replaces";
/// An annotation of the first format: the number of chunks.
const FIRST_FORMAT_CHUNKS: &str = "reloader.stakater.com/ledger-chunks";
/// Version 0.1.0 had at most so many chunks.
const FIRST_FORMAT_MOST: usize = 4096;
/// The number of the format that this version writes. One that it can read, but for a few lines, keeps the number.
pub(super) const PRESENT_FORMAT: u32 = 2;

/// A ConfigMap as it is stored.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Stored {
    /// For compare-and-swap; `None` where there is no such object.
    pub(in crate::ledger) version: Option<String>,
    /// Its lines.
    pub(in crate::ledger) text: String,
    /// Of chunk 0.
    pub(in crate::ledger) format: Format,
    /// Every restart before then is in the ledger.
    pub(in crate::ledger) complete: Option<UnixSeconds>,
    /// When Reloader last wrote it, by the API server's clock.
    pub(in crate::ledger) written_at: Option<UnixSeconds>,
}

/// What chunk 0 says of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Header {
    /// The key, in base64.
    pub(in crate::ledger) key: String,
    /// The number of chunks.
    pub(in crate::ledger) count: usize,
}

/// In which format the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Format {
    /// That of version 0.1.0, and how many chunks it has.
    First(usize),
    /// The present one.
    Present(Header),
    /// The present one, but without what is needed to read it: a user edited it.
    Garbled,
    /// One of a later version.
    Later(u32),
}

impl Default for Format {
    fn default() -> Self {
        Self::First(1)
    }
}

impl From<ConfigMap> for Stored {
    fn from(object: ConfigMap) -> Self {
        let annotations = object.metadata.annotations.unwrap_or_default();
        let mut data = object.data.unwrap_or_default();
        let format = match data.get(FORMAT).map(|text| text.parse::<u32>()) {
            None => {
                let count = annotations
                    .get(FIRST_FORMAT_CHUNKS)
                    .and_then(|text| text.parse().ok());
                let count = count.filter(|count| (1..=FIRST_FORMAT_MOST).contains(count));
                Format::First(count.unwrap_or(1))
            }
            Some(Ok(format)) if format > PRESENT_FORMAT => Format::Later(format),
            Some(_) => {
                let count = data.get(CHUNKS).and_then(|text| text.parse().ok());
                match (data.remove(KEY), count) {
                    (Some(key), Some(count)) => Format::Present(Header { key, count }),
                    _ => Format::Garbled,
                }
            }
        };
        let managers = object.metadata.managed_fields.into_iter().flatten();
        let own = managers.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
        let written_at = own.filter_map(|entry| Some(entry.time?.0.into())).max();
        let complete = annotations.get(COMPLETE).and_then(|text| text.parse().ok());
        Self {
            version: object.metadata.resource_version,
            text: data.remove(LINES).unwrap_or_default(),
            format,
            // Where the time of storing is missing, a client that keeps no times has copied it.
            complete: complete
                .map(UnixSeconds)
                .zip(written_at)
                .map(|(until, stored)| until.min(stored)),
            written_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::stored_later_than_it_speaks_for(Some("1700000004"), Some(1_700_000_004))]
    #[case::stored_before_that(Some("1700000011"), Some(1_700_000_010))]
    #[case::of_a_batch_before(Some("1600000000"), Some(1_600_000_000))]
    #[case::not_known(None, None)]
    #[case::edited(Some("stored"), None)]
    fn it_is_complete_until_it_was_stored_at_most(#[case] says: Option<&str>, #[case] complete: Option<i64>) {
        let annotations = says.map(|says| json!({ COMPLETE: says }));
        let object = json!({ "metadata": {
            "annotations": annotations,
            "managedFields": [
                { "manager": FIELD_MANAGER, "time": "2023-11-14T22:13:30Z" },
                { "manager": "kubectl", "time": "2026-01-01T00:00:00Z" },
            ],
        } });
        let object: ConfigMap = serde_json::from_value(object).unwrap();
        let stored = Stored::from(object);
        assert_eq!(stored.written_at, Some(UnixSeconds(1_700_000_010)));
        assert_eq!(stored.complete, complete.map(UnixSeconds));
    }
}
