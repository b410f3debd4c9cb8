//! Creates and deletes.
//!
//! As [`registry/store.go`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/registry/generic/registry/store.go) does it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    defaults::normalize,
    fields::{Manager, after_write},
    kind::{Generation, Kind},
    path::Address,
    refusal::Refusal,
    store::{State, Write, uid},
    validate::check,
};

/// An answer: the HTTP status and the body.
pub(super) type Answer = Result<(u16, Value), Refusal>;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) caller: String,
    pub(super) manager: String,
    pub(super) dry_run: bool,
    pub(super) now: Timestamp,
}

impl Writer {
    /// The time as objects hold it, in whole seconds.
    pub(super) fn stamp(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub(super) fn write<'a>(&'a self, address: &'a Address, verb: &'static str) -> Write<'a> {
        Write {
            address,
            caller: &self.caller,
            manager: &self.manager,
            verb,
        }
    }
}

/// The finalizers that deletion policies set.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl State {
    /// Creates an object. `verb`: what the client asked for.
    pub(super) fn create(
        &mut self,
        address: &Address,
        mut object: Value,
        writer: &Writer,
        verb: &'static str,
    ) -> Answer {
        let kind = address.kind;
        normalize(kind, &mut object)?;
        let mut address = address.clone();
        self.name(&mut address, &mut object)?;
        self.admit(&address)?;
        let metadata = &mut object["metadata"];
        // A PUT that creates may have one; it means nothing.
        if verb == "create" && !metadata["resourceVersion"].is_null() {
            return Err(Refusal::new(
                500,
                "InternalError",
                "Internal error occurred: resourceVersion should not be set on objects to be created",
                Some(
                    json!({ "causes": [{ "message": "resourceVersion should not be set on objects to be created" }] }),
                ),
            ));
        }
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "generation",
        ] {
            remove(metadata, field);
        }
        metadata["uid"] = uid(self.created + 1).into();
        metadata["creationTimestamp"] = writer.stamp().into();
        if kind.generation != Generation::Absent {
            metadata["generation"] = 1.into();
        }
        if kind.status && kind.kind != "Namespace" {
            if kind.custom {
                remove(&mut object, "status");
            } else {
                object["status"] = json!({});
            }
        }
        if kind.kind == "Job" {
            label_job(&mut object);
        }
        let key = (kind.plural, address.namespace.clone(), address.name.clone());
        check(kind, None, &object)?;
        let entries = object["metadata"]["managedFields"].take();
        remove(&mut object["metadata"], "managedFields");
        let manager = Manager {
            name: writer.manager.clone(),
            subresource: String::new(),
        };
        object["metadata"]["managedFields"] =
            after_write(kind, None, &object, &entries, &manager, &writer.stamp());
        if let Some(present) = self.objects.get(&key) {
            let is_ending = !present["metadata"]["deletionTimestamp"].is_null();
            return Err(Refusal::exists(kind, &address.name, is_ending));
        }
        self.created += 1;
        if writer.dry_run {
            return Ok((201, object));
        }
        let stored = self.commit(writer.write(&address, verb), Some(object));
        Ok((201, stored.map_or(Value::Null, |object| (*object).clone())))
    }

    /// Finds the name and the namespace of an object that is to be created.
    fn name(&self, address: &mut Address, object: &mut Value) -> Result<(), Refusal> {
        let kind = address.kind;
        let metadata = &mut object["metadata"];
        match metadata["namespace"].as_str().unwrap_or_default() {
            "" if kind.namespaced => metadata["namespace"] = address.namespace.clone().into(),
            given if given == address.namespace => {}
            _ => return Err(Refusal::other_namespace()),
        }
        if metadata["namespace"].is_null() {
            remove(metadata, "namespace");
        }
        let name = metadata["name"].as_str().unwrap_or_default();
        let prefix = metadata["generateName"].as_str().unwrap_or_default();
        address.name = match (name, prefix) {
            ("", "") => {
                let cause = (
                    "FieldValueRequired",
                    "Required value: name or generateName is required",
                    "metadata.name",
                );
                return Err(Refusal::invalid(kind, "", cause));
            }
            ("", prefix) => format!("{prefix}{:05x}", self.created + 1),
            (name, _) => name.to_owned(),
        };
        metadata["name"] = address.name.clone().into();
        Ok(())
    }

    /// The namespace exists and does not end.
    pub(super) fn admit(&self, address: &Address) -> Result<(), Refusal> {
        if !address.kind.namespaced {
            return Ok(());
        }
        let namespaces = Kind::of("namespaces");
        let key = (namespaces.plural, String::new(), address.namespace.clone());
        match self.objects.get(&key) {
            None => Err(Refusal::not_found(namespaces, &address.namespace)),
            Some(namespace) if !namespace["metadata"]["deletionTimestamp"].is_null() => {
                let why = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    address.namespace
                );
                Err(Refusal::forbidden(address.kind, &address.name, &why))
            }
            Some(_) => Ok(()),
        }
    }

    /// Deletes an object, or marks it as long as finalizers hold it. `options`: a `DeleteOptions`, or null.
    pub(super) fn delete(&mut self, address: &Address, options: &Value, writer: &Writer) -> Answer {
        let Address {
            kind,
            namespace,
            name,
            ..
        } = address;
        let key = (kind.plural, namespace.clone(), name.clone());
        let Some(before) = self.objects.get(&key).cloned() else {
            return Err(Refusal::not_found(kind, name));
        };
        preconditions(kind, &before, &options["preconditions"])?;
        let finalizers = finalizers_for(kind, &before, options);
        if kind.kind == "Namespace" {
            unknown("deletion of a Namespace");
        }
        if finalizers.is_empty() {
            let uid = before["metadata"]["uid"].clone();
            if !writer.dry_run {
                self.commit(writer.write(address, "delete"), None);
            }
            return Ok((200, success(address, &uid)));
        }
        let mut after = (*before).clone();
        let metadata = &mut after["metadata"];
        metadata["finalizers"] = finalizers.into();
        if metadata["deletionTimestamp"].is_null() {
            metadata["deletionTimestamp"] = writer.stamp().into();
            if let Some(generation) = metadata["generation"].as_i64() {
                metadata["generation"] = (generation + 1).into();
            }
        }
        metadata["deletionGracePeriodSeconds"] = 0.into();
        if after == *before || writer.dry_run {
            return Ok((200, after));
        }
        let stored = self.commit(writer.write(address, "delete"), Some(after));
        Ok((200, stored.map_or(Value::Null, |object| (*object).clone())))
    }
}

/// A Job's selector and labels, which its controller makes from its uid.
fn label_job(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (
        object["metadata"]["uid"].clone(),
        object["metadata"]["name"].clone(),
    );
    let labels = &mut object["spec"]["template"]["metadata"]["labels"];
    for (label, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels[label] = value.clone();
    }
    object["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid;
}

fn preconditions(kind: &Kind, stored: &Value, wanted: &Value) -> Result<(), Refusal> {
    let metadata = &stored["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    for (field, title, cause) in [
        (
            "uid",
            "UID",
            "The object might have been deleted and then recreated",
        ),
        (
            "resourceVersion",
            "ResourceVersion",
            "The object might have been modified",
        ),
    ] {
        let (wanted, stored) = (
            wanted[field].as_str(),
            metadata[field].as_str().unwrap_or_default(),
        );
        if let Some(wanted) = wanted.filter(|wanted| *wanted != stored) {
            let why = format!(
                "the {title} in the precondition ({wanted}) does not match the {title} in record ({stored}). {cause}"
            );
            return Err(Refusal::precondition(kind, name, &why));
        }
    }
    Ok(())
}

/// The finalizers after a deletion that was asked for with these options.
fn finalizers_for(kind: &Kind, stored: &Value, options: &Value) -> Vec<Value> {
    let present: Vec<Value> = stored["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let policy = match (
        options["propagationPolicy"].as_str(),
        options["orphanDependents"].as_bool(),
    ) {
        (Some(policy), _) => policy,
        (None, Some(true)) => "Orphan",
        (None, None) if present.iter().any(|finalizer| finalizer == ORPHAN) => "Orphan",
        (None, None) if present.iter().any(|finalizer| finalizer == FOREGROUND) => "Foreground",
        // As it was before Jobs had owners.
        (None, None) if kind.kind == "Job" => "Orphan",
        (None, _) => "Background",
    };
    let others = present
        .into_iter()
        .filter(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    let of_policy = match policy {
        "Orphan" => Some(ORPHAN),
        "Foreground" => Some(FOREGROUND),
        _ => None,
    };
    others.chain(of_policy.map(Value::from)).collect()
}

/// What a completed deletion is answered with.
pub(super) fn success(address: &Address, uid: &Value) -> Value {
    let Address { kind, name, .. } = address;
    let mut details = json!({ "name": name, "kind": kind.plural, "uid": uid });
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

pub(super) fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

#[expect(
    clippy::panic,
    reason = "what the model does not know must not pass for an answer"
)]
pub(super) fn unknown(what: &str) -> ! {
    panic!("the model knows no {what}")
}
