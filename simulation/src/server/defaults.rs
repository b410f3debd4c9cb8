//! What the API server makes of an object that a client sends: empty fields go, defaults come.
//!
//! Input: an object. Output: the object as it is stored. I/O: none.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{kind::Kind, refusal::Refusal};

/// Brings an object into the form in which it is stored.
pub fn normalize(kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    if !object.is_object() {
        return Err(Refusal::bad_request(
            "the object provided is unrecognized (must be of type Object)",
        ));
    }
    for (field, known) in [("apiVersion", kind.api_version()), ("kind", kind.kind.to_owned())] {
        match object[field].as_str() {
            Some(given) if given != known => {
                return Err(Refusal::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({known})"
                )));
            }
            _ => object[field] = known.into(),
        }
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        drop_empty(metadata);
    }
    if kind.custom {
        return Ok(());
    }
    if let Some(fields) = object.as_object_mut() {
        drop_empty(fields);
        fields.entry("metadata").or_insert_with(|| json!({}));
    }
    if !kind.status
        && let Some(fields) = object.as_object_mut()
    {
        // No such field: it is dropped.
        fields.remove("status");
    }
    match kind.kind {
        "Secret" => secret(object)?,
        "Namespace" => namespace(object),
        "Deployment" => {
            deployment(&mut object["spec"]);
            drop_zeros(&mut object["status"]);
        }
        "StatefulSet" => stateful_set(&mut object["spec"]),
        "DaemonSet" => daemon_set(&mut object["spec"]),
        "Job" => job(&mut object["spec"]),
        "CronJob" => cron_job(&mut object["spec"]),
        "Lease" => {
            default(object, "spec", json!({}));
        }
        _ => {}
    }
    Ok(())
}

/// Removes what Go leaves out with `omitempty`.
fn drop_empty(fields: &mut Map<String, Value>) {
    fields.retain(|name, value| {
        // Texts in these maps may be empty.
        let keeps_empty_texts = matches!(
            name.as_str(),
            "data" | "binaryData" | "stringData" | "labels" | "annotations" | "matchLabels" | "nodeSelector"
        );
        match value {
            Value::Null => return false,
            Value::String(text) => return !text.is_empty(),
            Value::Object(map) if keeps_empty_texts => {
                // A null in a map of texts is an empty text.
                for text in map.values_mut().filter(|text| text.is_null()) {
                    *text = Value::from("");
                }
                return !map.is_empty();
            }
            Value::Object(map) => drop_empty(map),
            Value::Array(items) => {
                for item in items.iter_mut() {
                    if let Value::Object(map) = item {
                        drop_empty(map);
                    }
                }
                return !items.is_empty();
            }
            _ => {}
        }
        true
    });
}

/// Removes the numbers that Go leaves out where they are 0.
fn drop_zeros(status: &mut Value) {
    match status {
        Value::Object(fields) => fields.retain(|_, value| *value != 0),
        status => *status = json!({}),
    }
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let Some(fields) = object.as_object_mut() {
        fields.entry(field).or_insert(value);
    }
}

fn defaults<const N: usize>(object: &mut Value, values: [(&str, Value); N]) {
    for (field, value) in values {
        default(object, field, value);
    }
}

fn secret(object: &mut Value) -> Result<(), Refusal> {
    default(object, "type", "Opaque".into());
    let fields = object.as_object_mut();
    if let Some(Value::Object(texts)) = fields.and_then(|fields| fields.remove("stringData")) {
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            object["data"][key] = STANDARD.encode(text).into();
        }
    }
    for value in object["data"].as_object().into_iter().flat_map(Map::values) {
        if value.as_str().is_none_or(|text| STANDARD.decode(text).is_err()) {
            return Err(Refusal::bad_request(
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
            ));
        }
    }
    if object["data"].is_null()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("data");
    }
    Ok(())
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    default(object, "spec", json!({ "finalizers": ["kubernetes"] }));
    default(object, "status", json!({ "phase": "Active" }));
}

fn deployment(spec: &mut Value) {
    defaults(
        spec,
        [
            ("replicas", 1.into()),
            ("revisionHistoryLimit", 10.into()),
            ("progressDeadlineSeconds", 600.into()),
            ("strategy", json!({})),
        ],
    );
    let strategy = &mut spec["strategy"];
    default(strategy, "type", "RollingUpdate".into());
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        defaults(
            &mut strategy["rollingUpdate"],
            [("maxSurge", "25%".into()), ("maxUnavailable", "25%".into())],
        );
    }
    pod_template(&mut spec["template"], "Always");
}

fn stateful_set(spec: &mut Value) {
    let retention = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
    defaults(
        spec,
        [
            ("replicas", 1.into()),
            ("revisionHistoryLimit", 10.into()),
            ("podManagementPolicy", "OrderedReady".into()),
            ("persistentVolumeClaimRetentionPolicy", retention),
            ("updateStrategy", json!({})),
        ],
    );
    let strategy = &mut spec["updateStrategy"];
    default(strategy, "type", "RollingUpdate".into());
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        default(&mut strategy["rollingUpdate"], "partition", 0.into());
    }
    pod_template(&mut spec["template"], "Always");
}

fn daemon_set(spec: &mut Value) {
    defaults(
        spec,
        [("revisionHistoryLimit", 10.into()), ("updateStrategy", json!({}))],
    );
    let strategy = &mut spec["updateStrategy"];
    default(strategy, "type", "RollingUpdate".into());
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        defaults(
            &mut strategy["rollingUpdate"],
            [("maxSurge", 0.into()), ("maxUnavailable", 1.into())],
        );
    }
    pod_template(&mut spec["template"], "Always");
}

fn job(spec: &mut Value) {
    defaults(
        spec,
        [
            ("backoffLimit", 6.into()),
            ("completionMode", "NonIndexed".into()),
            ("parallelism", 1.into()),
            ("podReplacementPolicy", "TerminatingOrFailed".into()),
            ("suspend", false.into()),
        ],
    );
    default(spec, "completions", 1.into());
    pod_template(&mut spec["template"], "Always");
}

fn cron_job(spec: &mut Value) {
    defaults(
        spec,
        [
            ("concurrencyPolicy", "Allow".into()),
            ("failedJobsHistoryLimit", 1.into()),
            ("successfulJobsHistoryLimit", 3.into()),
            ("suspend", false.into()),
        ],
    );
    default(spec, "jobTemplate", json!({}));
    defaults(
        &mut spec["jobTemplate"],
        [("metadata", json!({})), ("spec", json!({}))],
    );
    pod_template(&mut spec["jobTemplate"]["spec"]["template"], "Always");
}

fn pod_template(template: &mut Value, restart: &str) {
    defaults(template, [("metadata", json!({})), ("spec", json!({}))]);
    let spec = &mut template["spec"];
    defaults(
        spec,
        [
            ("dnsPolicy", "ClusterFirst".into()),
            ("restartPolicy", restart.into()),
            ("schedulerName", "default-scheduler".into()),
            ("securityContext", json!({})),
            ("terminationGracePeriodSeconds", 30.into()),
        ],
    );
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let image = container["image"].as_str().unwrap_or_default();
            let last = image.rsplit('/').next().unwrap_or_default();
            let is_latest = !last.contains([':', '@']) || last.ends_with(":latest");
            let policy = if is_latest { "Always" } else { "IfNotPresent" };
            defaults(
                container,
                [
                    ("imagePullPolicy", policy.into()),
                    ("resources", json!({})),
                    ("terminationMessagePath", "/dev/termination-log".into()),
                    ("terminationMessagePolicy", "File".into()),
                ],
            );
            for port in container["ports"].as_array_mut().into_iter().flatten() {
                default(port, "protocol", "TCP".into());
            }
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                if !variable["valueFrom"]["fieldRef"].is_null() {
                    default(&mut variable["valueFrom"]["fieldRef"], "apiVersion", "v1".into());
                }
            }
            tidy(container, &["ports", "env"]);
        }
    }
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        for source in ["configMap", "secret", "projected"] {
            if !volume[source].is_null() {
                default(&mut volume[source], "defaultMode", 420.into());
            }
        }
        tidy(volume, &["configMap", "secret", "projected"]);
    }
    tidy(spec, &["initContainers", "volumes"]);
}

/// Indexing by a name that is not there leaves a null.
fn tidy(object: &mut Value, names: &[&str]) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, value| !value.is_null() || !names.contains(&name.as_str()));
        for variable in fields
            .get_mut("env")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            tidy_source(variable);
        }
    }
}

fn tidy_source(variable: &mut Value) {
    let Some(fields) = variable.as_object_mut() else {
        return;
    };
    match fields.get_mut("valueFrom") {
        Some(Value::Object(source)) => {
            source.retain(|_, value| !value.is_null());
            if source.is_empty() {
                fields.remove("valueFrom");
            }
        }
        Some(Value::Null) => {
            fields.remove("valueFrom");
        }
        _ => {}
    }
}
