//! Lists, and events of watches.
//!
//! Input: objects or commits, a target. Output: JSON. I/O: none.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{kind::Kind, path::Target, refusal::Refusal, selector::Selector, store::Commit};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) kind: &'static Kind,
    namespace: Option<String>,
    selector: Selector,
}

impl Scope {
    pub(super) fn of(target: &Target) -> Result<Self, Refusal> {
        Ok(Self {
            kind: target.kind,
            namespace: target.namespace.clone(),
            selector: Selector::parse(target.parameter("labelSelector"), target.parameter("fieldSelector"))?,
        })
    }

    fn has(&self, namespace: &str, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace) && self.selector.selects(object)
    }

    /// What a watch shows of a commit.
    pub(super) fn event(&self, commit: &Commit) -> Option<Value> {
        if commit.plural != self.kind.plural {
            return None;
        }
        let has = |object: &Option<Arc<Value>>| {
            object.clone().filter(|object| self.has(&commit.namespace, object))
        };
        let (kind, object) = match (has(&commit.before), has(&commit.after)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", (*after).clone()),
            (Some(_), Some(after)) => ("MODIFIED", (*after).clone()),
            (Some(before), None) => {
                let mut object = (*before).clone();
                object["metadata"]["resourceVersion"] = json!(commit.revision.to_string());
                ("DELETED", object)
            }
        };
        Some(json!({ "type": kind, "object": object }))
    }

    /// What of a state is in scope.
    pub(super) fn select(
        &self,
        state: BTreeMap<(String, String), Arc<Value>>,
    ) -> impl Iterator<Item = ((String, String), Arc<Value>)> {
        state.into_iter().filter(|((namespace, _), object)| self.has(namespace, object))
    }

    /// A bookmark at that revision.
    pub(super) fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Value {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if ends_initial_events {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = json!({
            "apiVersion": self.kind.api_version(),
            "kind": self.kind.kind,
            "metadata": metadata,
        });
        json!({ "type": "BOOKMARK", "object": object })
    }

    /// One page of a list, as it was at that revision.
    pub(super) fn page(
        &self,
        state: BTreeMap<(String, String), Arc<Value>>,
        revision: u64,
        page: &Page,
    ) -> Value {
        let mut items: Vec<_> = self.select(state).filter(|(key, _)| page.after.as_ref().is_none_or(|after| key > after)).collect();
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if let Some(limit) = page.limit.filter(|limit| *limit < items.len()) {
            metadata["remainingItemCount"] = json!(items.len() - limit);
            items.truncate(limit);
            if let Some(((namespace, name), _)) = items.last() {
                metadata["continue"] = json!(format!("{revision}/{namespace}/{name}"));
            }
        }
        let items: Vec<Value> = items.into_iter().map(|(_, object)| (*object).clone()).collect();
        json!({
            "apiVersion": self.kind.api_version(),
            "kind": format!("{}List", self.kind.kind),
            "metadata": metadata,
            "items": items,
        })
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    pub(super) limit: Option<usize>,
    after: Option<(String, String)>,
    /// Of a list that was begun at that revision.
    pub(super) revision: Option<u64>,
}

impl Page {
    pub(super) fn of(target: &Target) -> Result<Self, Refusal> {
        let limit = target.parameter("limit").parse().ok().filter(|limit| *limit > 0);
        let token = target.parameter("continue");
        if token.is_empty() {
            return Ok(Self { limit, ..Self::default() });
        }
        let parts: Vec<&str> = token.splitn(3, '/').collect();
        let [revision, namespace, name] = parts.as_slice() else {
            return Err(Refusal::bad_request("continue key is not valid"));
        };
        Ok(Self {
            limit,
            after: Some(((*namespace).to_owned(), (*name).to_owned())),
            revision: revision.parse().ok(),
        })
    }
}
