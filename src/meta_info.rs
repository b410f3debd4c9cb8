//! The ConfigMap `reloader-meta-info`, which shows users and tools the Reloader that runs in a cluster and its
//! settings.
//!
//! Input: [`MetaInfo`]. Output: that ConfigMap in Reloader's own namespace. I/O: reads and writes it, once a start.
//!
//! Every replica publishes it, as in upstream, but an equal ConfigMap is left alone: replicas of one Deployment have
//! the same content, so only the first one writes.

mod document;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::time::sleep;

use crate::api_error::ApiError;

pub use document::{BuildInfo, DeploymentInfo, MetaInfo, Options};

/// The ConfigMap's name; upstream's.
pub const NAME: &str = "reloader-meta-info";
/// The label that it carries; upstream's.
const LABEL: (&str, &str) = ("reloader.stakater.com/meta-info", "reloader");
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before further attempts: an API server that has just started refuses every client until it knows its
/// roles, and several replicas that start together can conflict.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Publishes it. A failure is retried a few times, then logged as a warning: nothing else depends on it.
pub async fn publish(client: Client, info: &MetaInfo) {
    let api = Api::namespaced(client, &info.deployment.namespace);
    let data = info.data();
    let mut pauses = PAUSES.into_iter();
    while let Err(error) = write(&api, &data).await {
        let Some(pause) = pauses.next() else {
            tracing::warn!(
                category = error.category(),
                "Failed to publish the meta info ConfigMap {NAME} in namespace {}: {error}. Reloader works without it{}",
                info.deployment.namespace,
                if error.is_missing_permission() {
                    "; to have it, grant get, create and update on ConfigMaps there"
                } else {
                    ""
                },
            );
            return;
        };
        tracing::debug!(category = error.category(), "Meta info was not written: {error}");
        sleep(pause).await;
    }
}

/// Writes the ConfigMap unless it has that content already.
async fn write(api: &Api<ConfigMap>, data: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let params = PostParams::default();
    let Some(mut found) = ApiError::within(TIMEOUT, api.get_opt(NAME)).await? else {
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(BTreeMap::from([(LABEL.0.to_owned(), LABEL.1.to_owned())])),
                ..ObjectMeta::default()
            },
            data: Some(data.clone()),
            ..ConfigMap::default()
        };
        return ApiError::within(TIMEOUT, api.create(&params, &object))
            .await
            .map(drop);
    };
    let labels = found.metadata.labels.get_or_insert_default();
    let labelled = labels.insert(LABEL.0.to_owned(), LABEL.1.to_owned());
    if labelled.as_deref() == Some(LABEL.1) && found.data.as_ref() == Some(data) {
        return Ok(());
    }
    tracing::info!("Meta info configmap already exists, updating it");
    found.data = Some(data.clone());
    // It carries the resourceVersion that was read, so no write in between is lost.
    ApiError::within(TIMEOUT, api.replace(NAME, &params, &found))
        .await
        .map(drop)
}
