//! Every command of docs/migrating-from-stakater-reloader.md, typed into a shell, each on what its section is about.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{EvictParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{binaries::Component, eventually};

use crate::{
    harness::{
        Cluster, DEPLOYMENT, NAMESPACE, PATIENCE, in_repository, page::Page, run, shell::Shell,
        workloads::Workloads,
    },
    migration::{mark, uid},
};

const PAGE: &str = "docs/migrating-from-stakater-reloader.md";
const FORMER_CHART: &str = "tests/install/former-chart";
const FORMER: &str = "kubectl apply --filename tests/install/former-manifests/reloader.yaml";
/// How many blocks of commands each section has, all of which are run below.
const RUN: [(&str, usize); 9] = [
    ("With Helm", 4),
    ("Going back with Helm", 1),
    ("A PodDisruptionBudget of your own", 2),
    ("Pod Security Admission", 2),
    ("With plain manifests", 2),
    ("With kustomize", 1),
    ("To another namespace, or from manifests to the chart", 3),
    ("Only the image", 3),
    ("From v2", 1),
];
const MOVED: &str = "To another namespace, or from manifests to the chart";

#[test]
fn every_command_of_the_page_is_run() {
    let page = Page::read(PAGE);
    let mut found = BTreeMap::<&str, usize>::new();
    for block in page.blocks.iter().filter(|block| block.language == "sh") {
        *found.entry(&block.heading).or_default() += 1;
    }
    let expected = BTreeMap::from(RUN);
    assert_eq!(found, expected);

    // A command in the middle of a sentence is one of these, or no more than its name.
    let commands: String = page.blocks.iter().map(|block| block.text.as_str()).collect();
    for line in page
        .text
        .lines()
        .filter(|line| !line.trim_start().starts_with("```"))
    {
        for code in line.split('`').skip(1).step_by(2) {
            let is_command = ["kubectl ", "helm "].iter().any(|tool| code.starts_with(tool));
            let is_run = commands.contains(code.split('…').next().unwrap());
            assert!(!is_command || is_run, "no test runs `{code}`");
        }
    }
}

async fn pods(cluster: &Cluster) -> Vec<String> {
    let running = cluster.running(3).await;
    running.iter().map(|pod| pod.pod().to_owned()).collect()
}

/// The answer to the request to evict a pod.
async fn evict(cluster: &Cluster, pod: &str) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    api.evict(pod, &EvictParams::default()).await.map(drop)
}

async fn budgets(cluster: &Cluster) -> Vec<String> {
    let api: Api<PodDisruptionBudget> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let all = api.list(&kube::api::ListParams::default()).await.unwrap();
    all.into_iter()
        .filter_map(|budget| budget.metadata.name)
        .collect()
}

/// Waits until a pod holds the Lease of that name.
async fn led_by(cluster: &Cluster, lease: &str, pods: &[String]) {
    let api: Api<Lease> = Api::namespaced(cluster.client.clone(), cluster.namespace);
    let held = eventually(PATIENCE, lease, async || -> Result<_, String> {
        let lease = api.get_opt(lease).await.map_err(|error| error.to_string())?;
        let holder = lease
            .and_then(|lease| lease.spec?.holder_identity)
            .unwrap_or_default();
        if pods.iter().any(|pod| holder.starts_with(pod)) {
            Ok(Some(()))
        } else {
            Err(holder)
        }
    });
    held.await.unwrap();
}

/// Waits until the ledger is there.
async fn has_ledger(cluster: &Cluster) {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace);
    let there = eventually(PATIENCE, "the ledger", async || -> Result<_, String> {
        let ledger = api.get_opt("reloader-reloader-ledger").await;
        Ok(ledger.map_err(|error| error.to_string())?.map(drop))
    });
    there.await.unwrap();
}

#[test]
fn the_commands_for_a_release_work() {
    run("migration_page::the_commands_for_a_release_work", async {
        let (page, cluster) = (Page::read(PAGE), Cluster::start_in(NAMESPACE).await);
        cluster.create_namespace(NAMESPACE, &json!({})).await;
        let _workloads = Workloads::create(&cluster, 3, mark).await;
        let shell = Shell::new(&cluster).await;
        let commands = |heading: &str, number| page.commands(heading, number, NAMESPACE);
        let values = in_repository("charts/reloader/ci/upstream-defaults-values.yaml");
        cluster
            .release(Component::Helm, "install", FORMER_CHART, &["--values", &values])
            .await;
        let first = uid(&cluster).await;

        shell.succeed(&commands("With Helm", 0)).await;
        without_image(&shell);
        let (status, difference) = shell.run(&commands("With Helm", 1)).await;
        assert!(
            status == 1 && difference.contains("path: /ready"),
            "{status}: {difference}"
        );
        shell.succeed(&commands("With Helm", 2)).await;
        let running = cluster.kubelet.running();
        assert_eq!(uid(&cluster).await, first, "the Deployment is another one");
        let checked = shell.succeed(&commands("With Helm", 3)).await;
        assert!(running.iter().any(|pod| checked.contains(pod.pod())), "{checked}");
        has_ledger(&cluster).await;

        shell.succeed(&commands("Going back with Helm", 0)).await;
        cluster.running(1).await;
        assert_eq!(budgets(&cluster).await, Vec::<String>::new());

        // The values of the other chart say one replica.
        shell.write(
            "three.yaml",
            "replicaCount: 3\nreloader: { deployment: { replicas: 3 } }\n",
        );
        let three = |commands: String| {
            commands.replace("--values values.yaml", "--values values.yaml --values three.yaml")
        };
        shell.succeed(&three(commands("With Helm", 2))).await;
        own_budget(&cluster, &shell, &page).await;
        shell.succeed(&commands("Pod Security Admission", 0)).await;
        evict(&cluster, &pods(&cluster).await[0]).await.unwrap();
        let after = pods(&cluster).await;
        led_by(&cluster, "stakater-reloader-lock", &after).await;
        shell.succeed(&commands("Pod Security Admission", 1)).await;

        shell.succeed(&three(commands("From v2", 0))).await;
        let after = pods(&cluster).await;
        led_by(&cluster, "reloader-leader-election", &after).await;
        cluster.ready().await;
    });
}

/// What the user is asked to take out of values.yaml, and a setting of the other chart that few write down.
fn without_image(shell: &Shell) {
    let text = std::fs::read_to_string(shell.folder().join("values.yaml")).unwrap();
    let mut values: Value = serde_saphyr::from_str(&text).unwrap();
    for (part, key) in [("", "image"), ("/reloader", "podDisruptionBudget")] {
        let part = values.pointer_mut(part).unwrap();
        part.as_object_mut().unwrap().remove(key).unwrap();
    }
    shell.write("values.yaml", &values.to_string());
}

/// Two budgets for one pod; then only the user's.
async fn own_budget(cluster: &Cluster, shell: &Shell, page: &Page) {
    let heading = "A PodDisruptionBudget of your own";
    let own = json!({
        "metadata": { "name": "mine" },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": DEPLOYMENT } } },
    });
    let api: Api<PodDisruptionBudget> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let own = serde_json::from_value(own).unwrap();
    api.create(&PostParams::default(), &own).await.unwrap();
    let listed = shell.succeed(&page.commands(heading, 0, NAMESPACE)).await;
    assert!(listed.contains("mine") && listed.contains(DEPLOYMENT), "{listed}");
    let running = pods(cluster).await;
    let refused = evict(cluster, &running[0]).await.unwrap_err().to_string();
    assert!(refused.contains("more than one PodDisruptionBudget"), "{refused}");

    shell.succeed(&page.commands(heading, 1, NAMESPACE)).await;
    assert_eq!(budgets(cluster).await, ["mine"]);
    let running = pods(cluster).await;
    let evicted = eventually(PATIENCE, "an eviction", async || -> Result<_, String> {
        // The controller counts the budget's pods first.
        evict(cluster, &running[0])
            .await
            .map(Some)
            .map_err(|error| error.to_string())
    });
    evicted.await.unwrap();
}

#[test]
fn the_commands_for_plain_manifests_work() {
    run("migration_page::the_commands_for_plain_manifests_work", async {
        let (page, cluster) = (Page::read(PAGE), Cluster::start_in("default").await);
        let _workloads = Workloads::create(&cluster, 3, mark).await;
        let shell = Shell::new(&cluster).await;
        let commands = |heading: &str, number| page.commands(heading, number, "default");

        shell.succeed(FORMER).await;
        cluster.running(1).await;
        let first = uid(&cluster).await;
        shell.succeed(&commands("With plain manifests", 0)).await;
        cluster.running(1).await;
        cluster.leader().await;
        assert_eq!(uid(&cluster).await, first, "the Deployment is another one");
        has_ledger(&cluster).await;
        shell.succeed(FORMER).await;
        cluster.running(1).await;
        shell.succeed(&commands("With plain manifests", 1)).await;

        for number in 0..3 {
            shell.succeed(&commands("Only the image", number)).await;
            cluster.running(1).await;
            cluster.ready().await;
        }
        assert_eq!(uid(&cluster).await, first, "the Deployment is another one");
    });
}

#[test]
fn the_commands_for_another_namespace_or_the_chart_work() {
    run(
        "migration_page::the_commands_for_another_namespace_or_the_chart_work",
        async {
            let (page, mut cluster) = (Page::read(PAGE), Cluster::start_in("default").await);
            let _workloads = Workloads::create(&cluster, 3, mark).await;
            let before = cluster.inventory().await;
            let shell = Shell::new(&cluster).await;
            let left = async |cluster: &Cluster| {
                let mut left = cluster.inventory().await;
                left.retain(|object| {
                    !before.contains(object) && object.contains(" default/reloader-reloader")
                });
                left
            };

            // An overlay that moves everything.
            shell.succeed("kubectl create namespace tooling").await;
            std::fs::create_dir(shell.folder().join("theirs")).unwrap();
            shell.write(
                "theirs/kustomization.yaml",
                "resources: [../tests/install/former-manifests]\nnamespace: tooling\n",
            );
            shell.succeed("kubectl apply --kustomize theirs").await;
            cluster.namespace = "tooling";
            cluster.running(1).await;
            shell.write(
                "kustomization.yaml",
                &page.block("With kustomize", "yaml", 0, "tooling"),
            );
            shell
                .succeed(&page.commands("With kustomize", 0, "tooling"))
                .await;
            cluster.running(1).await;
            cluster.leader().await;
            shell.succeed("kubectl delete --kustomize .").await;
            let namespaces = shell.succeed("kubectl get namespace tooling").await;
            assert!(namespaces.contains("Active"), "{namespaces}");

            // Manifests in `default`, moved to another namespace.
            shell.succeed(FORMER).await;
            cluster.namespace = "default";
            cluster.running(1).await;
            shell.succeed(&page.commands(MOVED, 2, "moved")).await;
            shell.succeed(&page.commands(MOVED, 0, "moved")).await;
            cluster.namespace = "moved";
            cluster.running(1).await;
            cluster.leader().await;
            assert!(
                !left(&cluster)
                    .await
                    .iter()
                    .any(|object| !object.starts_with("ConfigMap")),
                "{:?}",
                left(&cluster).await
            );
            assert_eq!(cluster.refused(), Vec::<String>::new());
            shell
                .succeed("kubectl --namespace moved delete deployment reloader-reloader")
                .await;

            // Manifests in `default`, replaced by the chart.
            shell.succeed(FORMER).await;
            shell.succeed(&page.commands(MOVED, 0, NAMESPACE)).await;
            shell.succeed(&page.commands(MOVED, 1, NAMESPACE)).await;
            cluster.namespace = NAMESPACE;
            cluster.running(3).await;
            cluster.leader().await;
            assert_eq!(cluster.refused(), Vec::<String>::new());
        },
    );
}
