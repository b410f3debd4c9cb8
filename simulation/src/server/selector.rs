//! Label and field selectors.
//!
//! Input: the parameters' text, objects. Output: which objects they select. I/O: none.

use serde_json::Value;

use super::{kind::Kind, refusal::Refusal};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    is: Is,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Present,
    Absent,
}

impl Selector {
    /// Parses both selectors; empty text selects everything.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Refusal> {
        let parsed = |text: &str| {
            split(text)
                .into_iter()
                .map(str::trim)
                .filter(|term| !term.is_empty())
                .map(requirement)
                .collect::<Option<Vec<_>>>()
        };
        let unable = |text: &str| Refusal::bad_request(format!("unable to parse requirement: {text}"));
        let known = |term: &&Requirement| {
            matches!(term.key.as_str(), "metadata.name" | "metadata.namespace")
                || (kind.kind == "Event" && term.key.starts_with("involvedObject."))
                || (kind.kind == "Secret" && term.key == "type")
        };
        let selector = Self {
            labels: parsed(labels).ok_or_else(|| unable(labels))?,
            fields: parsed(fields).ok_or_else(|| unable(fields))?,
        };
        match selector.fields.iter().find(|term| !known(term)) {
            Some(term) => Err(Refusal::bad_request(format!(
                "field label not supported: {}",
                term.key
            ))),
            None => Ok(selector),
        }
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether it selects the object of one name.
    pub fn is_one_name(&self) -> bool {
        let is_name = |term: &Requirement| {
            term.key == "metadata.name" && matches!(&term.is, Is::OneOf(values) if values.len() == 1)
        };
        self.fields.iter().any(is_name)
    }

    /// Whether it selects the object.
    pub fn selects(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        // A field that is not there reads as empty.
        let field = |key: &str| {
            let found = key.split('.').try_fold(object, |value, part| value.get(part));
            Some(found.map_or_else(String::new, |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            }))
        };
        self.labels.iter().all(|term| term.holds(label(&term.key)))
            && self
                .fields
                .iter()
                .all(|term| term.holds(field(&term.key).as_deref()))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        match &self.is {
            Is::OneOf(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Is::NoneOf(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Is::Present => value.is_some(),
            Is::Absent => value.is_none(),
        }
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
    .collect()
}

fn requirement(term: &str) -> Option<Requirement> {
    let one = |key: &str, is: Is| {
        let key = key.trim();
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        (!key.is_empty() && key.chars().all(fits)).then(|| Requirement {
            key: key.to_owned(),
            is,
        })
    };
    let values = |list: &str| -> Option<Vec<String>> {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(list.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((key, value)) = term.split_once("!=") {
        return one(key, Is::NoneOf(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return one(key, Is::OneOf(vec![value.trim().to_owned()]));
    }
    if let Some((key, list)) = term.split_once(" notin ") {
        return one(key, Is::NoneOf(values(list)?));
    }
    if let Some((key, list)) = term.split_once(" in ") {
        return one(key, Is::OneOf(values(list)?));
    }
    match term.strip_prefix('!') {
        Some(key) => one(key, Is::Absent),
        None => one(term, Is::Present),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_select_by_labels_and_fields() {
        let object = json!({
            "metadata": { "name": "a", "namespace": "team", "labels": { "app": "web", "example.com/x": "" } },
        });
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,example.com/x", "", true),
            ("app!=web", "", false),
            ("other!=web", "", true),
            ("app in (api, web),!other", "", true),
            ("app notin (api,web)", "", false),
            ("other notin (web)", "", true),
            ("!app", "", false),
            ("", "metadata.name=a", true),
            ("", "metadata.name=b", false),
            ("", "metadata.namespace!=team", false),
            ("", "metadata.namespace!=x,metadata.namespace!=y", true),
        ] {
            let selector = Selector::parse(Kind::of("configmaps"), labels, fields).unwrap();
            assert_eq!(selector.selects(&object), expected, "{labels} {fields}");
        }
        assert_eq!(
            Selector::parse(Kind::of("configmaps"), "a b", "")
                .unwrap_err()
                .code,
            400
        );
    }
}
