//! The commands of a page of the documentation. Input: its text; output: blocks of code by heading. I/O: reads the page.

use std::{cell::RefCell, collections::BTreeSet};

use super::in_repository;

/// In front of a block that no test runs, with the reason.
const NOT_RUN: &str = "<!-- not run: ";

/// A block of code.
pub struct Block {
    /// The last heading before it.
    pub heading: String,
    /// `sh`, `yaml` or nothing.
    pub language: String,
    pub text: String,
    /// Whether the page says that no test runs it.
    is_exempt: bool,
}

/// What the page's words stand for.
const WORDS: [(&str, &str); 4] = [
    (
        "github.com/OWNER/REPOSITORY/deployments/kubernetes?ref=VERSION",
        "deployments/kubernetes",
    ),
    ("RELEASE", "reloader"),
    ("REGISTRY", "registry.example"),
    ("VERSION", env!("CARGO_PKG_VERSION")),
];

/// Replaces a word that is not part of a longer one, as in `POD_NAMESPACE`.
fn replace(text: &str, word: &str, meaning: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut parts = text.split(word).peekable();
    let mut replaced = String::new();
    while let Some(part) = parts.next() {
        replaced += part;
        if let Some(next) = parts.peek() {
            let is_longer = replaced.ends_with(is_part) || next.starts_with(is_part);
            replaced += if is_longer { word } else { meaning };
        }
    }
    replaced
}

/// A page with its blocks.
pub struct Page {
    pub text: String,
    pub blocks: Vec<Block>,
    /// The text of those that a test asked for.
    used: RefCell<BTreeSet<String>>,
}

impl Page {
    pub fn read(path: &str) -> Self {
        Self::parse(std::fs::read_to_string(in_repository(path)).unwrap())
    }

    fn parse(text: String) -> Self {
        let (mut blocks, mut heading) = (Vec::<Block>::new(), String::new());
        let mut open: Option<(usize, Block)> = None;
        let mut before = "";
        for line in text.lines() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            match (&mut open, trimmed.strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block {
                        heading: heading.clone(),
                        language: language.to_owned(),
                        text: String::new(),
                        is_exempt: before.trim_start().starts_with(NOT_RUN),
                    };
                    open = Some((indent, block));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => {
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text += "\n";
                }
                (None, None) => {
                    before = line;
                    if let Some(title) = trimmed.strip_prefix('#') {
                        title.trim_start_matches('#').trim().clone_into(&mut heading);
                    }
                }
            }
        }
        Self {
            text,
            blocks,
            used: RefCell::default(),
        }
    }

    /// Fails if there is a block that was not asked for and is not marked as not run.
    pub fn assert_all_run(&self) {
        let forgotten = self.forgotten();
        assert!(
            forgotten.is_empty(),
            "no test runs these, and no `{NOT_RUN}…` is in front of them:\n{}",
            forgotten.join("\n")
        );
    }

    fn forgotten(&self) -> Vec<String> {
        let used = self.used.borrow();
        let blocks = self.blocks.iter();
        blocks
            .filter(|block| !block.is_exempt && !used.contains(&block.text))
            .map(|block| format!("{}:\n{}", block.heading, block.text))
            .collect()
    }

    /// The blocks of a language under a heading.
    pub fn under(&self, heading: &str, language: &str) -> Vec<&Block> {
        let is_wanted = |block: &&Block| block.heading == heading && block.language == language;
        self.blocks.iter().filter(is_wanted).collect()
    }

    /// One of them, with what its words stand for.
    pub fn block(&self, heading: &str, language: &str, number: usize, namespace: &str) -> String {
        let blocks = self.under(heading, language);
        let block = blocks
            .get(number)
            .unwrap_or_else(|| panic!("{heading}: no {language} block {number}"));
        self.used.borrow_mut().insert(block.text.clone());
        let words = WORDS.into_iter().chain([("NAMESPACE", namespace)]);
        words.fold(block.text.clone(), |text, (word, meaning)| {
            replace(&text, word, meaning)
        })
    }

    /// The commands of one of them.
    pub fn commands(&self, heading: &str, number: usize, namespace: &str) -> String {
        self.block(heading, "sh", number, namespace)
    }
}

#[test]
fn a_block_that_is_neither_run_nor_exempt_is_found() {
    let text = "# A\n```sh\none\n```\n\n<!-- not run: slow -->\n```sh\ntwo\n```\n\n```yaml\nthree\n```\n";
    let page = Page::parse(text.to_owned());
    assert_eq!(page.forgotten(), ["A:\none\n", "A:\nthree\n"]);
    page.block("A", "sh", 0, "default");
    assert_eq!(page.forgotten(), ["A:\nthree\n"]);
}
