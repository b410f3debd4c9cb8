//! What is wrong with the value of one annotation.
//!
//! Input: what the annotation is for, its text. Output: [`Mistake`]s. I/O: none.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    catalogue::{Form, Known},
    finding::{MAX_FINDINGS, MAX_LOOKED_AT, Mistake, cut},
};
use crate::{
    admit::window::{Windows, Zone},
    model::{
        go_duration::{DurationError, parse_go_duration, parse_positive_go_duration},
        go_regex::NamePattern,
        go_values::parse_go_bool,
        is_dns_subdomain,
        limits::Share,
        opt_in::items,
    },
};

/// What separates names where a user took another character for the comma.
const SEPARATORS: [char; 5] = [';', ' ', '\n', '\t', '|'];

/// The mistakes in that value. `auto`: the key for every source of the kind that the annotation is about.
pub(super) fn mistakes(known: &Known, text: &str, auto: &str) -> Vec<Mistake> {
    let value = || cut(text);
    match known.form {
        Form::Boolean if parse_go_bool(text).is_none() => vec![Mistake::NotBoolean { value: value() }],
        Form::True if !matches!(text, "true" | "false") => vec![Mistake::NotTrue { value: value() }],
        Form::Period => match parse_go_duration(text) {
            Ok(_) | Err(DurationError::Negative) => Vec::new(),
            Err(error) => vec![Mistake::BadPeriod {
                value: value(),
                error,
            }],
        },
        Form::Strategy if !matches!(text, "restart" | "rollout") => {
            vec![Mistake::BadStrategy { value: value() }]
        }
        Form::Suspension if parse_go_bool(text).is_none() => {
            vec![Mistake::NotSuspension { value: value() }]
        }
        // The default zone does not matter: that of the controller is known to be one.
        Form::Windows => match Windows::parse(text, &Zone::UTC) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Mistake::BadWindow {
                error: cut(&error.to_string()),
            }],
        },
        Form::Time if text.trim().parse::<Timestamp>().is_err() => vec![Mistake::BadTime { value: value() }],
        Form::Share if text.parse::<Share>().is_err() => vec![Mistake::BadShare { value: value() }],
        Form::Limit if !text.parse::<Share>().is_ok_and(|share| !share.is_none()) => {
            vec![Mistake::BadLimit { value: value() }]
        }
        Form::Duration => bad_duration(text, parse_go_duration),
        Form::Timeout => bad_duration(text, parse_positive_go_duration),
        Form::Integer if text.trim().parse::<i32>().is_err() => vec![Mistake::BadInteger { value: value() }],
        Form::Patterns | Form::Names => list(known.form, text, auto),
        Form::Boolean
        | Form::True
        | Form::Strategy
        | Form::Suspension
        | Form::Time
        | Form::Share
        | Form::Limit
        | Form::Integer
        | Form::Own => Vec::new(),
    }
}

fn bad_duration(text: &str, parse: fn(&str) -> Result<Duration, DurationError>) -> Vec<Mistake> {
    let bad = parse(text.trim()).err().map(|error| Mistake::BadDuration {
        value: cut(text),
        error,
    });
    Vec::from_iter(bad)
}

fn list(form: Form, text: &str, auto: &str) -> Vec<Mistake> {
    let auto = || auto.into();
    let mut all = items(text);
    match (all.next(), all.next()) {
        (None, _) if form == Form::Patterns => vec![Mistake::EmptyList { auto: auto() }],
        (Some(only), None)
            if form == Form::Patterns && parse_go_bool(only).is_some_and(|_| only.len() > 1) =>
        {
            vec![Mistake::BooleanList { auto: auto() }]
        }
        _ => {
            let items = items(text).take(MAX_LOOKED_AT);
            let wrong = items.filter_map(|item| self::item(form, item));
            wrong.take(MAX_FINDINGS).collect()
        }
    }
}

/// What is wrong with one item of a list. Patterns that do not compile are found where they are compiled.
fn item(form: Form, item: &str) -> Option<Mistake> {
    if is_dns_subdomain(item) {
        return None;
    }
    if let Some(mistake) = no_name(item) {
        return Some(mistake);
    }
    if form == Form::Names {
        return Some(Mistake::ExcludesPattern { item: cut(item) });
    }
    shell_pattern(item).map(|suggestion| Mistake::ShellPattern {
        item: cut(item),
        suggestion: cut(&suggestion),
    })
}

/// That no name can match the item, if that is so, and what may be meant.
fn no_name(item: &str) -> Option<Mistake> {
    let bad_name = |suggestion: Option<String>| {
        Some(Mistake::BadName {
            item: cut(item),
            suggestion: suggestion.map(|name| cut(&name)),
        })
    };
    let if_name = |name: &str| is_dns_subdomain(name).then(|| name.to_owned());
    if item.contains("{{") || item.contains("${") || item.contains("$(") {
        // What a template engine would have replaced.
        return bad_name(None);
    }
    if let Some(bare) = unquoted(item) {
        return bad_name(if_name(bare));
    }
    // In brackets they may be excluded: `a[^/]*b`.
    if item.contains('[') {
        return None;
    }
    if let Some((_, name)) = item.split_once('/') {
        return bad_name(if_name(name));
    }
    if item.contains(char::is_whitespace) || item.contains(';') {
        let names = item.split(SEPARATORS).map(str::trim);
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let are_names = names.iter().all(|name| is_dns_subdomain(name));
        return bad_name(are_names.then(|| names.join(",")));
    }
    if matches!(NamePattern::plain(item), Some(NamePattern::Exact(_))) {
        return bad_name(if_name(&item.to_ascii_lowercase().replace('_', "-")));
    }
    None
}

/// What stands between quotes.
fn unquoted(item: &str) -> Option<&str> {
    let bare = item.trim_matches(['"', '\'', '`']);
    (bare.len() < item.len()).then_some(bare)
}

/// The regular expression for an item whose `*` stands for any text, as a shell reads it. A leading `*` has that meaning
/// here too, and so has one after a dot.
fn shell_pattern(item: &str) -> Option<String> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let bytes = item.as_bytes();
    if !bytes.iter().all(|byte| is_of_name(*byte) || *byte == b'*') {
        return None;
    }
    let is_shells = |pair: &[u8]| pair[1] == b'*' && pair[0].is_ascii_alphanumeric() || pair == b"-*";
    if !bytes.windows(2).any(is_shells) {
        return None;
    }
    let mut expression = String::with_capacity(item.len() + 4);
    let mut before = None;
    for character in item.chars() {
        if character == '*' && before != Some('.') {
            expression.push('.');
        }
        expression.push(character);
        before = Some(character);
    }
    Some(expression)
}
