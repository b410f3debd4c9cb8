//! Who wrote a source's data, as `managedFields` show it.
//!
//! Input: a source. Output: a sentence. I/O: reads its metadata, never its data.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use crate::{
    api_error::ApiError,
    model::{SourceKey, SourceKind},
};

/// Timeout of the request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Names shown at most.
const SHOWN: usize = 3;

/// The field managers of its data, the last one first; `None` where that is not known.
pub(super) async fn last_written_by(client: Client, source: &SourceKey) -> Option<String> {
    let entries = match source.kind {
        SourceKind::ConfigMap => managed_fields::<ConfigMap>(client, source).await,
        SourceKind::Secret => managed_fields::<Secret>(client, source).await,
        // Its content is what pods mount.
        SourceKind::SecretProviderClass => None,
    }?;
    sentence(entries)
}

/// Listed, since roles grant no `get` on sources.
async fn managed_fields<K>(client: Client, source: &SourceKey) -> Option<Vec<ManagedFieldsEntry>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client, &source.namespace);
    let only = ListParams::default().fields(&format!("metadata.name={}", source.name));
    let found = ApiError::within(TIMEOUT, api.list_metadata(&only)).await.ok()?;
    found.items.into_iter().next()?.metadata.managed_fields
}

fn sentence(mut entries: Vec<ManagedFieldsEntry>) -> Option<String> {
    let is_about_data = |entry: &ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| fields.get("f:data").or(fields.get("f:binaryData")).is_some())
    };
    entries.retain(is_about_data);
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.time.as_ref().map(|time| time.0)));
    let mut managers: Vec<String> = Vec::new();
    for manager in entries.into_iter().filter_map(|entry| entry.manager) {
        if managers.len() < SHOWN && !managers.contains(&manager) {
            managers.push(manager);
        }
    }
    let mut managers = managers.into_iter();
    let mut text = format!(". Its data was last written by '{}'", managers.next()?);
    for other in managers {
        // Writing to a String cannot fail.
        let _ = write!(text, ", before that by '{other}'");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managers_of_data_are_named_the_last_one_first() {
        let entry = |manager: &str, day: u8, field: &str| {
            let fields = json!({ field: { "f:key": {} } });
            let time = format!("2026-01-0{day}T00:00:00Z");
            serde_json::from_value(json!({ "manager": manager, "time": time, "fieldsV1": fields })).unwrap()
        };
        let entries = vec![
            entry("operator", 1, "f:data"),
            entry("kubectl-label", 3, "f:metadata"),
            entry("helm", 2, "f:binaryData"),
            entry("operator", 1, "f:data"),
        ];
        assert_eq!(
            sentence(entries).as_deref(),
            Some(". Its data was last written by 'helm', before that by 'operator'")
        );
        assert_eq!(sentence(vec![entry("kubectl-label", 3, "f:metadata")]), None);
    }
}
