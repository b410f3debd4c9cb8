//! The Jobs that are created: of a CronJob, or as the successor of another Job.
//!
//! Input: the JSON of a CronJob or Job, a [`Plan`]. Output: the JSON to create. I/O: none.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{
    seal::Seal,
    template::{MissingContainer, mark},
};
use crate::{
    decide::{Plan, unique_name},
    model::{UnixSeconds, is_dns_subdomain, opt_in::RECREATES},
};

/// On a copy: the seal of the annotation [`RECREATES`].
const SEAL: &str = "reloader.stakater.com/recreates-seal";
/// How far apart the time in a seal and the copy's creation may be, in seconds: clocks of two machines, and a request. A copy
/// that another client has kept, and creates once more later, is not Reloader's.
const LONGEST_GAP: u64 = 600;
/// Longest annotation of a copy, in bytes: the API server's limit for all annotations of an object, 256 KiB, less what is
/// beside it.
const LONGEST_ANNOTATION: usize = (256 << 10) - (2 << 10);
/// Written by `kubectl apply`: the Job once more. Without it the next apply works, with a warning.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Fields of `metadata` that the API server gives every object it creates.
const GIVEN: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];
/// Labels that the API server gives the pods of a Job, unless the Job has a selector of its own.
const GIVEN_LABELS: [&str; 4] = [
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "job-name",
];

/// Domain of labels that hand a Job to Kueue, which would end the copy's suspension.
const QUEUES: &str = "kueue.x-k8s.io/";
/// Annotations that keep Argo CD, which finds its objects by a label, from taking the copy for a leftover.
const UNMANAGED: [(&str, &str); 2] = [
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ("argocd.argoproj.io/sync-options", "Prune=false"),
];

/// Whether a foreground deletion of the CronJob waits for a Job of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerReference {
    /// It does, as for the CronJob's own Jobs. Where the admission plugin
    /// [`OwnerReferencesPermissionEnforcement`](https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement)
    /// is enabled, that needs a permission on the CronJob's finalizers.
    Blocking,
    /// It does not.
    NonBlocking,
}

/// A Job of a CronJob, as `kubectl create job --from` makes it, with the plan's markers.
pub fn of_cron_job(
    cron_job: &Value,
    name: &str,
    reference: OwnerReference,
    plan: &Plan,
) -> Result<Value, MissingContainer> {
    let template = &cron_job["spec"]["jobTemplate"];
    let mut annotations = Map::from_iter([(
        "cronjob.kubernetes.io/instantiate".to_owned(),
        Value::from("manual"),
    )]);
    if let Some(own) = template["metadata"]["annotations"].as_object() {
        annotations.extend(own.clone());
    }
    let mut owner = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": cron_job["metadata"]["name"],
        "uid": cron_job["metadata"]["uid"],
        "controller": true,
    });
    if reference == OwnerReference::Blocking {
        owner["blockOwnerDeletion"] = true.into();
    }
    let mut spec = template["spec"].clone();
    mark(&mut spec["template"], plan)?;
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron_job["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": spec,
    }))
}

/// The Job that takes the place of this one: the same, but for what the API server gives, and with the plan's markers.
///
/// A Job that selects its pods itself (`manualSelector`) keeps selector and labels; any other gets new ones.
pub fn successor(job: &Value, plan: &Plan) -> Result<Value, MissingContainer> {
    let mut metadata = job["metadata"].clone();
    remove(&mut metadata, &GIVEN);
    let mut spec = job["spec"].clone();
    if spec["manualSelector"].as_bool() != Some(true) {
        remove(&mut spec, &["selector"]);
        if let Some(labels) = spec.pointer_mut("/template/metadata/labels") {
            remove(labels, &GIVEN_LABELS);
        }
    }
    mark(&mut spec["template"], plan)?;
    Ok(json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec }))
}

/// What must be done about a Job, from before its deletion until its successor exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Recreation {
    /// `metadata.uid` of the Job to be deleted.
    pub old_uid: String,
    /// The Job to be created.
    pub successor: Value,
}

impl Recreation {
    /// `metadata.name` of the Job.
    pub fn name(&self) -> &str {
        self.successor["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The name of its copy: the same for every attempt to replace this Job, and for version 0.1.0, which removes the copy
    /// by it.
    pub fn copy_name(&self) -> String {
        unique_name(self.name(), &Sha1::digest(&self.old_uid))
    }

    /// The successor under the copy's name: to ask the API server whether it would be accepted.
    pub fn rehearsal(&self) -> Value {
        let mut job = self.successor.clone();
        job["metadata"]["name"] = self.copy_name().into();
        job
    }

    /// A suspended Job that holds all of this: it runs nothing, is of the same namespace and under the same permissions
    /// as the Job itself, and holds everything that is needed to continue after a crash. It keeps the Job's labels: what
    /// admits the Job by its labels admits the copy.
    ///
    /// What continues is the sealed annotation alone; the spec beside it is there for the API server to check, and for
    /// version 0.1.0, which reads it.
    /// `now`: when it is sealed.
    pub fn copy(&self, seal: &Seal, now: UnixSeconds) -> Value {
        let mut spec = self.successor["spec"].clone();
        let mut said = json!({
            "uid": self.old_uid,
            "sealedAt": now,
            "suspend": spec["suspend"],
            "metadata": self.successor["metadata"],
            "spec": spec,
        });
        if said.to_string().len() > LONGEST_ANNOTATION {
            remove(&mut said["metadata"]["annotations"], &[LAST_APPLIED]);
        }
        let said = said.to_string();
        let sealed = seal.of(&said);
        spec["suspend"] = true.into();
        let mut annotations = Map::new();
        for (key, value) in UNMANAGED {
            annotations.insert(key.to_owned(), value.into());
        }
        annotations.insert(RECREATES.to_owned(), said.into());
        annotations.insert(SEAL.to_owned(), sealed.into());
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self.copy_name(),
                "namespace": self.successor["metadata"]["namespace"],
                "labels": self.copy_labels(),
                "annotations": annotations,
            },
            "spec": spec,
        })
    }

    /// The Job's own labels, but for those that name the Job itself or let a queue start it.
    fn copy_labels(&self) -> Map<String, Value> {
        let own = self.successor["metadata"]["labels"].as_object();
        let is_kept = |key: &str| !GIVEN_LABELS.contains(&key) && !key.starts_with(QUEUES);
        let mut labels: Map<String, Value> = own
            .into_iter()
            .flatten()
            .filter(|(key, _)| is_kept(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        labels.insert(RECREATES.to_owned(), "job".into());
        labels
    }

    /// Parses a copy; `None` for any other Job, and for one that was not sealed with this key for this place.
    pub fn of_copy(copy: &Value, seal: &Seal) -> Option<Self> {
        let annotations = &copy["metadata"]["annotations"];
        let said = annotations[RECREATES].as_str()?;
        if !seal.is_of(annotations[SEAL].as_str()?, said) {
            return None;
        }
        let said: Value = serde_json::from_str(said).ok()?;
        let (metadata, spec) = (&said["metadata"], &said["spec"]);
        let recreation = Self {
            old_uid: said["uid"].as_str()?.to_owned(),
            successor: json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec }),
        };
        let created: Timestamp = copy["metadata"]["creationTimestamp"].as_str()?.parse().ok()?;
        let gap = created.as_second().abs_diff(said["sealedAt"].as_i64()?);
        if gap > LONGEST_GAP {
            return None;
        }
        // A genuine copy that another client stored elsewhere, or under another name, is not Reloader's either.
        let is_in_place = copy["metadata"]["namespace"] == metadata["namespace"]
            && copy["metadata"]["name"] == recreation.copy_name();
        (is_in_place && is_dns_subdomain(recreation.name())).then_some(recreation)
    }
}

fn remove(value: &mut Value, fields: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
    }
}

#[cfg(test)]
mod tests;
