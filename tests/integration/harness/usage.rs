//! The ways in which a pod uses a ConfigMap or a Secret.

use serde_json::{Value, json};

use super::sources::SourceType;

/// How a pod uses a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A key as a variable.
    Env,
    /// All keys as variables.
    EnvFrom,
    /// A volume.
    Volume,
    /// One of several sources of a volume.
    Projected,
    /// All keys as variables of an init container.
    Init,
}

impl Usage {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Env,
        Self::EnvFrom,
        Self::Volume,
        Self::Projected,
        Self::Init,
    ];

    /// A pod with the containers `first`, which uses nothing, and `user`. An init container takes no marker: the first
    /// regular one gets it.
    pub fn pod(self, source: SourceType, name: &str) -> Value {
        let is_config_map = source == SourceType::ConfigMap;
        let env_from = if is_config_map {
            json!([{ "configMapRef": { "name": name } }])
        } else {
            json!([{ "secretRef": { "name": name } }])
        };
        let mut pod = json!({
            "containers": [{ "name": "first", "image": "none" }, { "name": "user", "image": "none" }],
        });
        match self {
            Self::Env => {
                let key = json!({ "name": name, "key": "test" });
                let value = if is_config_map {
                    json!({ "configMapKeyRef": key })
                } else {
                    json!({ "secretKeyRef": key })
                };
                pod["containers"][1]["env"] = json!([{ "name": "TEST", "valueFrom": value }]);
            }
            Self::EnvFrom => pod["containers"][1]["envFrom"] = env_from,
            Self::Volume => {
                pod["volumes"] = if is_config_map {
                    json!([{ "name": "files", "configMap": { "name": name } }])
                } else {
                    json!([{ "name": "files", "secret": { "secretName": name } }])
                };
            }
            Self::Projected => {
                let word = if is_config_map { "configMap" } else { "secret" };
                let sources = json!([{ word: { "name": name } }]);
                pod["volumes"] = json!([{ "name": "files", "projected": { "sources": sources } }]);
            }
            Self::Init => {
                pod["initContainers"] = json!([{ "name": "setup", "image": "none", "envFrom": env_from }]);
            }
        }
        if matches!(self, Self::Volume | Self::Projected) {
            pod["containers"][1]["volumeMounts"] = json!([{ "name": "files", "mountPath": "/files" }]);
        }
        pod
    }

    /// The container that gets the marker.
    pub fn marked(self) -> &'static str {
        if self == Self::Init { "first" } else { "user" }
    }
}
