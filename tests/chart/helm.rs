//! Running Helm on the chart, and the other tools.
//!
//! Input: profiles of `charts/reloader/ci` and further arguments. Output: what Helm prints, or the objects it renders.
//! I/O: runs tools; compiles those that are missing.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;
use testbed::binaries::{Binaries, Component};

static TOOLS: LazyLock<Binaries> = LazyLock::new(|| Binaries::locate(&Component::TOOLS).expect("tools"));

/// A file or folder of this repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of this repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The YAML of a file of this repository.
pub fn read_yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn chart() -> PathBuf {
    in_repository("charts/reloader")
}

pub fn path_of(tool: Component) -> &'static Path {
    TOOLS.path(tool).expect("all of them were located")
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A tool with arguments, run to its end.
pub fn run(tool: Component, arguments: &[&str]) -> Output {
    // No user's own configuration, plugins or repositories.
    let home = tempfile::tempdir().unwrap();
    Command::new(path_of(tool))
        .args(arguments)
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .output()
        .unwrap()
}

/// Everything that was printed.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The value files of `charts/reloader/ci`.
pub fn profiles() -> Vec<String> {
    let mut profiles: Vec<String> = std::fs::read_dir(chart().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    profiles.sort();
    assert!(profiles.len() >= 12, "{profiles:?}");
    profiles
}

/// The objects that a chart renders to as a release in a namespace, as if every API were installed.
pub fn render_release(
    helm: Component,
    chart: &Path,
    (release, namespace): (&str, &str),
    arguments: &[&str],
) -> Vec<Value> {
    let fixed = [
        "template",
        release,
        chart.to_str().unwrap(),
        "--namespace",
        namespace,
        // What a Helm that was built from its module takes a cluster for is far older than the chart allows.
        "--kube-version=1.36",
        "--api-versions=monitoring.coreos.com/v1",
        "--api-versions=autoscaling.k8s.io/v1",
    ];
    let output = run(helm, &[&fixed[..], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// The objects that a chart renders to as release `reloader` in namespace `tools`.
pub fn render_chart(helm: Component, chart: &Path, arguments: &[&str]) -> Vec<Value> {
    render_release(helm, chart, ("reloader", "tools"), arguments)
}

/// The same of this repository's chart.
pub fn render(helm: Component, arguments: &[&str]) -> Vec<Value> {
    render_chart(helm, &chart(), arguments)
}

/// The objects of a text of several YAML documents, in its order.
pub fn documents(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    objects.retain(|object| !object.is_null());
    objects
}

/// The same, sorted by kind, namespace and name.
pub fn objects(text: &str) -> Vec<Value> {
    let mut objects = documents(text);
    let key = |object: &Value| {
        let metadata = &object["metadata"];
        format!(
            "{} {} {}",
            object["kind"], metadata["namespace"], metadata["name"]
        )
    };
    objects.sort_by_key(key);
    objects
}

/// The only object of a kind.
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "several of kind {kind}");
    object
}
