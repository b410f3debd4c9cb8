//! Lists and single objects.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    cache::Cache,
    kind::Kind,
    path::Address,
    query::{Match, Query},
    refusal::Refusal,
    store::State,
    write::{Answer, remove},
};

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole.
    Whole,
    /// Their metadata only.
    Metadata,
}

impl Form {
    /// What the header `Accept` asks for.
    pub(super) fn accepted(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    /// The object in this form.
    pub(super) fn write(self, object: &Value) -> Value {
        match self {
            Self::Whole => object.clone(),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            }),
        }
    }

    fn list(self, kind: &Kind, objects: &[Arc<Value>], metadata: Value) -> Value {
        let items: Vec<Value> = objects
            .iter()
            .map(|object| {
                let mut item = self.write(object);
                if self == Self::Whole && !kind.custom {
                    remove(&mut item, "kind");
                    remove(&mut item, "apiVersion");
                }
                item
            })
            .collect();
        let (name, api_version) = match self {
            Self::Whole => (format!("{}List", kind.kind), kind.api_version()),
            Self::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
        };
        let mut list = json!({ "kind": name, "apiVersion": api_version, "items": items });
        if self == Self::Metadata && objects.is_empty() {
            // A nil slice in Go.
            list["items"] = Value::Null;
        }
        list["metadata"] = metadata;
        list
    }
}

/// Which state a list shows.
enum At {
    Newest,
    Cached,
    Revision(u64),
}

/// Reads one object. `version`: `None` for the newest.
pub(super) fn get(state: &State, cache: &mut Cache, address: &Address, version: Option<u64>) -> Answer {
    let Address {
        kind,
        namespace,
        name,
        ..
    } = address;
    let found = match version {
        Some(version) if cache.is_ready(state) => {
            let shown = cache.revision(state, kind);
            if version > shown {
                return Err(Refusal::too_large_version(version, shown));
            }
            state.at(kind, shown).remove(&(namespace.clone(), name.clone()))
        }
        _ => state.objects.get(&address.key()).cloned(),
    };
    found
        .map(|object| (200, (*object).clone()))
        .ok_or_else(|| Refusal::not_found(kind, name))
}

/// Lists objects.
pub(super) fn list(state: &State, cache: &mut Cache, address: &Address, query: &Query, form: Form) -> Answer {
    let kind = address.kind;
    let mut after = String::new();
    // Its key is known, and it is read as a single object.
    let is_single = query.selector.is_one_name() && !address.namespace.is_empty();
    let at = if query.token.is_empty() {
        match (query.version, query.version_match) {
            (Some(version), Some(Match::Exact)) => At::Revision(version),
            (Some(version), None) if version > 0 && query.limit > 0 && !is_single => At::Revision(version),
            (Some(_), _) => At::Cached,
            (None, _) => At::Newest,
        }
    } else {
        let (revision, start) = decode(&query.token)?;
        after = start;
        revision.map_or(At::Newest, At::Revision)
    };
    // A list that its cache would answer is not passed on to etcd, which it could overload.
    let is_light = query.selector.is_empty() && query.limit > 0;
    if !matches!(at, At::Revision(_)) && query.token.is_empty() && !is_light && !cache.is_ready(state) {
        return Err(Refusal::initializing());
    }
    let newest = state.log.revision();
    let (revision, limit) = match at {
        At::Newest => (newest, query.limit),
        At::Cached => {
            let wanted = query.version.unwrap_or_default();
            let shown = if cache.is_ready(state) {
                cache.revision(state, kind)
            } else {
                newest
            };
            if wanted > shown {
                return Err(Refusal::too_large_version(wanted, shown));
            }
            // A cache has everything at hand.
            (shown, if wanted == 0 { 0 } else { query.limit })
        }
        At::Revision(revision) if revision > newest => {
            return Err(Refusal::too_large_version(revision, newest));
        }
        At::Revision(revision) if revision < state.compacted => {
            return Err(if query.token.is_empty() {
                Refusal::expired("The resourceVersion for the provided list is too old.")
            } else {
                Refusal::expired_token(&encode(-1, &after))
            });
        }
        At::Revision(revision) => (revision, query.limit),
    };
    let objects = state.at(kind, revision).into_iter();
    let mut behind = objects
        .filter(|((namespace, _), _)| address.namespace.is_empty() || *namespace == address.namespace)
        .map(|((namespace, name), object)| (key(kind, &namespace, &name), object))
        .filter(|(key, _)| *key > after);
    let mut page = Vec::new();
    let mut last = String::new();
    while limit == 0 || page.len() < limit {
        let Some((key, object)) = behind.next() else {
            break;
        };
        if query.selector.selects(&object) {
            last = key;
            page.push(object);
        }
    }
    // Whether the next page has anything that is selected only shows when it is asked for.
    let left = if is_single { 0 } else { behind.count() };
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if left > 0 {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        metadata["continue"] = encode(revision, &last).into();
        if query.selector.is_empty() {
            metadata["remainingItemCount"] = left.into();
        }
    }
    Ok((200, form.list(kind, &page, metadata)))
}

/// An object's place in the order of lists.
fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    if kind.namespaced {
        format!("{namespace}/{name}")
    } else {
        name.to_owned()
    }
}

/// A token; `revision` -1: whatever is the newest then.
fn encode(revision: i64, last: &str) -> String {
    let token = json!({ "v": "meta.k8s.io/v1", "rv": revision, "start": format!("{last}\0") });
    URL_SAFE_NO_PAD.encode(token.to_string())
}

/// A token's revision and the last key before.
fn decode(token: &str) -> Result<(Option<u64>, String), Refusal> {
    let read = || {
        let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let start = token["start"].as_str()?.trim_end_matches('\0').to_owned();
        Some((u64::try_from(token["rv"].as_i64()?).ok(), start))
    };
    read().ok_or_else(|| Refusal::bad_request("continue key is not valid"))
}
