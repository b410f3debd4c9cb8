//! What tools that apply manifests again and again leave of a restart. docs/gitops.md has the outcome as a table, which is
//! what is expected here.

use std::path::Path;

use rstest::rstest;
use serde_json::{Value, json};
use testbed::binaries::{Binaries, Component};

use crate::harness::{
    World,
    kinds::ROLLOUT,
    objects::{config_map, pod_with_config_map, workload},
    observe::AUTO,
    run,
    sentinel::Sentinel,
};

const PAGE: &str = include_str!("../../docs/gitops.md");

/// What becomes of a marker.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Stays,
    PutBack,
    /// The command fails: the marker's field belongs to another manager.
    Refused,
}

/// What becomes of it by the table: in a Deployment, and in a Rollout.
fn documented(command: &str, strategy: &str) -> [Outcome; 2] {
    let (_, table) = PAGE.split_once("<!-- applied -->\n").expect("the table");
    let (table, _) = table.split_once("<!-- /applied -->").expect("its end");
    let cells = |row: &'static str| row.split('|').map(str::trim).collect::<Vec<_>>();
    let mut rows = table.lines().map(cells);
    let head = rows.next().expect("its head");
    let row = rows
        .find(|row| row[1] == format!("`{command}`"))
        .unwrap_or_else(|| panic!("docs/gitops.md has no row for {command}"));
    ["Deployment", "Rollout"].map(|kind| {
        let column = head
            .iter()
            .position(|cell| *cell == format!("{kind}, `{strategy}`"));
        match row[column.expect("a column")] {
            "stays" => Outcome::Stays,
            "put back" => Outcome::PutBack,
            "refused" => Outcome::Refused,
            other => panic!("{command}: {other:?} is none of them"),
        }
    })
}

/// A ConfigMap's users as a user has them in Git; `round` is a change that has nothing to do with pods.
fn manifests(world: &World, round: usize) -> Vec<Value> {
    let mut web = workload("web", &AUTO, &[], &pod_with_config_map("app"));
    web["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "COLOUR", "value": "blue" }]);
    web["metadata"]["labels"] = json!({ "round": round.to_string() });
    web["metadata"]["namespace"] = json!(world.namespace);
    [("apps/v1", "Deployment"), ("argoproj.io/v1alpha1", "Rollout")]
        .into_iter()
        .map(|(api, kind)| {
            let mut object = web.clone();
            object["apiVersion"] = json!(api);
            object["kind"] = json!(kind);
            object
        })
        .collect()
}

/// Applies them: with kubectl as a file, with Helm as a chart. Gives what a command prints that fails.
async fn apply(
    world: &World,
    folder: &Path,
    tool: Component,
    arguments: &str,
    round: usize,
) -> Result<(), String> {
    let templates = folder.join("chart/templates");
    std::fs::create_dir_all(&templates).expect("a folder");
    let documents: Vec<String> = manifests(world, round).iter().map(Value::to_string).collect();
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
    write(&templates.join("all.yaml"), &documents.join("\n---\n"));
    write(
        &folder.join("chart/Chart.yaml"),
        "{ apiVersion: v2, name: web, version: 0.1.0 }",
    );
    let binaries = tokio::task::spawn_blocking(move || Binaries::locate(&[tool]));
    let binaries = binaries.await.expect("a task").expect("the tool");
    let output = tokio::process::Command::new(binaries.path(tool).expect("the tool"))
        .args(arguments.split(' '))
        .args(["--namespace", &world.namespace])
        .current_dir(folder)
        .env("KUBECONFIG", world.plane.admin_kubeconfig())
        .envs(["CONFIG", "CACHE", "DATA"].map(|kind| (format!("HELM_{kind}_HOME"), folder)))
        .output()
        .await
        .expect("it runs");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[rstest]
#[case::client_side("kubectl apply", Component::Kubectl, "apply --filename chart/templates", "")]
#[case::server_side(
    "kubectl apply --server-side --force-conflicts",
    Component::Kubectl,
    "apply --server-side --force-conflicts --field-manager=gitops --filename chart/templates",
    ""
)]
#[case::replace(
    "kubectl replace",
    Component::Kubectl,
    "replace --filename chart/templates",
    "create --filename chart/templates"
)]
#[case::helm_3("helm upgrade", Component::Helm3, "upgrade --install web chart", "")]
#[case::helm_4(
    "helm upgrade --server-side=true",
    Component::Helm,
    "upgrade --install web chart",
    ""
)]
#[case::helm_4_forced(
    "helm upgrade --server-side=true --force-conflicts",
    Component::Helm,
    "upgrade web chart --force-conflicts",
    "install web chart"
)]
fn applying_again_leaves_what_the_documentation_says(
    #[case] command: &str,
    #[case] tool: Component,
    #[case] again: &str,
    #[case] first: &str,
    #[values("env-vars", "annotations")] strategy: &str,
) {
    run(async {
        let documented = documented(command, strategy);
        let world = World::new("gitops").await;
        world.define(ROLLOUT).await;
        world.create(&config_map("app", "0")).await;
        let mut sentinel = Sentinel::new(&world).await;
        let folder = tempfile::tempdir().expect("a folder");
        let first = if first.is_empty() { again } else { first };
        let created = apply(&world, folder.path(), tool, first, 0).await;
        created.unwrap_or_else(|error| panic!("{command}: {error}"));

        let controller = world
            .controller()
            .args([
                format!("--reload-strategy={strategy}"),
                "--is-Argo-Rollouts=true".to_owned(),
            ])
            .start()
            .await;
        world.change_config_map("app", "1").await;
        for resource in ["deployments", "rollouts"] {
            world.wait_for_rollouts(resource, "web", 1).await;
        }
        let applied = apply(&world, folder.path(), tool, again, 1).await;
        if documented.contains(&Outcome::Refused) {
            let error = applied.expect_err("a conflict");
            assert!(error.contains("conflict with \"Reloader\""), "{error}");
        } else {
            applied.unwrap_or_else(|error| panic!("{command}: {error}"));
        }
        sentinel.pass().await;
        controller.wait_idle().await;
        // A marker that was put back is a rollout of the tool's, and none of Reloader's follows it.
        for (resource, outcome) in ["deployments", "rollouts"].into_iter().zip(documented) {
            let expected = if outcome == Outcome::PutBack { 2 } else { 1 };
            let rollouts = world.rollouts(resource, "web");
            assert_eq!(rollouts, expected, "{command}, {strategy}: {resource}");
        }
    });
}
