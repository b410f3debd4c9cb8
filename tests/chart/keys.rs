//! The tree of keys that unknown ones are refused by, held to the schema, and the table of misplaced ones.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Map, Value};

use crate::helm::{read, read_yaml};

const KEYS: &str = "charts/reloader/files/keys.yaml";

fn schema() -> Value {
    serde_json::from_str(&read("charts/reloader/values.schema.json")).unwrap()
}

/// What a part of the schema refers to.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let several = part["allOf"].as_array().filter(|parts| parts.len() == 1);
    let inner = several.map_or(part, |parts| &parts[0]);
    match inner["$ref"].as_str() {
        Some(reference) => resolved(schema, schema.pointer(&reference[1..]).unwrap()),
        None => part,
    }
}

/// The known keys of a map, where the schema does not leave them to the user.
fn known(part: &Value) -> Option<&Map<String, Value>> {
    part["properties"]
        .as_object()
        .filter(|_| part["additionalProperties"].is_null())
}

fn is_map(part: &Value) -> bool {
    let types = part["type"].as_array();
    part["type"] == "object" || types.is_some_and(|types| types.iter().any(|name| name == "object"))
}

fn print(schema: &Value, keys: &Map<String, Value>, depth: usize, into: &mut String) {
    let sorted: BTreeSet<&String> = keys.keys().collect();
    for key in sorted {
        let part = resolved(schema, &keys[key]);
        let indent = "  ".repeat(depth);
        match known(part) {
            Some(below) => {
                writeln!(into, "{indent}{key}:").unwrap();
                print(schema, below, depth + 1, into);
            }
            None if is_map(part) => writeln!(into, "{indent}{key}: map").unwrap(),
            None => writeln!(into, "{indent}{key}: any").unwrap(),
        }
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_tree() {
    let schema = schema();
    let mut tree = String::new();
    print(&schema, known(&schema).unwrap(), 0, &mut tree);
    assert!(tree.lines().count() > 300);
    let text = read(KEYS);
    let (comments, keys): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let comments = comments.join("\n");
    assert!(
        keys.join("\n") == tree.trim_end(),
        "{KEYS} is out of date; this belongs there:\n\n{comments}\n{tree}"
    );
}

/// Helm checks the schema first, whose words name no other place.
#[test]
fn the_schema_leaves_unknown_keys_to_the_templates() {
    fn closed(part: &Value, path: &str, into: &mut Vec<String>) {
        // What is in a list, no template goes through.
        if part["additionalProperties"] == false && !path.contains("/items/") {
            into.push(path.to_owned());
        }
        for (key, below) in part.as_object().into_iter().flatten() {
            closed(below, &format!("{path}/{key}"), into);
        }
    }
    let mut found = Vec::new();
    closed(&schema(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// Whether there is a key of this path.
fn is_key(tree: &Value, path: &str) -> bool {
    let key = path.split('.').fold(tree, |below, step| &below[step]);
    !key.is_null()
}

#[test]
fn the_table_of_misplaced_keys_names_places_that_exist_and_each_row_is_tried() {
    let tree = read_yaml(KEYS);
    let template = read("charts/reloader/templates/_keys.tpl");
    let (_, table) = template
        .split_once("define \"reloader.misplaced\" -}}\n")
        .unwrap();
    let (table, _) = table.split_once("{{- end }}").unwrap();
    let tests = read("charts/reloader/tests/keys_test.yaml");
    assert!(table.lines().count() > 30);
    for line in table.lines() {
        let (key, places) = line.split_once(": ").unwrap();
        for place in places.split(", ") {
            assert!(is_key(&tree, place), "{key}: there is no {place}");
        }
        let is_tried = tests
            .lines()
            .filter_map(|line| line.strip_prefix("  - it: "))
            .any(|tried| tried == key || tried.ends_with(&format!(".{key}")));
        assert!(is_tried, "keys_test.yaml has no case for {key}");
    }
}
