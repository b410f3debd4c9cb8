//! Checks the objects of all files together.
//!
//! Input: objects with their lines. Output: [`Found`], in the order of files and lines. I/O: none.

use std::collections::HashMap;

use super::{
    document::{Object, is_ignored},
    files::File,
};
use crate::{
    args::CsvList,
    cli::kinds::workload_kinds,
    diagnose::{Checker, Finding, Level, Place, WorkloadText, add_missing, missing_sources},
    model::{AnnotationKeys, OptIn, SourceKind, WorkloadKind, workload_kind::CustomKindError},
    watch::workload::{Decoded as _, RawObject},
};

/// The groups of Kubernetes' own kinds that have no dot or end so.
const KUBERNETES: &str = ".k8s.io";

/// A finding, and where it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) kind: String,
    /// Empty where the file does not say it.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) finding: Finding,
}

impl Found {
    pub(super) const fn level(&self) -> Level {
        self.finding.mistake.level()
    }
}

/// The kinds that are workloads.
pub(super) struct Kinds(Vec<WorkloadKind>);

impl Kinds {
    /// The built-in kinds and these.
    pub(super) fn new(custom: &[CsvList]) -> Result<Self, CustomKindError> {
        workload_kinds(custom).map(Self)
    }

    fn get(&self, group: &str, kind: &str) -> Option<WorkloadKind> {
        let is_it = |known: &&WorkloadKind| known.group() == group && known.as_str() == kind;
        self.0.iter().find(is_it).copied()
    }
}

/// What an object is to Reloader.
enum Role {
    /// `None`: a pod template is where most kinds have it, and the kind is not known.
    Workload(Option<WorkloadKind>),
    Source(SourceKind),
    /// A custom resource without a pod template.
    Custom,
    Namespace,
    Other,
}

/// The sources that the files define, or make an operator create: the namespaces of each name.
#[derive(Default)]
struct Sources<'a>(HashMap<(SourceKind, &'a str), Vec<&'a str>>);

impl<'a> Sources<'a> {
    fn of(objects: impl Iterator<Item = &'a Object>) -> Self {
        let mut sources = Self::default();
        for object in objects {
            if let Some(defined) = defined_by(object) {
                let namespaces = sources.0.entry(defined).or_default();
                namespaces.push(object.text("metadata.namespace"));
            }
        }
        sources
    }

    /// Whether one has that name in the namespace, as far as both name it.
    fn has(&self, kind: SourceKind, namespace: &str, name: &str) -> bool {
        let is_it = |other: &str| other == namespace || other.is_empty() || namespace.is_empty();
        let namespaces = self.0.get(&(kind, name));
        namespaces.is_some_and(|namespaces| namespaces.iter().any(|other| is_it(other)))
    }
}

/// The source that comes of the object.
fn defined_by(object: &Object) -> Option<(SourceKind, &str)> {
    let own = object.text("metadata.name");
    let named = |path: &str| Some(object.text(path)).filter(|name| !name.is_empty());
    Some(match object.text("kind") {
        "ConfigMap" => (SourceKind::ConfigMap, own),
        "Secret" | "SealedSecret" => (SourceKind::Secret, own),
        "SecretProviderClass" => (SourceKind::SecretProviderClass, own),
        "ExternalSecret" => (SourceKind::Secret, named("spec.target.name").unwrap_or(own)),
        "Certificate" => (SourceKind::Secret, named("spec.secretName")?),
        _ => return None,
    })
}

/// The findings of all files. A listed name counts as missing only where the files define sources at all.
pub(super) fn check(
    checker: &Checker,
    keys: &AnnotationKeys,
    kinds: &Kinds,
    files: &[(File, Vec<Object>)],
) -> Vec<Found> {
    let sources = Sources::of(files.iter().flat_map(|(_, objects)| objects));
    let mut found = Vec::new();
    for (file, objects) in files {
        let lines: Vec<&str> = file.text.lines().collect();
        for object in objects {
            let of_object = object_findings(checker, keys, kinds, &sources, object);
            let located = of_object.into_iter().map(|(line, finding)| Found {
                file: file.name.clone(),
                line,
                kind: object.text("kind").to_owned(),
                namespace: object.text("metadata.namespace").to_owned(),
                name: object.text("metadata.name").to_owned(),
                finding,
            });
            found.extend(located.filter(|found| !is_ignored(&lines, found.line)));
        }
    }
    found
}

fn object_findings(
    checker: &Checker,
    keys: &AnnotationKeys,
    kinds: &Kinds,
    sources: &Sources<'_>,
    object: &Object,
) -> Vec<(usize, Finding)> {
    let own = object.pairs("metadata.annotations");
    let labels = object.pairs("metadata.labels");
    let role = role(kinds, object);
    let path = match role {
        Role::Workload(Some(kind)) => kind.template_path().join("."),
        _ => "spec.template".to_owned(),
    };
    let template_annotations = format!("{path}.metadata.annotations");
    let template = object.pairs(&template_annotations);
    let mut findings = match role {
        Role::Workload(kind) => {
            let opt_in = OptIn::parse(
                keys,
                |key| own.get(key).map(String::as_str),
                |key| template.get(key).map(String::as_str),
            );
            // Decoded as the watch decodes it.
            let decoded = RawObject::from(object.value.clone());
            let decoded = decoded.into_object(kind.unwrap_or(WorkloadKind::Deployment));
            let mut found = checker.workload(&WorkloadText {
                kind,
                own: &own,
                template: &template,
                labels: &labels,
                opt_in: &opt_in,
                references: &decoded.references(),
                has_template: decoded.shows_pods(),
            });
            if !sources.0.is_empty() {
                let namespace = object.text("metadata.namespace");
                let exists = |kind, name: &str| sources.has(kind, namespace, name);
                add_missing(&mut found, missing_sources(keys, &opt_in, exists));
            }
            found
        }
        Role::Source(kind) => checker.source(kind, &own, &labels),
        Role::Custom => checker.custom(&own, &labels),
        Role::Namespace => checker.namespace(&own, &labels),
        Role::Other => checker.other(&own, &labels),
    };
    let map = |place| match place {
        Place::Metadata => "metadata.annotations",
        Place::Template => &template_annotations,
        Place::Label => "metadata.labels",
    };
    let line = |finding: &Finding| object.line_of(map(finding.place), &finding.key);
    let not_texts = [Place::Metadata, Place::Template].into_iter().flat_map(|place| {
        let values = object.not_texts(map(place));
        values.filter_map(move |(key, value)| checker.not_text(place, key, &value))
    });
    findings.extend(not_texts);
    findings
        .into_iter()
        .map(|finding| (line(&finding), finding))
        .collect()
}

fn role(kinds: &Kinds, object: &Object) -> Role {
    let (group, kind) = (group(object.text("apiVersion")), object.text("kind"));
    if let Some(kind) = kinds.get(group, kind) {
        return Role::Workload(Some(kind));
    }
    match (group, kind) {
        ("", "ConfigMap") => Role::Source(SourceKind::ConfigMap),
        // Its operator copies its annotations to the Secret.
        ("", "Secret") | ("external-secrets.io", "ExternalSecret") => Role::Source(SourceKind::Secret),
        ("secrets-store.csi.x-k8s.io", "SecretProviderClass") => {
            Role::Source(SourceKind::SecretProviderClass)
        }
        ("", "Namespace") => Role::Namespace,
        _ if group.contains('.') && !group.ends_with(KUBERNETES) => {
            if object.at("spec.template.spec.containers").is_some() {
                Role::Workload(None)
            } else {
                Role::Custom
            }
        }
        _ => Role::Other,
    }
}

/// The group of an `apiVersion`; empty for the core group.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
