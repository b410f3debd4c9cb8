//! Values as Go's standard library reads and writes them, by exactly its rules: a stricter or laxer reading would change
//! what an existing manifest or command line means.
//!
//! Input: text of annotations and flags, JSON. Output: plain values. I/O: none.

/// A flag value that is not one CSV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A `"` inside a field that does not start with one.
    #[error("bare \" in non-quoted field")]
    BareQuote,
    /// A quoted field that never ends, or text between its closing `"` and the next comma.
    #[error("extraneous or missing \" in quoted field")]
    Quote,
    /// Nothing but line ends.
    #[error("no record before the end of the value")]
    NoRecord,
}

/// Reads a boolean as Go's [`strconv.ParseBool`](https://pkg.go.dev/strconv#ParseBool) does, without trimming.
/// `None` is Go's error.
pub fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Escapes what Go escapes so that JSON can stand in HTML and JavaScript, and Rust does not. In compact JSON these
/// characters occur only within strings.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str(r"\u003c"),
            '>' => escaped.push_str(r"\u003e"),
            '&' => escaped.push_str(r"\u0026"),
            '\u{2028}' => escaped.push_str(r"\u2028"),
            '\u{2029}' => escaped.push_str(r"\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Reads a list flag as pflag's `StringSlice` does: one CSV record by the rules of Go's
/// [`encoding/csv`](https://pkg.go.dev/encoding/csv), nothing trimmed; the empty text is the empty list.
///
/// Later lines are ignored, as pflag reads a single record. Fails as Go does on a stray or unclosed `"`.
pub fn parse_csv_list(text: &str) -> Result<Vec<String>, CsvError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    // The reader drops a `\r` before a line end or the end of the text, and skips empty lines before the record.
    let text = text.replace("\r\n", "\n");
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let mut rest = text.trim_start_matches('\n');
    if rest.is_empty() {
        return Err(CsvError::NoRecord);
    }
    let mut fields = Vec::new();
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// The field up to the next comma or line end, and what follows it.
fn plain_field(text: &str) -> Result<(String, &str), CsvError> {
    let end = text.find([',', '\n']).unwrap_or(text.len());
    let (field, after) = text.split_at(end);
    if field.contains('"') {
        return Err(CsvError::BareQuote);
    }
    Ok((field.to_owned(), after))
}

/// The field after an opening `"` up to its closing one, `""` standing for one `"`, and what follows it.
fn quoted_field(mut text: &str) -> Result<(String, &str), CsvError> {
    let mut field = String::new();
    loop {
        let (before, after) = text.split_once('"').ok_or(CsvError::Quote)?;
        field.push_str(before);
        if let Some(next) = after.strip_prefix('"') {
            field.push('"');
            text = next;
        } else if after.is_empty() || after.starts_with([',', '\n']) {
            return Ok((field, after));
        } else {
            return Err(CsvError::Quote);
        }
    }
}

#[cfg(test)]
mod tests;
