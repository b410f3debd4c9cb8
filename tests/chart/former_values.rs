//! Values written for every chart that Stakater Reloader has had: a file for each distinct set of keys.
//!
//! Input: `former-values`, whose files have one key set to something and say which arguments that means; the keys are
//! upstream's, the files are not. Output: test results. I/O: runs Helm; writes a copy of the chart.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;
use testbed::binaries::Component;

use crate::{
    helm::{chart, copy_folder, in_repository, only, render, render_chart},
    program::{arguments, settings},
    readme::{first_cells, leaves},
};

/// What each of them has beside the arguments of its key.
const ALWAYS: [&str; 2] = ["--log-level=info", "--enable-ha=true"];
/// The files, in the order of the charts.
fn files() -> Vec<PathBuf> {
    let folder = in_repository("tests/chart/former-values");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 40, "{files:?}");
    files
}

/// The arguments that the first line of a file names, and those that every one has.
fn expected(text: &str) -> BTreeSet<String> {
    let line = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("# Arguments:"));
    let own: BTreeSet<String> = line.unwrap().split_whitespace().map(str::to_owned).collect();
    let is_own = |flag: &str| own.iter().any(|argument| argument.starts_with(flag));
    let shared = ALWAYS
        .into_iter()
        .filter(|argument| !is_own(argument.split_once('=').unwrap().0))
        .map(str::to_owned);
    shared.chain(own.clone()).collect()
}

/// Both as a file (`--values`), over this chart's own values, and as what `helm upgrade --reuse-values` renders: the values
/// of the former chart and none of this one's.
#[test]
fn each_set_of_keys_that_upstreams_chart_had_means_the_same_here() {
    let folder = tempfile::tempdir().unwrap();
    let reusing = folder.path().join("reloader");
    copy_folder(&chart(), &reusing);
    for path in files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let written = render(Component::Helm, &["--values", path.to_str().unwrap()]);
        fs::write(reusing.join("values.yaml"), &text).unwrap();
        let reused = render_chart(Component::Helm, &reusing, &[]);

        let deployment = only(&reused, "Deployment");
        let arguments: BTreeSet<String> = arguments(deployment).into_iter().collect();
        assert_eq!(arguments, expected(&text), "{name}");
        settings(deployment, name);
        assert_eq!(written, reused, "{name}");

        let labels = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(labels["app"], "reloader-reloader", "{name}");
        assert_eq!(labels["release"], "reloader", "{name}");
        let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
        let own = format!("reloader:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(image, Some(own.as_str()), "{name}");
    }
}

/// `false` is upstream's default: nobody said it, unless it stands in a file.
#[test]
fn an_openshift_false_that_is_carried_over_is_nobodys_decision() {
    let with_api = ["--api-versions=apps.openshift.io/v1"];
    let grants = |objects: &[Value]| {
        let rules = only(objects, "ClusterRole")["rules"].as_array().unwrap();
        rules
            .iter()
            .any(|rule| rule["apiGroups"][0] == "apps.openshift.io")
    };
    let defaults = in_repository("charts/reloader/ci/upstream-defaults-values.yaml");
    let folder = tempfile::tempdir().unwrap();
    let reusing = folder.path().join("reloader");
    copy_folder(&chart(), &reusing);
    fs::copy(&defaults, reusing.join("values.yaml")).unwrap();
    let reused = render_chart(Component::Helm, &reusing, &with_api);
    assert!(grants(&reused));
    let written = ["--values", defaults.to_str().unwrap()];
    let written = render(Component::Helm, &[&written[..], &with_api].concat());
    assert!(!grants(&written));
    assert!(grants(&render(Component::Helm, &with_api)));
}

#[test]
fn no_two_files_have_the_same_keys() {
    let mut sets = BTreeSet::new();
    for path in files() {
        let values: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut keys = BTreeSet::new();
        every_key(&values, "", &mut keys);
        assert!(sets.insert(keys), "{}", path.display());
    }
}

fn every_key(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        every_key(value, &path, into);
        into.insert(path);
    }
}

#[test]
fn the_readme_says_what_becomes_of_each_of_their_keys() {
    let mut rows = first_cells("upstream");
    rows.extend(first_cells("other-charts"));
    for path in files() {
        let values: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut keys = BTreeSet::new();
        leaves(&values, "", &mut keys);
        for key in keys {
            let is_there = rows
                .iter()
                .any(|row| *row == key || key.starts_with(&format!("{row}.")));
            assert!(is_there, "{}: {key} is in no table of the README", path.display());
        }
    }
}
