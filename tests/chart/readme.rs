//! The chart's README, held to its values and to those of Stakater Reloader's chart.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

use crate::helm::{read, read_yaml};

const README: &str = "charts/reloader/README.md";

/// The lines between `<!-- name -->` and `<!-- /name -->`.
pub fn section(name: &str) -> String {
    let readme = read(README);
    let (_, after) = readme.split_once(&format!("<!-- {name} -->\n")).unwrap();
    after
        .split_once(&format!("<!-- /{name} -->"))
        .unwrap()
        .0
        .to_owned()
}

/// A row for each value that values.yaml explains with a comment `# --`.
fn values_table() -> String {
    let values = read_yaml("charts/reloader/values.yaml");
    let mut table = "| Key | Default | Meaning |\n|---|---|---|\n".to_owned();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in read("charts/reloader/values.yaml").lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(text) = trimmed.strip_prefix("# -- ") {
            comment = Some(text.to_owned());
        } else if let Some(text) = trimmed.strip_prefix("# ") {
            if let Some(comment) = &mut comment {
                write!(comment, " {text}").unwrap();
            }
        } else if let Some((key, _)) = trimmed.split_once(':').filter(|(key, _)| !key.starts_with('-')) {
            path.retain(|(other, _)| *other < indent);
            path.push((indent, key.to_owned()));
            if let Some(meaning) = comment.take() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
                let default = &values[keys[0]];
                let default = keys[1..].iter().fold(default, |value, key| &value[*key]);
                writeln!(table, "| `{}` | `{default}` | {meaning} |", keys.join(".")).unwrap();
            }
        }
    }
    table
}

#[test]
fn every_value_is_in_the_table() {
    let table = values_table();
    assert!(table.lines().count() > 100);
    assert!(
        section("values") == table,
        "{README} is out of date; between <!-- values --> and <!-- /values --> belongs:\n\n{table}"
    );
}

/// Paths of what is not a map with fixed keys.
pub fn leaves(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    // Their keys are the user's.
    let open = [
        "matchLabels",
        "securityContext",
        "containerSecurityContext",
        "annotations",
        "labels",
        "nodeSelector",
        "affinity",
        "dnsConfig",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "open",
        "secret",
        "field",
        "existing",
        "service",
        "tlsConfig",
        "bearerTokenSecret",
        "maxAllowed",
        "minAllowed",
        "updatePolicy",
        "custom_annotations",
        "kubernetes",
    ];
    let name = path.rsplit('.').next().unwrap();
    match value.as_object() {
        Some(map) if !open.contains(&name) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(value, &path, into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

/// The keys that the rows of a table are about.
pub fn first_cells(name: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for row in section(name).lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split('|').nth(1).unwrap();
        keys.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    keys
}

#[test]
fn every_key_of_stakater_reloaders_chart_has_a_row() {
    let mut keys = BTreeSet::new();
    for profile in ["defaults", "everything"] {
        let values = read_yaml(&format!("charts/reloader/ci/upstream-{profile}-values.yaml"));
        leaves(&values, "", &mut keys);
    }
    assert!(keys.len() > 80, "{keys:?}");
    let rows = first_cells("upstream");
    assert_eq!(
        keys.difference(&rows).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "in the values of Stakater Reloader's chart, not in {README}"
    );
    assert_eq!(
        rows.difference(&keys).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "in {README}, not in ci/upstream-*-values.yaml"
    );
}

/// The table that the templates move values by says the same as the README.
#[test]
fn moved_keys_are_documented() {
    let template = read("charts/reloader/templates/_values.tpl");
    let (_, moves) = template.split_once("define \"reloader.moves\" -}}\n").unwrap();
    let (moves, _) = moves.split_once("{{- end }}").unwrap();
    let table = section("upstream") + &section("other-charts");
    assert!(moves.lines().count() > 30);
    for line in moves.lines() {
        let (old, new) = line.split_once(": ").unwrap();
        let documented = table.lines().any(|row| {
            let mut cells = row.split('|').skip(1);
            let (key, becomes) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            let names = |cell: &str, name: &str| {
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .any(|word| word == name || word.starts_with(&format!("{name}.")))
            };
            names(key, old) && names(becomes, new)
        });
        assert!(documented, "{README} does not say that {old} becomes {new}");
    }
}
