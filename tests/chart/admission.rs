//! What the chart renders to, given to a real API server: validation, Pod Security Standard `restricted`, and the fields
//! that are immutable once Stakater Reloader's chart has made an object.

use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery,
};
use serde_json::{Value, json};
use testbed::{ControlPlane, binaries::Component};

use crate::{
    definitions,
    helm::{in_repository, objects, only, profiles, read, render},
};

/// An error until the kind is served.
pub async fn api_of(client: &Client, object: &Value) -> Result<Api<DynamicObject>, Error> {
    let (group, version) = object["apiVersion"]
        .as_str()
        .and_then(|text| text.split_once('/').or(Some(("", text))))
        .unwrap();
    let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    if capabilities.scope == discovery::Scope::Cluster {
        return Ok(Api::all_with(client.clone(), &resource));
    }
    // Helm puts into the release's namespace what names none.
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("tools");
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// As `helm upgrade` does it: fields of the former manifest that are not in the new one would stay, immutable ones are
/// refused.
pub async fn apply(client: &Client, object: &Value) -> Result<(), Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let mut parameters = PatchParams::apply("chart").force();
    parameters.field_validation = Some(kube::core::params::ValidationDirective::Strict);
    let api = api_of(client, object).await?;
    api.patch(name, &parameters, &Patch::Apply(object))
        .await
        .map(drop)
}

/// Creates a namespace that enforces the standard.
pub async fn create_namespace(client: &Client, name: &str) {
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    apply(client, &namespace).await.unwrap();
}

/// Applies all of it, and creates a pod of the Deployment's template, only to see whether that would be admitted.
pub async fn admit(client: &Client, objects: &[Value], whose: &str) {
    for object in objects {
        let applied = apply(client, object).await;
        assert!(applied.is_ok(), "{whose}: {applied:?}\n{object:#}");
    }
    let deployment = only(objects, "Deployment");
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("probe");
    pod["metadata"]["namespace"] = deployment["metadata"]["namespace"].clone();
    let dry_run = PostParams {
        dry_run: true,
        field_manager: None,
    };
    let object: DynamicObject = serde_json::from_value(pod.clone()).unwrap();
    let api = api_of(client, &pod).await.unwrap();
    let admitted = api.create(&dry_run, &object).await;
    assert!(admitted.is_ok(), "{whose}: {admitted:?}");
}

#[tokio::test]
async fn the_api_server_admits_every_profile_under_the_restricted_standard() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    let mut defined = definitions::install(&client).await;
    for namespace in ["tools", "elsewhere", "shop", "payments", "monitoring", "reloader"] {
        create_namespace(&client, namespace).await;
    }
    // Named by profiles.
    for object in [
        json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "sandboxed" },
            "handler": "sandboxed" }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "mine", "namespace": "tools" } }),
    ] {
        apply(&client, &object).await.unwrap();
    }
    for profile in profiles() {
        let values = ["--values", &profile];
        let objects = render(Component::Helm, &values);
        admit(&client, &objects, &profile).await;
        defined.retain(|kind| objects.iter().all(|object| object["kind"] != *kind));
    }
    // What the chart never makes; every other kind that was defined was validated.
    assert_eq!(defined, ["VerticalPodAutoscalerCheckpoint"]);
    let manifest = objects(&read("deployments/kubernetes/reloader.yaml"));
    admit(&client, &manifest, "reloader.yaml").await;
}

/// The objects of a release of Stakater Reloader's chart, as far as they are immutable or must not be left behind.
fn stakaters_release() -> Vec<Value> {
    let labels = json!({ "app": "reloader-reloader", "release": "reloader" });
    let binding = |kind: &str, name: &str, role_kind: &str, role: &str, namespace: Option<&str>| {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": "reloader-reloader", "namespace": "tools" }],
        });
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        object
    };
    vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "reloader-reloader", "namespace": "tools", "labels": labels },
            "spec": {
                "replicas": 1, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "reloader-reloader", "image": "stakater/reloader:v1.4.21" }] },
                },
            },
        }),
        binding(
            "ClusterRoleBinding",
            "reloader-reloader-role-binding",
            "ClusterRole",
            "reloader-reloader-role",
            None,
        ),
        binding(
            "RoleBinding",
            "reloader-reloader-metadata-role-binding",
            "Role",
            "reloader-reloader-metadata-role",
            Some("tools"),
        ),
    ]
}

#[tokio::test]
async fn a_release_of_stakater_reloaders_chart_is_upgraded_in_place_and_back() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    create_namespace(&client, "tools").await;
    let former = stakaters_release();
    let profile = in_repository("charts/reloader/ci/upstream-defaults-values.yaml");
    let ours = render(Component::Helm, &["--values", profile.to_str().unwrap()]);
    for object in &former {
        // The same object, not one beside it.
        let same = |other: &&Value| {
            let metadata = &other["metadata"];
            other["kind"] == object["kind"]
                && metadata["name"] == object["metadata"]["name"]
                && metadata["namespace"] == object["metadata"]["namespace"]
        };
        assert!(
            ours.iter().any(|object| same(&object)),
            "{object:#} would be left behind"
        );
        apply(&client, object).await.unwrap();
    }
    admit(&client, &ours, "upgrade").await;
    for object in &former {
        apply(&client, object).await.unwrap();
    }
}
