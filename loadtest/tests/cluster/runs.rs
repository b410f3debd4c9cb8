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

/// That a run has missed nothing and done nothing twice in any column.
fn assert_exact(printed: &str, scenarios: &[&str], columns: usize) {
    for scenario in scenarios {
        for figure in ["reloads missed", "reloads twice"] {
            let values = row(printed, scenario, figure);
            assert_eq!(values, vec![0.0; columns], "{scenario}: {figure}\n{printed}");
        }
    }
}

#[test]
fn thousands_of_objects_are_measured_with_three_processes_and_nothing_is_left() {
    run(
        "runs::thousands_of_objects_are_measured_with_three_processes_and_nothing_is_left",
        async {
            let cluster = Cluster::start().await;
            let (succeeded, printed) = cluster
                .run(&[
                    "--only=thousands,s9,s13,failover",
                    "--config-maps=600",
                    "--secrets=200",
                    "--workloads=400",
                    "--namespaces=4",
                    "--rate=200",
                    "--pods=10",
                    "--duration=3",
                    "--failovers=1",
                ])
                .await;
            assert!(succeeded, "{printed}");
            assert_exact(&printed, &["thousands", "s9", "s13", "failover"], 1);
            assert_eq!(row(&printed, "thousands", "changes"), [800.0]);
            for (scenario, figure) in [
                ("thousands", "reloads"),
                ("thousands", "latency, 99th"),
                ("thousands", "rollout, median"),
                ("thousands", "API requests"),
                ("thousands", "memory, largest pod"),
                ("thousands", "processor time"),
                ("s9", "reloads"),
                ("s13", "reloads"),
                ("failover", "deleted: next leader, longest"),
                ("failover", "killed: next restart, longest"),
            ] {
                let value = row(&printed, scenario, figure)[0];
                assert!(value > 0.0, "{scenario} {figure}\n{printed}");
            }
            assert_eq!(cluster.left().await, Vec::<String>::new());
        },
    );
}

#[test]
fn a_baseline_is_measured_the_same_way_in_a_column_of_its_own() {
    run(
        "runs::a_baseline_is_measured_the_same_way_in_a_column_of_its_own",
        async {
            let cluster = Cluster::start().await;
            let (succeeded, printed) = cluster
                .run(&[
                    "--only=thousands,s4",
                    "--config-maps=20",
                    "--secrets=10",
                    "--workloads=10",
                    "--rate=50",
                    "--no-pods",
                    "--duration=2",
                    "--baseline-image=reloader:baseline",
                    &format!("--baseline={}", chart()),
                    &cluster.baseline_values(),
                ])
                .await;
            assert!(succeeded, "{printed}");
            assert!(printed.contains("| baseline (reloader:baseline) |"), "{printed}");
            assert_exact(&printed, &["thousands", "s4"], 2);
            assert_eq!(row(&printed, "thousands", "changes"), [30.0; 2]);
            assert_eq!(row(&printed, "s4", "reloads"), [0.0; 2]);
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
