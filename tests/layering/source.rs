//! Source text with everything blanked that the rules do not apply to: comments, literals, test code.
//!
//! Input: text. Output: text of the same lines, so that line numbers hold. I/O: none.

/// One file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path relative to the package, such as `src/queue/core.rs`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The files that are compiled outside tests.
pub fn production_only(files: &[SourceFile]) -> Vec<SourceFile> {
    let test_only: Vec<String> = files.iter().flat_map(test_only_modules).collect();
    let is_test = |path: &str| {
        let module = path.trim_end_matches(".rs");
        module.split('/').any(|part| part == "tests")
            || test_only
                .iter()
                .any(|test| module == test || module.starts_with(&format!("{test}/")))
    };
    files
        .iter()
        .filter(|file| !is_test(&file.path))
        .cloned()
        .collect()
}

/// The code of a file: neither comments nor literals nor items under `#[cfg(test)]`.
pub fn code(text: &str) -> String {
    without_tests(&without_literals(text))
}

/// The modules that the file declares for tests only, as paths without `.rs`.
fn test_only_modules(file: &SourceFile) -> Vec<String> {
    let folder = file.path.trim_end_matches(".rs").trim_end_matches("/lib");
    let code = without_literals(&file.text);
    let declared = code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let after = after.trim_start();
        let after = after.strip_prefix("pub ").unwrap_or(after);
        let (name, _) = after.strip_prefix("mod ")?.split_once(';')?;
        is_word(name).then(|| format!("{folder}/{name}"))
    });
    declared.collect()
}

/// Blanks comments, strings and characters; line ends stay.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.chars().next_back().is_some_and(is_word_character);
        let skipped = literal_length(rest, after_word);
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..skipped].chars().filter(|character| *character == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of a comment, string or character that starts here; 0 for anything else.
fn literal_length(text: &str, after_word: bool) -> usize {
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        text.find("*/").map_or(text.len(), |end| end + 2)
    } else if let (false, Some(length)) = (after_word, raw_string(text)) {
        length
    } else if text.starts_with('"') {
        quoted(text, '"').unwrap_or(text.len())
    } else if text.starts_with('\'') {
        character(text).unwrap_or(0)
    } else {
        0
    }
}

/// The comments, strings and characters outside tests, each with the number of the line it starts in.
#[allow(
    dead_code,
    reason = "only `tests/words.rs` reads them, which shares this file"
)]
pub fn literals(text: &str) -> Vec<(usize, &str)> {
    let code = code(text);
    let lines: Vec<&str> = code.lines().collect();
    let (mut found, mut at, mut line, mut after_word) = (Vec::new(), 0, 1, false);
    while let Some(first) = text[at..].chars().next() {
        let length = literal_length(&text[at..], after_word);
        let end = at + length.max(first.len_utf8());
        // A line inside a test is blanked as a whole; a line with a literal keeps at least a space for it.
        if length > 0 && lines.get(line - 1).is_some_and(|code| !code.is_empty()) {
            found.push((line, &text[at..end]));
        }
        line += text[at..end].matches('\n').count();
        after_word = length == 0 && is_word_character(first);
        at = end;
    }
    found
}

/// The length of a raw string that starts here: `r"…"`, `r#"…"#`, `br"…"`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &after[..hashes]);
    let prefix = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| prefix + at + end.len()))
}

/// The length of a literal between two of `quote`, escapes considered.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of a character literal that starts here; none where the quote begins a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut characters = text.chars().skip(1);
    let first = characters.next()?;
    if first == '\\' {
        quoted(text, '\'')
    } else {
        (characters.next()? == '\'').then(|| 2 + first.len_utf8())
    }
}

/// Blanks every item under `#[cfg(test)]`: up to its closing brace, or to a `;` before any brace.
fn without_tests(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(ATTRIBUTE) {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let length = item_length(item);
        kept.extend(item[..length].chars().filter(|character| *character == '\n'));
        rest = &item[length..];
    }
    kept + rest
}

fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Whether the text is one identifier.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_character)
}

/// Whether the character can be part of an identifier.
pub fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
