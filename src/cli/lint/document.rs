//! Reads the objects of a text, with the lines of their annotations.
//!
//! Input: YAML or JSON, of several documents. Output: [`Object`]s. I/O: none.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use serde_saphyr::Spanned;

/// What a finding is left out for, on its line or on the line before.
const IGNORE: &str = "reloader-lint: ignore";

/// What one file may hold: the rendered objects of a large repository. The library's own limits stay for what grows beyond
/// the text (aliases, anchors, depth) and for the bytes of texts.
const MAX_DOCUMENTS: usize = 100_000;
/// Scalars, lists and maps: no more fit into 64 MiB of usual objects. Each is one or two events.
const MAX_NODES: usize = 8_000_000;
const MAX_TEXT: usize = 64 * 1024 * 1024;

/// An object of a file.
#[derive(Debug)]
pub(super) struct Object {
    /// The whole of it.
    pub(super) value: Value,
    /// The line of its first key, from 1.
    line: usize,
    /// By the path of a map and one of its keys, the line of that key.
    lines: BTreeMap<(String, String), usize>,
}

impl Object {
    /// The line of that key in the map at the path; of the object where it has no such key.
    pub(super) fn line_of(&self, path: &str, key: &str) -> usize {
        let at = (path.to_owned(), key.to_owned());
        self.lines.get(&at).copied().unwrap_or(self.line)
    }

    /// Texts at a path of names with dots; values that are no text are shown as they are written.
    pub(super) fn pairs(&self, path: &str) -> BTreeMap<String, String> {
        let map = self.at(path).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs
            .map(|(key, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), text)
            })
            .collect()
    }

    /// The pairs at a path of names with dots whose value is no text: a boolean or a number.
    pub(super) fn not_texts(&self, path: &str) -> impl Iterator<Item = (&str, String)> {
        let map = self.at(path).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs
            .filter(|(_, value)| value.is_boolean() || value.is_number())
            .map(|(key, value)| (key.as_str(), value.to_string()))
    }

    /// What is at a path of names with dots.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(&self.value, |value, name| value.get(name))
    }

    /// The text at a path of names with dots.
    pub(super) fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Whether the comment is at the end of that line of a text, or alone on the one before.
pub(super) fn is_ignored(lines: &[&str], line: usize) -> bool {
    let says_so = |line: &str| {
        line.split_once('#')
            .is_some_and(|(_, comment)| comment.contains(IGNORE))
    };
    let get = |line: usize| lines.get(line.checked_sub(1)?).copied();
    let before = line.checked_sub(1).and_then(get);
    get(line).is_some_and(says_so)
        || before.is_some_and(|before| before.trim_start().starts_with('#') && says_so(before))
}

/// The objects of a text, those of Lists one by one. Documents that are no object are left out.
///
/// # Errors
/// It is neither YAML nor JSON, or more than a file may hold.
pub(super) fn documents(text: &str) -> Result<Vec<Object>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_events: 2 * (MAX_NODES + MAX_DOCUMENTS),
            max_total_scalar_bytes: MAX_TEXT,
        },
    };
    let nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options)?;
    let mut objects = Vec::new();
    for node in nodes {
        collect(node, &mut objects);
    }
    Ok(objects)
}

fn collect(node: Node, objects: &mut Vec<Object>) {
    let Node::Map(fields) = node else {
        return;
    };
    let is_list = fields.iter().any(|(key, value)| {
        key.value == "kind" && matches!(value, Node::Text(kind) if kind.ends_with("List"))
    });
    let has_kind = fields.iter().any(|(key, _)| key.value == "kind");
    if is_list {
        for (key, value) in fields {
            if let ("items", Node::List(items)) = (key.value.as_str(), value) {
                for item in items {
                    collect(item, objects);
                }
            }
        }
        return;
    }
    if !has_kind {
        return;
    }
    let line = fields.first().map_or(1, |(key, _)| line(key));
    let mut lines = BTreeMap::new();
    let value = Node::Map(fields).into_value(&mut Vec::new(), &mut lines);
    objects.push(Object { value, line, lines });
}

fn line(key: &Spanned<String>) -> usize {
    usize::try_from(key.referenced.line()).unwrap_or(1)
}

/// A YAML value whose keys know where they are.
enum Node {
    Scalar(Value),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    fn into_value(self, path: &mut Vec<String>, lines: &mut BTreeMap<(String, String), usize>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::Text(text) => text.into(),
            Self::List(items) => {
                // No annotation is in a list.
                let items = items.into_iter();
                items
                    .map(|item| item.into_value(&mut Vec::new(), &mut BTreeMap::new()))
                    .collect()
            }
            Self::Map(fields) => {
                let is_noted = matches!(path.last().map(String::as_str), Some("annotations" | "labels"));
                let mut map = serde_json::Map::new();
                for (key, value) in fields {
                    if is_noted {
                        lines.insert((path.join("."), key.value.clone()), line(&key));
                    }
                    path.push(key.value.clone());
                    let value = value.into_value(path, lines);
                    path.pop();
                    map.insert(key.value, value);
                }
                map.into()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_bytes<E>(self, _bytes: &[u8]) -> Result<Node, E> {
        // `!!binary`, as only data of a Secret has it.
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry::<Spanned<String>, Node>()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }
}
