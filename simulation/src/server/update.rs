//! Updates and patches.
//!
//! As `Update` in [`registry/store.go`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/registry/generic/registry/store.go)
//! and [`BeforeUpdate`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/registry/rest/update.go) do it.

use serde_json::{Value, json};

use super::{
    defaults::normalize,
    fields::{Manager, after_write},
    kind::{Generation, Kind},
    merge,
    path::Address,
    refusal::Refusal,
    store::State,
    validate::check,
    write::{Answer, Writer, remove, unknown},
};

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchType {
    Merge,
    Strategic,
}

impl State {
    /// Replaces an object.
    pub(super) fn replace(&mut self, address: &Address, mut object: Value, writer: &Writer) -> Answer {
        let Address {
            kind,
            namespace,
            name,
            ..
        } = address;
        normalize(kind, &mut object)?;
        check_place(address, &object)?;
        let metadata = &mut object["metadata"];
        if kind.namespaced {
            metadata["namespace"] = namespace.clone().into();
        }
        let found = self.objects.get(&address.key()).cloned();
        let creates = kind.create_on_update && address.subresource.is_empty();
        if found.is_none() && !creates {
            return Err(Refusal::not_found(kind, name));
        }
        let wanted = metadata["uid"].as_str().unwrap_or_default();
        let stored = found.as_ref().and_then(|found| found["metadata"]["uid"].as_str());
        let stored = stored.unwrap_or_default();
        if !wanted.is_empty() && wanted != stored {
            return Err(Refusal::conflict(
                kind,
                name,
                &other_uid(address, wanted, stored, writer.dry_run),
            ));
        }
        let Some(before) = found else {
            return self.create(address, object, writer, "update");
        };
        self.update(address, &before, object, writer, "update")
    }

    /// Patches an object.
    pub(super) fn patch(
        &mut self,
        address: &Address,
        patch: &Value,
        of: PatchType,
        writer: &Writer,
    ) -> Answer {
        let Address { kind, name, .. } = address;
        let Some(before) = self.objects.get(&address.key()).cloned() else {
            return Err(Refusal::not_found(kind, name));
        };
        let mut object = (*before).clone();
        match (of, object.as_object_mut(), patch.as_object()) {
            (_, _, None) => {
                return Err(Refusal::bad_request(
                    "json: cannot unmarshal into Go value of type map[string]interface {}",
                ));
            }
            (PatchType::Strategic, Some(object), Some(patch)) => merge::strategic(object, patch),
            _ => merge::merge(&mut object, patch),
        }
        normalize(kind, &mut object)?;
        check_place(address, &object)?;
        self.update(address, &before, object, writer, "patch")
    }

    fn update(
        &mut self,
        address: &Address,
        before: &Value,
        mut object: Value,
        writer: &Writer,
        verb: &'static str,
    ) -> Answer {
        let kind = address.kind;
        let sent = object["metadata"]["managedFields"].take();
        remove(&mut object["metadata"], "managedFields");
        check_version(kind, &address.name, before, &mut object)?;
        match address.subresource.as_str() {
            "" => keep_status(kind, before, &mut object),
            "status" => keep_all_but_status(kind, before, &mut object),
            other => unknown(&format!("subresource {other}")),
        }
        keep_metadata(kind, before, &mut object);
        let mut old = before.clone();
        let stored = old["metadata"]["managedFields"].take();
        remove(&mut old["metadata"], "managedFields");
        if address.subresource.is_empty() {
            object["metadata"]["generation"] = generation(kind, &old, &object);
            if object["metadata"]["generation"].is_null() {
                remove(&mut object["metadata"], "generation");
            }
        }
        let is_known = sent.as_array().is_some_and(|sent| !sent.is_empty());
        let entries = if is_known && address.subresource.is_empty() {
            &sent
        } else {
            &stored
        };
        let manager = Manager {
            name: writer.manager.clone(),
            subresource: address.subresource.clone(),
        };
        // An object without entries, its last field once removed, is not tracked any more.
        let is_tracked = entries.as_array().is_some_and(|entries| !entries.is_empty());
        let entries = if is_tracked {
            after_write(kind, Some(&old), &object, entries, &manager, &writer.stamp())
        } else {
            Value::Null
        };
        if entries.as_array().is_some_and(|entries| !entries.is_empty()) {
            object["metadata"]["managedFields"] = entries;
        }
        check(kind, Some(before), &object)?;
        let is_held = |object: &Value| {
            let finalizers = object["metadata"]["finalizers"].as_array();
            finalizers.is_some_and(|finalizers| !finalizers.is_empty())
        };
        if !before["metadata"]["deletionTimestamp"].is_null() && !is_held(&object) {
            if !writer.dry_run {
                self.commit(writer.write(address, verb), None);
            }
            return Ok((200, object));
        }
        if object == *before || writer.dry_run {
            return Ok((200, object));
        }
        let stored = self.commit(writer.write(address, verb), Some(object));
        Ok((200, stored.map_or(Value::Null, |object| (*object).clone())))
    }
}

impl Address {
    pub(super) fn key(&self) -> super::store::Key {
        (self.kind.plural, self.namespace.clone(), self.name.clone())
    }
}

/// Name and namespace are those of the path.
fn check_place(address: &Address, object: &Value) -> Result<(), Refusal> {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    if text("name") != address.name {
        return Err(Refusal::bad_request(match text("name") {
            "" => {
                "the name of the object ( based on URL) was undeterminable: name must be provided".to_owned()
            }
            given => format!(
                "the name of the object ({given}) does not match the name on the URL ({})",
                address.name
            ),
        }));
    }
    if !text("namespace").is_empty() && text("namespace") != address.namespace {
        return Err(Refusal::other_namespace());
    }
    Ok(())
}

fn check_version(kind: &Kind, name: &str, before: &Value, object: &mut Value) -> Result<(), Refusal> {
    let stored = &before["metadata"]["resourceVersion"];
    match object["metadata"]["resourceVersion"].as_str().unwrap_or_default() {
        "" | "0" if kind.unconditional_update => object["metadata"]["resourceVersion"] = stored.clone(),
        "" | "0" => return Err(Refusal::no_version(kind, name)),
        wanted if stored != wanted => return Err(Refusal::conflict(kind, name, MODIFIED)),
        _ => {}
    }
    Ok(())
}

fn keep_status(kind: &Kind, before: &Value, object: &mut Value) {
    if !kind.status {
        return;
    }
    match before.get("status") {
        Some(status) => object["status"] = status.clone(),
        None => remove(object, "status"),
    }
}

fn keep_all_but_status(kind: &Kind, before: &Value, object: &mut Value) {
    let sent = std::mem::replace(object, before.clone());
    match sent.get("status") {
        Some(status) => object["status"] = status.clone(),
        None if kind.custom => remove(object, "status"),
        None => object["status"] = json!({}),
    }
    if !kind.custom {
        for field in ["annotations", "finalizers", "ownerReferences"] {
            match sent["metadata"].get(field) {
                Some(value) => object["metadata"][field] = value.clone(),
                None => remove(&mut object["metadata"], field),
            }
        }
    }
    object["metadata"]["uid"] = sent["metadata"]["uid"].clone();
    remove(&mut object["metadata"], "managedFields");
}

/// What no update changes.
fn keep_metadata(kind: &Kind, before: &Value, object: &mut Value) {
    let old = &before["metadata"];
    let metadata = &mut object["metadata"];
    for field in [
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        match old.get(field) {
            Some(value) => metadata[field] = value.clone(),
            None => remove(metadata, field),
        }
    }
    if metadata["uid"].is_null() {
        metadata["uid"] = old["uid"].clone();
    }
    if kind.kind == "Namespace" {
        object["spec"] = before["spec"].clone();
    }
}

fn generation(kind: &Kind, before: &Value, after: &Value) -> Value {
    let changed = match kind.generation {
        Generation::Absent => return Value::Null,
        Generation::Spec => before["spec"] != after["spec"],
        Generation::SpecAndAnnotations => {
            before["spec"] != after["spec"]
                || before["metadata"]["annotations"] != after["metadata"]["annotations"]
        }
        Generation::Content => {
            let content = |object: &Value| {
                let mut object = object.clone();
                remove(&mut object, "metadata");
                if kind.status {
                    remove(&mut object, "status");
                }
                object
            };
            content(before) != content(after)
        }
    };
    let present = before["metadata"]["generation"].as_i64().unwrap_or_default();
    (present + i64::from(changed)).into()
}

fn other_uid(address: &Address, wanted: &str, stored: &str, dry_run: bool) -> String {
    let Address {
        kind,
        namespace,
        name,
        ..
    } = address;
    let root = if dry_run { "" } else { "/registry" };
    let folder = if kind.custom {
        format!("{}/{}", kind.group, kind.plural)
    } else {
        kind.plural.to_owned()
    };
    format!(
        "StorageError: invalid object, Code: 4, Key: {root}/{folder}/{namespace}/{name}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {stored}"
    )
}
