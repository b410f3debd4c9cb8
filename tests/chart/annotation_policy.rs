//! The chart's `ValidatingAdmissionPolicy` on a real API server: which annotations it warns of, and what it never looks at.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::{Api, Client, client::Body};
use serde_json::{Value, json};
use testbed::{ControlPlane, binaries::Component, eventually};

use crate::{
    admission::apply,
    annotation_list::known,
    helm::{only, render},
};

const PATIENCE: Duration = Duration::from_mins(1);
const MISSPELT: &str = "reloader.stakater.com/autoo";
const POLICY: &str = "ValidatingAdmissionPolicy";

/// A namespace without a Pod Security Standard, which would warn as well.
async fn create_namespace(client: &Client, name: &str) {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    apply(client, &namespace).await.unwrap();
}

/// Renders the policy with further values and applies it.
async fn install(client: &Client, action: &str, values: &[&str]) -> Value {
    let action = format!("annotationPolicy.action={action}");
    let fixed = ["--set", "annotationPolicy.enabled=true", "--set", &action];
    let objects = render(Component::Helm, &[&fixed[..], values].concat());
    let policy = only(&objects, POLICY);
    apply(client, policy).await.unwrap();
    apply(client, only(&objects, "ValidatingAdmissionPolicyBinding"))
        .await
        .unwrap();
    policy.clone()
}

/// An answer: its status, its warnings, and its body.
struct Answered {
    status: u16,
    warnings: Vec<String>,
    body: String,
}

/// Sends an object to where the others of its kind are, in namespace `shop`.
async fn send(client: &Client, method: &str, object: &Value, query: &str, user: Option<&str>) -> Answered {
    let api = match object["apiVersion"].as_str().unwrap() {
        "v1" => "/api/v1".to_owned(),
        other => format!("/apis/{other}"),
    };
    let plural = object["kind"].as_str().unwrap().to_lowercase();
    let name = match method {
        "PUT" => format!("/{}", object["metadata"]["name"].as_str().unwrap()),
        _ => String::new(),
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("{api}/namespaces/shop/{plural}s{name}?{query}"))
        .header("content-type", "application/json");
    if let Some(user) = user {
        request = request
            .header("impersonate-user", user)
            .header("impersonate-group", "system:masters");
    }
    let request = request.body(Body::from(object.to_string().into_bytes())).unwrap();
    let answer = client.send(request).await.unwrap();
    let warnings = answer.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.unwrap();
    Answered {
        status,
        warnings,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// The warnings for an object that would be created.
async fn warnings(client: &Client, object: &Value) -> Vec<String> {
    let answered = send(client, "POST", object, "dryRun=All", None).await;
    assert_eq!(answered.status, 201, "{object:#}: {}", answered.body);
    answered.warnings
}

fn annotated<'a>(keys: impl IntoIterator<Item = &'a str>) -> Value {
    let pairs = keys.into_iter().map(|key| (key.to_owned(), json!("true")));
    Value::Object(pairs.collect())
}

fn source(kind: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": kind, "metadata": { "name": "web", "annotations": annotations },
        "data": { "key": "c2hlbGw=" },
    })
}

/// A workload of a kind with annotations of its own and of its pod template.
fn workload(kind: &str, own: &Value, of_template: &Value) -> Value {
    let labels = json!({ "app": "web" });
    let is_job = kind.ends_with("Job");
    let mut template = json!({
        "metadata": { "labels": labels, "annotations": of_template },
        "spec": { "containers": [{ "name": "main", "image": "web" }] },
    });
    if is_job {
        template["spec"]["restartPolicy"] = json!("Never");
    }
    let spec = match kind {
        "Job" => json!({ "template": template }),
        "CronJob" => json!({ "schedule": "* * * * *", "jobTemplate": { "spec": { "template": template } } }),
        "StatefulSet" => {
            json!({ "serviceName": "web", "selector": { "matchLabels": labels }, "template": template })
        }
        _ => json!({ "selector": { "matchLabels": labels }, "template": template }),
    };
    let api = if is_job { "batch/v1" } else { "apps/v1" };
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "web", "annotations": own }, "spec": spec })
}

const WORKLOADS: [&str; 5] = ["Deployment", "DaemonSet", "StatefulSet", "CronJob", "Job"];

/// Waits until the policy decides.
async fn in_effect(client: &Client) {
    let probe = source("ConfigMap", &annotated([MISSPELT]));
    eventually(PATIENCE, "a warning", async || -> Result<_, String> {
        let answered = send(client, "POST", &probe, "dryRun=All", None).await;
        Ok((answered.status != 201 || !answered.warnings.is_empty()).then_some(()))
    })
    .await
    .unwrap();
}

/// A cluster with the namespaces of the tests and the policy.
async fn cluster(action: &str, values: &[&str]) -> (ControlPlane, Client, Value) {
    let plane = ControlPlane::builder()
        .controller_manager(true)
        .start()
        .await
        .unwrap();
    let client = plane.admin();
    create_namespace(&client, "shop").await;
    let policy = install(&client, action, values).await;
    in_effect(&client).await;
    (plane, client, policy)
}

#[tokio::test]
async fn each_unknown_annotation_is_warned_of_and_no_known_one() {
    let renamed = [
        "--set",
        "reloader.custom_annotations.auto=reloader.stakater.com/watch",
    ];
    let (_plane, client, policy) = cluster("Warn", &renamed).await;

    let mut silent: BTreeSet<String> = known();
    assert!(silent.remove("reloader.stakater.com/auto"));
    silent.extend(
        [
            "reloader.stakater.com/watch",
            "acme.example/reloader",
            "loader.stakater.com/x",
        ]
        .map(str::to_owned),
    );
    let silent = annotated(silent.iter().map(String::as_str));
    let none = json!({});
    for kind in ["ConfigMap", "Secret"] {
        assert_eq!(warnings(&client, &source(kind, &silent)).await, [""; 0], "{kind}");
        let heard = warnings(&client, &source(kind, &annotated([MISSPELT]))).await;
        assert!(
            heard.len() == 1 && heard[0].contains(MISSPELT),
            "{kind}: {heard:?}"
        );
    }
    for kind in WORKLOADS {
        let all = workload(kind, &silent, &silent);
        assert_eq!(warnings(&client, &all).await, [""; 0], "{kind}");
        let own = warnings(&client, &workload(kind, &annotated([MISSPELT]), &none)).await;
        assert!(own.len() == 1 && own[0].contains(MISSPELT), "{kind}: {own:?}");
        assert!(!own[0].contains("pod template"), "{own:?}");
        let below = warnings(&client, &workload(kind, &none, &annotated([MISSPELT]))).await;
        assert!(
            below.len() == 1 && below[0].contains(MISSPELT),
            "{kind}: {below:?}"
        );
        assert!(below[0].contains("pod template"), "{below:?}");
        assert_eq!(
            warnings(&client, &workload(kind, &Value::Null, &Value::Null)).await,
            [""; 0]
        );
    }

    hints(&client).await;
    // The program's own requests cause none, and are refused in no case.
    let mine = Some("system:serviceaccount:tools:reloader-reloader");
    let object = source("ConfigMap", &annotated([MISSPELT]));
    assert_eq!(
        send(&client, "POST", &object, "dryRun=All", mine).await.warnings,
        [""; 0]
    );
    let theirs = Some("system:serviceaccount:tools:other");
    assert_eq!(
        send(&client, "POST", &object, "dryRun=All", theirs)
            .await
            .warnings
            .len(),
        1
    );

    is_sound(&client, &policy).await;
}

/// What was written, and what was meant.
async fn hints(client: &Client) {
    let none = json!({});
    for (written, meant) in [
        ("reloader.stakater.com/autoo", None),
        ("reloader.stakater.com/auto", Some("reloader.stakater.com/watch")),
        ("reloader.stakater.io/auto", Some("reloader.stakater.com/watch")),
        (
            "reloader.stakter.com/search",
            Some("reloader.stakater.com/search"),
        ),
        ("Reloader.Stakater.com/match", Some("reloader.stakater.com/match")),
        (
            "reloder.stakater.com/ignore",
            Some("reloader.stakater.com/ignore"),
        ),
        (
            "secret.reloader.stakater.io/reload",
            Some("secret.reloader.stakater.com/reload"),
        ),
        (
            "reloader.stakater.com/reload",
            Some("configmap.reloader.stakater.com/reload or secret.reloader.stakater.com/reload"),
        ),
        (
            "reloader.stakater.com/configmap",
            Some("configmap.reloader.stakater.com/reload"),
        ),
        (
            "secrets.reloader.stakater.com/reload",
            Some("secret.reloader.stakater.com/reload"),
        ),
        (
            "configmap.exclude.reloader.stakater.com/reload",
            Some("configmaps.exclude.reloader.stakater.com/reload"),
        ),
        (
            "reloader.stakater.com/pause-period",
            Some("deployment.reloader.stakater.com/pause-period"),
        ),
    ] {
        let heard = warnings(client, &workload("Deployment", &annotated([written]), &none))
            .await
            .join("");
        let wanted = meant.map_or(written.to_owned(), |meant| {
            format!("{written} (did you mean {meant}?)")
        });
        assert!(heard.contains(&wanted), "{wanted}: {heard}");
        assert_eq!(heard.contains("did you mean"), meant.is_some(), "{heard}");
    }
    // Several at once, each by its name.
    let several = [MISSPELT, "reloader.stakater.com/serch", "reloader.stakater.io/x"];
    let heard = warnings(client, &workload("Deployment", &annotated(several), &none))
        .await
        .join("");
    for key in several {
        assert!(heard.contains(key), "{key}: {heard}");
    }
}

/// Its expressions fit the types, and read no data.
async fn is_sound(client: &Client, policy: &Value) {
    for key in ["data", "stringData", "binaryData"] {
        let text = policy["spec"].to_string();
        assert!(
            !text.contains(&format!(".{key}")) && !text.contains(&format!("\"{key}")),
            "{text}"
        );
    }
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let name = policy["metadata"]["name"].as_str().unwrap();
    let checked = eventually(
        PATIENCE,
        "the policy to be checked",
        async || -> Result<_, String> {
            let policy = policies.get(name).await.map_err(|error| error.to_string())?;
            Ok(policy.status.and_then(|status| status.type_checking))
        },
    );
    let checked = checked.await.unwrap();
    assert!(checked.expression_warnings.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn denied_is_what_is_new() {
    let plane = ControlPlane::start().await.unwrap();
    let client = plane.admin();
    create_namespace(&client, "shop").await;
    let none = json!({});
    let mut before = workload(
        "Deployment",
        &annotated([MISSPELT]),
        &annotated(["reloader.stakater.com/serch"]),
    );
    assert_eq!(send(&client, "POST", &before, "", None).await.status, 201);
    install(&client, "Deny", &["--set", "reloader.ignoreNamespaces=elsewhere"]).await;
    in_effect(&client).await;

    // What was there stays, and the object can be changed.
    before["spec"]["replicas"] = json!(3);
    let changed = send(&client, "PUT", &before, "", None).await;
    assert_eq!(
        (changed.status, changed.warnings.len()),
        (200, 0),
        "{}",
        changed.body
    );
    before["metadata"]["annotations"]["reloader.stakater.com/mach"] = json!("true");
    let refused = send(&client, "PUT", &before, "", None).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(
        refused.body.contains("reloader.stakater.com/mach"),
        "{}",
        refused.body
    );
    assert!(!refused.body.contains("autoo"), "{}", refused.body);
    let new = workload("StatefulSet", &none, &annotated([MISSPELT]));
    assert_eq!(send(&client, "POST", &new, "", None).await.status, 422);

    // Where Reloader does not look, it has no opinion.
    create_namespace(&client, "elsewhere").await;
    let mut elsewhere = source("ConfigMap", &annotated([MISSPELT]));
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    apply(&client, &elsewhere).await.unwrap();
}

/// In a kind that only the values name, at the path that they name.
#[tokio::test]
async fn custom_kinds_are_read_at_their_own_path() {
    let values = [
        "--set",
        "reloader.workloadKinds[0]=example.com/v1/Shop:spec.podTemplate",
    ];
    let (_plane, client, _) = cluster("Warn", &values).await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "shops.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "kind": "Shop", "plural": "shops" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    });
    apply(&client, &definition).await.unwrap();
    let shop = json!({
        "apiVersion": "example.com/v1", "kind": "Shop", "metadata": { "name": "web" },
        "spec": { "podTemplate": { "metadata": { "annotations": annotated([MISSPELT]) } } },
    });
    eventually(PATIENCE, "a warning", async || -> Result<_, String> {
        let answered = send(&client, "POST", &shop, "dryRun=All", None).await;
        let heard = answered.warnings.join("");
        if answered.status == 201 && heard.contains(MISSPELT) && heard.contains("pod template") {
            Ok(Some(()))
        } else {
            Err(format!("{} {heard}", answered.status))
        }
    })
    .await
    .unwrap();
}
