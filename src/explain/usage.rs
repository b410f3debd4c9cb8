//! Where the pods of a workload use a source.
//!
//! Input: a reduced pod template, or a whole one as JSON. Output: [`Uses`]. I/O: none.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{Container, PodTemplate, SourceKind, SourceRef};

/// Each source that pods use, and where, as words: `volume config in container main`.
pub type Uses = BTreeMap<SourceRef, Vec<String>>;

/// By a reduced template, which does not keep the names of variables.
pub fn uses_of(template: &PodTemplate) -> Uses {
    let mut uses = Uses::new();
    let containers = || {
        let regular = template
            .containers
            .iter()
            .map(|container| ("container", container));
        let init = template.init_containers.iter();
        regular.chain(init.map(|container| ("init container", container)))
    };
    for volume in &template.volumes {
        let mounts = |container: &Container| container.mounts.contains(&volume.name);
        let mounted_in = containers()
            .filter(|(_, container)| mounts(container))
            .map(|(what, container)| format!("{what} {}", container.name));
        for source in &volume.sources {
            note_volume(&mut uses, source.clone(), &volume.name, mounted_in.clone());
        }
    }
    for (what, container) in containers() {
        for source in &container.references {
            note(
                &mut uses,
                source.clone(),
                format!("env or envFrom in {what} {}", container.name),
            );
        }
    }
    uses
}

/// By the `spec` of a whole pod template, with the names of variables. What is malformed counts as absent.
pub fn uses_of_pod_spec(spec: &Value) -> Uses {
    let mut uses = Uses::new();
    let containers = || {
        let regular = items(spec, "containers").map(|container| ("container", container));
        let init = items(spec, "initContainers").map(|container| ("init container", container));
        regular.chain(init)
    };
    for volume in items(spec, "volumes") {
        let Some(name) = text(volume, "name") else {
            continue;
        };
        let is_mounted = |container: &Value| {
            items(container, "volumeMounts").any(|mount| text(mount, "name") == Some(name))
        };
        let mounted_in = containers()
            .filter(|(_, container)| is_mounted(container))
            .map(|(what, container)| format!("{what} {}", text(container, "name").unwrap_or_default()));
        let projected = items(&volume["projected"], "sources").flat_map(|projection| {
            [
                reference(SourceKind::ConfigMap, &projection["configMap"], "name"),
                reference(SourceKind::Secret, &projection["secret"], "name"),
            ]
        });
        let direct = [
            reference(SourceKind::ConfigMap, &volume["configMap"], "name"),
            reference(SourceKind::Secret, &volume["secret"], "secretName"),
            reference(
                SourceKind::SecretProviderClass,
                &volume["csi"]["volumeAttributes"],
                "secretProviderClass",
            ),
        ];
        for source in direct.into_iter().chain(projected).flatten() {
            note_volume(&mut uses, source, name, mounted_in.clone());
        }
    }
    for (what, container) in containers() {
        let container_name = text(container, "name").unwrap_or_default();
        for variable in items(container, "env") {
            let from = &variable["valueFrom"];
            let sources = [
                reference(SourceKind::ConfigMap, &from["configMapKeyRef"], "name"),
                reference(SourceKind::Secret, &from["secretKeyRef"], "name"),
            ];
            let name = text(variable, "name").unwrap_or_default();
            for source in sources.into_iter().flatten() {
                note(
                    &mut uses,
                    source,
                    format!("env {name} in {what} {container_name}"),
                );
            }
        }
        for from in items(container, "envFrom") {
            let sources = [
                reference(SourceKind::ConfigMap, &from["configMapRef"], "name"),
                reference(SourceKind::Secret, &from["secretRef"], "name"),
            ];
            for source in sources.into_iter().flatten() {
                note(&mut uses, source, format!("envFrom in {what} {container_name}"));
            }
        }
    }
    uses
}

fn note(uses: &mut Uses, source: SourceRef, place: String) {
    let places = uses.entry(source).or_default();
    if !places.contains(&place) {
        places.push(place);
    }
}

fn note_volume(uses: &mut Uses, source: SourceRef, volume: &str, mounted_in: impl Iterator<Item = String>) {
    let mut is_mounted = false;
    for container in mounted_in {
        is_mounted = true;
        note(uses, source.clone(), format!("volume {volume} in {container}"));
    }
    if !is_mounted {
        note(
            uses,
            source,
            format!("volume {volume}, which no container mounts"),
        );
    }
}

fn items<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + Clone {
    object[field].as_array().into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object[field].as_str().filter(|text| !text.is_empty())
}

fn reference(kind: SourceKind, object: &Value, field: &str) -> Option<SourceRef> {
    text(object, field).map(|name| SourceRef::new(kind, name))
}
