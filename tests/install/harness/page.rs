//! The commands of a page of the documentation. Input: its text; output: blocks of code by heading. I/O: reads the page.

use super::in_repository;

/// A block of code.
pub struct Block {
    /// The last heading before it.
    pub heading: String,
    /// `sh`, `yaml` or nothing.
    pub language: String,
    pub text: String,
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
}

impl Page {
    pub fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(in_repository(path)).unwrap();
        let (mut blocks, mut heading) = (Vec::<Block>::new(), String::new());
        let mut open: Option<(usize, Block)> = None;
        for line in text.lines() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            match (&mut open, trimmed.strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block {
                        heading: heading.clone(),
                        language: language.to_owned(),
                        text: String::new(),
                    };
                    open = Some((indent, block));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => {
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text += "\n";
                }
                (None, None) => {
                    if let Some(title) = trimmed.strip_prefix('#') {
                        title.trim_start_matches('#').trim().clone_into(&mut heading);
                    }
                }
            }
        }
        Self { text, blocks }
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
