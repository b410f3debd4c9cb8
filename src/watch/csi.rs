//! Decodes the objects of the Secrets Store CSI driver: what each pod shows of a class, and the class's annotations.
//!
//! Input: JSON of the API. Output: [`PodStatus`]es and [`ClassAnnotations`]. I/O: none.
//!
//! The objects that a status lists are names and versions, never values; even so they are hashed and dropped. Every field
//! may be absent, null or of another type: the kinds are custom resources, and one object must not hide the others.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use serde::Deserialize;

use super::{
    lenient::wire,
    notes::{LabelKeys, Notes},
};
use crate::{
    diagnose::{Checker, Finding},
    model::{
        AnnotationKeys, ClassAnnotations, Digest, PodStatus, SourceKey, SourceKind, UnixSeconds,
        digest::Canonical,
    },
};

const GROUP: &str = "secrets-store.csi.x-k8s.io";

/// A SecretProviderClassPodStatus as the client decodes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "StatusObjectWire")]
pub struct PodStatusObject {
    /// Name, namespace, uid and resourceVersion only.
    metadata: ObjectMeta,
    class: String,
    digest: Digest,
    modified_at: Option<UnixSeconds>,
    rewritten: bool,
}

impl PodStatusObject {
    /// The status; its namespace and name where it names no class, and so shows nothing.
    pub fn into_status(self) -> Result<PodStatus, (Arc<str>, Box<str>)> {
        if self.class.is_empty() {
            return Err(self.into_name());
        }
        Ok(PodStatus {
            namespace: text(self.metadata.namespace.as_ref()).into(),
            name: text(self.metadata.name.as_ref()).into(),
            uid: text(self.metadata.uid.as_ref()).into(),
            class: self.class.into(),
            digest: self.digest,
            resource_version: text(self.metadata.resource_version.as_ref()).parse().unwrap_or(0),
            modified_at: self.modified_at,
            rewritten: self.rewritten,
        })
    }

    /// Its namespace and its own name.
    pub fn into_name(self) -> (Arc<str>, Box<str>) {
        let ObjectMeta { namespace, name, .. } = self.metadata;
        (
            namespace.unwrap_or_default().into(),
            name.unwrap_or_default().into(),
        )
    }
}

/// A SecretProviderClass as the client decodes it: annotations, keys of labels. What it mounts is skipped.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ClassObjectWire")]
pub struct ClassObject {
    /// Name, namespace, uid and resourceVersion only.
    metadata: ObjectMeta,
    annotations: Notes,
    labels: LabelKeys,
}

impl ClassObject {
    /// Its annotations under the configured keys.
    pub fn into_annotations(self, keys: &AnnotationKeys) -> ClassAnnotations {
        ClassAnnotations {
            ignored: self.annotations.says_true(&keys.ignore),
            matched: self.annotations.says_true(&keys.match_),
            key: self.key(),
        }
    }

    /// What is wrong with its annotations.
    pub fn findings(&self, checker: &Checker) -> Vec<Finding> {
        checker.source(
            SourceKind::SecretProviderClass,
            self.annotations.pairs(),
            &self.labels.0,
        )
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        text(self.metadata.uid.as_ref())
    }

    /// Which object this is.
    pub fn key(&self) -> SourceKey {
        let (namespace, name) = (
            text(self.metadata.namespace.as_ref()),
            text(self.metadata.name.as_ref()),
        );
        SourceKey::new(SourceKind::SecretProviderClass, namespace, name)
    }
}

fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}

macro_rules! resource {
    ($name:ident, $kind:literal, $plural:literal) => {
        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }
            fn group((): &()) -> Cow<'_, str> {
                GROUP.into()
            }
            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }
            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
resource!(
    PodStatusObject,
    "SecretProviderClassPodStatus",
    "secretproviderclasspodstatuses"
);
resource!(ClassObject, "SecretProviderClass", "secretproviderclasses");

impl From<StatusObjectWire> for PodStatusObject {
    fn from(StatusObjectWire { metadata, status }: StatusObjectWire) -> Self {
        let mut canonical = Canonical::new();
        for ObjectVersionWire { id, version } in &status.objects {
            canonical.push_text(id, version.as_bytes());
        }
        canonical.push_text(
            "SecretProviderClassName",
            status.secret_provider_class_name.as_bytes(),
        );
        let time = |text: &str| text.parse::<Timestamp>().ok().map(UnixSeconds::from);
        let created_at = metadata.creation_timestamp.as_deref().and_then(time);
        let writes = metadata
            .managed_fields
            .iter()
            .filter_map(|write| Some((time(write.time.as_deref()?)?, write)));
        let modified_at = writes.clone().map(|(at, _)| at).max();
        // The generation counts writes beyond metadata, unless the definition has a status subresource: writes to that
        // are recognized by their entry in managedFields.
        let status_written = |at, write: &WriteWire| write.subresource == "status" && Some(at) > created_at;
        let rewritten =
            metadata.generation > 1 || writes.into_iter().any(|(at, write)| status_written(at, write));
        Self {
            class: status.secret_provider_class_name,
            digest: canonical.finish(),
            modified_at,
            rewritten,
            metadata: metadata.identity(),
        }
    }
}

impl From<ClassObjectWire> for ClassObject {
    fn from(ClassObjectWire { mut metadata }: ClassObjectWire) -> Self {
        Self {
            annotations: std::mem::take(&mut metadata.annotations),
            labels: std::mem::take(&mut metadata.labels),
            metadata: metadata.identity(),
        }
    }
}

impl MetaWire {
    fn identity(self) -> ObjectMeta {
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            ..ObjectMeta::default()
        }
    }
}

wire! {
    StatusObjectWire { metadata: MetaWire, status: StatusWire }
    ClassObjectWire { metadata: MetaWire }
    MetaWire {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<String>,
        generation: i64,
        annotations: Notes,
        labels: LabelKeys,
        managed_fields: Vec<WriteWire>,
    }
    WriteWire { time: Option<String>, subresource: String }
    StatusWire { objects: Vec<ObjectVersionWire>, secret_provider_class_name: String }
    ObjectVersionWire { id: String, version: String }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn decode(status: &Value) -> Option<PodStatus> {
        let metadata =
            json!({ "name": "pod-ns-my-spc", "namespace": "ns", "uid": "u", "resourceVersion": "7" });
        let object = json!({ "metadata": metadata, "status": status });
        serde_json::from_value::<PodStatusObject>(object)
            .unwrap()
            .into_status()
            .ok()
    }

    /// Values upstream Reloader v1.4.21 gives.
    #[rstest]
    #[case::objects(json!([{ "id": "secret/data/test:password", "version": "v2" },
        { "id": "secret/data/test:api_key", "version": "v1" }]), "d55f913d7a23d463041ae7b9e8e071646c0282f8")]
    #[case::none(json!([]), "40c125ef6cd81879ba7d9bf324830530eaee9893")]
    #[case::null(json!(null), "40c125ef6cd81879ba7d9bf324830530eaee9893")]
    fn a_status_has_upstreams_digest(#[case] objects: Value, #[case] expected: &str) {
        let status =
            decode(&json!({ "podName": "pod", "secretProviderClassName": "my-spc", "objects": objects }))
                .unwrap();
        assert_eq!(status.digest.to_string(), expected);
        assert_eq!(
            status.source(),
            SourceKey::new(SourceKind::SecretProviderClass, "ns", "my-spc")
        );
        assert_eq!((&*status.name, status.resource_version), ("pod-ns-my-spc", 7));
    }

    /// Upstream takes an empty class name for one that matches every workload of the namespace.
    #[rstest]
    #[case(json!({ "secretProviderClassName": "", "objects": [{ "id": "a", "version": "1" }] }))]
    #[case(json!({ "secretProviderClassName": null }))]
    #[case(json!({}))]
    #[case(json!(null))]
    fn a_status_without_a_class_shows_nothing(#[case] status: Value) {
        assert_eq!(decode(&status), None);
    }

    #[rstest]
    #[case::created(1, json!([{ "time": "2026-01-01T00:00:00Z" }]), false)]
    #[case::metadata_written_later(1, json!([{ "time": "2026-01-01T00:00:00Z" }, { "time": "2026-01-01T00:05:00Z" }]), false)]
    #[case::written_again(2, json!([{ "time": "2026-01-01T00:05:00Z" }]), true)]
    #[case::status_subresource(1, json!([{ "time": "2026-01-01T00:05:00Z", "subresource": "status" }]), true)]
    #[case::status_subresource_at_creation(1, json!([{ "time": "2026-01-01T00:00:00Z", "subresource": "status" }]), false)]
    #[case::nothing_known(0, json!(null), false)]
    fn whether_a_status_was_written_again(
        #[case] generation: i64,
        #[case] managed_fields: Value,
        #[case] expected: bool,
    ) {
        let object = json!({
            "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z", "generation": generation,
                "managedFields": managed_fields },
            "status": { "secretProviderClassName": "my-spc" },
        });
        let status = serde_json::from_value::<PodStatusObject>(object)
            .unwrap()
            .into_status();
        assert_eq!(status.unwrap().rewritten, expected);
    }

    #[test]
    fn only_the_exact_text_true_ignores_or_matches() {
        let class = |value: &str| {
            let annotations = json!({ "reloader.stakater.com/ignore": value, "reloader.stakater.com/match": value, "none": null });
            let object = json!({ "metadata": { "name": "my-spc", "namespace": "ns", "annotations": annotations },
                "spec": { "provider": "vault", "parameters": { "objects": "canary" } } });
            let object: ClassObject = serde_json::from_value(object).unwrap();
            assert!(!format!("{object:?}").contains("canary"));
            object.into_annotations(&AnnotationKeys::default())
        };
        assert!(class("true").ignored && class("true").matched);
        for value in ["True", "1", " true", ""] {
            assert!(!class(value).ignored && !class(value).matched, "{value:?}");
        }
    }
}
