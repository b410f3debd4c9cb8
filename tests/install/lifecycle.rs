//! A release from its installation to its end.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rstest::rstest;
use testbed::{binaries::Component, eventually};

use crate::harness::{Cluster, NAMESPACE, PATIENCE, RELEASE, run, workloads::Workloads};

const CHART: &str = "charts/reloader";

/// The ledger's ConfigMap.
const LEDGER: &str = "reloader-reloader-ledger";
/// What `helm uninstall` leaves, as the chart's README says.
const LEFT_BEHIND: [&str; 3] = [
    "ConfigMap tools/reloader-meta-info",
    "ConfigMap tools/reloader-reloader-ledger",
    "Lease tools/stakater-reloader-lock",
];

#[rstest]
#[case::helm_4(Component::Helm, "helm_4")]
#[case::helm_3(Component::Helm3, "helm_3")]
fn a_release_runs_reloads_and_leaves_what_the_docs_name(#[case] helm: Component, #[case] case: &str) {
    let number = if helm == Component::Helm { 1 } else { 2 };
    let test =
        format!("lifecycle::a_release_runs_reloads_and_leaves_what_the_docs_name::case_{number}_{case}");
    run(&test, async {
        let cluster = Cluster::start().await;
        let mut workloads = Workloads::create(&cluster, 3, |_, _| {}).await;
        let before = cluster.inventory().await;

        cluster.release(helm, "install", CHART, &[]).await;
        assert_eq!(cluster.running(3).await.len(), 3);
        cluster.ready().await;
        cluster.leader().await;

        workloads.change(0).await;
        workloads.settled(&cluster.plane).await;
        // What comes after it is done, and nothing else was.
        workloads.change(1).await;
        workloads.settled(&cluster.plane).await;
        for (number, rollouts) in [(0, 1), (1, 1), (2, 0)] {
            assert_eq!(
                Workloads::rollouts(&cluster.plane, number),
                rollouts,
                "web-{number}"
            );
        }
        assert_eq!(cluster.refused(), Vec::<String>::new());

        // What a pod has not written before its permissions are removed stays unwritten.
        ledger_of(&cluster, 3).await;
        uninstall(&cluster, helm, &before).await;
        // Noticed by the next one, and done once; what was done before is not done again.
        workloads.change(1).await;
        cluster.release(helm, "install", CHART, &[]).await;
        workloads.settled(&cluster.plane).await;
        workloads.change(2).await;
        workloads.settled(&cluster.plane).await;
        for (number, rollouts) in [(0, 1), (1, 2), (2, 1)] {
            assert_eq!(
                Workloads::rollouts(&cluster.plane, number),
                rollouts,
                "web-{number}"
            );
        }
    });
}

/// Waits until the ledger knows so many sources.
async fn ledger_of(cluster: &Cluster, sources: usize) {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let complete = eventually(PATIENCE, "the ledger", async || -> Result<_, String> {
        let map = maps.get_opt(LEDGER).await.map_err(|error| error.to_string())?;
        let text = map
            .and_then(|map| map.data?.remove("sources"))
            .unwrap_or_default();
        if text.lines().count() == sources {
            Ok(Some(()))
        } else {
            Err(text)
        }
    });
    complete.await.unwrap();
}

/// Uninstalls, and compares what is there with what was there before the installation.
async fn uninstall(cluster: &Cluster, helm: Component, before: &BTreeSet<String>) {
    cluster.helm(helm, &["uninstall", RELEASE, "--wait"]).await;
    let expected: BTreeSet<String> = LEFT_BEHIND.map(str::to_owned).into();
    let left = eventually(
        PATIENCE,
        "everything else to be gone",
        async || -> Result<_, String> {
            let mut left = cluster.inventory().await;
            // ReplicaSets of workloads come with their rollouts.
            left.retain(|object| !before.contains(object) && !object.starts_with("ReplicaSet apps/"));
            if left == expected && cluster.kubelet.running().is_empty() {
                Ok(Some(()))
            } else {
                Err(format!("{left:#?}"))
            }
        },
    );
    left.await.unwrap_or_else(|error| panic!("{NAMESPACE}: {error}"));
}
