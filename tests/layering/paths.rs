//! The paths that a file names, and the names that it defines or imports.
//!
//! Input: code, as [`super::source::code`] leaves it. Output: [`Names`]. I/O: none.

use std::collections::{BTreeMap, BTreeSet};

use super::source::is_word_character;

/// A path as it is written: `["super", "key", "SourceKey"]`.
pub type Written = Vec<String>;

/// What one module (a file, or `mod x { … }` in one) says about itself and others.
#[derive(Debug, Default)]
pub struct Names {
    /// Items that it defines, child modules left out.
    pub defined: BTreeSet<String>,
    /// What each name stands for that a `use` brings in.
    pub imports: BTreeMap<String, Written>,
    /// The names among them that are handed on (`pub use`).
    pub reexported: BTreeSet<String>,
    /// The modules of which a `use` brings in everything.
    pub globs: Vec<Written>,
    /// Those of which a `pub use` hands everything on.
    pub reexported_globs: Vec<Written>,
    /// Paths of several words, outside of `use`.
    pub paths: BTreeSet<Written>,
    /// The first word of each path, outside of `use`.
    pub words: BTreeSet<String>,
}

/// The modules of a file: itself, as the empty path, and those within.
pub fn names(code: &str) -> BTreeMap<Written, Names> {
    let tokens = tokens(code);
    let mut modules = BTreeMap::from([(Written::new(), Names::default())]);
    // For each open brace: whether it opens a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut module = Written::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = |ahead: usize| tokens.get(at + ahead).copied().unwrap_or_default();
        let names = modules.entry(module.clone()).or_default();
        match *token {
            "use" if next(1) != "<" => {
                let is_public = at > 0 && matches!(tokens[at - 1], "pub" | ")");
                let end = (at..tokens.len())
                    .find(|end| tokens[*end] == ";")
                    .unwrap_or(tokens.len());
                names.import(&tokens[at + 1..end], &mut Written::new(), is_public);
                at = end;
            }
            "mod" if next(2) == "{" => {
                module.push(next(1).to_owned());
                braces.push(true);
                at += 2;
            }
            "mod" => at += 2,
            "{" => braces.push(false),
            "}" if braces.pop() == Some(true) => drop(module.pop()),
            "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static" | "macro_rules" => {
                let name = if next(1) == "!" { next(2) } else { next(1) };
                names.defined.insert(name.to_owned());
            }
            word if word.starts_with(is_word_character) => {
                let is_part = at > 0 && matches!(tokens[at - 1], "." | "::");
                if !is_part {
                    let mut path = vec![word.to_owned()];
                    while tokens.get(at + 1) == Some(&"::")
                        && let Some(part) = tokens.get(at + 2)
                        && part.starts_with(is_word_character)
                    {
                        path.push((*part).to_owned());
                        at += 2;
                    }
                    names.words.insert(word.to_owned());
                    // A single word is an item of this module, or a name that its own `use` brings in.
                    if path.len() > 1 {
                        names.paths.insert(path);
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    modules
}

impl Names {
    /// Takes in a use tree: `a::{b, c as d, e::*}`.
    fn import(&mut self, tree: &[&str], prefix: &mut Written, is_public: bool) {
        let depth = prefix.len();
        for branch in branches(tree) {
            let mut rest = branch;
            while let [part, "::", tail @ ..] = rest {
                prefix.push((*part).to_owned());
                rest = tail;
            }
            match rest {
                ["{", group @ .., "}"] => self.import(group, prefix, is_public),
                ["*"] if is_public => self.reexported_globs.push(prefix.clone()),
                ["*"] => self.globs.push(prefix.clone()),
                [last, alias @ ..] => {
                    if *last != "self" || prefix.is_empty() {
                        prefix.push((*last).to_owned());
                    }
                    let name = match alias {
                        ["as", name] => (*name).to_owned(),
                        _ => prefix.last().cloned().unwrap_or_default(),
                    };
                    if is_public {
                        self.reexported.insert(name.clone());
                    }
                    self.imports.insert(name, prefix.clone());
                }
                [] => {}
            }
            prefix.truncate(depth);
        }
    }
}

/// The parts of a use tree that commas separate, those inside braces left together.
fn branches<'a, 'b>(tree: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut depth = 0;
    tree.split(|token| {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == ","
    })
    .collect()
}

/// Words, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word_character(first) {
            rest.find(|character| !is_word_character(character))
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}
