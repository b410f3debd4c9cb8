//! Compares two records, after renaming what may differ.

use std::collections::HashMap;

use serde_json::Value;

use super::run::Record;

/// Says where two records differ first; `None`: nowhere.
pub fn difference(model: &Record, real: &Record) -> Option<String> {
    let mut names = (Names::default(), Names::default());
    for (number, (model, real)) in model.answers.iter().zip(&real.answers).enumerate() {
        let (what, code, body) = model;
        let expected = (real.1, names.1.rename(&real.2));
        let found = (*code, names.0.rename(body));
        if let Some(difference) = first(&found, &expected) {
            return Some(format!("answer {number} to {what}: {difference}"));
        }
    }
    for (number, (model, real)) in model.watches.iter().zip(&real.watches).enumerate() {
        let (what, lines) = model;
        let found: Vec<Value> = lines.iter().map(|line| names.0.rename(line)).collect();
        let expected: Vec<Value> = real.1.iter().map(|line| names.1.rename(line)).collect();
        if found != expected {
            let show = |lines: &[Value]| {
                let lines = lines.iter().map(|line| {
                    let metadata = &line["object"]["metadata"];
                    format!(
                        "  {} {} {} {}",
                        line["type"],
                        metadata["name"],
                        metadata["resourceVersion"],
                        line["object"]["message"]
                    )
                });
                lines.collect::<Vec<_>>().join("\n")
            };
            let at = found
                .iter()
                .zip(&expected)
                .find_map(|(one, other)| value(one, other, ""));
            return Some(format!(
                "watch {number}, {what}: {}\nmodel:\n{}\nreal:\n{}",
                at.unwrap_or_default(),
                show(&found),
                show(&expected)
            ));
        }
    }
    None
}

fn first(found: &(u16, Value), expected: &(u16, Value)) -> Option<String> {
    if found.0 != expected.0 {
        return Some(format!(
            "model {} {}\nreal {} {}",
            found.0, found.1, expected.0, expected.1
        ));
    }
    value(&found.1, &expected.1, "")
}

/// The first difference of two values.
fn value(found: &Value, expected: &Value, path: &str) -> Option<String> {
    match (found, expected) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                value(
                    one.get(key).unwrap_or(&Value::Null),
                    other.get(key).unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                )
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(number, (one, other))| value(one, other, &format!("{path}[{number}]"))),
        _ if found == expected => None,
        _ => Some(format!("{path}\nmodel: {found}\nreal:  {expected}")),
    }
}

/// Names for uids and versions, in the order of their appearance.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn rename(&mut self, value: &Value) -> Value {
        self.collect(value);
        self.renamed(value)
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(fields) => {
                // A list's version depends on what others write.
                let is_list = fields.contains_key("items");
                let ends_list = fields
                    .get("annotations")
                    .is_some_and(|annotations| annotations.get("k8s.io/initial-events-end").is_some());
                if ends_list {
                    return;
                }
                for (key, field) in fields {
                    match (key.as_str(), field) {
                        ("uid" | "resourceVersion", Value::String(text)) => {
                            let next = format!("<{}>", self.0.len());
                            self.0.entry(text.clone()).or_insert(next);
                        }
                        ("metadata", _) if is_list => {}
                        _ => self.collect(field),
                    }
                }
            }
            _ => {}
        }
    }

    fn renamed(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.renamed(item)).collect();
                // The real server's clock goes on meanwhile, and its entries are in the order of their times.
                if items.iter().any(|item| !item["fieldsV1"].is_null()) {
                    items.sort_by_key(|item| {
                        ["manager", "operation", "subresource"].map(|field| item[field].to_string())
                    });
                }
                Value::Array(items)
            }
            Value::Object(fields) => {
                let is_list = fields.contains_key("items");
                let ends_list = fields
                    .get("annotations")
                    .is_some_and(|annotations| annotations.get("k8s.io/initial-events-end").is_some());
                let fields = fields.iter().map(|(key, field)| {
                    let field = match (key.as_str(), field) {
                        ("creationTimestamp" | "deletionTimestamp" | "time", Value::String(_)) => {
                            "<time>".into()
                        }
                        ("continue", Value::String(text)) if !text.is_empty() => "<token>".into(),
                        ("metadata", Value::Object(list)) if is_list => {
                            let mut list = list.clone();
                            list.remove("resourceVersion");
                            self.renamed(&Value::Object(list))
                        }
                        ("resourceVersion", _) if ends_list => "<newest>".into(),
                        ("uid" | "resourceVersion", Value::String(text)) => {
                            self.0.get(text).cloned().unwrap_or_else(|| text.clone()).into()
                        }
                        ("message", Value::String(text)) => self.message(text).into(),
                        (_, field) => self.renamed(field),
                    };
                    (key.clone(), field)
                });
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    /// A message with the names of what it mentions.
    fn message(&self, text: &str) -> String {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
        let mut renamed = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let is_version = word.len() >= 3 && word.chars().all(|character| character.is_ascii_digit());
            match self.0.get(word) {
                Some(name) if word.len() > 2 => renamed.push_str(name),
                _ if is_version => renamed.push_str("<number>"),
                _ => renamed.push_str(word),
            }
            let next = behind.find(is_part).unwrap_or(behind.len());
            renamed.push_str(&behind[..next]);
            rest = &behind[next..];
        }
        renamed
    }
}
