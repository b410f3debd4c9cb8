//! The program under the rights that the chart grants for each mode, on a real API server: it restarts what it should,
//! and is refused nothing.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};
use testbed::{ControlPlane, Replica, binaries::Component, eventually, free_port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    admission::apply,
    helm::{chart, in_repository, only, render_release},
    program::{arguments, variables},
};

/// How long anything may take that should be quick; a wait ends as soon as what it waits for is there.
const PATIENCE: Duration = Duration::from_mins(1);
/// What makes an object part of the grant.
const GRANT: [&str; 5] = [
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

async fn is_ready(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream
        .write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

fn config_map(namespace: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "settings", "namespace": namespace }, "data": { "key": value },
    })
}

fn deployment(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": namespace, "annotations": { "reloader.stakater.com/auto": "true" },
        },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "web", "image": "web", "envFrom": [{ "configMapRef": { "name": "settings" } }],
                }] },
            },
        },
    })
}

/// Waits until the user has asked for all of this.
async fn asked(plane: &ControlPlane, user: &str, replica: &Replica, wanted: &[(&str, &str)]) {
    let all = eventually(PATIENCE, "requests", async || -> Result<_, String> {
        let requests = plane.audit().requests_by_verb_and_resource(user);
        let requests = requests.map_err(|error| error.to_string())?;
        let made = |(verb, resource): &(&str, &str)| {
            requests
                .keys()
                .any(|(made, on)| made == verb && on.starts_with(resource))
        };
        wanted
            .iter()
            .all(made)
            .then_some(Some(()))
            .ok_or_else(|| format!("{requests:?}, not {wanted:?}\n{}", replica.log()))
    });
    all.await.unwrap();
}

/// Runs one profile in namespaces of its own; `elsewhere` is one that it should act in beside its own, if any.
async fn run_profile(plane: &ControlPlane, profile: &str, elsewhere: Option<&str>, restarts: bool) {
    let client = plane.admin();
    let labels = json!({ "team": "shop", "tier": "web" });
    for name in [Some(profile), elsewhere, Some("shop"), Some("payments")]
        .into_iter()
        .flatten()
    {
        let metadata = json!({ "name": name, "labels": labels });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        apply(&client, &namespace).await.unwrap();
    }
    let values = in_repository(&format!("charts/reloader/ci/{profile}-values.yaml"));
    let values = ["--values", values.to_str().unwrap()];
    let objects = render_release(Component::Helm, &chart(), (profile, profile), &values);
    for object in objects
        .iter()
        .filter(|object| GRANT.iter().any(|kind| object["kind"] == *kind))
    {
        apply(&client, object).await.unwrap();
    }
    let watched = elsewhere.unwrap_or(profile);
    apply(&client, &config_map(watched, "old")).await.unwrap();
    apply(&client, &deployment(watched)).await.unwrap();

    let reloader = only(&objects, "Deployment");
    let account = reloader["spec"]["template"]["spec"]["serviceAccountName"]
        .as_str()
        .unwrap();
    let port = free_port().unwrap();
    let kubeconfig = plane
        .kubeconfig_for_service_account(profile, account)
        .await
        .unwrap();
    let builder = Replica::builder(env!("CARGO_BIN_EXE_reloader"))
        .name(profile)
        .kubeconfig(kubeconfig)
        .args(arguments(reloader))
        .arg(format!("--listen-address=127.0.0.1:{port}"));
    let builder = variables(reloader)
        .into_iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value));
    let replica = builder.start().unwrap();
    let ready = eventually(
        PATIENCE,
        "the replica to be ready",
        async || -> Result<_, String> {
            let ready = is_ready(port).await;
            ready
                .is_ok_and(|ready| ready)
                .then_some(Some(()))
                .ok_or_else(|| replica.log())
        },
    );
    ready.await.unwrap();

    let user = format!("system:serviceaccount:{profile}:{account}");
    if restarts {
        // The first leader takes what is there for settled, and writes that down.
        let ledger = format!("{profile}-reloader-ledger");
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), profile);
        let written = eventually(PATIENCE, "the ledger", async || {
            maps.get_opt(&ledger).await.map(|map| map.map(drop))
        });
        written.await.unwrap();
        apply(&client, &config_map(watched, "new")).await.unwrap();
        asked(
            plane,
            &user,
            &replica,
            &[("patch", "deployments"), ("create", "events")],
        )
        .await;
    }
    replica.terminate().unwrap();
    assert!(
        replica.wait_exit(PATIENCE).await.unwrap().success(),
        "{}",
        replica.log()
    );
    let refused = plane
        .audit()
        .matching(|entry| entry.user == user && entry.code == 403)
        .unwrap();
    let refused: Vec<String> = refused
        .iter()
        .map(|entry| format!("{} {}", entry.verb, entry.uri))
        .collect();
    assert_eq!(refused, Vec::<String>::new(), "{profile}");
    let all = plane.audit().matching(|entry| entry.user == user).unwrap();
    assert!(all.len() > 5, "{profile}: the audit log tells nothing of {user}");
}

#[tokio::test]
async fn each_mode_has_all_the_rights_it_needs() {
    let plane = ControlPlane::start().await.unwrap();
    for (profile, elsewhere, restarts) in [
        ("default", Some("apps-1"), true),
        ("single-namespace", None, true),
        ("namespace-list", Some("shop"), true),
        ("namespace-selector", Some("apps-2"), true),
        ("no-jobs", Some("apps-3"), true),
        ("no-leader-election", Some("apps-4"), true),
        ("webhook", None, false),
    ] {
        run_profile(&plane, profile, elsewhere, restarts).await;
    }
}
