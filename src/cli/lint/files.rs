//! Reads the files that are to be checked.
//!
//! Input: paths. Output: texts, and what could not be read. I/O: reads files, standard input.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// The endings of files that are read in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A file to check.
pub(super) struct File {
    /// As the user named it, or the path below the folder that the user named.
    pub(super) name: String,
    pub(super) text: String,
}

/// A file that could not be checked.
#[derive(Debug)]
pub(super) struct Problem(String);

impl Problem {
    pub(super) fn new(file: &str, error: &dyn fmt::Display) -> Self {
        Self(format!("{file}: cannot be read: {error}"))
    }

    /// It is neither YAML nor JSON.
    pub(super) fn unreadable(file: &str, text: &str, error: &dyn fmt::Display) -> Self {
        let error = error.to_string();
        // What follows is an excerpt, which may be of a Secret.
        let what = error.lines().next().unwrap_or_default();
        let hint = if text.contains("{{") {
            "; it looks like a template: render it first, as in `helm template CHART | reloader lint -f -`"
        } else {
            ""
        };
        Self(format!("{file}: is neither YAML nor JSON: {what}{hint}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(&self.0))
    }
}

/// A line of output, in which others' text neither controls a terminal nor begins a line of its own. A pipeline takes lines
/// that begin with `::` or `##[` for commands.
pub(super) fn line(text: &str) -> String {
    let shown = one_line(text);
    let is_command = ["::", "##["]
        .iter()
        .any(|start| shown.trim_start().starts_with(start));
    if is_command { format!("./{shown}") } else { shown }
}

/// The text with blanks for control characters.
pub(super) fn one_line(text: &str) -> String {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    text.chars()
        .map(|character| if breaks(character) { ' ' } else { character })
        .collect()
}

/// The files, those of folders in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> (Vec<File>, Vec<Problem>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            match io::stdin().read_to_string(&mut text) {
                Ok(_) => files.push(File {
                    name: "<stdin>".to_owned(),
                    text,
                }),
                Err(error) => problems.push(Problem::new("<stdin>", &error)),
            }
            continue;
        }
        let found = if path.is_dir() {
            below(path, &mut problems)
        } else {
            vec![path.clone()]
        };
        for path in found {
            let name = path.display().to_string();
            match fs::read_to_string(&path) {
                Ok(text) => files.push(File { name, text }),
                Err(error) => problems.push(Problem::new(&name, &error)),
            }
        }
    }
    (files, problems)
}

/// The files below a folder; hidden ones are left out, and links are not followed.
fn below(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                problems.push(Problem::new(&folder.display().to_string(), &error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let ending = path.extension().and_then(|ending| ending.to_str());
            match entry.file_type() {
                _ if is_hidden => {}
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}
