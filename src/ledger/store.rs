//! The ConfigMaps that hold the ledger.
//!
//! Input: chunk texts. Output: the same, later. I/O: reads and writes ConfigMaps of the controller's own namespace.
//!
//! Chunk 0 is the ConfigMap with the ledger's name. It says in which format the ledger is, with which key, and how many
//! chunks count; the others are called `<name>-<chunk>`. Version 0.1.0, the first format, had the number in an
//! annotation of chunk 0, and called the others `<name>-<count>-<chunk>`.

mod stored;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
    core::PartialObjectMeta,
};

use crate::{
    api_error::{ApiError, Class},
    model::{FIELD_MANAGER, LEDGER_LABEL, UnixSeconds},
};
use stored::{CHUNKS, COMPLETE, FORMAT, KEY, LINES, REPLACES};
pub(super) use stored::{Format, Header, Stored};

/// An explanation for users who find the object.
const ABOUT: &str = "about";
const ABOUT_TEXT: &str = "Which content of each source the workloads were last restarted for. Written by Reloader's \
    leader; without it, changes made while no replica runs would be lost. Safe to delete: it is written again, and changes \
    that no replica has seen are then taken as settled.";
/// How long one request may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// ConfigMaps in one page of a list: some MiB.
const PAGE: u32 = 16;
/// The longest value of a label.
const LONGEST_LABEL: usize = 63;

/// One ledger in the cluster.
#[derive(Clone)]
pub(super) struct Store {
    api: Api<ConfigMap>,
    metadata: Api<PartialObjectMeta<ConfigMap>>,
    name: String,
}

/// The content of a chunk to be stored.
pub(super) struct ToStore {
    /// For compare-and-swap; `None`: there is no such object.
    pub(super) version: Option<String>,
    /// Its lines.
    pub(super) text: String,
    /// For chunk 0.
    pub(super) header: Option<Header>,
    /// Every restart until then, and until this is stored, is in the ledger, by the API server's clock; `None`: not known.
    pub(super) complete: Option<UnixSeconds>,
}

impl Store {
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            metadata: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// The ledger's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a label says of all its ConfigMaps.
    pub(super) fn label(&self) -> &str {
        let end = self.name.floor_char_boundary(LONGEST_LABEL);
        self.name[..end].trim_end_matches(|last: char| !last.is_ascii_alphanumeric())
    }

    /// The ConfigMaps without their data.
    pub(super) fn metadata(&self) -> Api<PartialObjectMeta<ConfigMap>> {
        self.metadata.clone()
    }

    /// The name of a chunk.
    pub(super) fn chunk_name(&self, chunk: usize) -> String {
        if chunk == 0 {
            self.name.clone()
        } else {
            format!("{}-{chunk}", self.name)
        }
    }

    /// The chunk of that name.
    pub(super) fn chunk_number(&self, name: &str) -> Option<usize> {
        let rest = name.strip_prefix(&self.name)?;
        if rest.is_empty() {
            return Some(0);
        }
        rest.strip_prefix('-')?.parse().ok().filter(|chunk| *chunk > 0)
    }

    /// The name of a chunk in the first format.
    pub(super) fn first_format_name(&self, count: usize, chunk: usize) -> String {
        if chunk == 0 {
            self.name.clone()
        } else {
            format!("{}-{count}-{chunk}", self.name)
        }
    }

    /// Reads all of the ledger's ConfigMaps by their label; `None` where that is not permitted.
    pub(super) async fn list(&self) -> Result<Option<BTreeMap<String, Stored>>, ApiError> {
        let mut all = BTreeMap::new();
        let label = format!("{LEDGER_LABEL}={}", self.label());
        let mut params = ListParams::default().labels(&label).limit(PAGE);
        loop {
            let page = match ApiError::within(TIMEOUT, self.api.list(&params)).await {
                Err(error) if error.is_missing_permission() => return Ok(None),
                page => page?,
            };
            let read = page.items.into_iter();
            all.extend(read.map(|object| (object.name_any(), Stored::from(object))));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(Some(all)),
            }
        }
    }

    /// Reads one ConfigMap; one that does not exist reads as empty.
    pub(super) async fn read(&self, name: &str) -> Result<Stored, ApiError> {
        let object = ApiError::within(TIMEOUT, self.api.get_opt(name)).await?;
        Ok(object.map(Stored::from).unwrap_or_default())
    }

    /// Replaces one ConfigMap at the known version.
    ///
    /// [`Class::Conflict`]: another client wrote, created or deleted it in the meantime.
    pub(super) async fn write(&self, name: &str, chunk: ToStore) -> Result<Stored, ApiError> {
        let mut data = BTreeMap::from([
            (ABOUT.to_owned(), ABOUT_TEXT.to_owned()),
            (LINES.to_owned(), chunk.text),
        ]);
        if let Some(Header { key, count }) = chunk.header {
            data.insert(FORMAT.to_owned(), stored::PRESENT_FORMAT.to_string());
            data.insert(KEY.to_owned(), key);
            data.insert(CHUNKS.to_owned(), count.to_string());
        }
        let complete = chunk
            .complete
            .map(|until| (COMPLETE.to_owned(), until.0.to_string()));
        let replaced = chunk
            .version
            .clone()
            .map(|version| (REPLACES.to_owned(), version));
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: chunk.version.clone(),
                annotations: Some(complete.into_iter().chain(replaced).collect()),
                labels: Some(BTreeMap::from([(
                    LEDGER_LABEL.to_owned(),
                    self.label().to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match chunk.version {
            Some(_) => ApiError::within(TIMEOUT, self.api.replace(name, &params, &object)).await,
            None => ApiError::within(TIMEOUT, self.api.create(&params, &object)).await,
        };
        match written {
            Ok(object) => Ok(object.into()),
            // Created or deleted meanwhile: like any other change by another client.
            Err(error) if matches!(error.class, Class::NotFound | Class::Exists) => Err(ApiError {
                class: Class::Conflict,
                ..error
            }),
            Err(error) => Err(error),
        }
    }
}
