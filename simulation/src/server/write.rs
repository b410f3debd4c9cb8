//! Requests that change objects.
//!
//! Input: a target, a body. Output: the object, or why not. I/O: changes the store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    defaults::normalize,
    fields::{self, Manager},
    kind::{Generation, Kind},
    merge,
    path::Target,
    refusal::Refusal,
    store::{Key, Store, Write},
    validate,
};

/// An answer that is no refusal.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: u16,
    pub(super) object: Arc<Value>,
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) store: &'a Store,
    pub(super) caller: &'a str,
    pub(super) manager: &'a str,
    pub(super) target: &'a Target,
}

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Request<'_> {
    fn key(&self, name: &str) -> Key {
        let namespace = self.target.namespace.clone().unwrap_or_default();
        (self.target.kind.plural, namespace, name.to_owned())
    }

    fn stored(&self, name: &str) -> Option<Arc<Value>> {
        let (plural, namespace, name) = self.key(name);
        self.store.object(plural, &namespace, &name)
    }

    fn write(&self, verb: &'static str, name: &str) -> Write<'_> {
        Write {
            caller: self.caller,
            verb,
            key: self.key(name),
        }
    }

    fn manager(&self) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            subresource: self.target.subresource.clone(),
        }
    }

    /// POST.
    pub(super) fn create(&self, mut object: Value) -> Result<Done, Refusal> {
        let kind = self.target.kind;
        if let Some(namespace) = &self.target.namespace {
            let namespaces = Kind::of("namespaces");
            if self.store.object("namespaces", "", namespace).is_none() {
                return Err(Refusal::not_found(namespaces, namespace));
            }
            object["metadata"]["namespace"] = json!(namespace);
        }
        if object["metadata"]["name"].is_null()
            && let Some(prefix) = object["metadata"]["generateName"].as_str()
        {
            let suffix = self.store.new_uid();
            object["metadata"]["name"] = json!(format!("{prefix}{}", &suffix[suffix.len() - 5..]));
        }
        if !object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty() {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        if kind.status
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        normalize(kind, &mut object)?;
        validate::check(kind, None, &object)?;
        if self.stored(&name).is_some() {
            return Err(Refusal::exists(kind, &name));
        }
        object["metadata"]["uid"] = json!(self.store.new_uid());
        object["metadata"]["creationTimestamp"] = json!(self.store.now());
        if kind.generation != Generation::Absent {
            object["metadata"]["generation"] = json!(1);
        }
        object["metadata"]["managedFields"] =
            fields::after_write(kind, None, &object, &Value::Null, &self.manager(), &self.store.now());
        let object = if self.target.is_dry_run() {
            Arc::new(object)
        } else {
            self.store.commit(self.write("create", &name), Some(object))
        };
        Ok(Done { code: 201, object })
    }

    /// PUT.
    pub(super) fn replace(&self, name: &str, mut object: Value) -> Result<Done, Refusal> {
        let kind = self.target.kind;
        let Some(before) = self.stored(name) else {
            if kind.create_on_update && self.target.subresource.is_empty() {
                return self.create(object);
            }
            return Err(Refusal::not_found(kind, name));
        };
        if let Some(namespace) = &self.target.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.store_update("update", name, &before, object)
    }

    /// PATCH.
    pub(super) fn patch(&self, name: &str, content_type: &str, patch: &Value) -> Result<Done, Refusal> {
        let kind = self.target.kind;
        let Some(before) = self.stored(name) else {
            return Err(Refusal::not_found(kind, name));
        };
        let mut object = (*before).clone();
        match content_type {
            "application/merge-patch+json" => merge::merge(&mut object, patch),
            "application/strategic-merge-patch+json" if !kind.custom => {
                if let (Some(object), Some(patch)) = (object.as_object_mut(), patch.as_object()) {
                    merge::strategic(object, patch);
                }
            }
            other => return Err(Refusal::unsupported_patch(kind, other)),
        }
        self.store_update("patch", name, &before, object)
    }

    fn store_update(
        &self,
        verb: &'static str,
        name: &str,
        before: &Arc<Value>,
        mut object: Value,
    ) -> Result<Done, Refusal> {
        let kind = self.target.kind;
        let metadata = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (version, uid) = (metadata("resourceVersion"), metadata("uid"));
        if !uid.is_empty() && before["metadata"]["uid"] != uid.as_str() {
            let stored = before["metadata"]["uid"].as_str().unwrap_or_default();
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}");
            return Err(Refusal::conflict(kind, name, &why));
        }
        if version.is_empty() {
            if !kind.unconditional_update && verb == "update" {
                let cause = (
                    "FieldValueInvalid",
                    "Invalid value: 0: must be specified for an update",
                    "metadata.resourceVersion",
                );
                return Err(Refusal::invalid(kind, name, cause));
            }
        } else if before["metadata"]["resourceVersion"] != version.as_str() {
            return Err(Refusal::conflict(kind, name, MODIFIED));
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            put(&mut object["metadata"], field, before["metadata"].get(field));
        }
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        if self.target.subresource == "status" {
            let status = object["status"].take();
            let mut merged = (**before).clone();
            merged["metadata"]["managedFields"] = object["metadata"]["managedFields"].take();
            put(&mut merged, "status", Some(&status).filter(|status| !status.is_null()));
            object = merged;
        } else if kind.status {
            put(&mut object, "status", before.get("status"));
        }
        normalize(kind, &mut object)?;
        validate::check(kind, Some(before), &object)?;
        if is_same(before, &object) {
            return Ok(Done {
                code: 200,
                object: Arc::clone(before),
            });
        }
        let generation = before["metadata"]["generation"].as_i64();
        if let Some(generation) = generation.filter(|_| raises_generation(kind, before, &object)) {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let entries = match object["metadata"]["managedFields"].take() {
            Value::Null => before["metadata"]["managedFields"].clone(),
            entries => entries,
        };
        object["metadata"]["managedFields"] =
            fields::after_write(kind, Some(before), &object, &entries, &self.manager(), &self.store.now());
        if self.target.is_dry_run() {
            return Ok(Done {
                code: 200,
                object: Arc::new(object),
            });
        }
        let is_gone = !object["metadata"]["deletionTimestamp"].is_null() && !has_finalizers(&object);
        let after = (!is_gone).then_some(object);
        Ok(Done {
            code: 200,
            object: self.store.commit(self.write(verb, name), after),
        })
    }

    /// DELETE.
    pub(super) fn delete(&self, name: &str, options: &Value) -> Result<Done, Refusal> {
        let kind = self.target.kind;
        let Some(before) = self.stored(name) else {
            return Err(Refusal::not_found(kind, name));
        };
        let preconditions = &options["preconditions"];
        for (field, label) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            if let Some(wanted) = preconditions[field].as_str()
                && before["metadata"][field] != wanted
            {
                let stored = before["metadata"][field].as_str().unwrap_or_default();
                let why = format!(
                    "Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {stored}"
                );
                return Err(Refusal::conflict(kind, name, &why));
            }
        }
        let is_dry_run = self.target.is_dry_run() || options["dryRun"][0] == "All";
        if has_finalizers(&before) {
            if !before["metadata"]["deletionTimestamp"].is_null() || is_dry_run {
                return Ok(Done { code: 200, object: before });
            }
            let mut object = (*before).clone();
            object["metadata"]["deletionTimestamp"] = json!(self.store.now());
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                object["metadata"]["generation"] = json!(generation + 1);
            }
            return Ok(Done {
                code: 200,
                object: self.store.commit(self.write("delete", name), Some(object)),
            });
        }
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": name,
                "group": kind.group,
                "kind": kind.plural,
                "uid": before["metadata"]["uid"],
            },
        });
        if !is_dry_run {
            self.store.commit(self.write("delete", name), None);
        }
        Ok(Done {
            code: 200,
            object: Arc::new(status),
        })
    }
}

fn put(object: &mut Value, field: &str, value: Option<&Value>) {
    if let Some(object) = object.as_object_mut() {
        match value {
            Some(value) => _ = object.insert(field.to_owned(), value.clone()),
            None => _ = object.remove(field),
        }
    }
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// A write that changes nothing but the times of its entries is none.
fn is_same(before: &Value, after: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        object
    };
    without(before) == without(after)
}

fn raises_generation(kind: &Kind, before: &Value, after: &Value) -> bool {
    let differs = |field: &str| before[field] != after[field];
    match kind.generation {
        Generation::Absent => false,
        Generation::Spec => differs("spec"),
        Generation::SpecAndAnnotations => {
            differs("spec") || before["metadata"]["annotations"] != after["metadata"]["annotations"]
        }
        Generation::Content => {
            let content = |object: &Value| {
                let mut object = object.clone();
                if let Some(object) = object.as_object_mut() {
                    object.remove("metadata");
                    object.remove("status");
                }
                object
            };
            content(before) != content(after)
        }
    }
}
