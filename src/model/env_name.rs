//! The name of the environment variable that marks a source.
//!
//! Input: a source's kind and name. Output: the variable's name. I/O: none.

use super::SourceKind;

/// The name of the variable that marks the source: `STAKATER_`, the name in upper case with every run of other
/// characters turned into one `_`, then `_CONFIGMAP`, `_SECRET` or `_SECRETPROVIDERCLASS`.
///
/// Leading other characters vanish; a trailing run leaves one `_`. Two sources can share a variable: `a.b` and `a-b`.
/// Names are ASCII, so an ASCII upper case suffices, but for `ı` and `ſ`, whose upper case is ASCII.
pub fn env_name(kind: SourceKind, name: &str) -> String {
    const PREFIX: &str = "STAKATER_";
    let mut text = String::with_capacity(PREFIX.len() + name.len() + "_SECRETPROVIDERCLASS".len());
    text.push_str(PREFIX);
    let mut separate = false;
    for character in name.chars() {
        let upper = match character {
            'ı' => 'I',
            'ſ' => 'S',
            other => other.to_ascii_uppercase(),
        };
        if upper.is_ascii_alphanumeric() {
            text.push(upper);
            separate = true;
        } else if std::mem::take(&mut separate) {
            text.push('_');
        }
    }
    text.push('_');
    text.push_str(kind.type_name());
    text
}

#[cfg(test)]
mod tests;
