//! Upgrades, restarts and deleted pods while ConfigMaps change ten times a second.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{binaries::Component, eventually};

use crate::harness::{Cluster, DEPLOYMENT, NAMESPACE, PATIENCE, run, workloads::Workloads};

const CHART: &str = "charts/reloader";

/// How often a leader is replaced in each way.
const ATTEMPTS: usize = 3;

/// Probed more often than by default, so that rollouts take seconds.
const QUICK: [&str; 2] = ["--set=readinessProbe.periodSeconds=1", "--set=replicaCount=3"];

#[test]
fn an_upgrade_under_changes_loses_none() {
    run("handover::an_upgrade_under_changes_loses_none", async {
        let cluster = Cluster::start().await;
        let workloads = Workloads::create(&cluster, 40, |_, _| {}).await;
        cluster.release(Component::Helm, "install", CHART, &QUICK).await;
        let before = cluster.running(3).await;
        cluster.leader().await;

        let changes = workloads.change_continually();
        let other = [&QUICK[..], &["--set=reloader.logLevel=debug"]].concat();
        cluster.release(Component::Helm, "upgrade", CHART, &other).await;
        let after = cluster.running(3).await;
        let workloads = changes.stop().await;

        assert!(
            after
                .iter()
                .all(|pod| before.iter().all(|old| old.pod() != pod.pod())),
            "no pod was replaced"
        );
        assert!(workloads.changes() >= 30, "only {} changes", workloads.changes());
        workloads.settled(&cluster.plane).await;
        cluster.ready().await;
        assert_eq!(cluster.refused(), Vec::<String>::new());
    });
}

#[test]
fn a_leader_that_is_replaced_gives_the_lease_to_another() {
    run(
        "handover::a_leader_that_is_replaced_gives_the_lease_to_another",
        async {
            let cluster = Cluster::start().await;
            let workloads = Workloads::create(&cluster, 20, |_, _| {}).await;
            cluster.release(Component::Helm, "install", CHART, &QUICK).await;
            cluster.leader().await;
            let changes = workloads.change_continually();

            assert_handed_over(&cluster, "kubectl delete pod", async || {
                let leader = cluster.leader().await;
                Api::<Pod>::namespaced(cluster.client.clone(), NAMESPACE)
                    .delete(leader.pod(), &DeleteParams::default())
                    .await
                    .unwrap();
            })
            .await;
            assert_handed_over(&cluster, "kubectl rollout restart", async || {
                let now = Timestamp::now().to_string();
                let annotations = json!({ "kubectl.kubernetes.io/restartedAt": now });
                let body = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
                cluster
                    .deployments()
                    .patch(DEPLOYMENT, &PatchParams::default(), &Patch::Strategic(body))
                    .await
                    .unwrap();
            })
            .await;

            let workloads = changes.stop().await;
            workloads.settled(&cluster.plane).await;
            cluster.ready().await;
            assert_eq!(cluster.refused(), Vec::<String>::new());
        },
    );
}

/// Replaces the leader a few times: each time it gives the Lease back, and another one takes it and goes on.
async fn assert_handed_over(cluster: &Cluster, what: &str, mut replace: impl AsyncFnMut()) {
    let mut handovers = Vec::new();
    for _ in 0..ATTEMPTS {
        let from = Timestamp::now();
        replace().await;
        let attempt = format!("a handover by {what}");
        let first = eventually(PATIENCE, &attempt, async || -> Result<_, String> {
            if cluster.handovers(from).is_empty() {
                Err("no replica has followed a leader that gave the Lease back".to_owned())
            } else {
                Ok(Some(()))
            }
        });
        first.await.unwrap();
        cluster.running(3).await;
        handovers.extend(cluster.handovers(from));
    }
    assert!(
        handovers.iter().all(|handover| handover.from != handover.to),
        "{handovers:?}"
    );
    handovers.sort_by_key(|handover| handover.gap);
    println!("{what}: {handovers:#?}");
}
