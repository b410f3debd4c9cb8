//! Decodes ConfigMaps and Secrets into digests: their data never outlives the parse.
//!
//! Input: JSON of the API. Output: [`crate::model::Source`]. I/O: none.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{
    lenient::{Lenient, Loose, wire},
    notes::{LabelKeys, Notes},
};
use crate::{
    diagnose::{Checker, Finding},
    model::{
        AnnotationKeys, Digest, Policy, Source, SourceKey, SourceKind, UnixSeconds, digest::Canonical,
        policy::RESTART_WINDOW,
    },
};

/// A source kind that can be watched: defines how its data becomes canonical entries.
pub trait SourceData: Clone + fmt::Debug + Send + Sync + 'static {
    /// The kind it decodes.
    const KIND: SourceKind;
    /// Adds one pair of the object's `data` map.
    fn push_data(canonical: &mut Canonical, key: &str, value: &str);
}

/// ConfigMap: `data` is text; `binaryData` is already the padded standard base64 that the canonical form wants.
#[derive(Clone, Debug)]
pub struct ConfigMapData;

impl SourceData for ConfigMapData {
    const KIND: SourceKind = SourceKind::ConfigMap;

    fn push_data(canonical: &mut Canonical, key: &str, value: &str) {
        canonical.push_text(key, value.as_bytes());
    }
}

/// Secret: `data` is base64 on the wire and hashed as the decoded bytes.
#[derive(Clone, Debug)]
pub struct SecretData;

impl SourceData for SecretData {
    const KIND: SourceKind = SourceKind::Secret;

    fn push_data(canonical: &mut Canonical, key: &str, value: &str) {
        // The API server only stores valid base64. If a proxy returns something else, the text itself still
        // distinguishes contents, and no other object of the list is lost over it.
        match STANDARD.decode(value) {
            Ok(bytes) => canonical.push_text(key, &bytes),
            Err(_) => canonical.push_text(key, value.as_bytes()),
        }
    }
}

/// A ConfigMap or Secret as the client decodes it: identity, digest, annotations, keys of labels.
#[derive(Clone)]
pub struct SourceObject<D> {
    /// Name, namespace, uid and resourceVersion only.
    metadata: ObjectMeta,
    annotations: Notes,
    labels: LabelKeys,
    digest: Digest,
    /// When its data was last written.
    modified_at: Option<UnixSeconds>,
    /// That was certainly after its creation.
    rewritten: bool,
    kind: std::marker::PhantomData<D>,
}

impl<D: SourceData> SourceObject<D> {
    /// The source, with its annotations read under the configured keys.
    pub fn into_source(self, keys: &AnnotationKeys) -> Source {
        Source {
            ignored: self.annotations.says_true(&keys.ignore),
            matched: self.annotations.says_true(&keys.match_),
            // A window on a source means nothing, and may be long.
            policy: Policy::parse(|key| self.annotations.get(key).filter(|_| key != RESTART_WINDOW)),
            digest: self.digest,
            resource_version: self.version(),
            modified_at: self.modified_at,
            rewritten: self.rewritten,
            uid: self.metadata.uid.as_deref().unwrap_or_default().into(),
            key: self.key(),
        }
    }

    /// What is wrong with its annotations.
    pub fn findings(&self, checker: &Checker) -> Vec<Finding> {
        checker.source(D::KIND, self.annotations.pairs(), &self.labels.0)
    }

    /// Its resourceVersion as a number; 0 where the text is not one.
    pub fn version(&self) -> u64 {
        let text = self.metadata.resource_version.as_deref();
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Which object this is.
    pub fn key(&self) -> SourceKey {
        let meta = &self.metadata;
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
        SourceKey::new(D::KIND, text(&meta.namespace), text(&meta.name))
    }
}

impl<D: SourceData> fmt::Debug for SourceObject<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceObject").field(&self.key()).finish()
    }
}

impl<D: SourceData> kube::Resource for SourceObject<D> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        D::KIND.as_str().into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        D::KIND.resource().into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de, D: SourceData> Deserialize<'de> for SourceObject<D> {
    fn deserialize<T: Deserializer<'de>>(deserializer: T) -> Result<Self, T::Error> {
        deserializer.deserialize_map(SourceVisitor(std::marker::PhantomData))
    }
}

/// Walks the object's fields once and hashes the data fields as they come.
struct SourceVisitor<D>(std::marker::PhantomData<D>);

impl<'de, D: SourceData> Visitor<'de> for SourceVisitor<D> {
    type Value = SourceObject<D>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", D::KIND)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = SourceMeta::default();
        let mut canonical = Canonical::new();
        while let Some(field) = map.next_key::<Cow<'de, str>>()? {
            match &*field {
                "metadata" => Loose(metadata) = map.next_value()?,
                "data" => {
                    let Loose(Pairs(pairs)) = map.next_value()?;
                    for (key, value) in pairs {
                        D::push_data(&mut canonical, &key, &value);
                    }
                }
                "binaryData" => {
                    let Loose(Pairs(pairs)) = map.next_value()?;
                    for (key, value) in pairs {
                        canonical.push_base64(&key, &value);
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let SourceMeta {
            name,
            namespace,
            uid,
            resource_version,
            annotations,
            labels,
            managed_fields,
            creation_timestamp,
        } = metadata;
        let created_at = creation_timestamp.and_then(|text| text.parse::<Timestamp>().ok());
        let modified_at = data_written_at(&managed_fields);
        Ok(SourceObject {
            metadata: ObjectMeta {
                name,
                namespace,
                uid,
                resource_version,
                ..ObjectMeta::default()
            },
            annotations,
            labels,
            digest: canonical.finish(),
            modified_at,
            rewritten: created_at.is_some_and(|created_at| modified_at > Some(created_at.into())),
            kind: std::marker::PhantomData,
        })
    }
}

wire! {
    SourceMeta {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        annotations: Notes,
        labels: LabelKeys,
        managed_fields: Vec<ManagedFields>,
        creation_timestamp: Option<String>,
    }
    /// Of an entry of `managedFields` the time and whether it is about data; the rest, often half of the metadata, is
    /// skipped.
    ManagedFields { time: Option<String>, fields_v1: Fields }
}

/// What an entry of `managedFields` is about.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fields {
    /// It does not say.
    #[default]
    Unknown,
    /// Data, among others.
    Data,
    /// No data.
    Others,
}

impl Lenient for Fields {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut fields = Self::Others;
        while let Some((field, IgnoredAny)) = object.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            if matches!(&*field, "f:data" | "f:binaryData") {
                fields = Self::Data;
            }
        }
        Ok(Some(fields))
    }
}

/// The newest time of the entries that own data: a write of a label or an annotation moves only the others. Where none
/// owns data, because there is none, the newest of all.
fn data_written_at(entries: &[ManagedFields]) -> Option<UnixSeconds> {
    let newest = |may_count: fn(Fields) -> bool| {
        let counting = entries.iter().filter(|entry| may_count(entry.fields_v1));
        let times = counting.filter_map(|entry| entry.time.as_ref()?.parse::<Timestamp>().ok());
        times.map(UnixSeconds::from).max()
    };
    newest(|fields| fields != Fields::Others).or_else(|| newest(|_| true))
}

/// A JSON object of texts, in order; values that are no text are left out.
#[derive(Default)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Lenient for Pairs {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, Loose(value))) = object.next_entry::<String, Loose<Option<String>>>()? {
            pairs.extend(value.map(|value| (key, value)));
        }
        Ok(Some(Self(pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(json: &str) -> SourceObject<ConfigMapData> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_config_map_hashes_text_and_binary_data_together() {
        let object = config_map(
            r#"{"kind":"ConfigMap","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"},
                "data":{"test":"test"},"binaryData":{"bintest":"dGVzdA=="}}"#,
        );
        let source = object.into_source(&AnnotationKeys::default());
        assert_eq!(
            source.digest.to_string(),
            "0d58150de76a895b24f4ca213f590766160c4349"
        );
        assert_eq!(source.key, SourceKey::new(SourceKind::ConfigMap, "n", "a"));
        assert!(!source.ignored && !source.matched);
    }

    #[test]
    fn a_secret_hashes_the_decoded_bytes() {
        let object: SourceObject<SecretData> = serde_json::from_str(
            r#"{"metadata":{"name":"a","namespace":"n"},"type":"Opaque","data":{"token":"AP8QgA==","password":"czNjcjN0"}}"#,
        )
        .unwrap();
        let digest = object.into_source(&AnnotationKeys::default()).digest;
        assert_eq!(digest.to_string(), "a7af69c8e47e67ff2c3e99c1e39c4d4ff67311c4");
    }

    #[test]
    fn nulls_and_absent_fields_mean_empty() {
        let empty = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        for json in [
            "{}",
            r#"{"metadata":null,"data":null,"binaryData":null}"#,
            r#"{"metadata":{"annotations":null},"data":{"a":null}}"#,
        ] {
            assert_eq!(config_map(json).digest.to_string(), empty, "{json}");
        }
    }

    #[test]
    fn only_the_exact_text_true_ignores_or_matches() {
        let source = |value: &str| {
            config_map(&format!(
                r#"{{"metadata":{{"annotations":{{"reloader.stakater.com/ignore":"{value}","reloader.stakater.com/match":"{value}"}}}}}}"#
            ))
            .into_source(&AnnotationKeys::default())
        };
        assert!(source("true").ignored && source("true").matched);
        for value in ["True", "1", " true", ""] {
            assert!(!source(value).ignored && !source(value).matched, "{value:?}");
        }
    }

    /// Both are taken apart field by field: one that is added does not compile until this test is updated.
    #[test]
    fn of_a_secret_its_digest_is_kept_and_no_data() {
        let decode = |value: &str| -> SourceObject<SecretData> {
            let value = STANDARD.encode(value);
            let json = format!(r#"{{"metadata":{{"name":"a","namespace":"n"}},"data":{{"key":"{value}"}}}}"#);
            serde_json::from_str(&json).unwrap()
        };
        let (small, large) = (decode("canary"), decode(&"canary".repeat(100_000)));
        let SourceObject {
            metadata,
            annotations,
            labels,
            digest,
            modified_at,
            rewritten,
            kind: _,
        } = large.clone();
        assert_eq!(metadata, small.metadata);
        assert_eq!(
            (annotations, labels, modified_at, rewritten),
            (Notes::default(), LabelKeys::default(), None, false)
        );
        let data = "canary".repeat(100_000);
        assert_eq!(digest, Digest::of_secret([("key", data.as_bytes())]));

        let Source {
            key,
            uid,
            resource_version,
            modified_at,
            rewritten: _,
            digest: kept,
            ignored,
            matched,
            policy,
        } = large.into_source(&AnnotationKeys::default());
        assert_eq!(key, SourceKey::new(SourceKind::Secret, "n", "a"));
        assert_eq!((uid, resource_version, modified_at), ("".into(), 0, None));
        assert_eq!((kept, ignored, matched, policy), (digest, false, false, None));
    }

    #[rstest::rstest]
    #[case::a_label_later(
        r#"[{"time":"2026-01-01T00:00:01Z","fieldsV1":{"f:data":{"f:a":{}}}},
        {"time":"2026-01-01T00:00:09Z","fieldsV1":{"f:metadata":{"f:labels":{}}}}]"#,
        1
    )]
    #[case::binary_data_later(
        r#"[{"time":"2026-01-01T00:00:01Z","fieldsV1":{"f:data":{}}},
        {"time":"2026-01-01T00:00:09Z","fieldsV1":{"f:metadata":{},"f:binaryData":{}}}]"#,
        9
    )]
    #[case::no_data(r#"[{"time":"2026-01-01T00:00:01Z","fieldsV1":{"f:metadata":{}}}]"#, 1)]
    #[case::it_does_not_say(
        r#"[{"time":"2026-01-01T00:00:01Z","fieldsV1":{"f:data":{}}},
        {"time":"2026-01-01T00:00:09Z"}]"#,
        9
    )]
    #[case::of_another_form(r#"[{"time":"2026-01-01T00:00:09Z","fieldsV1":"f:metadata"}]"#, 9)]
    fn only_a_write_of_data_is_one_that_workloads_may_owe(#[case] managed_fields: &str, #[case] second: i64) {
        let source = config_map(&format!(
            r#"{{"metadata":{{"name":"a","namespace":"n","managedFields":{managed_fields}}},"data":{{"a":"1"}}}}"#
        ));
        let new_year = 1_767_225_600;
        assert_eq!(source.modified_at, Some(UnixSeconds(new_year + second)));
    }

    #[test]
    fn debug_output_shows_no_data() {
        let object: SourceObject<SecretData> = serde_json::from_str(
            r#"{"metadata":{"name":"a","namespace":"n","annotations":{"k":"Y2FuYXJ5"}},"data":{"canary":"Y2FuYXJ5"}}"#,
        )
        .unwrap();
        let shown = format!(
            "{object:?} {:?}",
            object.clone().into_source(&AnnotationKeys::default())
        );
        assert!(
            !shown.contains("canary") && !shown.contains("Y2FuYXJ5"),
            "{shown}"
        );
    }
}
