//! From Stakater Reloader's chart to this one, and back, over workloads that carry its markers.
//!
//! That chart's place is taken by one of the same shape (`former-chart`), its program's by this one under its flags and roles.

use serde_json::{Value, json};
use testbed::{Entry, binaries::Component};

use crate::harness::{
    Cluster, DEPLOYMENT, RELEASE, USER, in_repository, run,
    workloads::{APPS, Workloads, digest_of, marker_of},
};

const FORMER: &str = "tests/install/former-chart";
const OURS: &str = "charts/reloader";
/// Every value of the other chart, as `helm get values --all` prints it.
const VALUES: &str = "charts/reloader/ci/upstream-defaults-values.yaml";
/// What its user set: pods as the namespace demands them, probed more often than by default.
const SET: [&str; 2] = [
    r#"reloader.deployment.containerSecurityContext={"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}"#,
    r#"reloader.deployment.readinessProbe={"initialDelaySeconds":0,"periodSeconds":1}"#,
];
const WORKLOADS: usize = 100;
/// Values of its other versions: from 0.0.110, over the 1.0, 1.2, 2.0 and 2.2 ones, to 2.2.18 and the chart of v2.
const VERSIONS: [&str; 10] = [
    "28-reload-on-create",
    "34-budget",
    "42-seccomp",
    "43-reload-on-delete",
    "46-log-level",
    "48-image-on-top",
    "54-2.2.16",
    "55-2.2.17",
    "56-2.2.18",
    "57-v2",
];

/// Marks a workload as restarted for what its ConfigMap holds: in turn in the way of each strategy.
fn mark(number: usize, deployment: &mut Value) {
    let digest = digest_of("0");
    let template = &mut deployment["spec"]["template"];
    if number.is_multiple_of(2) {
        template["spec"]["containers"][0]["env"] = json!([{ "name": marker_of(number), "value": digest }]);
    } else {
        let marker = json!({
            "type": "CONFIGMAP", "name": format!("settings-{number}"), "namespace": APPS, "hash": digest,
            "containerRefs": ["web"], "observedAt": 1_700_000_000,
        });
        template["metadata"]["annotations"] =
            json!({ "reloader.stakater.com/last-reloaded-from": marker.to_string() });
    }
}

/// How often pods of the release wrote a workload.
fn writes(cluster: &Cluster) -> usize {
    let by_pods = |entry: &Entry| {
        entry.user == USER && entry.is_write() && entry.namespace == APPS && entry.group == "apps"
    };
    cluster.plane.audit().matching(by_pods).unwrap().len()
}

async fn uid(cluster: &Cluster) -> Option<String> {
    cluster.deployments().get(DEPLOYMENT).await.unwrap().metadata.uid
}

#[test]
fn a_release_of_the_other_chart_is_upgraded_in_place_and_back_without_a_rollout() {
    run(
        "migration::a_release_of_the_other_chart_is_upgraded_in_place_and_back_without_a_rollout",
        async {
            let cluster = Cluster::start().await;
            let mut workloads = Workloads::create(&cluster, WORKLOADS, mark).await;
            let values = in_repository(VALUES);
            let values = [
                "--values",
                values.as_str(),
                "--set-json",
                SET[0],
                "--set-json",
                SET[1],
            ];

            cluster.release(Component::Helm, "install", FORMER, &values).await;
            let first = uid(&cluster).await;
            for (round, chart) in [FORMER, OURS, FORMER, OURS].into_iter().enumerate() {
                match round {
                    0 => {}
                    3 => {
                        cluster
                            .helm(Component::Helm, &["rollback", RELEASE, "2", "--wait"])
                            .await;
                    }
                    _ => cluster.release(Component::Helm, "upgrade", chart, &values).await,
                }
                cluster.running(1).await;
                cluster.ready().await;
                assert_eq!(uid(&cluster).await, first, "the Deployment is another one");
                assert_eq!(writes(&cluster), round, "{chart}: workloads were written");

                workloads.change(round).await;
                workloads.settled(&cluster.plane).await;
                for number in 0..WORKLOADS {
                    let expected = usize::from(number <= round);
                    assert_eq!(
                        Workloads::rollouts(&cluster.plane, number),
                        expected,
                        "{chart}: web-{number}"
                    );
                }
                assert_eq!(writes(&cluster), round + 1, "{chart}");
            }
        },
    );
}

/// `helm upgrade --reuse-values` renders this chart with another's values and none of its own.
#[test]
fn releases_of_its_other_versions_are_upgraded_with_their_values_and_back_without_a_rollout() {
    run(
        "migration::releases_of_its_other_versions_are_upgraded_with_their_values_and_back_without_a_rollout",
        async {
            let cluster = Cluster::start().await;
            let mut workloads = Workloads::create(&cluster, VERSIONS.len(), mark).await;
            let mut first = None;
            for (number, version) in VERSIONS.into_iter().enumerate() {
                let values = in_repository(&format!("tests/chart/former-values/{version}.yaml"));
                let user = ["--set-json", SET[0], "--set-json", SET[1]];
                let given = [&["--values", values.as_str(), "--install"], &user[..]].concat();
                // Also the way back from the version before it.
                cluster.release(Component::Helm, "upgrade", FORMER, &given).await;
                cluster.running(1).await;
                let former = uid(&cluster).await;
                assert_eq!(
                    *first.get_or_insert_with(|| former.clone()),
                    former,
                    "{version}: the Deployment is another one"
                );

                cluster
                    .release(Component::Helm, "upgrade", OURS, &["--reuse-values"])
                    .await;
                let replicas = cluster
                    .deployments()
                    .get(DEPLOYMENT)
                    .await
                    .unwrap()
                    .spec
                    .unwrap()
                    .replicas;
                cluster.running(usize::try_from(replicas.unwrap()).unwrap()).await;
                cluster.ready().await;
                assert_eq!(
                    uid(&cluster).await,
                    former,
                    "{version}: the Deployment is another one"
                );
                assert_eq!(writes(&cluster), number, "{version}: workloads were written");

                workloads.change(number).await;
                workloads.settled(&cluster.plane).await;
                assert_eq!(writes(&cluster), number + 1, "{version}");
            }
            let values = in_repository(VALUES);
            let all = ["--values", &values, "--set-json", SET[0], "--set-json", SET[1]];
            cluster.release(Component::Helm, "upgrade", FORMER, &all).await;
            cluster.running(1).await;
            assert_eq!(writes(&cluster), VERSIONS.len(), "the way back");
        },
    );
}
