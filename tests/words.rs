//! Words that user-visible text must not contain, because the field has better ones; CONTRIBUTING.md has the rule.
//!
//! Input: documentation, the chart's texts, the help of flags, and string literals of the folders in [`SOURCE`]. Output:
//! one line for each word found, with what to write instead. I/O: reads the package's files.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

#[path = "layering/source.rs"]
#[allow(dead_code, reason = "`tests/layering.rs` uses the rest of this file")]
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{SourceFile, literals, production_only};

/// A word or phrase, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("nobody", "no replica, no workload, no client"),
    ("nobody's", "no replica's, unused"),
    ("somebody", "another client, a user"),
    ("somebody's", "another client's"),
    ("anybody", "any workload, any client"),
    ("anybody's", "any client's"),
    ("everybody", "every workload, every replica"),
    ("whoever", "name it: the next leader, a client, a user who"),
    ("told", "reported, sent, asked to, distinguished"),
    ("tells", "shows, reports, names"),
    ("afresh", "again"),
    ("anew", "again"),
    ("doubt", "unconfirmed"),
    ("hearsay", "from the ledger"),
    ("rights", "permissions"),
    ("a right", "a permission"),
    ("no right", "no permission"),
    ("missing right", "missing permission"),
    ("and its kin", "and similar"),
    ("fell silent", "stopped renewing"),
    ("least level", "minimum level"),
    ("begun again", "restarted"),
    ("for want of", "without"),
    ("is believed", "is trusted"),
    ("is said once", "is reported once"),
    ("said once", "reported once"),
    ("as of late", "recently"),
    ("is to be", "must be, will be"),
    ("held against", "compared with, matched against"),
    ("held to", "compared with, limited to"),
];

/// Text that may contain a word all the same: a file, the text around the word, and the reason.
const ALLOWED: &[(&str, &str, &str)] = &[(
    "CONTRIBUTING.md",
    "Permissions, not rights.",
    "the rule itself names the word",
)];

/// Folders and files of documentation, with the extensions to read; subfolders are not entered.
const PAGES: &[(&str, &[&str])] = &[
    ("", &["md"]),
    ("docs", &["md"]),
    ("docs/adr", &["md"]),
    ("loadtest", &["md"]),
    ("charts/reloader", &["md", "yaml", "json"]),
    ("charts/reloader/files", &["yaml", "json"]),
    ("charts/reloader/templates", &["yaml", "tpl", "txt"]),
    ("deployments/kubernetes", &["yaml"]),
    ("deployments/kubernetes/nginx", &["md", "yaml"]),
    ("deployments/overlays/ha", &["yaml"]),
    ("deployments/overlays/single-namespace", &["yaml"]),
];

/// Source whose string literals are checked: folders, and files without `.rs`.
const SOURCE: &[&str] = &["src"];

/// Source whose doc comments are help texts.
const HELP: &str = "src/args";

/// A word with the number of the line it is in.
type Token = (usize, String);

/// The words of a text in lower case, identifiers with underscores as one word.
fn tokens(text: &str, first_line: usize) -> impl Iterator<Item = Token> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '\'';
    text.lines().enumerate().flat_map(move |(number, line)| {
        // An escape is no letter of the word behind it.
        let line = line.replace("\\n", " ").to_lowercase();
        let words: Vec<Token> = line
            .split(|letter| !is_part(letter))
            .map(|word| word.trim_matches('\''))
            .filter(|word| !word.is_empty())
            .map(|word| (first_line + number, word.to_owned()))
            .collect();
        words
    })
}

/// The words and phrases of [`WORDS`] in a text, line ends within a phrase included, with the number of the line.
fn found(tokens: &[Token]) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    for start in 0..tokens.len() {
        for (phrase, instead) in WORDS {
            let mut rest = tokens[start..].iter().map(|(_, word)| word.as_str());
            if phrase.split(' ').all(|word| rest.next() == Some(word)) {
                found.push((tokens[start].0, *phrase, *instead));
            }
        }
    }
    found
}

/// The words of a source file that a user can see: literals, and where it defines flags the doc comments.
fn visible(file: &SourceFile) -> Vec<Token> {
    let is_visible = |literal: &str| {
        literal.contains('"') && !literal.starts_with('/')
            || literal.starts_with("///") && file.path.starts_with(HELP)
    };
    literals(&file.text)
        .into_iter()
        .filter(|(_, literal)| is_visible(literal))
        .flat_map(|(line, literal)| tokens(literal, line))
        .collect()
}

/// The section *Unreleased* of a changelog; what was released stays as it was published.
fn unreleased(changelog: &str) -> &str {
    let start = changelog.find("## [Unreleased]").unwrap();
    let section = &changelog[start..];
    section[1..]
        .find("\n## [")
        .map_or(section, |end| &section[..end + 2])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Every page with its words.
fn pages() -> Vec<(String, Vec<Token>)> {
    let mut pages = Vec::new();
    for (folder, extensions) in PAGES {
        for path in files(&root().join(folder)) {
            let extension = path.extension().unwrap_or_default().to_str().unwrap();
            if path.is_file() && extensions.contains(&extension) {
                let text = fs::read_to_string(&path).unwrap();
                let name = relative(&path);
                let text = if name == "CHANGELOG.md" {
                    unreleased(&text)
                } else {
                    &text
                };
                pages.push((name, tokens(text, 1).collect()));
            }
        }
    }
    pages
}

/// Every source file of [`SOURCE`].
fn sources() -> Vec<SourceFile> {
    let mut sources = Vec::new();
    for module in SOURCE {
        let mut paths = vec![root().join(format!("{module}.rs")), root().join(module)];
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(files(&path));
            } else if path.is_file() {
                sources.push(SourceFile {
                    path: relative(&path),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    production_only(&sources)
}

#[test]
fn user_visible_text_uses_the_fields_words() {
    let mut texts = pages();
    let sources = sources();
    assert!(texts.len() > 30 && sources.len() > 10, "not every text was found");
    texts.extend(sources.iter().map(|file| (file.path.clone(), visible(file))));
    let mut wrong = Vec::new();
    for (name, tokens) in &texts {
        let allowed: Vec<usize> = ALLOWED
            .iter()
            .filter(|(file, ..)| file == name)
            .flat_map(|(_, around, _)| lines_of(tokens, around))
            .collect();
        for (line, word, instead) in found(tokens) {
            if !allowed.contains(&line) {
                wrong.push(format!("{name}:{line}: \"{word}\"; better: {instead}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The lines in which a text appears.
fn lines_of(text: &[Token], around: &str) -> Vec<usize> {
    let around: Vec<String> = tokens(around, 1).map(|(_, word)| word).collect();
    text.windows(around.len())
        .filter(|window| window.iter().map(|(_, word)| word).eq(&around))
        .map(|window| window[0].0)
        .collect()
}

#[test]
fn every_exception_is_needed_and_has_a_reason() {
    for (file, around, reason) in ALLOWED {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let tokens: Vec<Token> = tokens(&text, 1).collect();
        assert!(!lines_of(&tokens, around).is_empty(), "{file} has no {around:?}");
        assert!(!reason.is_empty(), "{file}: {around:?}");
    }
}

fn found_in(text: &str) -> Vec<(usize, &'static str)> {
    let tokens: Vec<Token> = tokens(text, 1).collect();
    found(&tokens)
        .into_iter()
        .map(|(line, word, _)| (line, word))
        .collect()
}

#[test]
fn words_and_phrases_are_found_with_their_lines() {
    let text = "A *Nobody* reads it.\nThe pod needs a\nright. Nobody's pod.\n";
    assert_eq!(found_in(text), [(1, "nobody"), (2, "a right"), (3, "nobody's")]);
}

#[test]
fn names_and_longer_words_are_left_alone() {
    assert_eq!(
        found_in("`a_deleted_nobody_test`, doubtful, retold, alright, 'nobodies'"),
        []
    );
}

#[test]
fn of_source_only_what_users_see_is_read() {
    let text = r#"
        //! told in the documentation of a module
        /// told in a help text
        fn told() { // told in a comment
            print("one\ntold \"so\"", 'x');
        }
        #[cfg(test)]
        mod tests {
            /// told in a test
            const TEXT: &str = "told in a test";
        }
    "#;
    let lines = |path: &str| -> Vec<usize> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        found(&visible(&file))
            .into_iter()
            .map(|(line, ..)| line)
            .collect()
    };
    assert_eq!(lines("src/args/scope.rs"), [3, 5]);
    assert_eq!(lines("src/run.rs"), [5]);
}

#[test]
fn of_the_changelog_only_unreleased_text_is_read() {
    let changelog = "# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [1.0.0] - 2026-01-02\n\n- Old.\n";
    assert_eq!(unreleased(changelog), "## [Unreleased]\n\n- New.\n\n");
}
