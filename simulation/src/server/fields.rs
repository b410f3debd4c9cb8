//! `metadata.managedFields`: which client wrote which field last.
//!
//! Input: an object before and after a write. Output: the entries afterwards. I/O: none.
//!
//! As [structured-merge-diff](https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/merge/update.go) does it for
//! updates: what a write adds or changes becomes its manager's and no other's; what it removes is gone from all; what it leaves
//! as it was stays where it was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::kind::Kind;

/// A field's path, each step as `fieldsV1` writes it: `f:spec`, `k:{"name":"a"}`, `v:"a"`.
type Path = Vec<String>;
/// Fields.
type Set = BTreeSet<Path>;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// The field manager's name.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
}

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    operation: String,
    manager: Manager,
    api_version: String,
}

/// An entry's time and fields.
type Entries = BTreeMap<Owner, (String, Set)>;

/// The entries after a write.
///
/// `before`: the stored object; `None`: it is created. `after`: as it is to be stored. `entries`: those that the write is based
/// on, the client's or the stored ones. `now`: with whole seconds.
pub fn after_write(
    kind: &Kind,
    before: Option<&Value>,
    after: &Value,
    entries: &Value,
    manager: &Manager,
    now: &str,
) -> Value {
    let mut entries = decode(entries);
    let skeleton = json!({ "metadata": {} });
    let mut comparison = Comparison::new(kind);
    comparison.object(before.unwrap_or(&skeleton), after);
    let Comparison {
        mut taken, removed, ..
    } = comparison;
    if kind.status {
        let of_status = |path: &Path| path.first().is_some_and(|step| step == "f:status");
        match manager.subresource.as_str() {
            "status" if kind.custom => taken.retain(of_status),
            "status" => taken.retain(|path| {
                let is_reset = path.first().is_some_and(|step| step == "f:spec")
                    || path.get(1).is_some_and(|step| step == "f:labels");
                !is_reset
            }),
            _ => taken.retain(|path| !of_status(path)),
        }
    }
    for (_, fields) in entries.values_mut() {
        fields.retain(|path| !taken.contains(path) && !removed.contains(path));
    }
    if !taken.is_empty() {
        let owner = Owner {
            operation: "Update".to_owned(),
            manager: manager.clone(),
            api_version: kind.api_version(),
        };
        let entry = entries.entry(owner).or_default();
        now.clone_into(&mut entry.0);
        entry.1.extend(taken);
    }
    entries.retain(|_, (_, fields)| !fields.is_empty());
    encode(&entries)
}

/// What a write changed.
struct Comparison<'a> {
    kind: &'a Kind,
    /// Added or with another value.
    taken: Set,
    removed: Set,
}

/// How a value is divided.
enum Shape {
    /// One value.
    Atomic,
    /// A map or a struct.
    Fields,
    /// A list whose items are found by these keys.
    Items(&'static [&'static str]),
    /// A list of texts, each a field of its own.
    Texts,
}

impl<'a> Comparison<'a> {
    fn new(kind: &'a Kind) -> Self {
        Self {
            kind,
            taken: Set::new(),
            removed: Set::new(),
        }
    }

    fn object(&mut self, before: &Value, after: &Value) {
        for field in keys(Some(before), Some(after)) {
            if matches!(field.as_str(), "apiVersion" | "kind") {
                continue;
            }
            if field == "metadata" {
                let metadata = (before.get("metadata"), after.get("metadata"));
                for field in keys(metadata.0, metadata.1) {
                    if !SYSTEM_METADATA.contains(&field.as_str()) {
                        let path = vec!["f:metadata".to_owned(), format!("f:{field}")];
                        let get = |from: Option<&'_ Value>| from.and_then(|from| from.get(&field)).cloned();
                        self.value(
                            get(metadata.0).as_ref(),
                            get(metadata.1).as_ref(),
                            &path,
                            &field,
                            true,
                        );
                    }
                }
                continue;
            }
            let path = vec![format!("f:{field}")];
            self.value(before.get(&field), after.get(&field), &path, &field, false);
        }
    }

    /// `name`: of the field that holds the value or the list it is in.
    fn value(
        &mut self,
        before: Option<&Value>,
        after: Option<&Value>,
        path: &Path,
        name: &str,
        in_metadata: bool,
    ) {
        let some = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        let is = |test: fn(&Value) -> bool| {
            (some(before) || some(after))
                && [before, after]
                    .into_iter()
                    .flatten()
                    .all(|value| value.is_null() || test(value))
        };
        let shape = if is(Value::is_object) {
            self.shape_of_map(name, path)
        } else if is(Value::is_array) {
            self.shape_of_list(name, in_metadata)
        } else {
            Shape::Atomic
        };
        match shape {
            Shape::Atomic => {
                match (before, after) {
                    (Some(_), None) => self.removed.insert(path.clone()),
                    (before, after) if before != after => self.taken.insert(path.clone()),
                    _ => false,
                };
                return;
            }
            Shape::Fields => {
                for field in keys(before, after) {
                    let get = |from: Option<&'_ Value>| from.and_then(|from| from.get(&field)).cloned();
                    let path = child(path, format!("f:{field}"));
                    self.value(
                        get(before).as_ref(),
                        get(after).as_ref(),
                        &path,
                        &field,
                        in_metadata,
                    );
                }
            }
            Shape::Items(keys) => {
                let (before, after) = (items(before, keys), items(after, keys));
                for step in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                    let path = child(path, step.clone());
                    self.value(
                        before.get(step).copied(),
                        after.get(step).copied(),
                        &path,
                        name,
                        in_metadata,
                    );
                }
            }
            Shape::Texts => {
                let texts = |list: Option<&Value>| -> BTreeSet<String> {
                    let items = list.and_then(Value::as_array).into_iter().flatten();
                    items.map(|item| format!("v:{item}")).collect()
                };
                let (before, after) = (texts(before), texts(after));
                self.taken
                    .extend(after.difference(&before).map(|step| child(path, step.clone())));
                self.removed
                    .extend(before.difference(&after).map(|step| child(path, step.clone())));
            }
        }
        if !self.is_always_there(name, path) {
            match (before, after) {
                (None, Some(_)) => {
                    self.taken.insert(path.clone());
                }
                (Some(_), None) => {
                    self.removed.insert(path.clone());
                }
                _ => {}
            }
        }
    }

    /// Structs that are no pointers in Go, and lists without `omitempty`: no write adds them.
    fn is_always_there(&self, name: &str, path: &Path) -> bool {
        let is_field = path.last().is_some_and(|step| step.starts_with("f:"));
        !self.kind.custom && is_field && ALWAYS_THERE.contains(&name)
    }

    fn shape_of_map(&self, name: &str, path: &Path) -> Shape {
        let is_item = path.last().is_some_and(|step| step.starts_with("k:"));
        let atomic = if is_item {
            ATOMIC_ITEMS.contains(&name)
        } else {
            !self.kind.custom && ATOMIC_MAPS.contains(&name)
        };
        if atomic { Shape::Atomic } else { Shape::Fields }
    }

    fn shape_of_list(&self, name: &str, in_metadata: bool) -> Shape {
        if self.kind.custom && !in_metadata {
            return Shape::Atomic;
        }
        match name {
            "finalizers" => Shape::Texts,
            name => list_keys(name).map_or(Shape::Atomic, Shape::Items),
        }
    }
}

/// Fields of `metadata` that have no manager.
const SYSTEM_METADATA: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];
const ALWAYS_THERE: [&str; 9] = [
    "metadata",
    "spec",
    "template",
    "strategy",
    "updateStrategy",
    "jobTemplate",
    "status",
    "containers",
    "source",
];
const ATOMIC_MAPS: [&str; 9] = [
    "selector",
    "labelSelector",
    "nodeSelector",
    "configMapKeyRef",
    "secretKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "involvedObject",
    "related",
];
const ATOMIC_ITEMS: [&str; 2] = ["ownerReferences", "imagePullSecrets"];

/// The keys by which the items of a list are merged and owned; `None`: the list is one value.
pub fn list_keys(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            &["name"]
        }
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "ports" => &["containerPort", "protocol"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return None,
    })
}

fn child(path: &Path, step: String) -> Path {
    let mut path = path.clone();
    path.push(step);
    path
}

fn keys(before: Option<&Value>, after: Option<&Value>) -> BTreeSet<String> {
    [before, after]
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|object| object.keys().cloned())
        .collect()
}

fn items<'v>(list: Option<&'v Value>, keys: &[&str]) -> BTreeMap<String, &'v Value> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.map(|item| {
        let named: Map<String, Value> = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), item.get(*key)?.clone())))
            .collect();
        (format!("k:{}", Value::Object(named)), item)
    })
    .collect()
}

fn decode(entries: &Value) -> Entries {
    let entries = entries.as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let owner = Owner {
                operation: text("operation"),
                manager: Manager {
                    name: text("manager"),
                    subresource: text("subresource"),
                },
                api_version: text("apiVersion"),
            };
            let mut fields = Set::new();
            decode_fields(&entry["fieldsV1"], &mut Path::new(), &mut fields);
            (owner, (text("time"), fields))
        })
        .collect()
}

fn decode_fields(node: &Value, path: &mut Path, fields: &mut Set) {
    let Some(node) = node.as_object() else {
        return;
    };
    if !path.is_empty() && (node.is_empty() || node.contains_key(".")) {
        fields.insert(path.clone());
    }
    for (step, below) in node {
        if step != "." {
            path.push(step.clone());
            decode_fields(below, path, fields);
            path.pop();
        }
    }
}

fn encode(entries: &Entries) -> Value {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(owner, (time, _))| {
        (
            owner.operation.clone(),
            time.clone(),
            owner.manager.name.clone(),
            owner.api_version.clone(),
            owner.manager.subresource.clone(),
        )
    });
    let entries = entries.into_iter().map(|(owner, (time, fields))| {
        let mut entry = json!({
            "manager": owner.manager.name,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode_fields(fields),
        });
        if !owner.manager.subresource.is_empty() {
            entry["subresource"] = owner.manager.subresource.clone().into();
        }
        entry
    });
    entries.collect()
}

fn encode_fields(fields: &Set) -> Value {
    let mut root = Map::new();
    for path in fields {
        let mut node = &mut root;
        for step in path {
            let below = node.entry(step).or_insert_with(|| json!({}));
            let Value::Object(below) = below else {
                unreachable!("every node is a map");
            };
            node = below;
        }
    }
    // In order, a path stands before what is below it.
    for path in fields {
        let mut node = &mut root;
        for step in path {
            let Some(Value::Object(below)) = node.get_mut(step) else {
                unreachable!("it was made above");
            };
            node = below;
        }
        if !node.is_empty() {
            node.insert(".".to_owned(), json!({}));
        }
    }
    Value::Object(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            subresource: String::new(),
        }
    }

    fn fields(entries: &Value) -> Vec<(String, Value)> {
        let entries = entries.as_array().unwrap();
        let pair = |entry: &Value| {
            (
                entry["manager"].as_str().unwrap().to_owned(),
                entry["fieldsV1"].clone(),
            )
        };
        entries.iter().map(pair).collect()
    }

    #[test]
    fn a_changed_value_changes_its_owner() {
        let kind = Kind::of("configmaps");
        let first =
            json!({ "metadata": { "name": "a", "labels": { "l": "1" } }, "data": { "a": "1", "b": "1" } });
        let second = json!({ "metadata": { "name": "a" }, "data": { "a": "2", "b": "1", "c": "1" } });
        let created = after_write(
            kind,
            None,
            &first,
            &Value::Null,
            &manager("one"),
            "2026-01-01T00:00:00Z",
        );
        let everything = json!({
            "f:metadata": { "f:labels": { ".": {}, "f:l": {} } },
            "f:data": { ".": {}, "f:a": {}, "f:b": {} },
        });
        assert_eq!(fields(&created), [("one".to_owned(), everything)]);
        let written = after_write(
            kind,
            Some(&first),
            &second,
            &created,
            &manager("two"),
            "2026-01-01T00:00:01Z",
        );
        assert_eq!(
            fields(&written),
            [
                ("one".to_owned(), json!({ "f:data": { ".": {}, "f:b": {} } })),
                ("two".to_owned(), json!({ "f:data": { "f:a": {}, "f:c": {} } })),
            ]
        );
        let same = after_write(
            kind,
            Some(&second),
            &second,
            &written,
            &manager("three"),
            "2026-01-01T00:00:02Z",
        );
        assert_eq!(same, written);
    }

    #[test]
    fn items_of_lists_are_owned_by_their_names() {
        let kind = Kind::of("deployments");
        let pod = |env: Value| {
            json!({
                "metadata": {},
                "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": env }] } } },
            })
        };
        let before = pod(json!([{ "name": "A", "value": "1" }]));
        let after = pod(json!([{ "name": "B", "value": "1" }, { "name": "A", "value": "1" }]));
        let written = after_write(kind, Some(&before), &after, &Value::Null, &manager("m"), "");
        let container =
            json!({ "f:env": { "k:{\"name\":\"B\"}": { ".": {}, "f:name": {}, "f:value": {} } } });
        let template = json!({ "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": container } } });
        let expected = json!({ "f:spec": { "f:template": template } });
        assert_eq!(fields(&written), [("m".to_owned(), expected)]);
    }
}
