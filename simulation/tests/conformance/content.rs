//! The objects and patches that scripts send.

use serde_json::{Value, json};

use super::script::{Content, KINDS};

const HOLD: &str = "example.com/hold";

fn labels(content: Content) -> Value {
    match content.labels {
        0 => Value::Null,
        1 => json!({ "app": "web" }),
        2 => json!({ "app": "api", "tier": "" }),
        _ => json!({}),
    }
}

fn annotations(content: Content) -> Value {
    match content.annotations {
        0 => Value::Null,
        number => json!({ "note": number.to_string() }),
    }
}

/// A whole object.
pub fn object(kind: usize, namespace: &str, name: &str, content: Content) -> Value {
    let (_, kind_name, api_version) = KINDS[kind];
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind_name,
        "metadata": { "name": name, "namespace": namespace },
    });
    if content.labels != 0 {
        object["metadata"]["labels"] = labels(content);
    }
    if content.annotations != 0 {
        object["metadata"]["annotations"] = annotations(content);
    }
    if content.held {
        object["metadata"]["finalizers"] = json!([HOLD]);
    }
    fill(kind, &mut object, content);
    object
}

/// Puts content into an object.
pub fn fill(kind: usize, object: &mut Value, content: Content) {
    let value = content.value;
    match kind {
        0 => {
            object["data"] = match content.shape {
                0 => json!({ "key": value.to_string() }),
                1 => json!({ "key": "same", "other": value.to_string() }),
                2 => json!({ "empty": "" }),
                3 => json!({ "not a key": "x" }),
                _ => json!({ "key": "same" }),
            };
            if content.shape == 4 {
                object["binaryData"] = json!({ "bytes": "AAEC" });
            }
        }
        1 => object["spec"] = deployment(content),
        _ => {
            object["spec"] = json!({
                "holderIdentity": format!("holder-{value}"),
                "leaseDurationSeconds": if content.shape == 5 { 0 } else { 15 },
                "leaseTransitions": content.shape,
                "acquireTime": "2026-01-01T00:00:00.000000Z",
                "renewTime": format!("2026-01-01T00:00:0{value}.123456Z"),
            });
        }
    }
}

fn deployment(content: Content) -> Value {
    let value = content.value.to_string();
    let container = match content.shape {
        0 => json!({ "name": "app", "image": "image:1" }),
        1 => json!({ "name": "app", "image": "image", "env": [
            { "name": "A", "value": value },
            { "name": "B", "valueFrom": { "configMapKeyRef": { "name": "a", "key": "key" } } },
        ] }),
        2 => json!({ "name": "app", "image": "image:2", "env": [
            { "name": "B", "value": value },
            { "name": "C", "value": "" },
        ], "envFrom": [{ "configMapRef": { "name": "a" } }] }),
        3 => {
            json!({ "name": "app", "image": "image:1", "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            "ports": [{ "containerPort": 80 }] })
        }
        _ => json!({ "name": "app", "image": "image:1", "command": ["run", value] }),
    };
    let mut spec = json!({
        "replicas": content.value,
        "selector": { "matchLabels": { "run": "it" } },
        "template": {
            "metadata": { "labels": { "run": if content.shape == 5 { "other" } else { "it" } } },
            "spec": { "containers": [container] },
        },
    });
    if content.shape == 3 {
        spec["template"]["spec"]["volumes"] = json!([{ "name": "data", "configMap": { "name": "a" } }]);
    }
    if content.shape == 4 {
        spec["template"]["metadata"]["annotations"] = json!({ "restarted": content.value.to_string() });
        spec["template"]["spec"]["initContainers"] = json!([{ "name": "first", "image": "image:1" }]);
    }
    spec
}

/// A patch of that kind.
pub fn patch(kind: usize, strategic: bool, content: Content) -> Value {
    let mut patch = json!({});
    match content.labels {
        1 => patch["metadata"]["labels"] = json!({ "app": "web" }),
        2 => patch["metadata"]["labels"] = json!({ "app": null }),
        3 => patch["metadata"]["labels"] = Value::Null,
        _ => {}
    }
    match content.annotations {
        0 => {}
        1 => patch["metadata"]["annotations"] = json!({ "note": "patched" }),
        _ => patch["metadata"]["annotations"] = json!({ "note": null }),
    }
    if content.held {
        patch["metadata"]["finalizers"] = Value::Null;
    }
    let value = content.value.to_string();
    match (kind, content.shape) {
        (0, 0) => patch["data"] = json!({ "key": value }),
        (0, 1) => patch["data"] = json!({ "key": null, "new": value }),
        (0, 2) => patch["data"] = Value::Null,
        (1, 0) => patch["spec"] = json!({ "replicas": content.value }),
        (1, 1) => patch["spec"]["template"]["metadata"]["annotations"] = json!({ "restarted": value }),
        (1, 2) if strategic => {
            patch["spec"]["template"]["spec"]["containers"] =
                json!([{ "name": "app", "env": [{ "name": "A", "value": value }] }]);
        }
        (1, 3) if strategic => {
            patch["spec"]["template"]["spec"]["containers"] = json!([{ "name": "app", "env": [
                { "name": "MARK", "value": value }, { "name": "B", "$patch": "delete" },
            ] }]);
        }
        (1, 4) if strategic => {
            patch["spec"]["template"]["spec"]["containers"] = json!([
                { "name": "side", "image": "side:1" },
                { "name": "app", "env": [{ "name": "A", "value": null }], "command": null },
            ]);
        }
        (1, 3) => {
            patch["spec"]["template"]["spec"]["containers"] =
                json!([{ "name": "app", "image": "image:3", "env": [{ "name": "MARK", "value": value }] }]);
        }
        (2, 0) => patch["spec"] = json!({ "holderIdentity": value }),
        (2, 1) => patch["spec"] = json!({ "holderIdentity": null, "leaseTransitions": content.value }),
        _ => {}
    }
    patch
}

/// What is sent to the subresource `status`, besides content that it must not take.
pub fn status(object: &mut Value, content: Content) {
    object["status"] = match content.shape {
        0 | 1 => json!({ "replicas": content.value, "observedGeneration": 1 }),
        2 => json!({ "readyReplicas": content.value, "replicas": 3 }),
        _ => json!({}),
    };
}

/// An object whose event ends a watch: it is there afterwards.
pub fn last(kind: usize, namespace: &str, name: &str, labels: u8) -> Value {
    let content = Content {
        labels,
        annotations: 0,
        held: false,
        value: 1,
        shape: 0,
    };
    let mut object = object(kind, namespace, name, content);
    object["metadata"]["annotations"] = json!({ "last": labels.to_string() });
    object
}
