//! The chart's `FlowSchema`s: the API server sorts the program's requests by them.

use std::time::Duration;

use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::{Api, ResourceExt, client::Body};
use rstest::rstest;
use testbed::{ControlPlane, binaries::Component, eventually};

use crate::{
    admission::{admit, create_namespace},
    helm::{in_repository, render},
};

#[rstest]
#[case::lease(
    "/apis/coordination.k8s.io/v1/namespaces/tools/leases/stakater-reloader-lock",
    "reloader-reloader-lease",
    "leader-election"
)]
#[case::namespaced(
    "/api/v1/namespaces/shop/secrets",
    "reloader-reloader-requests",
    "workload-high"
)]
#[case::all_namespaces("/api/v1/configmaps", "reloader-reloader-requests", "workload-high")]
#[tokio::test]
async fn requests_have_the_priority_that_was_set(
    #[case] path: &str,
    #[case] schema: &str,
    #[case] level: &str,
) {
    let plane = ControlPlane::start().await.unwrap();
    let admin = plane.admin();
    create_namespace(&admin, "tools").await;
    let profile = in_repository("charts/reloader/ci/flow-schema-values.yaml");
    let objects = render(Component::Helm, &["--values", profile.to_str().unwrap()]);
    admit(&admin, &objects, "flow-schema").await;

    let schema = Api::<FlowSchema>::all(admin.clone()).get(schema).await.unwrap();
    let level = Api::<PriorityLevelConfiguration>::all(admin)
        .get(level)
        .await
        .unwrap();
    let wanted = (schema.uid().unwrap(), level.uid().unwrap());
    let program = plane
        .client_for_service_account("tools", "reloader-reloader")
        .await
        .unwrap();
    // The API server learns of them by watching them.
    eventually(Duration::from_mins(1), "the request to be sorted", async || {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let answer = program.send(request).await?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let sorted = (
            header("x-kubernetes-pf-flowschema-uid"),
            header("x-kubernetes-pf-prioritylevel-uid"),
        );
        Ok::<_, kube::Error>((sorted == wanted).then_some(()))
    })
    .await
    .unwrap();
}
