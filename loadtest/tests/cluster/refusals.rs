//! What is refused before anything is made, and what the message says to do.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use serde_json::json;
use testbed::ControlPlane;

use crate::harness::{CONTEXT, chart, end_of, loadtest, root};

/// A namespace with a name of the load test that another user made.
const FOREIGN: &str = "reloader-loadtest-n0";
/// The namespace of the load test's release.
const SYSTEM: &str = "reloader-loadtest-system";

/// Everything with the load test's name in its own: the API server makes objects by itself.
async fn named(client: &Client) -> BTreeSet<String> {
    let mut found = testbed::inventory(client).await.unwrap();
    found.retain(|object| object.contains("reloader-loadtest"));
    found
}

/// Runs the load test, with a program that does nothing as Helm.
async fn run(plane: &ControlPlane, args: &[&str]) -> (bool, String) {
    let run = loadtest(plane)
        .args(["--no-store", "--helm=true", &format!("--chart={}", chart())])
        .args(args)
        .start()
        .unwrap();
    end_of(&run).await
}

#[tokio::test]
async fn what_the_load_test_did_not_make_is_not_touched() {
    // The controller manager is not there, so that no object comes by itself.
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    let namespace = |name: &str| Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace(FOREIGN))
        .await
        .unwrap();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("theirs".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("key".to_owned(), "value".to_owned())])),
        ..ConfigMap::default()
    };
    let maps = Api::<ConfigMap>::namespaced(client.clone(), FOREIGN);
    maps.create(&PostParams::default(), &map).await.unwrap();
    let before = named(&client).await;

    let (succeeded, printed) = run(&plane, &[CONTEXT]).await;
    assert!(!succeeded);
    let refusal =
        "reloader-loadtest-n0 is there without the label app.kubernetes.io/managed-by=reloader-loadtest";
    assert!(printed.contains(refusal), "{printed}");
    let (succeeded, printed) = run(&plane, &[CONTEXT, "--clean"]).await;
    assert!(succeeded, "{printed}");
    assert!(printed.contains("Removed 0 namespaces"), "{printed}");
    assert_eq!(named(&client).await, before);
}

#[tokio::test]
async fn a_release_in_a_namespace_of_another_user_keeps_its_cluster_wide_objects() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    let namespace = serde_json::from_value(json!({ "metadata": { "name": SYSTEM } })).unwrap();
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let role = serde_json::from_value(json!({ "metadata": { "name": "theirs", "annotations": {
        "meta.helm.sh/release-name": "reloader-loadtest", "meta.helm.sh/release-namespace": SYSTEM,
    } } }))
    .unwrap();
    let roles = Api::<ClusterRole>::all(client.clone());
    roles.create(&PostParams::default(), &role).await.unwrap();
    let (succeeded, printed) = run(&plane, &[CONTEXT, "--clean"]).await;
    assert!(succeeded, "{printed}");
    assert!(roles.get_opt("theirs").await.unwrap().is_some(), "{printed}");
}

#[tokio::test]
async fn another_reloader_is_refused_and_a_plan_makes_nothing() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    let before = named(&client).await;
    let (succeeded, printed) = run(&plane, &[CONTEXT, "--dry-run", "--only=s1", "--config-maps=77"]).await;
    assert!(succeeded, "{printed}");
    for part in [
        "context testbed at https://127.0.0.1",
        "Will measure s1",
        "77 ConfigMaps",
        "reloader-loadtest-system",
    ] {
        assert!(printed.contains(part), "{part} in\n{printed}");
    }
    assert_eq!(named(&client).await, before);

    let other: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "theirs" },
        "spec": { "selector": { "matchLabels": { "app": "theirs" } }, "template": {
            "metadata": { "labels": { "app": "theirs" } },
            "spec": { "containers": [{ "name": "main", "image": "ghcr.io/stakater/reloader:v1.4.21" }] },
        } },
    }))
    .unwrap();
    let deployments = Api::<Deployment>::namespaced(client.clone(), "default");
    deployments.create(&PostParams::default(), &other).await.unwrap();
    let (succeeded, printed) = run(&plane, &[CONTEXT]).await;
    assert!(!succeeded);
    assert!(
        printed.contains("default/theirs") && printed.contains("--beside-another"),
        "{printed}"
    );
    let (succeeded, _) = run(&plane, &[CONTEXT, "--dry-run", "--beside-another"]).await;
    assert!(succeeded);
}

#[tokio::test]
async fn a_context_a_scenario_or_a_program_that_is_not_there_is_named() {
    let plane = ControlPlane::start().await.unwrap();
    for (args, parts) in [
        (
            &["--context=kind-kind"][..],
            &["no context `kind-kind`", "it has: testbed"][..],
        ),
        (
            &[CONTEXT, "--only=storm"],
            &["no scenario `storm`", "thousands, s1, s2"],
        ),
        (
            &[CONTEXT, "--helm=/no/such/helm"],
            &["/no/such/helm", "install Helm"],
        ),
        (
            &["--kubeconfig=/no/such/file"],
            &["read the kubeconfig", "--kubeconfig"],
        ),
        // KUBECONFIG alone, which is set here, names no cluster.
        (&["--clean"], &["name it with --context or --kubeconfig"]),
    ] {
        let (succeeded, printed) = run_with(&plane, args).await;
        assert!(!succeeded, "{args:?}");
        for part in parts {
            assert!(printed.contains(part), "{part} in\n{printed}");
        }
    }
}

/// The controller's program stands for nothing here, but its flag wants a file.
async fn run_with(plane: &ControlPlane, args: &[&str]) -> (bool, String) {
    let controller = format!("--controller={}", root().join("Cargo.toml").display());
    let run = loadtest(plane)
        .args([
            controller,
            "--no-store".to_owned(),
            format!("--chart={}", chart()),
        ])
        .args(args)
        .start()
        .unwrap();
    end_of(&run).await
}
