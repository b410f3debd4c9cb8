//! What is generated, held to what it is generated from; and the version, to the only place it is written.

use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use testbed::binaries::Component;

use crate::helm::{in_repository, objects, only, path_of, read, read_yaml, render, run};

#[rstest]
#[case::everything("deployments/kubernetes/reloader.yaml")]
#[case::permissions("deployments/kubernetes/rbac.yaml")]
#[case::budget("deployments/overlays/ha/poddisruptionbudget.yaml")]
#[case::role("deployments/overlays/single-namespace/role.yaml")]
#[case::defaults("charts/reloader/files/defaults.yaml")]
fn generated_files_are_current(#[case] file: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(in_repository("deployments/generate.sh"))
        .args([path_of(Component::Helm), folder.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let generated = std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert!(
        generated == read(file),
        "{file} is out of date: run `make manifests`"
    );
}

#[test]
fn the_chart_has_the_programs_version() {
    let chart = read_yaml("charts/reloader/Chart.yaml");
    for key in ["version", "appVersion"] {
        assert_eq!(chart[key], env!("CARGO_PKG_VERSION"), "Chart.yaml: {key}");
    }
}

/// The text between a line that begins with `heading` and the next heading of the same level.
fn under(text: &str, heading: &str) -> String {
    let level = heading.split_once(' ').unwrap().0;
    let lines = text.lines().skip_while(|line| !line.starts_with(heading));
    let section = lines
        .enumerate()
        .take_while(|(number, line)| *number == 0 || line.split(' ').next() != Some(level));
    section.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// Artifact Hub shows them beside the version: those of the version before would be wrong.
#[test]
fn the_charts_changes_are_those_of_its_version() {
    let chart = read_yaml("charts/reloader/Chart.yaml");
    let changes = chart["annotations"]["artifacthub.io/changes"].as_str().unwrap();
    let changes: Vec<Value> = serde_saphyr::from_str(changes).unwrap();
    assert!(!changes.is_empty());
    let version = format!("## [{}]", chart["version"].as_str().unwrap());
    let section = under(&read("CHANGELOG.md"), &version);
    for change in changes {
        // Artifact Hub's kinds are the changelog's headings.
        let kind = change["kind"].as_str().unwrap();
        let heading = format!("### {}{}", kind[..1].to_uppercase(), &kind[1..]);
        let listed = under(&section, &heading)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let description = change["description"].as_str().unwrap();
        assert!(
            listed.contains(description),
            "CHANGELOG.md does not say under {version}, {heading}: {description}"
        );
    }
}

/// The rules of one kind of role among objects.
fn rules(objects: &[Value], kind: &str) -> Vec<Value> {
    only(objects, kind)["rules"].as_array().unwrap().clone()
}

/// What is granted by a further file is what the chart grants for the setting.
#[rstest]
#[case::csi("rbac-csi.yaml", "reloader.enableCSIIntegration=true")]
#[case::argo_rollouts("rbac-argo-rollouts.yaml", "reloader.isArgoRollouts=true")]
fn optional_permissions_match_the_chart(#[case] file: &str, #[case] setting: &str) {
    let further = objects(&read(&format!("deployments/kubernetes/{file}")));
    let mut sum = rules(&objects(&read("deployments/kubernetes/rbac.yaml")), "ClusterRole");
    sum.extend(rules(&further, "ClusterRole"));
    let mut granted = rules(&render(Component::Helm, &["--set", setting]), "ClusterRole");
    let by_text = |rule: &Value| rule.to_string();
    sum.sort_by_key(by_text);
    granted.sort_by_key(by_text);
    assert_eq!(sum, granted);
}

/// The package that is published has the addresses that the repository's chart cannot have.
#[test]
fn the_published_chart_names_its_icon_and_source() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://forge.example/owner/reloader";
    let output = Command::new(in_repository(".ci/chart"))
        .arg(path_of(Component::Helm))
        .arg(url)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let version = env!("CARGO_PKG_VERSION");
    let package = folder.path().join(format!("reloader-{version}.tgz"));
    let shown = run(Component::Helm, &["show", "chart", package.to_str().unwrap()]);
    assert!(shown.status.success(), "{shown:?}");
    let shown: Value = serde_saphyr::from_str(&String::from_utf8(shown.stdout).unwrap()).unwrap();
    assert_eq!(shown["home"], url);
    assert_eq!(shown["sources"][0], url);
    assert_eq!(shown["icon"], format!("{url}/raw/v{version}/docs/icon.svg"));
    assert!(in_repository("docs/icon.svg").exists());
    assert_eq!(shown["name"], "reloader");
}
