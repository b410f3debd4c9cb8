//! The kustomizations as `kubectl apply --kustomize` builds them, given to a real API server in the order it would send.

mod swap;
mod users;

use std::path::{Path, PathBuf};

use rstest::rstest;
use serde_json::{Value, json};
use testbed::{ControlPlane, binaries::Component};

use crate::{
    admission::{admit, create_namespace},
    helm::{documents, in_repository, only, run, text},
};

const KUSTOMIZATIONS: [&str; 3] = [
    "deployments/kubernetes",
    "deployments/overlays/ha",
    "deployments/overlays/single-namespace",
];

/// The objects, and what is said to be deprecated.
fn build_with_warnings(folder: &Path) -> (Vec<Value>, String) {
    let output = run(Component::Kustomize, &["build", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}: {}", folder.display(), text(&output));
    (
        documents(&String::from_utf8(output.stdout).unwrap()),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn build(folder: &Path) -> Vec<Value> {
    let (objects, warnings) = build_with_warnings(folder);
    assert!(warnings.is_empty(), "{warnings}");
    objects
}

fn build_shipped(folder: &str) -> Vec<Value> {
    build(&in_repository(folder))
}

/// How often each kind occurs, as `Kind` or `3 Kind`.
fn kinds(objects: &[Value]) -> Vec<String> {
    let mut kinds: Vec<&str> = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds
        .chunk_by(|a, b| a == b)
        .map(|same| match same.len() {
            1 => same[0].to_owned(),
            number => format!("{number} {}", same[0]),
        })
        .collect()
}

/// The path of a folder of this repository from another one: kustomize takes no absolute ones.
fn relative(from: &Path, to: &str) -> PathBuf {
    let up = from.canonicalize().unwrap().components().count() - 1;
    let to = in_repository(to).canonicalize().unwrap();
    std::iter::repeat_n("..", up)
        .collect::<PathBuf>()
        .join(to.strip_prefix("/").unwrap())
}

/// What a user writes: another namespace, an image.
fn build_in(namespace: &str, shipped: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [relative(folder.path(), shipped)],
        "namespace": namespace,
        "images": [{ "name": "reloader", "newName": "registry.example/tools/reloader", "newTag": "1.2.3" }],
    });
    std::fs::write(
        folder.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )
    .unwrap();
    build(folder.path())
}

#[rstest]
#[case::all_namespaces(
    KUSTOMIZATIONS[0],
    1,
    &["ClusterRole", "ClusterRoleBinding", "Deployment", "Role", "RoleBinding", "ServiceAccount"]
)]
#[case::high_availability(
    KUSTOMIZATIONS[1],
    3,
    &[
        "ClusterRole", "ClusterRoleBinding", "Deployment", "PodDisruptionBudget", "Role", "RoleBinding",
        "ServiceAccount",
    ]
)]
#[case::without_cluster_role(
    KUSTOMIZATIONS[2],
    1,
    &["Deployment", "2 Role", "2 RoleBinding", "ServiceAccount"]
)]
fn kustomizations_build(#[case] folder: &str, #[case] replicas: u64, #[case] expected: &[&str]) {
    let objects = build_shipped(folder);
    assert_eq!(kinds(&objects), expected);
    assert_eq!(only(&objects, "Deployment")["spec"]["replicas"], replicas);
}

/// A budget that selects no pod protects none, and the API server admits it.
#[test]
fn the_budget_is_that_of_the_pods() {
    let objects = build_shipped("deployments/overlays/ha");
    let budget = &only(&objects, "PodDisruptionBudget")["spec"];
    let labels = &only(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let selected = budget["selector"]["matchLabels"].as_object().unwrap();
    assert!(!selected.is_empty());
    for (label, value) in selected {
        assert_eq!(&labels[label], value, "{label}");
    }
    assert!(
        budget["maxUnavailable"].is_number() || budget["minAvailable"].is_number(),
        "{budget}"
    );
}

#[test]
fn without_a_cluster_role_only_the_release_namespace_is_watched() {
    let variables = |folder| {
        let objects = build_shipped(folder);
        let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        container["env"].as_array().cloned().unwrap_or_default()
    };
    let scope = json!({
        "name": "KUBERNETES_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } },
    });
    assert!(variables("deployments/overlays/single-namespace").contains(&scope));
    // Which the base does not have: the overlay is what makes the difference.
    assert!(!variables("deployments/kubernetes").contains(&scope));
}

#[tokio::test]
async fn the_api_server_admits_every_kustomization_wherever_it_is_installed() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    for (number, folder) in KUSTOMIZATIONS.into_iter().enumerate() {
        let objects = build_shipped(folder);
        admit(&client, &objects, folder).await;

        let namespace = format!("place-{number}");
        create_namespace(&client, &namespace).await;
        let objects = build_in(&namespace, folder);
        admit(&client, &objects, folder).await;
        let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/tools/reloader:1.2.3");
        // Permissions of a ServiceAccount elsewhere would be unused.
        for subject in objects
            .iter()
            .flat_map(|object| object["subjects"].as_array().into_iter().flatten())
        {
            assert_eq!(subject["namespace"], namespace.as_str(), "{folder}");
        }
        let shipped = |object: &&Value| object["metadata"]["namespace"] == "default";
        assert!(!objects.iter().any(|object| shipped(&object)), "{folder}");
    }
}
