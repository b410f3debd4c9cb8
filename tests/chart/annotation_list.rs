//! The chart's list of annotations, compared with the program's.

#[path = "../layering/source.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "`tests/layering.rs` uses the rest of this file"
)]
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use clap::CommandFactory;
use reloader::{
    args::Args,
    model::{AnnotationKeys, opt_in::FIXED_KEYS},
};
use serde_json::Value;

use crate::helm::{in_repository, read_yaml};

const LIST: &str = "charts/reloader/files/annotations.yaml";

fn texts(value: &Value) -> BTreeSet<String> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// A column of the annotations that flags rename.
fn renamed(column: &str) -> Vec<String> {
    let list = read_yaml(LIST);
    let rows = list["renamed"].as_array().unwrap().iter();
    rows.map(|row| row[column].as_str().unwrap().to_owned()).collect()
}

/// Every annotation that the chart knows by its default name.
pub fn known() -> BTreeSet<String> {
    let mut known = texts(&read_yaml(LIST)["fixed"]);
    known.extend(renamed("default"));
    known
}

#[test]
fn the_chart_knows_the_annotations_that_flags_rename() {
    let keys = AnnotationKeys::default();
    let programs: BTreeSet<String> = keys.all().map(str::to_owned).collect();
    let charts: BTreeSet<String> = renamed("default").into_iter().collect();
    assert_eq!(charts, programs);

    // Each under the flag that has it as its default.
    let command = Args::command();
    let defaults: BTreeMap<&str, &str> = command
        .get_arguments()
        .filter_map(|flag| Some((flag.get_long()?, flag.get_default_values().first()?.to_str()?)))
        .collect();
    for (flag, default) in renamed("flag").iter().zip(renamed("default")) {
        assert_eq!(defaults.get(flag.as_str()), Some(&default.as_str()), "{flag}");
    }
}

/// The constants of production code whose value has the form of an annotation.
fn constants() -> BTreeSet<String> {
    let mut sources = Vec::new();
    let mut folders = vec![in_repository("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
                sources.push(source::SourceFile {
                    path: relative.to_str().unwrap().to_owned(),
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let mut found = BTreeSet::new();
    for file in source::production_only(&sources) {
        for line in file.text.lines().map(str::trim_start) {
            // Indented ones are those of tests and helpers.
            let value = line
                .split_once(": &str = \"")
                .and_then(|(_, rest)| rest.split_once('"'));
            if let Some((value, _)) =
                value.filter(|_| line.contains("const ") && file.text.contains(&format!("\n{line}")))
            {
                found.extend(
                    value
                        .split_once("reloader.stakater.com/")
                        // With a value it is a selector of labels.
                        .filter(|(_, name)| !name.is_empty() && !name.contains('='))
                        .map(|_| value.to_owned()),
                );
            }
        }
    }
    found
}

#[test]
fn the_chart_knows_every_annotation_that_the_program_writes() {
    let fixed = texts(&read_yaml(LIST)["fixed"]);
    for key in FIXED_KEYS {
        assert!(fixed.contains(key), "{key}");
    }
    let mut constants = constants();
    assert!(
        constants.remove("reloader.stakater.com/ledger"),
        "the ledger's label, no annotation: {constants:?}"
    );
    assert_eq!(fixed, constants);
}

#[test]
fn what_users_mean_is_something_that_exists() {
    let keys: BTreeSet<String> = renamed("key").into_iter().collect();
    let known = known();
    for (written, meant) in read_yaml(LIST)["meant"].as_object().unwrap() {
        assert!(!known.contains(written), "{written} is known");
        assert!(texts(meant).is_subset(&keys), "{written}: {meant}");
    }
}
