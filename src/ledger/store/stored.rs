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
/// An annotation: every restart before then is in the ledger, in seconds since 1970 by the API server's clock, or
/// [`WHEN_STORED`].
pub(super) const COMPLETE: &str = "reloader.stakater.com/ledger-complete-until";
/// Every restart before this ConfigMap was stored.
pub(super) const WHEN_STORED: &str = "stored";
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
        let complete = annotations.get(COMPLETE).map(String::as_str);
        Self {
            version: object.metadata.resource_version,
            text: data.remove(LINES).unwrap_or_default(),
            format,
            complete: match complete {
                Some(WHEN_STORED) => written_at,
                other => other.and_then(|text| text.parse().ok()).map(UnixSeconds),
            },
            written_at,
        }
    }
}
