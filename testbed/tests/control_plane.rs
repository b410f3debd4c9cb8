//! The testbed keeps its own promises: it starts, several at once; RBAC and tokens are real; data survives a killed API server; the
//! audit log answers who did what.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchParams};
use kube::{Api, Client};
use serde_json::json;
use testbed::{ControlPlane, Stage, client_config, eventually};

const TIMEOUT: Duration = Duration::from_secs(30);

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("key".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn config_maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "default")
}

#[tokio::test]
async fn two_control_planes_at_once_share_nothing() {
    let (one, two) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    assert_ne!(one.dir(), two.dir());
    assert_ne!(one.ca_pem(), two.ca_pem());

    config_maps(one.admin())
        .create(&PostParams::default(), &config_map("only-in-one", "1"))
        .await
        .unwrap();
    assert!(
        config_maps(one.admin())
            .get_opt("only-in-one")
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        config_maps(two.admin())
            .get_opt("only-in-one")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn rbac_decides_and_the_audit_log_tells() {
    let control_plane = ControlPlane::start().await.unwrap();

    let nobody = control_plane
        .client_for_user("nobody", &["visitors"])
        .await
        .unwrap();
    let refused = config_maps(nobody)
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.is_forbidden()),
        "{refused}"
    );

    let someone = control_plane
        .client_for_user("someone", &["visitors", "system:masters"])
        .await
        .unwrap();
    config_maps(someone.clone())
        .create(&PostParams::default(), &config_map("a", "sensitive-value"))
        .await
        .unwrap();
    config_maps(someone.clone()).get("a").await.unwrap();
    config_maps(someone.clone()).get("a").await.unwrap();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("s".to_owned()),
            ..ObjectMeta::default()
        },
        string_data: Some([("key".to_owned(), "sensitive-value".to_owned())].into()),
        ..Secret::default()
    };
    Api::namespaced(someone, "default")
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();

    let audit = control_plane.audit();
    let writes = audit.writes_by("nobody").unwrap();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        (
            writes[0].verb.as_str(),
            writes[0].resource.as_str(),
            writes[0].code
        ),
        ("create", "configmaps", 403)
    );
    assert!(!writes[0].succeeded());

    let counts = audit.requests_by_verb_and_resource("someone").unwrap();
    let expected = [
        ("create", "configmaps", 1),
        ("create", "secrets", 1),
        ("get", "configmaps", 2),
    ];
    let expected = expected.map(|(verb, resource, count)| ((verb.to_owned(), resource.to_owned()), count));
    assert_eq!(counts, expected.into());

    let log = std::fs::read_to_string(audit.path()).unwrap();
    assert!(
        !log.contains("sensitive-value"),
        "the audit log holds data of a ConfigMap or Secret"
    );
    let too_many = control_plane
        .kubeconfig_for_user("someone", &["a", "b", "c"])
        .unwrap_err();
    assert_eq!(too_many.category(), "certificate");
}

#[tokio::test]
async fn clients_of_one_user_are_told_apart_by_their_user_agent() {
    let control_plane = ControlPlane::start().await.unwrap();
    for agent in ["replica-1", "replica-2"] {
        let mut config = client_config(&control_plane.admin_kubeconfig()).await.unwrap();
        config
            .headers
            .push(("user-agent".parse().unwrap(), agent.parse().unwrap()));
        config_maps(Client::try_from(config).unwrap())
            .get_opt(agent)
            .await
            .unwrap();
    }
    let entries = control_plane
        .audit()
        .matching(|entry| entry.name.starts_with("replica-"))
        .unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.user.as_str(), e.user_agent.as_str(), e.name.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("testbed:admin", "replica-1", "replica-1"),
            ("testbed:admin", "replica-2", "replica-2")
        ]
    );
}

#[tokio::test]
async fn the_audit_log_shows_what_changed_a_workload_and_how_fast() {
    let control_plane = ControlPlane::start().await.unwrap();
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(control_plane.admin(), "default");
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "none"}]},
            },
        },
    }));
    deployments
        .create(&PostParams::default(), &deployment.unwrap())
        .await
        .unwrap();
    config_maps(control_plane.admin())
        .create(&PostParams::default(), &config_map("settings", "1"))
        .await
        .unwrap();

    let restarter = control_plane
        .client_for_user("restarter", &["system:masters"])
        .await
        .unwrap();
    let restarter: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(restarter, "default");
    let patch = |patch: serde_json::Value| {
        let restarter = restarter.clone();
        async move {
            restarter
                .patch("web", &PatchParams::default(), &Patch::Strategic(patch))
                .await
                .unwrap()
        }
    };
    patch(json!({"metadata": {"annotations": {"note": "no rollout"}}})).await;
    patch(json!({"spec": {"template": {"metadata": {"annotations": {"restart": "1"}}}}})).await;

    let writes = control_plane.audit().writes_by("restarter").unwrap();
    let rollouts = control_plane
        .audit()
        .template_changes("deployments", "default", "web")
        .unwrap();
    assert_eq!(rollouts.len(), 1, "only the second one changed the pod template");
    assert_eq!((writes.len(), &rollouts[0].audit_id), (2, &writes[1].audit_id));
    let sent = writes[1].request_object.as_ref().unwrap();
    assert_eq!(
        sent.pointer("/spec/template/metadata/annotations/restart"),
        Some(&json!("1"))
    );

    let about =
        |name: &'static str| move |entry: &testbed::Entry| entry.is_about("configmaps", "default", name);
    let cause = control_plane
        .audit()
        .matching(about("settings"))
        .unwrap()
        .remove(0);
    let latency = control_plane
        .audit()
        .latency(&cause, |entry| entry.is_about("deployments", "default", "web"))
        .unwrap();
    let whole_test = writes[1]
        .stage_timestamp
        .duration_since(cause.request_received)
        .unsigned_abs();
    assert!(
        latency.is_some_and(|latency| latency < whole_test),
        "{latency:?} of {whole_test:?}"
    );
    assert_eq!(
        control_plane
            .audit()
            .latency(&writes[1], about("settings"))
            .unwrap(),
        None,
        "it came before"
    );
}

#[tokio::test]
async fn a_service_account_acts_with_its_token_under_its_own_name() {
    let control_plane = ControlPlane::builder()
        .controller_manager(true)
        .start()
        .await
        .unwrap();
    let client = control_plane
        .client_for_service_account("default", "default")
        .await
        .unwrap();
    let refused = config_maps(client)
        .list(&ListParams::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.is_forbidden()),
        "{refused}"
    );

    let entry = control_plane
        .audit()
        .wait_until(TIMEOUT, "the ServiceAccount's request", |entries| {
            entries
                .iter()
                .find(|entry| entry.user == "system:serviceaccount:default:default")
                .cloned()
        })
        .await
        .unwrap();
    assert_eq!((entry.verb.as_str(), entry.code), ("list", 403));

    // The controller manager works: a namespace gets its ServiceAccount, and can be deleted.
    let namespaces: Api<Namespace> = Api::all(control_plane.admin());
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some("n".to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.admin(), "n");
    eventually(TIMEOUT, "the namespace's ServiceAccount", async || {
        accounts.get_opt("default").await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_killed_or_restarted_api_server_keeps_its_data_and_address() {
    let control_plane = ControlPlane::start().await.unwrap();
    let url = control_plane.url();
    let api = config_maps(control_plane.admin());
    api.create(&PostParams::default(), &config_map("kept", "1"))
        .await
        .unwrap();

    control_plane.kill_apiserver();
    assert!(api.get("kept").await.is_err(), "it should be down");
    control_plane.start_apiserver().await.unwrap();
    assert_eq!(api.get("kept").await.unwrap().data.unwrap()["key"], "1");

    // A server that waited for its watchers would not end in time.
    let open_watch = api.watch(&WatchParams::default(), "0").await.unwrap();
    control_plane.stop_apiserver().await.unwrap();
    control_plane.start_apiserver().await.unwrap();
    drop(open_watch);
    assert_eq!(api.get("kept").await.unwrap().data.unwrap()["key"], "1");
    assert_eq!(control_plane.url(), url);

    let reads = control_plane.audit().matching(|entry| {
        entry.stage == Stage::ResponseComplete
            && entry.verb == "get"
            && entry.is_about("configmaps", "default", "kept")
    });
    assert_eq!(reads.unwrap().len(), 2, "the audit log goes on over restarts");
}

#[tokio::test]
async fn an_api_server_that_does_not_start_says_why() {
    let failed = ControlPlane::builder()
        .apiserver_flag("--no-such-flag")
        .start()
        .await
        .err()
        .unwrap();
    assert_eq!(failed.category(), "exited");
    assert!(failed.to_string().contains("no-such-flag"), "{failed}");
}
