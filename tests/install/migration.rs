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
