//! Definitions of the custom resources that the chart renders objects of, as the projects publish them that own them.
//!
//! Input: `definitions/go.mod`, whose `go.sum` pins the projects' modules by hash. Output: kinds that the API server
//! serves. I/O: runs `go mod download`, which fills Go's module cache; writes to the API server.

use std::{collections::BTreeMap, path::PathBuf, process::Command, time::Duration};

use kube::{Client, api::ListParams};
use serde_json::{Deserializer, Value, json};
use testbed::eventually;

use crate::{
    admission::{api_of, apply},
    helm::{documents, in_repository},
};

/// Files of a module.
const FILES: [(&str, &str); 4] = [
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    (
        "k8s.io/autoscaler/vertical-pod-autoscaler",
        "deploy/vpa-v1-crd-gen.yaml",
    ),
];
const PATIENCE: Duration = Duration::from_mins(1);

/// Where Go has put each module.
pub fn modules() -> BTreeMap<String, PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json"])
        .current_dir(in_repository("tests/chart/definitions"))
        .output()
        .expect("go; install it from https://go.dev/dl");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Deserializer::from_slice(&output.stdout)
        .into_iter::<Value>()
        .map(|module| {
            let module = module.unwrap();
            let text = |key: &str| module[key].as_str().unwrap().to_owned();
            (text("Path"), text("Dir").into())
        })
        .collect()
}

/// Makes the API server serve every kind that is defined there; gives the kinds.
pub async fn install(client: &Client) -> Vec<String> {
    let modules = modules();
    let mut kinds = Vec::new();
    for (module, file) in FILES {
        let path = modules[module].join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for definition in documents(&text) {
            apply(client, &definition).await.unwrap();
            let spec = &definition["spec"];
            let kind = spec["names"]["kind"].as_str().unwrap();
            let versions = spec["versions"].as_array().unwrap();
            for version in versions.iter().filter(|version| version["served"] == true) {
                let api_version = format!(
                    "{}/{}",
                    spec["group"].as_str().unwrap(),
                    version["name"].as_str().unwrap()
                );
                wait_until_served(client, &api_version, kind).await;
            }
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

async fn wait_until_served(client: &Client, api_version: &str, kind: &str) {
    let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": {} });
    eventually(
        PATIENCE,
        &format!("{api_version} {kind} to be served"),
        async || {
            let api = api_of(client, &object).await?;
            api.list(&ListParams::default()).await.map(|_| Some(()))
        },
    )
    .await
    .unwrap();
}
