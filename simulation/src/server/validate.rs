//! What the API server refuses to store.
//!
//! Input: an object, and the stored one. Output: a refusal. I/O: none.

use serde_json::{Map, Value};

use super::{kind::Kind, refusal::Refusal};

/// Longest data of a ConfigMap or Secret, in bytes.
const LONGEST_DATA: usize = 1 << 20;

/// Checks an object that is to be stored.
pub fn check(kind: &Kind, before: Option<&Value>, after: &Value) -> Result<(), Refusal> {
    let name = after["metadata"]["name"].as_str().unwrap_or_default();
    let invalid = |reason, text: &str, field: &str| Err(Refusal::invalid(kind, name, (reason, text, field)));
    if let Some(before) = before {
        let (old, new) = (&before["metadata"], &after["metadata"]);
        for field in ["name", "namespace", "uid"] {
            if old[field] != new[field] {
                let text = format!("Invalid value: {}: field is immutable", new[field]);
                return invalid("FieldValueInvalid", &text, &format!("metadata.{field}"))
                    .map_err(Refusal::twice);
            }
        }
        if !old["deletionTimestamp"].is_null() {
            let known = old["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
            let added: Vec<String> = new["finalizers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|finalizer| !known.contains(finalizer))
                .map(ToString::to_string)
                .collect();
            if !added.is_empty() {
                let text = format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
                     []string{{{}}}",
                    added.join(", ")
                );
                return invalid("FieldValueForbidden", &text, "metadata.finalizers").map_err(Refusal::twice);
            }
        }
    }
    match kind.kind {
        "ConfigMap" | "Secret" => data(kind, name, before, after),
        "Deployment" | "StatefulSet" | "DaemonSet" => workload(kind, name, before, after),
        "Job" => {
            if let Some(before) = before {
                for field in ["template", "selector", "completionMode"] {
                    if before["spec"][field] != after["spec"][field] {
                        let text = "Invalid value: field is immutable";
                        return invalid("FieldValueInvalid", text, &format!("spec.{field}"));
                    }
                }
            }
            pod_template(kind, name, &after["spec"]["template"], "spec.template")
        }
        "CronJob" => {
            let template = &after["spec"]["jobTemplate"]["spec"]["template"];
            pod_template(kind, name, template, "spec.jobTemplate.spec.template")
        }
        "Lease" => lease(kind, name, &after["spec"]),
        _ => Ok(()),
    }
}

fn data(kind: &Kind, name: &str, before: Option<&Value>, after: &Value) -> Result<(), Refusal> {
    let pairs = |field: &str| after[field].as_object().into_iter().flatten();
    for field in ["data", "binaryData"] {
        for (key, _) in pairs(field) {
            let fits = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
            if key.is_empty()
                || key.len() > 253
                || !key.chars().all(fits)
                || key == "."
                || key.starts_with("..")
            {
                let text = format!(
                    "Invalid value: {key:?}: a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
                     (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                );
                let cause = ("FieldValueInvalid", &*text, &*format!("{field}[{key}]"));
                return Err(Refusal::invalid(kind, name, cause));
            }
        }
    }
    let bytes: usize = pairs("data")
        .map(|(_, value)| value.as_str().map_or(0, |text| stored_length(kind, text)))
        .chain(pairs("binaryData").map(|(_, value)| value.as_str().map_or(0, |text| text.len() / 4 * 3)))
        .sum();
    if bytes > LONGEST_DATA {
        let text = format!("Too long: may not be more than {LONGEST_DATA} bytes");
        let field = if kind.kind == "Secret" { "data" } else { "" };
        return Err(Refusal::invalid(kind, name, ("FieldValueTooLong", &text, field)));
    }
    if let Some(before) = before
        && before["immutable"] == true
    {
        for field in ["immutable", "data", "binaryData"] {
            if before[field] != after[field] {
                let text = "Forbidden: field is immutable when `immutable` is set";
                return Err(Refusal::invalid(kind, name, ("FieldValueForbidden", text, field)));
            }
        }
    }
    Ok(())
}

fn stored_length(kind: &Kind, text: &str) -> usize {
    if kind.kind == "Secret" {
        text.len() / 4 * 3
    } else {
        text.len()
    }
}

fn workload(kind: &Kind, name: &str, before: Option<&Value>, after: &Value) -> Result<(), Refusal> {
    let spec = &after["spec"];
    if spec["selector"].is_null() {
        let cause = ("FieldValueRequired", "Required value", "spec.selector");
        return Err(Refusal::invalid(kind, name, cause));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let wanted = spec["selector"]["matchLabels"].as_object();
    if !wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| labels[key] == *value)
    {
        let text = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        let cause = ("FieldValueInvalid", &*text, "spec.template.metadata.labels");
        return Err(Refusal::invalid(kind, name, cause));
    }
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        let text = format!(
            "Invalid value: {}: must be greater than or equal to 0",
            spec["replicas"]
        );
        return Err(Refusal::invalid(
            kind,
            name,
            ("FieldValueInvalid", &text, "spec.replicas"),
        ));
    }
    pod_template(kind, name, &spec["template"], "spec.template")?;
    let Some(before) = before else {
        return Ok(());
    };
    if before["spec"]["selector"] != spec["selector"] && kind.kind != "StatefulSet" {
        let text = format!("Invalid value: {}: field is immutable", spec["selector"]);
        return Err(Refusal::invalid(
            kind,
            name,
            ("FieldValueInvalid", &text, "spec.selector"),
        ));
    }
    if kind.kind == "StatefulSet" {
        const FREE: [&str; 7] = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let fixed = |spec: &Value| {
            let fields = spec.as_object().into_iter().flatten();
            let fixed = fields.filter(|(field, _)| !FREE.contains(&field.as_str()));
            fixed
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect::<Map<_, _>>()
        };
        if fixed(&before["spec"]) != fixed(spec) {
            let text = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                        'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                        'minReadySeconds' are forbidden";
            return Err(Refusal::invalid(
                kind,
                name,
                ("FieldValueForbidden", text, "spec"),
            ));
        }
    }
    Ok(())
}

fn pod_template(kind: &Kind, name: &str, template: &Value, path: &str) -> Result<(), Refusal> {
    let containers = template["spec"]["containers"].as_array();
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        let field = format!("{path}.spec.containers");
        let cause = ("FieldValueRequired", "Required value", &*field);
        return Err(Refusal::invalid(kind, name, cause));
    };
    for (number, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container[field].as_str().is_none_or(str::is_empty) {
                let field = format!("{path}.spec.containers[{number}].{field}");
                let cause = ("FieldValueRequired", "Required value", &*field);
                return Err(Refusal::invalid(kind, name, cause));
            }
        }
    }
    Ok(())
}

fn lease(kind: &Kind, name: &str, spec: &Value) -> Result<(), Refusal> {
    let number = |field: &str| spec[field].as_i64();
    if let Some(seconds) = number("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        let text = format!("Invalid value: {seconds}: must be greater than 0");
        let cause = ("FieldValueInvalid", &*text, "spec.leaseDurationSeconds");
        return Err(Refusal::invalid(kind, name, cause));
    }
    if let Some(count) = number("leaseTransitions").filter(|count| *count < 0) {
        let text = format!("Invalid value: {count}: must be greater than or equal to 0");
        let cause = ("FieldValueInvalid", &*text, "spec.leaseTransitions");
        return Err(Refusal::invalid(kind, name, cause));
    }
    Ok(())
}
