//! This base in the place of Stakater Reloader's, under the kustomizations of its users.
//!
//! That base's place is taken by one of the same shape, `tests/install/former-manifests`. What a kustomization does to it, it
//! must do to this one, and the API server must take one over the other.

use std::collections::BTreeSet;

use kube::api::DeleteParams;
use rstest::rstest;
use serde_json::Value;
use testbed::ControlPlane;

use super::{
    kinds,
    users::{User, users},
};
use crate::{
    admission::{api_of, apply, create_namespace},
    helm::{documents, only, read},
};

const FORMER: &str = "tests/install/former-manifests";
const OURS: &str = "deployments/kubernetes";

/// What identifies an object to the API server.
fn identity(object: &Value) -> [&Value; 4] {
    let metadata = &object["metadata"];
    [
        &object["apiVersion"],
        &object["kind"],
        &metadata["namespace"],
        &metadata["name"],
    ]
}

#[test]
fn the_objects_and_the_selector_are_those_of_the_former_base() {
    let former = documents(&read(&format!("{FORMER}/reloader.yaml")));
    let ours = documents(&read(&format!("{OURS}/reloader.yaml")));
    let identities = |objects: &[Value]| {
        let texts = objects.iter().map(|object| format!("{:?}", identity(object)));
        texts.collect::<BTreeSet<_>>()
    };
    assert_eq!(identities(&ours), identities(&former));
    let immutable =
        |objects: &[Value], kind: &str, pointer: &str| only(objects, kind).pointer(pointer).cloned();
    for (kind, pointer) in [
        ("Deployment", "/spec/selector"),
        ("RoleBinding", "/roleRef"),
        ("ClusterRoleBinding", "/roleRef"),
    ] {
        assert_eq!(
            immutable(&ours, kind, pointer),
            immutable(&former, kind, pointer),
            "{kind}"
        );
    }
}

/// Pointers to everything in a value, items of lists but containers left out: these are found by name.
fn pointers(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    into.insert(path.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, &format!("{path}/{key}"), into);
            }
        }
        Value::Array(items) if path.ends_with("/containers") => {
            pointers(&items[0], &format!("{path}/0"), into);
        }
        _ => {}
    }
}

/// A patch by index that replaces or removes a value which is not there does not build.
#[test]
fn the_migration_page_names_what_a_patch_by_index_does_not_find() {
    let found_in = |base: &str| {
        let mut found = BTreeSet::new();
        let objects = documents(&read(&format!("{base}/reloader.yaml")));
        pointers(only(&objects, "Deployment"), "", &mut found);
        found
    };
    let page = read("docs/migrating-from-stakater-reloader.md");
    let ours = found_in(OURS);
    for missing in found_in(FORMER).difference(&ours) {
        assert!(
            page.contains(&format!("`{missing}`")),
            "the page does not name {missing}"
        );
    }
}

#[rstest]
#[case::former(FORMER)]
#[case::ours(OURS)]
fn a_users_kustomization_does_the_same_to_either_base(#[case] base: &str) {
    for user in users() {
        let objects = user.build(base);
        assert_eq!(kinds(&objects), user.kinds(), "{}", user.name);
        for (kind, expected) in &user.expected {
            let object = only(&objects, kind);
            for (pointer, value) in expected {
                let found = match pointer.as_str() {
                    "name" => &object["metadata"]["name"],
                    pointer => object.pointer(pointer).unwrap_or(&Value::Null),
                };
                assert_eq!(found, value, "{}: {kind} {pointer}", user.name);
            }
        }
    }
}

/// Several replicas without an election would all act; a patch of `args` replaces the list.
#[test]
fn a_patch_of_the_arguments_leaves_the_election() {
    for user in users() {
        let objects = user.build(OURS);
        let deployment = only(&objects, "Deployment");
        let config = crate::program::settings(deployment, &user.name);
        assert!(config.lease.is_some(), "{}", user.name);
    }
}

#[tokio::test]
async fn a_users_kustomization_is_applied_over_the_former_base_and_back() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    create_namespace(&client, "kube-system").await;
    create_namespace(&client, "tooling").await;
    for user in users() {
        for base in [FORMER, OURS, FORMER] {
            for object in user.build(base) {
                let applied = apply(&client, &object).await;
                assert!(applied.is_ok(), "{}: {base}: {applied:?}\n{object:#}", user.name);
            }
        }
        // The next user's selector may be another one.
        let deployment = only(&user.build(OURS), "Deployment").clone();
        let api = api_of(&client, &deployment).await.unwrap();
        let name = deployment["metadata"]["name"].as_str().unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

/// They are files beside the base, for the user's own kustomization.
#[test]
fn optional_permissions_follow_the_namespace() {
    for file in ["rbac-csi.yaml", "rbac-argo-rollouts.yaml"] {
        let user = User::new(
            "resources: [BASE, optional.yaml]\nnamespace: kube-system\nnamePrefix: acme-",
            [("optional.yaml", read(&format!("{OURS}/{file}")))],
        );
        let objects = user.build(OURS);
        let bindings = objects
            .iter()
            .filter(|object| object["kind"] == "ClusterRoleBinding");
        let subjects: Vec<&Value> = bindings.map(|binding| &binding["subjects"][0]).collect();
        assert_eq!(subjects.len(), 2, "{file}");
        for subject in subjects {
            assert_eq!(subject["namespace"], "kube-system", "{file}");
            assert_eq!(subject["name"], "acme-reloader-reloader", "{file}");
        }
    }
}
