//! Rendered roles taken apart, and held against what was asked of the API server.
//!
//! Input: rendered objects, entries of the audit log. Output: [`Grant`]s. I/O: none.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;
use testbed::Entry;

use crate::helm::only;

/// One verb on one resource, in one namespace or in all, on one object or on any: the least that can be granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `None`: all namespaces, by a `ClusterRole`.
    pub namespace: Option<String>,
    pub group: String,
    pub resource: String,
    pub verb: String,
    /// `None`: whatever it is called.
    pub name: Option<String>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => write!(f, " in all namespaces"),
        }
    }
}

impl Grant {
    /// Whether a request needs this permission or an equal one.
    fn covers(&self, request: &Entry) -> bool {
        let is_there = self
            .namespace
            .as_ref()
            .is_none_or(|own| *own == request.namespace);
        let is_named = self.name.as_ref().is_none_or(|name| *name == request.name);
        is_there
            && is_named
            && self.verb == request.verb
            && self.group == request.group
            && self.resource == request.full_resource()
    }
}

fn texts<'a>(list: &'a Value, whose: &Value) -> Vec<&'a str> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list in {whose}"));
    let texts: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
    // The need for a wildcard cannot be proven.
    assert!(!texts.contains(&"*"), "a wildcard in {whose}");
    assert!(!texts.is_empty(), "an empty list in {whose}");
    texts
}

/// What the rules of a role grant in a namespace, or with `None` in all.
pub fn expand(role: &Value, namespace: Option<&str>) -> BTreeSet<Grant> {
    let mut grants = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = match rule["resourceNames"] {
            Value::Null => vec![None],
            ref names => texts(names, rule).into_iter().map(Some).collect(),
        };
        for group in texts(&rule["apiGroups"], rule) {
            for resource in texts(&rule["resources"], rule) {
                for verb in texts(&rule["verbs"], rule) {
                    for name in &names {
                        let grant = Grant {
                            namespace: namespace.map(str::to_owned),
                            group: group.to_owned(),
                            resource: resource.to_owned(),
                            verb: verb.to_owned(),
                            name: name.map(str::to_owned),
                        };
                        assert!(grants.insert(grant.clone()), "granted twice: {grant}");
                    }
                }
            }
        }
    }
    grants
}

/// What the rendered objects grant to the ServiceAccount that the rendered pods run as. No other subject is granted anything,
/// and no role is left unbound.
pub fn granted(objects: &[Value]) -> BTreeSet<Grant> {
    let deployment = only(objects, "Deployment");
    let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let mut grants = BTreeSet::new();
    let mut bound = 0;
    for (binding_kind, role_kind) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        for binding in of_kind(binding_kind) {
            let subjects = binding["subjects"].as_array().unwrap();
            assert_eq!(subjects.len(), 1, "{binding}");
            assert_eq!(subjects[0]["kind"], "ServiceAccount", "{binding}");
            assert_eq!(subjects[0]["name"], *account, "{binding}");
            assert_eq!(
                subjects[0]["namespace"], deployment["metadata"]["namespace"],
                "{binding}"
            );
            assert_eq!(binding["roleRef"]["kind"], role_kind, "{binding}");
            let namespace = &binding["metadata"]["namespace"];
            let role = of_kind(role_kind).find(|role| {
                role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"] == *namespace
            });
            let role = role.unwrap_or_else(|| panic!("no role for {binding}"));
            for grant in expand(role, namespace.as_str()) {
                assert!(grants.insert(grant.clone()), "granted by two roles: {grant}");
            }
            bound += 1;
        }
    }
    let roles = of_kind("ClusterRole").count() + of_kind("Role").count();
    assert_eq!(bound, roles, "roles without a binding");
    grants
}

/// The permissions without which every one of the requests would have been allowed as well.
pub fn without_use<'a>(grants: &'a BTreeSet<Grant>, requests: &[impl AsRef<Entry>]) -> BTreeSet<&'a Grant> {
    let mut unused: BTreeSet<&Grant> = grants.iter().collect();
    for request in requests.iter().map(AsRef::as_ref) {
        // Not even by another role.
        let mut covering = grants.iter().filter(|grant| grant.covers(request));
        if let (Some(only), None) = (covering.next(), covering.next()) {
            unused.remove(only);
        }
    }
    unused
}
