//! Sources and workloads for tests.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Secret},
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::World;

/// A ConfigMap with one key.
pub fn config_map(name: &str, value: &str) -> ConfigMap {
    from(json!({ "metadata": { "name": name }, "data": { "key": value } }))
}

/// A Secret with one key.
pub fn secret(name: &str, value: &str) -> Secret {
    from(json!({ "metadata": { "name": name }, "stringData": { "key": value } }))
}

/// A Deployment with these annotations and this pod spec.
pub fn deployment(name: &str, annotations: &[(&str, &str)], pod: &Value) -> Deployment {
    from(workload(name, annotations, &[], pod))
}

/// A StatefulSet with these annotations and this pod spec.
pub fn stateful_set(name: &str, annotations: &[(&str, &str)], pod: &Value) -> StatefulSet {
    let mut object = workload(name, annotations, &[], pod);
    object["spec"]["serviceName"] = json!(name);
    from(object)
}

/// A DaemonSet with these annotations and this pod spec.
pub fn daemon_set(name: &str, annotations: &[(&str, &str)], pod: &Value) -> DaemonSet {
    from(workload(name, annotations, &[], pod))
}

/// A workload as JSON: annotations of its own, annotations of its pod template, pod spec.
pub fn workload(name: &str, annotations: &[(&str, &str)], template: &[(&str, &str)], pod: &Value) -> Value {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    json!({
        "metadata": { "name": name, "annotations": map(annotations) },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name }, "annotations": map(template) },
                "spec": pod,
            },
        },
    })
}

/// A pod with one container `main` that takes a whole ConfigMap as its environment.
pub fn pod_with_config_map(name: &str) -> Value {
    json!({ "containers": [{ "name": "main", "image": "none", "envFrom": [{ "configMapRef": { "name": name } }] }] })
}

/// A pod with one container `main` that uses no source.
pub fn plain_pod() -> Value {
    json!({ "containers": [{ "name": "main", "image": "none" }] })
}

/// Reads a Kubernetes object from JSON.
pub fn from<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object of that kind")
}

impl World {
    /// Sets the one key of a ConfigMap.
    pub async fn change_config_map(&self, name: &str, value: &str) {
        let body = json!({ "data": { "key": value } });
        let api = self.api::<ConfigMap>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await
            .expect("the ConfigMap changes");
    }

    /// Sets the one key of a Secret.
    pub async fn change_secret(&self, name: &str, value: &str) {
        let body = json!({ "stringData": { "key": value } });
        let api = self.api::<Secret>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await
            .expect("the Secret changes");
    }
}
