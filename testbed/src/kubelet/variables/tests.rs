//! What variables come to.

use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "web-1", "namespace": "shop", "labels": { "app": "web" } },
        "spec": { "nodeName": "node-1", "containers": [{
            "name": "main",
            "resources": { "limits": { "memory": "512Mi" }, "requests": { "cpu": "10m" } },
            "envFrom": [{ "prefix": "P_", "configMapRef": { "name": "settings" } }],
            "env": [
                { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                { "name": "LIMIT", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } },
                { "name": "CPU", "valueFrom": { "resourceFieldRef": { "resource": "requests.cpu", "divisor": "1m" } } },
                { "name": "WHOLE", "valueFrom": { "resourceFieldRef": { "resource": "requests.cpu" } } },
                { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "keys", "key": "password" } } },
                { "name": "NONE", "valueFrom": { "secretKeyRef": { "name": "no", "key": "no", "optional": true } } },
                { "name": "BOTH", "value": "$(NAME)/$(P_colour)/$(UNKNOWN)/$$(NAME)" },
            ],
        }] },
    }))
    .unwrap()
}

fn sources() -> Sources {
    let mut sources = Sources::default();
    let map = serde_json::from_value(json!({ "data": { "colour": "red" } })).unwrap();
    sources.config_maps.insert("settings".to_owned(), map);
    let secret = serde_json::from_value(json!({ "data": { "password": "b25l" } })).unwrap();
    sources.secrets.insert("keys".to_owned(), secret);
    sources
}

fn resolved(sources: &Sources) -> Result<BTreeMap<String, String>> {
    let pod = pod();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    resolve(&pod, container, sources, Vec::new()).map(|variables| variables.into_iter().collect())
}

#[test]
fn each_source_of_a_variable_is_known() {
    let found = resolved(&sources()).unwrap();
    for (name, value) in [
        ("NAME", "web-1"),
        ("APP", "web"),
        ("LIMIT", "536870912"),
        ("CPU", "10"),
        ("WHOLE", "1"),
        ("PASSWORD", "one"),
        ("P_colour", "red"),
        ("BOTH", "web-1/red/$(UNKNOWN)/$(NAME)"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!found.contains_key("NONE"));
}

#[test]
fn what_is_missing_is_named() {
    let mut sources = sources();
    sources.secrets.clear();
    let message = resolved(&sources).unwrap_err().to_string();
    assert!(message.contains("keys, key password"), "{message}");
}

#[test]
fn an_unknown_field_is_refused() {
    let message = field_of(&pod(), "status.hostIPs").unwrap_err().to_string();
    assert!(message.contains("status.hostIPs"), "{message}");
}
