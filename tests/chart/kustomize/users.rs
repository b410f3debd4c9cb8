//! The kustomizations of `users.yaml`. Output: what they build, over a base of choice. I/O: runs kustomize.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{build_with_warnings, relative};

/// What the base consists of.
const KINDS: [&str; 6] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "Deployment",
    "Role",
    "RoleBinding",
    "ServiceAccount",
];

/// A user's folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    kustomization: Value,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    kinds: Vec<String>,
    /// By kind: the name, and JSON pointers with what is there.
    pub expected: BTreeMap<String, BTreeMap<String, Value>>,
}

impl User {
    /// One that is not in the list.
    pub fn new<const N: usize>(kustomization: &str, files: [(&str, String); N]) -> Self {
        Self {
            name: "another".to_owned(),
            kustomization: serde_saphyr::from_str(kustomization).unwrap(),
            files: files.map(|(file, text)| (file.to_owned(), text)).into(),
            kinds: Vec::new(),
            expected: BTreeMap::new(),
        }
    }

    pub fn build(&self, base: &str) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let base = relative(folder.path(), base);
        let kustomization = self.kustomization.to_string();
        write(
            "kustomization.yaml",
            &kustomization.replace("BASE", base.to_str().unwrap()),
        );
        for (file, text) in &self.files {
            write(file, text);
        }
        let (objects, warnings) = build_with_warnings(folder.path());
        // Old keys of a user's own are not ours to change.
        for warning in warnings.lines() {
            let is_old = warning.contains("deprecated") || warning.contains("kustomize edit fix");
            assert!(is_old, "{}: {warning}", self.name);
        }
        objects
    }

    /// The kinds of the objects, each of which there is once.
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds = BTreeSet::from(KINDS.map(str::to_owned));
        for kind in &self.kinds {
            match kind.strip_prefix('-') {
                Some(deleted) => kinds.remove(deleted),
                None => kinds.insert(kind.clone()),
            };
        }
        kinds.into_iter().collect()
    }
}

pub fn users() -> Vec<User> {
    let users: Vec<User> = serde_saphyr::from_multiple(include_str!("users.yaml")).unwrap();
    assert!(users.len() >= 18);
    users
}
