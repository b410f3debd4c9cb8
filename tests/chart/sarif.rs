//! What `reloader lint -o sarif` writes, compared with OASIS' schema of SARIF 2.1.0.
//!
//! The schema is not kept here: a Go module of `definitions/go.mod` has it, pinned by its hash. Helm compares values with a
//! schema before it renders a chart, so it does for any JSON.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use testbed::binaries::Component;

use crate::{
    definitions::modules,
    helm::{run, text},
};

const MODULE: &str = "github.com/owenrumney/go-sarif/v3";
/// The schema, as a constant between backticks.
const FILE: &str = "pkg/report/v210/sarif/schema.go";

/// A warning, two notes, and names that a URI has to escape.
const FILES: [(&str, &str); 3] = [
    (
        "deploy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n    \
         reloader.stakater.com/reload: settings\n    reloader.stakater.com/auto: \"true\"\nspec:\n  template:\n    spec:\n      \
         containers:\n      - { name: main, image: web }\n",
    ),
    (
        "a b%\u{fc}.yaml",
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: \"\\e[31m\"\n  annotations:\n    \
         secret.reloader.stakater.com/relaod: absent\nspec:\n  template:\n    spec:\n      containers:\n      - { name: main }\n",
    ),
    (
        "right.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n",
    ),
];

/// What Helm says of the value against the schema.
fn validate(folder: &Path, value: &Value) -> Result<(), String> {
    let values = folder.join("values.json");
    fs::write(&values, value.to_string()).unwrap();
    let output = run(
        Component::Helm,
        &[
            "template",
            folder.join("chart").to_str().unwrap(),
            "--values",
            values.to_str().unwrap(),
        ],
    );
    if output.status.success() {
        Ok(())
    } else {
        Err(text(&output))
    }
}

#[test]
fn what_lint_writes_for_code_scanners_is_sarif() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("chart");
    fs::create_dir(&chart).unwrap();
    fs::write(
        chart.join("Chart.yaml"),
        "apiVersion: v2\nname: sarif\nversion: 1.0.0\n",
    )
    .unwrap();
    let source = fs::read_to_string(modules()[MODULE].join(FILE)).unwrap();
    let schema = source.split('`').nth(1).unwrap();
    assert!(schema.contains("sarif-schema-2.1.0.json"), "{schema}");
    fs::write(chart.join("values.schema.json"), schema).unwrap();

    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    for (name, text) in FILES {
        fs::write(files.join(name), text).unwrap();
    }
    let lint = |folder: &Path| -> Value {
        let mut lint = Command::new(env!("CARGO_BIN_EXE_reloader"));
        let output = lint
            .args(["lint", "-o", "sarif", "-f"])
            .arg(folder)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    };
    let mut sarif = lint(&files);
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() >= 3, "{sarif:#}");
    assert_eq!(validate(folder.path(), &sarif), Ok(()));
    let none = folder.path().join("none");
    fs::create_dir(&none).unwrap();
    assert_eq!(validate(folder.path(), &lint(&none)), Ok(()));

    // A schema that accepts anything would be noticed.
    sarif["runs"][0]["results"][0]["level"] = "fatal".into();
    let refused = validate(folder.path(), &sarif).unwrap_err();
    assert!(refused.contains("level"), "{refused}");
}
