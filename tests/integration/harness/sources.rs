//! ConfigMaps and Secrets under one name, for what must hold for both.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    World,
    objects::{config_map, secret},
};

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceType {
    /// `v1/ConfigMap`.
    ConfigMap,
    /// `v1/Secret`.
    Secret,
}

impl SourceType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ConfigMap, Self::Secret];

    /// As annotation keys spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::ConfigMap => Self::Secret,
            Self::Secret => Self::ConfigMap,
        }
    }

    /// The name of the variable that marks a source of this name. For names of lower-case letters, digits and single
    /// inner `-` or `.` only.
    pub fn marker(self, name: &str) -> String {
        let name = name.to_uppercase().replace(['-', '.'], "_");
        format!("STAKATER_{name}_{}", self.word().to_uppercase())
    }

    /// A pod with one container `main` that takes a whole source as its environment.
    pub fn used_by_pod(self, name: &str) -> Value {
        let reference = match self {
            Self::ConfigMap => json!({ "configMapRef": { "name": name } }),
            Self::Secret => json!({ "secretRef": { "name": name } }),
        };
        json!({ "containers": [{ "name": "main", "image": "none", "envFrom": [reference] }] })
    }
}

impl World {
    /// Creates a source with one key and these annotations.
    pub async fn create_source(
        &self,
        kind: SourceType,
        name: &str,
        annotations: &[(&str, &str)],
        value: &str,
    ) {
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let annotations = Some(annotations.collect());
        match kind {
            SourceType::ConfigMap => {
                let mut object = config_map(name, value);
                object.metadata.annotations = annotations;
                self.create(&object).await;
            }
            SourceType::Secret => {
                let mut object = secret(name, value);
                object.metadata.annotations = annotations;
                self.create(&object).await;
            }
        }
    }

    /// Sets the one key of a source.
    pub async fn change_source(&self, kind: SourceType, name: &str, value: &str) {
        match kind {
            SourceType::ConfigMap => self.change_config_map(name, value).await,
            SourceType::Secret => self.change_secret(name, value).await,
        }
    }

    /// Deletes a source.
    pub async fn delete_source(&self, kind: SourceType, name: &str) {
        let params = DeleteParams::default();
        match kind {
            SourceType::ConfigMap => self.api::<ConfigMap>().delete(name, &params).await.map(drop),
            SourceType::Secret => self.api::<Secret>().delete(name, &params).await.map(drop),
        }
        .expect("the source is deleted");
    }

    /// Changes anything about a source, by a merge patch.
    pub async fn patch_source(&self, kind: SourceType, name: &str, body: &Value) {
        let (params, body) = (PatchParams::default(), Patch::Merge(body));
        match kind {
            SourceType::ConfigMap => self
                .api::<ConfigMap>()
                .patch(name, &params, &body)
                .await
                .map(drop),
            SourceType::Secret => self.api::<Secret>().patch(name, &params, &body).await.map(drop),
        }
        .expect("the source changes");
    }
}
