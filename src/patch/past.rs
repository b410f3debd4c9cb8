//! Whether a write changed a pod template, by what the API server had stored before and after it.
//!
//! Input: an object's key, two resourceVersions. Output: whether its pod template differs. I/O: reads.
//!
//! Of a workload only a part is kept, and an admission webhook may change any field. The storage has the states of the last
//! minutes: a list of one exact version shows the object as it was
//! ([reference](https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list)).

use std::num::NonZeroU64;

use kube::{
    Api,
    api::{ListParams, VersionMatch},
};
use serde_json::Value;

use super::request::REQUEST_TIMEOUT;
use crate::{api_error::ApiError, model::WorkloadKey, watch::workload::RawObject};

/// Whether the pod template differs. A change of it starts new pods, whatever it is.
pub(super) async fn template_moved(
    api: &Api<RawObject>,
    key: &WorkloadKey,
    before: NonZeroU64,
    after: NonZeroU64,
) -> Result<bool, ApiError> {
    if before == after {
        return Ok(false);
    }
    let (before, after) = (template_at(api, key, before), template_at(api, key, after));
    let (before, after) = tokio::try_join!(before, after)?;
    Ok(before.is_some() && after.is_some() && before != after)
}

async fn template_at(
    api: &Api<RawObject>,
    key: &WorkloadKey,
    version: NonZeroU64,
) -> Result<Option<Value>, ApiError> {
    let params = ListParams::default()
        .fields(&format!("metadata.name={}", key.name))
        .at(&version.to_string())
        .matching(VersionMatch::Exact);
    let list = ApiError::within(REQUEST_TIMEOUT, api.list(&params)).await?;
    let path = key.kind.template_path();
    let template = list.items.first().and_then(|object| {
        path.iter()
            .try_fold(object.value(), |value, field| value.get(field))
    });
    Ok(template.cloned())
}
