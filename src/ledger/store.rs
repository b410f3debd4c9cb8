//! The ConfigMaps that hold the ledger.
//!
//! Input: chunk texts. Output: the same, later. I/O: reads and writes ConfigMaps of the controller's own namespace.
//!
//! Chunk 0 is the ConfigMap with the ledger's name; an annotation on it holds the number of chunks. The others are
//! called `<name>-<count>-<chunk>`: a ledger that grows writes its new chunks beside the old ones and then, chunk 0,
//! which puts them in force.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};

use super::chunks::MOST_CHUNKS;
use crate::{
    api_error::{ApiError, Class},
    model::{FIELD_MANAGER, LEDGER_LABEL, UnixSeconds},
};

/// On chunk 0: the number of chunks.
const CHUNKS: &str = "reloader.stakater.com/ledger-chunks";
/// The one key of a chunk's data.
const KEY: &str = "sources";
/// An explanation for users who find the object.
const ABOUT: &str = "about";
const ABOUT_TEXT: &str = "Which content of each source the workloads were last restarted for. Written by Reloader's \
    leader; without it, changes made while no replica runs would be lost. Safe to delete: the present contents are \
    then taken as settled.";
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One ledger in the cluster.
#[derive(Clone)]
pub(super) struct Store {
    api: Api<ConfigMap>,
    name: String,
}

/// A chunk as it is stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// For compare-and-swap; `None` where there is no such object.
    pub(super) version: Option<String>,
    /// Its lines.
    pub(super) text: String,
    /// On chunk 0: the number of chunks.
    pub(super) count: usize,
    /// When Reloader last wrote it.
    pub(super) written_at: Option<UnixSeconds>,
}

impl Store {
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// The ledger's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads one chunk; one that does not exist reads as empty.
    pub(super) async fn read(&self, count: usize, chunk: usize) -> Result<Stored, ApiError> {
        let name = self.chunk_name(count, chunk);
        let Some(object) = ApiError::within(TIMEOUT, self.api.get_opt(&name)).await? else {
            return Ok(Stored::default());
        };
        let annotation = object
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(CHUNKS));
        let count = annotation
            .and_then(|text| text.parse().ok())
            .filter(|count| (1..=MOST_CHUNKS).contains(count));
        let managers = object.metadata.managed_fields.into_iter().flatten();
        let own = managers.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
        Ok(Stored {
            written_at: own.filter_map(|entry| Some(entry.time?.0.into())).max(),
            version: object.metadata.resource_version,
            text: object
                .data
                .and_then(|mut data| data.remove(KEY))
                .unwrap_or_default(),
            count: count.unwrap_or(1),
        })
    }

    /// Replaces one chunk at the known version and returns the new version.
    ///
    /// [`Class::Conflict`]: another client wrote, created or deleted it in the meantime.
    pub(super) async fn write(
        &self,
        count: usize,
        chunk: usize,
        version: Option<&str>,
        text: String,
    ) -> Result<Option<String>, ApiError> {
        let name = self.chunk_name(count, chunk);
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                resource_version: version.map(str::to_owned),
                annotations: Some(BTreeMap::from([(CHUNKS.to_owned(), count.to_string())])),
                labels: Some(BTreeMap::from([(LEDGER_LABEL.to_owned(), self.name.clone())])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (ABOUT.to_owned(), ABOUT_TEXT.to_owned()),
                (KEY.to_owned(), text),
            ])),
            ..ConfigMap::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match version {
            Some(_) => ApiError::within(TIMEOUT, self.api.replace(&name, &params, &object)).await,
            None => ApiError::within(TIMEOUT, self.api.create(&params, &object)).await,
        };
        match written {
            Ok(object) => Ok(object.metadata.resource_version),
            // Created or deleted meanwhile: like any other change by another client.
            Err(error) if matches!(error.class, Class::NotFound | Class::Exists) => Err(ApiError {
                class: Class::Conflict,
                ..error
            }),
            Err(error) => Err(error),
        }
    }

    fn chunk_name(&self, count: usize, chunk: usize) -> String {
        if chunk == 0 {
            self.name.clone()
        } else {
            format!("{}-{count}-{chunk}", self.name)
        }
    }
}
