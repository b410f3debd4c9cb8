//! Patches.
//!
//! Input: an object and a patch. Output: the object with it. I/O: none.
//!
//! Strategic merge as
//! [`strategicpatch`](https://github.com/kubernetes/apimachinery/blob/master/pkg/util/strategicpatch/patch.go) does it.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Applies a JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Applies a strategic merge patch.
///
/// # Panics
/// The patch has a directive that the model does not know.
pub fn strategic(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    match patch.get("$patch").and_then(Value::as_str) {
        None => {}
        Some("replace") => {
            *target = without_directives(patch);
            return;
        }
        Some("delete") => {
            target.clear();
            return;
        }
        Some(other) => unknown(other),
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        match key.as_str() {
            "$patch" | "$retainKeys" => continue,
            directive if directive.starts_with('$') => unknown(directive),
            _ => {}
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        match (target.get_mut(key), value) {
            (Some(Value::Object(target)), Value::Object(patch)) => strategic(target, patch),
            (Some(Value::Array(target)), Value::Array(patch)) => *target = list(target, patch, key),
            (_, value) => {
                target.insert(key.clone(), cleaned(value));
            }
        }
    }
}

/// Of the keys by which a list is owned, the one by which it is merged.
fn merge_key(name: &str) -> Option<&'static str> {
    match name {
        // Merged by one key, owned by two.
        "ports" => Some("containerPort"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => super::fields::list_keys(name).and_then(|keys| keys.first().copied()),
    }
}

fn list(target: &[Value], patch: &[Value], name: &str) -> Vec<Value> {
    if name == "finalizers" {
        let new = patch.iter().filter(|item| !target.contains(item));
        return target.iter().chain(new).cloned().collect();
    }
    let Some(key) = merge_key(name) else {
        return patch.iter().map(cleaned).collect();
    };
    let directive = |item: &Value| item["$patch"].as_str().map(str::to_owned);
    let plain: Vec<&Value> = patch.iter().filter(|item| directive(item).is_none()).collect();
    if patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace"))
    {
        return plain.into_iter().map(cleaned).collect();
    }
    let mut merged: Vec<Value> = target.to_vec();
    for item in patch {
        match directive(item).as_deref() {
            None => {}
            Some("delete") => merged.retain(|one| one[key] != item[key]),
            Some(other) => unknown(other),
        }
    }
    for item in &plain {
        match merged.iter_mut().find(|one| one[key] == item[key]) {
            Some(Value::Object(one)) => {
                if let Value::Object(item) = item {
                    strategic(one, item);
                }
            }
            _ => merged.push(cleaned(item)),
        }
    }
    let place = |order: &[&Value], item: &Value| order.iter().position(|one| one[key] == item[key]);
    let (mut patched, kept): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(&plain, item).is_some());
    patched.sort_by_key(|item| place(&plain, item));
    let before: Vec<&Value> = target.iter().collect();
    interleave(kept, patched, |one, other| {
        Some(place(&before, one)?.cmp(&place(&before, other)?))
    })
}

/// Inserts the items of `kept` into `patched`: each before the first one that stood behind it. New items stay in front.
fn interleave(
    kept: Vec<Value>,
    patched: Vec<Value>,
    order: impl Fn(&Value, &Value) -> Option<Ordering>,
) -> Vec<Value> {
    let (mut kept, mut patched) = (kept.into_iter().peekable(), patched.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        let next = match (kept.peek(), patched.peek()) {
            (None, None) => return merged,
            (Some(_), None) => kept.next(),
            (Some(one), Some(other)) if order(one, other) == Some(Ordering::Less) => kept.next(),
            _ => patched.next(),
        };
        merged.extend(next);
    }
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
        .map(|(key, value)| (key.clone(), cleaned(value)))
        .collect()
}

/// Without directives and nulls, which mean nothing where nothing was.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(items) => {
            let kept = items.iter().filter(|item| item["$patch"] != "delete");
            kept.map(cleaned).collect()
        }
        other => other.clone(),
    }
}

#[expect(
    clippy::panic,
    reason = "what the model does not know must not pass for an answer"
)]
fn unknown(directive: &str) -> ! {
    panic!("the model knows no directive {directive} of strategic merge patches")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(target: Value, patch: &Value) -> Value {
        let mut target = target;
        strategic(target.as_object_mut().unwrap(), patch.as_object().unwrap());
        target
    }

    #[test]
    fn variables_are_merged_by_name_and_new_ones_stand_in_front() {
        let names = |value: &Value| -> Vec<String> {
            let list = value["env"].as_array().unwrap().iter();
            list.map(|item| item["name"].as_str().unwrap().to_owned())
                .collect()
        };
        let target = json!({ "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "1" }] });
        for (patch, expected) in [
            (json!([{ "name": "C", "value": "1" }]), vec!["C", "A", "B"]),
            (json!([{ "name": "B", "value": "2" }]), vec!["A", "B"]),
            (
                json!([{ "name": "B" }, { "name": "C" }, { "name": "A" }]),
                vec!["B", "C", "A"],
            ),
            (json!([{ "name": "A", "$patch": "delete" }]), vec!["B"]),
            (json!([{ "$patch": "replace" }, { "name": "Z" }]), vec!["Z"]),
        ] {
            assert_eq!(
                names(&patched(target.clone(), &json!({ "env": patch }))),
                expected
            );
        }
    }

    #[test]
    fn null_removes_and_other_lists_are_replaced() {
        let target = json!({ "a": { "b": 1, "c": 2 }, "args": ["x"] });
        let patch = json!({ "a": { "b": null, "d": null }, "args": ["y"], "new": { "x": null, "y": 1 } });
        assert_eq!(
            patched(target, &patch),
            json!({ "a": { "c": 2 }, "args": ["y"], "new": { "y": 1 } })
        );
    }
}
