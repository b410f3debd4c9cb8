//! Label selectors of flags: Kubernetes' syntax, and upstream's short forms.
//!
//! Input: the elements of a list flag. Output: a [`LabelSelector`] that the API server accepts. I/O: none.
//!
//! Two short forms are rewritten, as upstream does: `key:value` becomes `key=value`, and `key:*` and `key=*` become
//! `key`. Upstream looks at the elements that the CSV reader leaves, so a selector that is quoted as a whole (its chart
//! writes `--namespace-selector="a:b,c:*"`, quotes included) loses all but its first short form, and one that is not
//! quoted is cut inside `key in (a,b)`. Here the requirements themselves are parsed.

#[cfg(test)]
mod tests;

use std::fmt;

/// A selector that is valid for the API server; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<String>,
}

impl LabelSelector {
    /// Parses a flag; `None` if it is empty.
    ///
    /// # Errors
    /// The invalid requirement, and why.
    pub(super) fn parse(elements: &[String]) -> Result<Option<Self>, SelectorError> {
        let text = elements.join(",");
        if text.trim().is_empty() {
            return Ok(None);
        }
        let requirements = top_level(&text).into_iter().map(|requirement| {
            let rewritten = without_short_form(requirement.trim());
            match check(&rewritten) {
                Ok(()) => Ok(rewritten),
                Err(reason) => Err(SelectorError {
                    requirement: requirement.trim().to_owned(),
                    reason,
                }),
            }
        });
        Ok(Some(Self {
            requirements: requirements.collect::<Result<_, _>>()?,
        }))
    }

    /// Its requirements, each in Kubernetes' syntax; all of them must be met.
    pub fn requirements(&self) -> &[String] {
        &self.requirements
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.requirements.join(","))
    }
}

/// A requirement that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{requirement:?}: {reason}")]
pub struct SelectorError {
    requirement: String,
    reason: &'static str,
}

/// The parts between commas that are not inside parentheses.
fn top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn without_short_form(requirement: &str) -> String {
    let mut colons = requirement.split(':').map(str::trim);
    if let (Some(key), Some(value)) = (colons.next(), colons.next()) {
        // What follows a second colon is dropped: no label value holds one.
        return if value == "*" {
            key.to_owned()
        } else {
            format!("{key}={value}")
        };
    }
    match requirement.split_once('=') {
        Some((key, value)) if value.trim() == "*" && !key.ends_with('!') => key.trim().to_owned(),
        _ => requirement.to_owned(),
    }
}

const NO_KEY: &str = "expected a label key; commas separate requirements, and none may be empty";
const BAD_KEY: &str = "a label key is [prefix/]name: the name has up to 63 letters, digits, -, _ or . and begins and \
    ends with a letter or digit; the prefix is a DNS name";
const BAD_VALUE: &str = "a label value has up to 63 letters, digits, -, _ or . and begins and ends with a letter or \
    digit";
const BAD_OPERATOR: &str = "expected key, !key, key=value, key!=value, key in (a,b), key notin (a,b), key>number or key<number, or the short \
     forms key:value, key:* and key=*";
const BAD_SET: &str = "in and notin are followed by values in parentheses, such as (a,b)";
const BAD_NUMBER: &str = "> and < are followed by a whole number";

/// Whether the API server accepts this one requirement:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>.
fn check(requirement: &str) -> Result<(), &'static str> {
    if let Some(key) = requirement.strip_prefix('!') {
        return check_key(key.trim());
    }
    let end = requirement
        .find(|character: char| character.is_whitespace() || "=!(),<>".contains(character))
        .unwrap_or(requirement.len());
    let (key, rest) = requirement.split_at(end);
    check_key(key)?;
    let rest = rest.trim();
    // Longest first: `==` begins with `=`, and `notin` is no value of `in`.
    if rest.is_empty() {
        Ok(())
    } else if let Some(value) = ["==", "!=", "="].iter().find_map(|sign| rest.strip_prefix(sign)) {
        check_value(value.trim())
    } else if let Some(number) = rest.strip_prefix(['<', '>']) {
        number.trim().parse::<i64>().map(drop).map_err(|_| BAD_NUMBER)
    } else if let Some(set) = ["notin", "in"].iter().find_map(|word| rest.strip_prefix(word)) {
        check_set(set.trim())
    } else {
        Err(BAD_OPERATOR)
    }
}

fn check_set(set: &str) -> Result<(), &'static str> {
    let inside = set.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let values = inside.filter(|values| !values.trim().is_empty()).ok_or(BAD_SET)?;
    values.split(',').try_for_each(|value| check_value(value.trim()))
}

fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err(NO_KEY);
    }
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let valid = is_name(name) && prefix.is_none_or(is_dns_name);
    if valid { Ok(()) } else { Err(BAD_KEY) }
}

/// A label may have no value.
fn check_value(value: &str) -> Result<(), &'static str> {
    if value.is_empty() || is_name(value) {
        Ok(())
    } else {
        Err(BAD_VALUE)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let at_the_ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63 && text.bytes().all(allowed) && at_the_ends(bytes.first()) && at_the_ends(bytes.last())
}

fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}
