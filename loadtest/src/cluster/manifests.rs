//! Objects of a scenario as the API server takes them. Input: shapes; output: JSON. I/O: none.

use serde_json::{Map, Value, json};
use testbed::digest_of;

use super::{
    counting,
    owned::{LABEL, namespace},
    record::{Id, NO_NODE},
    shapes::{Place, Source, SourceKind, Workload, WorkloadKind},
};

/// The key whose value changes. Digests are of this key and, behind it in the alphabet, the padding.
const KEY: &str = "key";

impl SourceKind {
    /// As in manifests.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl WorkloadKind {
    /// As in manifests.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

impl Source {
    /// What it is called in counts.
    pub fn id(&self) -> counting::Source {
        format!("{}/{}/{}", self.namespace, self.kind.kind(), self.name)
    }

    /// The manifest with a content.
    pub fn manifest(&self, content: &str) -> Value {
        let mut manifest = self.content(content);
        manifest["metadata"] = json!({ "name": self.name, "labels": { LABEL.0: LABEL.1 } });
        manifest
    }

    /// What a merge patch changes for a content.
    pub fn content(&self, content: &str) -> Value {
        let mut data = Map::new();
        data.insert(KEY.to_owned(), content.into());
        // Two values, each of which fits into a variable.
        for &half in self.padding_keys() {
            data.insert(half.to_owned(), "x".repeat(self.padding / 2).into());
        }
        match self.kind {
            SourceKind::ConfigMap => json!({ "data": data }),
            SourceKind::Secret => json!({ "stringData": data }),
        }
    }

    /// The digest of a content.
    pub fn marker(&self, content: &str) -> String {
        let mut rest = content.to_owned();
        for &half in self.padding_keys() {
            for part in [";", half, "=", &"x".repeat(self.padding / 2)] {
                rest.push_str(part);
            }
        }
        digest_of(&rest)
    }

    fn padding_keys(&self) -> &'static [&'static str] {
        if self.padding == 0 {
            &[]
        } else {
            &["padding-1", "padding-2"]
        }
    }
}

impl Workload {
    /// What it is called in counts.
    pub fn id(&self) -> Id {
        Id {
            kind: self.kind.kind().to_owned(),
            namespace: namespace(&self.namespace),
            name: self.name.clone(),
        }
    }

    /// The manifest; `image` is that of a program that does nothing.
    pub fn manifest(&self, sources: &[Source], image: &str, has_pod: bool) -> Value {
        let of_source = |position: usize| (sources[position].kind, sources[position].name.as_str());
        let mut main = container("main", image);
        let mut init = None;
        let mut volumes = Vec::new();
        for (number, (position, place)) in self.uses.iter().enumerate() {
            let (kind, name) = of_source(*position);
            let config_map = kind == SourceKind::ConfigMap;
            match place {
                Place::EnvFrom => push(&mut main, "envFrom", env_from(config_map, name)),
                Place::InitEnvFrom => {
                    let init = init.get_or_insert_with(|| ending_container(image));
                    push(init, "envFrom", env_from(config_map, name));
                }
                Place::Key => {
                    let field = if config_map {
                        "configMapKeyRef"
                    } else {
                        "secretKeyRef"
                    };
                    let variable = json!({ "name": format!("VALUE_{number}"), "valueFrom": { field: { "name": name, "key": KEY } } });
                    push(&mut main, "env", variable);
                }
                Place::Volume | Place::Projected => {
                    let volume = format!("v{number}");
                    let mount =
                        json!({ "name": volume, "mountPath": format!("/{volume}"), "readOnly": true });
                    push(&mut main, "volumeMounts", mount);
                    volumes.push(volume_of(&volume, config_map, name, *place));
                }
            }
        }
        let labels = json!({ "app": self.name });
        let mut annotations = json!({ "reloader.stakater.com/auto": "true" });
        if let Some(pause) = self.pause {
            annotations["deployment.reloader.stakater.com/pause-period"] = pause.into();
        }
        let mut spec = json!({
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": {
                "containers": [main], "volumes": volumes, "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
            } },
        });
        if let Some(init) = init {
            spec["template"]["spec"]["initContainers"] = json!([init]);
        }
        match self.kind {
            WorkloadKind::DaemonSet if !has_pod => {
                spec["template"]["spec"]["nodeSelector"] = json!({ NO_NODE: "none" });
            }
            WorkloadKind::DaemonSet => {}
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                spec["replicas"] = i32::from(has_pod).into();
            }
        }
        if self.kind == WorkloadKind::StatefulSet {
            spec["serviceName"] = self.name.as_str().into();
        }
        json!({
            "metadata": { "name": self.name, "labels": { LABEL.0: LABEL.1 }, "annotations": annotations },
            "spec": spec,
        })
    }
}

/// One that any Pod Security Standard allows.
fn container(name: &str, image: &str) -> Value {
    json!({
        "name": name, "image": image,
        "resources": { "requests": { "cpu": "1m", "memory": "4Mi" } },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "runAsUser": 65535, "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
        },
    })
}

/// `pause -v` prints its version and ends.
fn ending_container(image: &str) -> Value {
    let mut init = container("init", image);
    init["args"] = json!(["-v"]);
    init
}

fn env_from(config_map: bool, name: &str) -> Value {
    let field = if config_map { "configMapRef" } else { "secretRef" };
    json!({ field: { "name": name } })
}

fn volume_of(volume: &str, config_map: bool, name: &str, place: Place) -> Value {
    match (place, config_map) {
        (Place::Projected, true) => {
            json!({ "name": volume, "projected": { "sources": [{ "configMap": { "name": name } }] } })
        }
        (Place::Projected, false) => {
            json!({ "name": volume, "projected": { "sources": [{ "secret": { "name": name } }] } })
        }
        (_, true) => json!({ "name": volume, "configMap": { "name": name } }),
        (_, false) => json!({ "name": volume, "secret": { "secretName": name } }),
    }
}

fn push(container: &mut Value, list: &str, item: Value) {
    match container[list].as_array_mut() {
        Some(items) => items.push(item),
        None => container[list] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};

    use super::*;
    use crate::cluster::shapes::{Scenario, Sizes};

    #[test]
    fn every_manifest_is_of_its_kind() {
        let sizes = Sizes {
            config_maps: 9,
            secrets: 5,
            workloads: 4,
            namespaces: 2,
            rate: 1,
        };
        for scenario in Scenario::value_variants() {
            let shape = scenario.shape(&sizes);
            for workload in &shape.workloads {
                let manifest = workload.manifest(&shape.sources, "pause", true);
                let parsed = match workload.kind {
                    WorkloadKind::Deployment => serde_json::from_value::<Deployment>(manifest).map(drop),
                    WorkloadKind::StatefulSet => serde_json::from_value::<StatefulSet>(manifest).map(drop),
                    WorkloadKind::DaemonSet => serde_json::from_value::<DaemonSet>(manifest).map(drop),
                };
                assert!(parsed.is_ok(), "{scenario:?}: {parsed:?}");
            }
        }
    }
}
