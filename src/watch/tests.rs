//! Whatever an object holds, it is decoded, and so are the others beside it.

use kube::api::{ObjectList, WatchEvent};
use proptest::prelude::*;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    csi::{ClassObject, PodStatusObject},
    namespace::NamespaceObject,
    source::{ConfigMapData, SecretData, SourceObject},
    workload::{Decoded, RawObject, Reading, WorkloadObject},
};
use crate::model::{AnnotationKeys, WorkloadKind};

/// What is watched, and a function that decodes objects of it and shows what is kept.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Deployment,
    CronJob,
    Rollout,
    DeploymentConfig,
    Custom,
    ConfigMap,
    Secret,
    PodStatus,
    Class,
    Namespace,
}

const KINDS: [Kind; 10] = [
    Kind::Deployment,
    Kind::CronJob,
    Kind::Rollout,
    Kind::DeploymentConfig,
    Kind::Custom,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::PodStatus,
    Kind::Class,
    Kind::Namespace,
];

impl Kind {
    /// An object with everything in it that is read, and something that is not.
    fn object(self) -> Value {
        let reference = json!({ "name": "settings", "optional": true });
        let specific = match self {
            Self::Deployment | Self::CronJob | Self::Rollout | Self::DeploymentConfig | Self::Custom => {
                let container = json!({
                    "name": "main", "image": "none", "volumeMounts": [{ "name": "files", "mountPath": "/files" }],
                    "env": [
                        { "name": "STAKATER_SETTINGS_CONFIGMAP", "value": "digest" },
                        { "name": "A", "valueFrom": { "configMapKeyRef": reference } },
                        { "name": "B", "valueFrom": { "secretKeyRef": reference } },
                    ],
                    "envFrom": [{ "configMapRef": reference }, { "prefix": "X_", "secretRef": reference }],
                });
                let volumes = json!([
                    { "name": "files", "configMap": reference },
                    { "name": "keys", "secret": { "secretName": "settings" } },
                    { "name": "both", "projected": { "sources": [{ "configMap": reference }, { "secret": reference }] } },
                    { "name": "store", "csi": { "driver": "any", "volumeAttributes": { "secretProviderClass": "store" } } },
                ]);
                let template = json!({
                    "metadata": { "annotations": { "reloader.stakater.com/last-reloaded-from": "{}" } },
                    "spec": { "containers": [container], "initContainers": [container], "volumes": volumes },
                });
                match self {
                    Self::CronJob => {
                        json!({ "spec": { "suspend": true, "jobTemplate": { "spec": { "template": template } } } })
                    }
                    Self::Rollout => json!({ "spec": {
                        "restartAt": "2026-01-01T00:00:00Z", "template": template,
                        "workloadRef": { "kind": "Deployment", "name": "web" },
                    } }),
                    Self::DeploymentConfig => json!({ "spec": {
                        "replicas": 1, "paused": false, "template": template, "strategy": { "type": "Rolling" },
                        "triggers": [{ "type": "ConfigChange" }, { "type": "ImageChange", "imageChangeParams": {} }],
                    } }),
                    _ => json!({ "spec": { "replicas": 1, "paused": true, "template": template } }),
                }
            }
            Self::ConfigMap => {
                json!({ "data": { "a": "1", "b": "2" }, "binaryData": { "c": "dGVzdA==" }, "immutable": false })
            }
            Self::Secret => json!({ "data": { "a": "dGVzdA==", "b": "AP8QgA==" }, "type": "Opaque" }),
            Self::PodStatus => json!({ "status": {
                "podName": "pod", "mounted": true, "secretProviderClassName": "store",
                "objects": [{ "id": "a", "version": "1" }, { "id": "b", "version": "2" }],
            } }),
            Self::Class => json!({ "spec": { "provider": "any", "parameters": { "objects": "- a" } } }),
            Self::Namespace => {
                json!({ "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } })
            }
        };
        let mut object = json!({ "metadata": {
            "name": "web", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {
                "reloader.stakater.com/auto": "true", "reloader.stakater.com/match": "true",
                "configmap.reloader.stakater.com/reload": "a.*", "deployment.reloader.stakater.com/pause-period": "5m",
            },
            "managedFields": [{ "manager": "m", "time": "2026-01-02T00:00:00Z", "subresource": "status" }],
        } });
        if let (Value::Object(object), Value::Object(specific)) = (&mut object, specific) {
            object.extend(specific);
        }
        object
    }

    /// What is kept of each object of a list, decoded as the client does it.
    fn list(self, items: &[Value]) -> Result<Vec<String>, serde_json::Error> {
        let text = json!({ "metadata": { "resourceVersion": "9" }, "items": items }).to_string();
        self.decode(&text, true)
    }

    /// What is kept of one object, decoded as a line of a watch.
    fn line(self, object: &Value) -> Result<String, serde_json::Error> {
        let text = json!({ "type": "MODIFIED", "object": object }).to_string();
        self.decode(&text, false).map(|kept| kept.concat())
    }

    fn decode(self, text: &str, is_list: bool) -> Result<Vec<String>, serde_json::Error> {
        fn objects<K: DeserializeOwned + Clone>(
            text: &str,
            is_list: bool,
            kept: impl Fn(K) -> String,
        ) -> Result<Vec<String>, serde_json::Error> {
            let objects = if is_list {
                serde_json::from_str::<ObjectList<K>>(text)?.items
            } else {
                match serde_json::from_str::<WatchEvent<K>>(text)? {
                    WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object) => {
                        vec![object]
                    }
                    WatchEvent::Bookmark(_) | WatchEvent::Error(_) => Vec::new(),
                }
            };
            Ok(objects.into_iter().map(kept).collect())
        }
        fn kept(kind: WorkloadKind, object: impl Decoded) -> String {
            let reading = Reading {
                auto_reload_all: true,
                ..Reading::default()
            };
            format!("{:?}", reading.read(object.into_object(kind), kind))
        }
        let keys = AnnotationKeys::default();
        match self {
            Self::Deployment => {
                objects::<WorkloadObject>(text, is_list, |object| kept(WorkloadKind::Deployment, object))
            }
            Self::CronJob => {
                objects::<WorkloadObject>(text, is_list, |object| kept(WorkloadKind::CronJob, object))
            }
            Self::Rollout => {
                objects::<WorkloadObject>(text, is_list, |object| kept(WorkloadKind::Rollout, object))
            }
            Self::DeploymentConfig => objects::<WorkloadObject>(text, is_list, |object| {
                kept(WorkloadKind::DeploymentConfig, object)
            }),
            Self::Custom => {
                let custom = "example.com/v1/Clone".parse().unwrap();
                let kind = WorkloadKind::Custom(Box::leak(Box::new(custom)));
                objects::<RawObject>(text, is_list, |object| kept(kind, object))
            }
            Self::ConfigMap => objects(text, is_list, |object: SourceObject<ConfigMapData>| {
                format!("{:?}", object.into_source(&keys))
            }),
            Self::Secret => objects(text, is_list, |object: SourceObject<SecretData>| {
                format!("{:?}", object.into_source(&keys))
            }),
            Self::PodStatus => objects(text, is_list, |object: PodStatusObject| {
                format!("{:?}", object.into_status())
            }),
            Self::Class => objects(text, is_list, |object: ClassObject| {
                format!("{:?}", object.into_annotations(&keys))
            }),
            Self::Namespace => objects(text, is_list, |object: NamespaceObject| {
                object.into_parts().0.to_string()
            }),
        }
    }
}

/// The JSON pointers of everything within a value.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(number, value)| (number.to_string(), value))
                .collect(),
            _ => Vec::new(),
        };
        for (key, child) in children {
            let at = format!("{at}/{key}");
            walk(child, &at, places);
            places.push(at);
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// The same with another value there; without it, the field is gone, and an item of a list has no fields.
fn with(object: &Value, place: &str, replacement: Option<&Value>) -> Value {
    let mut object = object.clone();
    if let Some(replacement) = replacement {
        if let Some(value) = object.pointer_mut(place) {
            *value = replacement.clone();
        }
        return object;
    }
    let (parent, last) = place.rsplit_once('/').unwrap();
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => items[last.parse::<usize>().unwrap()] = json!({}),
        _ => {}
    }
    object
}

/// One value of each JSON type, and the extremes of numbers.
fn strangers() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-7),
        json!(u64::MAX),
        json!(1.5e300),
        json!("text"),
        json!([]),
        json!([[], {}, null, 1, "text"]),
        json!({}),
        json!({ "name": ["text"], "0": { "a": null } }),
    ]
}

#[rstest]
fn every_place_may_hold_every_type(
    #[values(
        Kind::Deployment,
        Kind::CronJob,
        Kind::Rollout,
        Kind::Custom,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::PodStatus,
        Kind::Class,
        Kind::Namespace
    )]
    kind: Kind,
) {
    let object = kind.object();
    let whole = kind.line(&object).unwrap();
    let places = places(&object);
    assert!(places.len() >= 14, "{places:?}");
    for place in &places {
        let absent = kind.line(&with(&object, place, None)).unwrap();
        for stranger in strangers() {
            let changed = with(&object, place, Some(&stranger));
            let kept = kind.line(&changed).unwrap();
            let kinds = (object.pointer(place).unwrap(), &stranger);
            if std::mem::discriminant(kinds.0) != std::mem::discriminant(kinds.1) {
                assert_eq!(kept, absent, "{stranger} in {place}");
            }
            let listed = kind.list(&[object.clone(), changed, object.clone()]).unwrap();
            assert_eq!(
                listed,
                [whole.clone(), kept, whole.clone()],
                "{stranger} in {place}"
            );
        }
    }
}

/// As deep as the 1.5 MiB of an object allow; the library gives up at 128 levels by itself.
#[test]
fn nesting_is_no_limit() {
    let deep = format!("{}{}", r#"{"a":["#.repeat(200_000), "]}".repeat(200_000));
    for kind in KINDS {
        for field in ["unknown", "metadata", "spec", "status", "data"] {
            let line = format!(r#"{{"type":"ADDED","object":{{"{field}":{deep}}}}}"#);
            assert_eq!(kind.decode(&line, false).unwrap().len(), 1, "{kind:?} {field}");
        }
    }
}

#[test]
fn a_secret_whose_base64_is_invalid_has_a_digest_of_its_own() {
    let with_value = |value: &str| Kind::Secret.line(&json!({ "data": { "a": value } })).unwrap();
    assert_ne!(with_value("not base64!"), with_value("no base64 either!"));
    assert_ne!(with_value("not base64!"), with_value(""));
}

/// Lines that the watch gives up on, to begin with a new list: they are no objects.
#[rstest]
#[case::no_object(r#"{"type":"ADDED","object":"text"}"#)]
#[case::nothing(r#"{"type":"ADDED","object":null}"#)]
#[case::unknown_type(r#"{"type":"NONSENSE","object":{}}"#)]
#[case::no_type(r#"{"object":{}}"#)]
#[case::no_json("neither JSON nor an event")]
fn what_is_no_object_is_an_error(#[case] line: &str) {
    for kind in KINDS {
        assert!(kind.decode(line, false).is_err(), "{kind:?}");
    }
}

/// Any JSON, its fields named as those that are read.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z".prop_map(Value::from),
    ];
    let field = prop::sample::select(
        [
            "metadata",
            "spec",
            "status",
            "data",
            "binaryData",
            "template",
            "containers",
            "initContainers",
            "env",
            "envFrom",
            "valueFrom",
            "configMapKeyRef",
            "configMapRef",
            "secretRef",
            "volumes",
            "projected",
            "sources",
            "configMap",
            "secret",
            "secretName",
            "csi",
            "volumeAttributes",
            "secretProviderClass",
            "name",
            "value",
            "namespace",
            "uid",
            "resourceVersion",
            "annotations",
            "managedFields",
            "time",
            "objects",
            "id",
            "version",
            "secretProviderClassName",
            "generation",
            "creationTimestamp",
            "paused",
            "reloader.stakater.com/auto",
        ]
        .as_slice(),
    );
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_hides_the_others(
        kind in prop::sample::select(&KINDS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any_json())), 1..6),
    ) {
        let good = kind.object();
        let whole = kind.line(&good).unwrap();
        let mut odd = good.clone();
        for (place, replacement) in &edits {
            let places = places(&odd);
            if !places.is_empty() {
                odd = with(&odd, &places[place.index(places.len())], replacement.as_ref());
            }
        }
        let kept = kind.list(&[good.clone(), odd.clone(), good]).unwrap();
        prop_assert_eq!(&kept[0], &whole);
        prop_assert_eq!(&kept[1], &kind.line(&odd).unwrap());
        prop_assert_eq!(&kept[2..], std::slice::from_ref(&whole));
    }

    /// Cut, garbled and spliced lines: an error or an object, never a panic.
    #[test]
    fn no_line_makes_it_panic(
        kind in prop::sample::select(&KINDS[..]),
        cut in any::<prop::sample::Index>(),
        garbled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let line = json!({ "type": "MODIFIED", "object": kind.object() }).to_string();
        let mut bytes = line.into_bytes();
        for (at, byte) in garbled {
            *at.get_mut(&mut bytes) = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = kind.decode(&String::from_utf8_lossy(&bytes), false);
    }
}
