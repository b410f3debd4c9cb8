//! Variables and arguments of a container. Input: a pod, and the ConfigMaps and Secrets it names; output: texts. I/O: none.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret};

use crate::error::{Error, Result};

/// The ConfigMaps and Secrets of a pod's namespace that it names, as far as they exist.
#[derive(Default)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
}

impl Sources {
    /// All pairs of a ConfigMap; `None` if it does not exist.
    pub fn config_map(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let map = self.config_maps.get(name)?;
        let text = map.data.iter().flatten();
        let text = text.map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let binary = map.binary_data.iter().flatten();
        let binary = binary.map(|(key, value)| (key.clone(), value.0.clone()));
        Some(text.chain(binary).collect())
    }

    /// All pairs of a Secret; `None` if it does not exist.
    pub fn secret(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let secret = self.secrets.get(name)?;
        let pairs = secret.data.iter().flatten();
        Some(pairs.map(|(key, value)| (key.clone(), value.0.clone())).collect())
    }
}

/// A key's value as text; `None` if it is not there and need not be.
fn one_of(
    pairs: Option<BTreeMap<String, Vec<u8>>>,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>> {
    let value = pairs.and_then(|mut pairs| pairs.remove(key));
    match value {
        Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(missing(&format!("{name}, key {key}"))),
    }
}

/// Something that a pod needs does not exist yet.
pub fn missing(what: &str) -> Error {
    Error::io(format!("find {what}"))(std::io::ErrorKind::NotFound.into())
}

/// The variables of a container, in order; `surroundings` come first.
pub fn resolve(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    surroundings: Vec<(String, String)>,
) -> Result<Vec<(String, String)>> {
    let mut variables = surroundings;
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        let (name, pairs, optional) = if let Some(source) = &from.config_map_ref {
            (&source.name, sources.config_map(&source.name), source.optional)
        } else if let Some(source) = &from.secret_ref {
            (&source.name, sources.secret(&source.name), source.optional)
        } else {
            continue;
        };
        if pairs.is_none() && optional != Some(true) {
            return Err(missing(name));
        }
        for (key, value) in pairs.unwrap_or_default() {
            set(
                &mut variables,
                &format!("{prefix}{key}"),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(pod, container, sources, variable, &variables)? {
            set(&mut variables, &variable.name, value);
        }
    }
    Ok(variables)
}

fn set(variables: &mut Vec<(String, String)>, name: &str, value: String) {
    variables.retain(|(other, _)| other != name);
    variables.push((name.to_owned(), value));
}

fn value_of(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    variable: &EnvVar,
    before: &[(String, String)],
) -> Result<Option<String>> {
    let Some(from) = &variable.value_from else {
        let value = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(value, before)));
    };
    match from {
        EnvVarSource {
            field_ref: Some(field),
            ..
        } => field_of(pod, &field.field_path).map(Some),
        EnvVarSource {
            resource_field_ref: Some(field),
            ..
        } => {
            let divisor = field.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
            resource(container, &field.resource, divisor).map(Some)
        }
        EnvVarSource {
            config_map_key_ref: Some(key),
            ..
        } => one_of(sources.config_map(&key.name), &key.name, &key.key, key.optional),
        EnvVarSource {
            secret_key_ref: Some(key),
            ..
        } => one_of(sources.secret(&key.name), &key.name, &key.key, key.optional),
        _ => Err(Error::unsupported(format!("variable {}", variable.name))),
    }
}

/// A field of the pod (<https://kubernetes.io/docs/concepts/workloads/pods/downward-api/>).
pub fn field_of(pod: &Pod, path: &str) -> Result<String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |map: &Option<BTreeMap<String, String>>, rest: &str| {
        let key = rest.strip_prefix("['")?.strip_suffix("']")?;
        Some(
            map.as_ref()
                .and_then(|map| map.get(key).cloned())
                .unwrap_or_default(),
        )
    };
    let found = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" => pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        _ => {
            if let Some(rest) = path.strip_prefix("metadata.labels") {
                keyed(&metadata.labels, rest)
            } else if let Some(rest) = path.strip_prefix("metadata.annotations") {
                keyed(&metadata.annotations, rest)
            } else {
                None
            }
        }
    };
    found.ok_or_else(|| Error::unsupported(format!("fieldPath: {path}")))
}

/// What a resource field becomes: in whole divisors, rounded up. A limit that is not set is the node's.
fn resource(container: &Container, field: &str, divisor: &str) -> Result<String> {
    let unsupported = || Error::unsupported(format!("resourceFieldRef: {field} in {divisor}"));
    let (kind, name) = field.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let (set, default) = match kind {
        "limits" => (
            resources.and_then(|all| all.limits.as_ref()),
            super::node::capacity(name),
        ),
        "requests" => (resources.and_then(|all| all.requests.as_ref()), Some("0")),
        _ => return Err(unsupported()),
    };
    let quantity = set
        .and_then(|set| set.get(name))
        .map(|quantity| quantity.0.as_str());
    let amount = quantity
        .or(default)
        .and_then(thousandths)
        .ok_or_else(unsupported)?;
    let divisor = thousandths(if divisor == "0" { "1" } else { divisor }).ok_or_else(unsupported)?;
    Ok(amount.div_ceil(divisor.max(1)).to_string())
}

/// A whole quantity (`10m`, `2`, `64Mi`) in thousandths.
fn thousandths(quantity: &str) -> Option<u128> {
    let end = quantity
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(quantity.len());
    let number: u128 = quantity[..end].parse().ok()?;
    let factor = match &quantity[end..] {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    Some(number * factor)
}

/// Replaces `$(NAME)` by the variable; what is no variable stays, and `$$` is one dollar sign.
pub fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let reference = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = reference
            && let Some((_, value)) = variables.iter().find(|(other, _)| other == name)
        {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests;
