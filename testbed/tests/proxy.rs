//! The proxy does what its rules say, and nothing when there are none.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{DeleteParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use testbed::proxy::{Fault, Rule, StreamFault};
use testbed::{ControlPlane, Proxy, client_config, eventually};
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long something must not happen. It may well happen later: only what a fault leaves to itself is waited for like this.
const A_MOMENT: Duration = Duration::from_millis(300);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

/// A client through the proxy, as a `ServiceAccount` that may do everything.
async fn client(plane: &ControlPlane, proxy: &Proxy) -> Client {
    let (post, admin) = (PostParams::default(), plane.admin());
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("through".to_owned());
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), "default");
    accounts.create(&post, &account).await.unwrap();
    let mut binding = ClusterRoleBinding {
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: "cluster-admin".to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: "through".to_owned(),
            namespace: Some("default".to_owned()),
            ..Subject::default()
        }]),
        ..ClusterRoleBinding::default()
    };
    binding.metadata.name = Some("through".to_owned());
    Api::all(admin).create(&post, &binding).await.unwrap();
    let direct = plane
        .kubeconfig_for_service_account("default", "through")
        .await
        .unwrap();
    let mut config = client_config(&proxy.kubeconfig(&direct).unwrap()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn requests_meet_the_faults_of_their_rules() {
    let plane = ControlPlane::start().await.unwrap();
    let proxy = plane.proxy().await.unwrap();
    let client = client(&plane, &proxy).await;
    let post = PostParams::default();
    let direct = Api::<ConfigMap>::namespaced(plane.admin(), "default");
    let through = Api::<ConfigMap>::namespaced(client.clone(), "default");

    through.create(&post, &config_map("untouched")).await.unwrap();
    let last = proxy.log().pop().unwrap();
    assert_eq!(
        (last.request.method.as_str(), last.fault, last.code),
        ("POST", None, Some(201))
    );

    let refusing = proxy.add(
        Rule::new(Fault::Status {
            code: 503,
            retry_after: Some(7),
        })
        .method("POST")
        .times(1),
    );
    let refused = through.create(&post, &config_map("refused")).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (status.code, status.details.unwrap().retry_after_seconds),
        (503, 7)
    );
    through.create(&post, &config_map("refused")).await.unwrap();
    assert_eq!(refusing.hits(), 1);

    let losing = proxy.add(Rule::new(Fault::DropAnswer).method("DELETE"));
    through
        .delete("untouched", &DeleteParams::default())
        .await
        .unwrap_err();
    assert!(
        direct.get_opt("untouched").await.unwrap().is_none(),
        "it was deleted"
    );
    losing.remove();
    through.delete("refused", &DeleteParams::default()).await.unwrap();

    for fault in [Fault::Reset, Fault::TruncateBody(10)] {
        let rule = proxy.add(Rule::new(fault).path("/namespaces/kube-system"));
        let namespaces = Api::<Namespace>::all(client.clone());
        namespaces.get("kube-system").await.unwrap_err();
        rule.remove();
        namespaces.get("kube-system").await.unwrap();
    }

    let holding = proxy.add(Rule::new(Fault::Hold).method("POST"));
    timeout(A_MOMENT, through.create(&post, &config_map("held")))
        .await
        .unwrap_err();
    assert!(direct.get_opt("held").await.unwrap().is_none());
    holding.remove();
    eventually(TIMEOUT, "the held request", async || {
        direct.get_opt("held").await.transpose().and_then(Result::ok)
    })
    .await
    .unwrap();

    let stalling = proxy.add(Rule::new(Fault::Stall).watch(false).method("GET"));
    timeout(A_MOMENT, through.get_opt("untouched")).await.unwrap_err();
    assert_eq!(stalling.hits(), 1);
    stalling.remove();
    through.get_opt("untouched").await.unwrap();
}

#[tokio::test]
async fn what_a_cut_holds_back_arrives_when_it_heals() {
    let plane = ControlPlane::start().await.unwrap();
    let proxy = plane.proxy().await.unwrap();
    let client = client(&plane, &proxy).await;
    let post = PostParams::default();
    let direct = Api::<ConfigMap>::namespaced(plane.admin(), "default");
    let through = Api::<ConfigMap>::namespaced(client, "default");
    through.list(&kube::api::ListParams::default()).await.unwrap();

    proxy.cut_answers();
    timeout(
        Duration::from_secs(2),
        through.create(&post, &config_map("applied")),
    )
    .await
    .unwrap_err();
    assert!(direct.get_opt("applied").await.unwrap().is_some());
    proxy.heal();

    proxy.cut();
    timeout(A_MOMENT, through.create(&post, &config_map("late")))
        .await
        .unwrap_err();
    proxy.heal();
    through.create(&post, &config_map("next")).await.unwrap();
}

#[tokio::test]
async fn open_watches_can_be_disturbed() {
    use futures::{StreamExt, pin_mut};

    let plane = ControlPlane::start().await.unwrap();
    let proxy = plane.proxy().await.unwrap();
    let client = client(&plane, &proxy).await;
    let direct = Api::<ConfigMap>::namespaced(plane.admin(), "default");
    let through = Api::<ConfigMap>::namespaced(client, "default");
    let post = PostParams::default();
    let any = |head: &testbed::proxy::RequestHead| head.path.ends_with("/configmaps");

    for (number, fault) in [
        StreamFault::expired(),
        StreamFault::Replace("no JSON".to_owned()),
        StreamFault::CutLine,
        StreamFault::End,
        StreamFault::Reset,
    ]
    .into_iter()
    .enumerate()
    {
        let version = through
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .metadata
            .resource_version
            .unwrap();
        let watch = through.watch(&WatchParams::default(), &version).await.unwrap();
        pin_mut!(watch);
        direct
            .create(&post, &config_map(&format!("seen-{number}")))
            .await
            .unwrap();
        let event = watch.next().await.unwrap().unwrap();
        assert!(matches!(event, WatchEvent::Added(_)), "{event:?}");
        assert_eq!(proxy.disturb(any, &fault), 1);
        direct
            .create(&post, &config_map(&format!("hit-{number}")))
            .await
            .unwrap();
        let next = timeout(TIMEOUT, watch.next()).await.unwrap();
        let hit = match (&fault, &next) {
            (StreamFault::Insert(_), Some(Ok(WatchEvent::Error(status)))) => status.code == 410,
            (StreamFault::Replace(_), Some(Err(_)))
            | (StreamFault::End, None)
            | (StreamFault::CutLine | StreamFault::Reset, Some(Err(_)) | None) => true,
            _ => false,
        };
        assert!(hit, "{fault:?}: {next:?}");
    }

    let watch = through.watch(&WatchParams::default(), "0").await.unwrap();
    pin_mut!(watch);
    watch.next().await.unwrap().unwrap();
    eventually(TIMEOUT, "one watch", async || {
        (proxy.open_watches().len() == 1).then_some(())
    })
    .await
    .unwrap();
}

/// An idle connection would outlive the certificate that it was opened with.
#[tokio::test]
async fn closed_connections_leave_none_that_a_client_opened_before() {
    let plane = ControlPlane::start().await.unwrap();
    let proxy = plane.proxy().await.unwrap();
    let client = client(&plane, &proxy).await;
    let config_maps = Api::<ConfigMap>::namespaced(client, "default");
    config_maps.get_opt("any").await.unwrap();
    proxy.replace_authority().unwrap();
    config_maps.get_opt("any").await.unwrap();
    proxy.close_connections();
    let refused = async || match config_maps.get_opt("any").await {
        Ok(_) => Err("an answer".to_owned()),
        Err(error) => Ok(Some(error)),
    };
    let error = eventually(TIMEOUT, "a refusal", refused).await.unwrap();
    assert!(format!("{error:?}").contains("InvalidCertificate"), "{error:?}");
}
