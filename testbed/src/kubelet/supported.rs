//! What a pod may ask for. Input: a pod; output: an error that names the first field which would be ignored. I/O: none.
//!
//! A list of what is known, not of what is not: a field that a later chart sets must not be passed over in silence.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::error::{Error, Result};

/// Fields of the pod's spec that are done, or that concern others: the scheduler, admission, garbage collection.
const POD: &[&str] = &[
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsPolicy",
    "enableServiceLinks",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "restartPolicy",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];
const CONTAINER: &[&str] = &[
    "args",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts",
];
/// Seccomp and privileges are left as the test itself has them.
const POD_SECURITY: &[&str] = &["runAsNonRoot", "runAsUser", "seccompProfile"];
const CONTAINER_SECURITY: &[&str] = &[
    "allowPrivilegeEscalation",
    "capabilities",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
];
const CAPABILITIES: &[&str] = &["drop"];
const PROBE: &[&str] = &[
    "failureThreshold",
    "httpGet",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "timeoutSeconds",
];
const HTTP_GET: &[&str] = &["path", "port", "scheme"];
const MOUNT: &[&str] = &["mountPath", "name", "readOnly"];
const VOLUME: &[&str] = &["configMap", "emptyDir", "name", "projected", "secret"];
const PROJECTION: &[&str] = &["configMap", "downwardAPI", "secret", "serviceAccountToken"];
const VARIABLE: &[&str] = &["configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"];

/// An error if the pod asks for something that this kubelet would not do.
pub fn check(pod: &Pod) -> Result<()> {
    let spec = serde_json::to_value(&pod.spec)
        .map_err(|error| Error::unsupported(format!("a spec that is no JSON: {error}")))?;
    only(POD, &spec, "spec")?;
    only(POD_SECURITY, &spec["securityContext"], "spec.securityContext")?;
    let policy = spec["restartPolicy"].as_str().unwrap_or("Always");
    if policy != "Always" {
        return Err(Error::unsupported(format!("spec.restartPolicy: {policy}")));
    }
    let containers = items(&spec["containers"]);
    if containers.len() != 1 {
        return Err(Error::unsupported(format!(
            "spec.containers: {} of them",
            containers.len()
        )));
    }
    check_container(&containers[0])?;
    for (number, volume) in items(&spec["volumes"]).iter().enumerate() {
        let path = format!("spec.volumes[{number}]");
        only(VOLUME, volume, &path)?;
        for source in items(&volume["projected"]["sources"]) {
            only(PROJECTION, source, &format!("{path}.projected.sources"))?;
        }
    }
    Ok(())
}

fn check_container(container: &Value) -> Result<()> {
    only(CONTAINER, container, "container")?;
    only(
        CONTAINER_SECURITY,
        &container["securityContext"],
        "container.securityContext",
    )?;
    let capabilities = &container["securityContext"]["capabilities"];
    only(
        CAPABILITIES,
        capabilities,
        "container.securityContext.capabilities",
    )?;
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        only(PROBE, &container[probe], probe)?;
        only(
            HTTP_GET,
            &container[probe]["httpGet"],
            &format!("{probe}.httpGet"),
        )?;
        let scheme = container[probe]["httpGet"]["scheme"].as_str().unwrap_or("HTTP");
        if scheme != "HTTP" {
            return Err(Error::unsupported(format!("{probe}.httpGet.scheme: {scheme}")));
        }
        if !container[probe].is_null() && container[probe]["httpGet"].is_null() {
            return Err(Error::unsupported(format!("{probe} without httpGet")));
        }
    }
    for mount in items(&container["volumeMounts"]) {
        only(MOUNT, mount, "container.volumeMounts")?;
    }
    for variable in items(&container["env"]) {
        only(VARIABLE, &variable["valueFrom"], "container.env.valueFrom")?;
    }
    Ok(())
}

fn only(known: &[&str], object: &Value, path: &str) -> Result<()> {
    let fields = object.as_object();
    let unknown = fields
        .into_iter()
        .flatten()
        .find(|(field, _)| !known.contains(&field.as_str()));
    match unknown {
        None => Ok(()),
        Some((field, value)) => Err(Error::unsupported(format!("{path}.{field}: {value}"))),
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: &Value) -> Pod {
        let mut whole = json!({ "name": "main", "image": "reloader" });
        let fields = container.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(json!({ "spec": { "containers": [whole] } })).unwrap()
    }

    #[test]
    fn what_is_done_passes() {
        let probe = json!({ "httpGet": { "path": "/ready", "port": "http" }, "periodSeconds": 1 });
        check(&pod(&json!({ "readinessProbe": probe, "args": ["--flag"] }))).unwrap();
    }

    #[test]
    fn what_would_be_ignored_is_named() {
        for (container, named) in [
            (json!({ "lifecycle": {} }), "container.lifecycle"),
            (
                json!({ "command": ["/bin/sh"] }),
                "container.command: [\"/bin/sh\"]",
            ),
            (
                json!({ "livenessProbe": { "exec": { "command": ["true"] } } }),
                "livenessProbe.exec",
            ),
            (
                json!({ "volumeMounts": [{ "name": "a", "mountPath": "/a", "subPath": "b" }] }),
                "container.volumeMounts.subPath",
            ),
            (
                json!({ "securityContext": { "capabilities": { "add": ["NET_ADMIN"] } } }),
                "container.securityContext.capabilities.add",
            ),
        ] {
            let message = check(&pod(&container)).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
