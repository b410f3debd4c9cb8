//! Holds `docs/compatibility.md` to the source: a row that names a test which does not exist proves nothing.
//!
//! Input: the document and the text of every test. Output: one line for each row that is wrong. I/O: reads the source
//! folder.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{collections::BTreeSet, fs, path::Path};

/// How many quirks upstream's behaviour has been found to have.
const QUIRKS: usize = 46;

/// The cells of every row of every table, headings and rules left out.
fn rows() -> Vec<Vec<String>> {
    let document = include_str!("../docs/compatibility.md");
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("| Test |");
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    document.lines().filter(is_row).map(cells).collect()
}

/// The names of all functions in the package's source, tests included.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let names = text.split("fn ").skip(1).filter_map(|rest| {
                    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
                    Some(rest[..end].to_owned())
                });
                found.extend(names);
            }
        }
    }
    found
}

#[test]
fn every_row_says_what_is_kept_and_names_tests_that_exist() {
    let functions = functions();
    let mut wrong = Vec::new();
    for row in rows() {
        let [id, _, here, tests] = row.as_slice() else {
            wrong.push(format!("not four cells: {row:?}"));
            continue;
        };
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if here.is_empty() || named.is_empty() {
            wrong.push(format!("{id}: no test"));
        }
        for test in named {
            // A file with tests of the chart.
            let is_there = if test.contains('/') {
                Path::new(env!("CARGO_MANIFEST_DIR")).join(test).is_file()
            } else {
                functions.contains(test)
            };
            if !is_there {
                wrong.push(format!("{id}: there is no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_quirk_is_left_out() {
    let ids: Vec<String> = rows().into_iter().map(|row| row[0].clone()).collect();
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "a row appears twice: {ids:?}");
    for quirk in 1..=QUIRKS {
        assert!(ids.contains(&format!("Q{quirk}")), "Q{quirk} is missing");
    }
}
