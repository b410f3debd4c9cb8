//! What a mode is tried on: sources, a workload of each kind that uses them, and the kinds themselves.
//!
//! Input: the program's settings. Output: objects, and how often each workload was restarted. I/O: none.

use std::sync::Arc;

use reloader::{
    config::Config,
    model::{SourceKind, WorkloadKind},
};
use serde_json::{Value, json};
use testbed::Entry;

/// Group of the Secrets Store CSI driver's kinds.
const CSI: &str = "secrets-store.csi.x-k8s.io";
/// Those two: kind and plural.
const CSI_KINDS: [(&str, &str); 2] = [
    ("SecretProviderClass", "secretproviderclasses"),
    ("SecretProviderClassPodStatus", "secretproviderclasspodstatuses"),
];
/// What every source is called.
const SOURCE: &str = "settings";

fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

/// Definitions of the kinds that a cluster does not have by itself.
pub fn definitions(config: &Config) -> Vec<Value> {
    let is_foreign = |kind: &WorkloadKind| !["apps", "batch"].contains(&kind.group());
    let kinds = config.kinds().into_iter().filter(is_foreign);
    let mut all: Vec<Value> = kinds
        .map(|kind| definition(kind.group(), kind.version(), kind.as_str(), kind.plural()))
        .collect();
    if config.integrations.csi {
        all.extend(CSI_KINDS.map(|(kind, plural)| definition(CSI, "v1", kind, plural)));
    }
    all
}

/// The kinds that are restarted; in webhook mode none is.
pub fn restarted(config: &Config) -> Vec<WorkloadKind> {
    match config.webhook {
        Some(_) => Vec::new(),
        None => config.kinds(),
    }
}

/// The sources that are watched, with a content that shows `round`.
pub fn sources(config: &Config, namespace: &str, round: usize) -> Vec<Value> {
    let metadata = json!({ "name": SOURCE, "namespace": namespace, "labels": { "reload": "yes" } });
    let round = round.to_string();
    let mut all = Vec::new();
    if config.filters.ignored_source != Some(SourceKind::ConfigMap) {
        all.push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "key": round } }));
    }
    if config.filters.ignored_source != Some(SourceKind::Secret) {
        all.push(
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { "key": round } }),
        );
    }
    if config.integrations.csi {
        let metadata = json!({ "name": SOURCE, "namespace": namespace });
        all.push(
            json!({ "apiVersion": format!("{CSI}/v1"), "kind": CSI_KINDS[0].0, "metadata": metadata, "spec": {} }),
        );
        all.push(json!({
            "apiVersion": format!("{CSI}/v1"), "kind": CSI_KINDS[1].0, "metadata": metadata,
            "status": {
                "podName": SOURCE, "mounted": true, "secretProviderClassName": SOURCE,
                "objects": [{ "id": "password", "version": round }],
            },
        }));
    }
    all
}

fn pod(config: &Config) -> Value {
    let mut container = json!({ "name": "main", "image": "none", "envFrom": [
        { "configMapRef": { "name": SOURCE, "optional": true } }, { "secretRef": { "name": SOURCE, "optional": true } },
    ] });
    if !config.integrations.csi {
        return json!({ "containers": [container] });
    }
    container["volumeMounts"] = json!([{ "name": "store", "mountPath": "/mnt" }]);
    let driver = json!({ "driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": { "secretProviderClass": SOURCE } });
    json!({ "containers": [container], "volumes": [{ "name": "store", "csi": driver }] })
}

/// What a workload of that kind is called.
fn name_of(kind: WorkloadKind) -> String {
    kind.as_str().to_lowercase()
}

/// A workload of that kind that uses the sources and is to be restarted for them.
pub fn workload(config: &Config, kind: WorkloadKind, namespace: &str) -> Value {
    let name = name_of(kind);
    let mut pod = pod(config);
    if matches!(kind, WorkloadKind::CronJob | WorkloadKind::Job) {
        pod["restartPolicy"] = "Never".into();
    }
    let template = json!({ "metadata": { "labels": { "app": name } }, "spec": pod });
    let fields = kind.template_path();
    let mut object = fields
        .iter()
        .rev()
        .fold(template, |inner, field| json!({ *field: inner }));
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.as_str().into();
    object["metadata"] = json!({
        "name": name, "namespace": namespace, "annotations": { config.annotations.auto.as_str(): "true" },
    });
    match kind {
        WorkloadKind::CronJob => object["spec"]["schedule"] = "0 0 1 1 *".into(),
        WorkloadKind::Job => {}
        _ => object["spec"]["selector"] = json!({ "matchLabels": { "app": name } }),
    }
    object
}

/// How often the workload of that kind was restarted, by the program's successful requests.
pub fn restarts(kind: WorkloadKind, namespace: &str, requests: &[Arc<Entry>]) -> usize {
    let name = name_of(kind);
    let is_restart = |entry: &&Arc<Entry>| match kind {
        WorkloadKind::CronJob => {
            // Named after the CronJob and a hash.
            entry.verb == "create" && entry.resource == "jobs" && entry.name.starts_with(&format!("{name}-"))
        }
        WorkloadKind::Job => entry.verb == "create" && entry.is_about("jobs", namespace, &name),
        _ => {
            entry.verb == "patch"
                && entry.group == kind.group()
                && entry.is_about(kind.plural(), namespace, &name)
        }
    };
    let in_namespace = requests
        .iter()
        .filter(|entry| entry.namespace == namespace && entry.succeeded());
    in_namespace.filter(is_restart).count()
}
