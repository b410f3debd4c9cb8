//! The patches of `defects/` still fit the controller.
//!
//! I/O: reads files of the repository.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::{fs, path::Path};

/// What a hunk expects, and in which file: the lines that it keeps or takes out.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut hunks: Vec<(String, String)> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            path.clone_into(&mut file);
        } else if line.starts_with("@@ ") {
            hunks.push((file.clone(), String::new()));
        } else if line.starts_with("diff ") || line.starts_with("--- ") {
            file.clear();
        } else if let (Some((_, text)), Some(kept)) = (hunks.last_mut(), line.strip_prefix([' ', '-'])) {
            text.push_str(kept);
            text.push('\n');
        }
    }
    hunks
}

#[test]
fn every_patch_fits_the_controller() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in fs::read_dir(here.join("defects")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let hunks = hunks(&text);
        assert!(!hunks.is_empty(), "{} has no hunk", path.display());
        for (file, expected) in hunks {
            let source = fs::read_to_string(here.join("..").join(&file)).unwrap();
            let places = source.matches(&expected).count();
            assert_eq!(
                places,
                1,
                "{}: {file} has {places} of\n{expected}",
                path.display()
            );
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("crate::defect::is(\"{name}\")")), "{name}");
        assert!(
            text.lines().next().unwrap().ends_with('.'),
            "{name} says what it takes out"
        );
    }
    assert!(count >= 15, "{count} defects");
}
