//! Whole runs, and what they leave.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use testbed::{Signal, kubelet::run_in_namespaces as run};

use crate::harness::{Cluster, chart, end_of};

const SYSTEM: &str = "reloader-loadtest-system";

/// A row of the table: its values, one for each column.
fn row(printed: &str, scenario: &str, figure: &str) -> Vec<f64> {
    let start = format!("| {scenario} | {figure} |");
    let line = printed.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("no row {start} in\n{printed}"));
    let cells = line.trim_matches(['|', ' ']).split('|').skip(3);
    cells.map(|cell| cell.trim().parse().unwrap()).collect()
}

#[test]
fn both_columns_are_measured_with_three_processes_and_nothing_is_left() {
    run(
        "runs::both_columns_are_measured_with_three_processes_and_nothing_is_left",
        async {
            let cluster = Cluster::start().await;
            let (succeeded, printed) = cluster
                .run(&[
                    "--only=thousands,s4,s9,failover",
                    "--config-maps=600",
                    "--secrets=200",
                    "--workloads=400",
                    "--namespaces=4",
                    "--rate=200",
                    "--pods=10",
                    "--duration=3",
                    "--failovers=1",
                    &format!("--baseline={}", chart()),
                    &cluster.baseline_values(),
                ])
                .await;
            assert!(succeeded, "{printed}");
            assert_eq!(row(&printed, "thousands", "changes"), [800.0; 2]);
            for scenario in ["thousands", "s4", "s9", "failover"] {
                assert_eq!(
                    row(&printed, scenario, "reloads missed"),
                    [0.0; 2],
                    "{scenario}\n{printed}"
                );
                assert_eq!(
                    row(&printed, scenario, "reloads twice"),
                    [0.0; 2],
                    "{scenario}\n{printed}"
                );
            }
            assert_eq!(row(&printed, "s4", "reloads"), [0.0; 2]);
            for (scenario, figure) in [
                ("thousands", "reloads"),
                ("thousands", "latency, 99th"),
                ("thousands", "rollout, median"),
                ("thousands", "API requests"),
                ("thousands", "memory, largest pod"),
                ("thousands", "processor time"),
                ("s9", "reloads"),
                ("failover", "deleted: next leader, longest"),
                ("failover", "killed: next restart, longest"),
            ] {
                assert!(
                    row(&printed, scenario, figure).iter().all(|value| *value > 0.0),
                    "{scenario} {figure}\n{printed}"
                );
            }
            assert_eq!(cluster.left().await, Vec::<String>::new());
        },
    );
}

#[test]
fn what_a_crash_or_a_signal_leaves_is_removed() {
    run("runs::what_a_crash_or_a_signal_leaves_is_removed", async {
        let cluster = Cluster::start().await;
        let args = [
            "--only=thousands",
            "--no-pods",
            "--config-maps=300",
            "--workloads=100",
            "--rate=1",
        ];
        // A source of it is there, so changes go on.
        let object = "ConfigMap reloader-loadtest-n0/c-0";

        let crashed = cluster.start_loadtest(&args).await;
        cluster.wait_for(&crashed, object).await;
        crashed.kill();
        assert!(!cluster.left().await.is_empty());
        let (succeeded, printed) = cluster.run(&args).await;
        assert!(!succeeded);
        assert!(printed.contains("--context testbed --clean"), "{printed}");
        let (succeeded, printed) = cluster.run(&["--clean"]).await;
        assert!(succeeded, "{printed}");
        assert_eq!(cluster.left().await, Vec::<String>::new());

        let interrupted = cluster.start_loadtest(&args).await;
        cluster.wait_for(&interrupted, object).await;
        interrupted.signal(Signal::SIGINT).unwrap();
        let (succeeded, printed) = end_of(&interrupted).await;
        assert!(!succeeded);
        assert!(printed.contains("ended by Ctrl-C"), "{printed}");
        assert_eq!(cluster.left().await, Vec::<String>::new());

        // Without the release's namespace Helm knows nothing of its cluster-wide objects.
        let crashed = cluster.start_loadtest(&args).await;
        cluster.wait_for(&crashed, object).await;
        crashed.kill();
        let namespaces = Api::<Namespace>::all(cluster.client.clone());
        namespaces.delete(SYSTEM, &DeleteParams::default()).await.unwrap();
        let (succeeded, printed) = cluster.run(&["--clean"]).await;
        assert!(succeeded, "{printed}");
        assert_eq!(cluster.left().await, Vec::<String>::new());
    });
}
