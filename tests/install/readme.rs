//! Every block of README.md and docs/installation.md, typed into a shell.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;
use testbed::eventually;

use crate::{
    harness::{Cluster, PATIENCE, page::Page, run, shell::Shell, workloads::Workloads},
    migration::mark,
};

/// What the README promises: the installation, a Deployment with one annotation, and what a change then shows.
#[test]
fn the_readme_shows_what_happens() {
    run("readme::the_readme_shows_what_happens", async {
        let (page, cluster) = (Page::read("README.md"), Cluster::start_in("reloader").await);
        let shell = Shell::new(&cluster).await;
        let install = page.commands("Install", 0, "reloader");
        shell.succeed(&format!("{} --wait", install.trim_end())).await;
        cluster.running(3).await;
        cluster.leader().await;

        shell.write("web.yaml", &page.block("Use", "yaml", 0, "default"));
        shell.succeed(&page.commands("Use", 0, "default")).await;
        shell.succeed(&page.commands("Use", 1, "default")).await;
        let (look, shown) = (
            page.commands("Use", 2, "default"),
            page.block("Use", "text", 0, "default"),
        );
        // But for the age in front.
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let shown = words(&shown)[1..].join(" ");
        let seen = eventually(PATIENCE, "the Event", async || -> Result<_, String> {
            let (_, printed) = shell.run(&look).await;
            let is_there = printed
                .lines()
                .any(|line| words(line).join(" ").ends_with(&shown));
            if is_there { Ok(Some(())) } else { Err(printed) }
        });
        seen.await.unwrap();
        page.assert_all_run();
    });
}

#[test]
fn the_commands_for_an_installation_work() {
    run("readme::the_commands_for_an_installation_work", async {
        let (page, mut cluster) = (
            Page::read("docs/installation.md"),
            Cluster::start_in("default").await,
        );
        let _workloads = Workloads::create(&cluster, 1, mark).await;
        let shell = Shell::new(&cluster).await;
        let commands = |heading: &str, number| page.commands(heading, number, "default");

        shell.succeed(&commands("With kubectl", 0)).await;
        cluster.running(1).await;
        cluster.leader().await;
        shell.succeed("kubectl delete deployment reloader-reloader").await;

        // Under the permissions of rbac.yaml alone. What it needs is built already.
        shell.program("cargo", "/bin/true");
        shell.program("target/release/reloader", env!("CARGO_BIN_EXE_reloader"));
        let by_hand = shell.start(&format!(
            "export RELOADER_LISTEN_ADDRESS=127.0.0.1:0\n{}",
            commands("Without an image", 0)
        ));
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "default");
        let written = eventually(PATIENCE, "a ledger", async || -> Result<_, String> {
            let ledger = maps
                .get_opt("reloader-ledger")
                .await
                .map_err(|error| error.to_string())?;
            Ok(ledger.map(drop))
        });
        written.await.unwrap();
        drop(by_hand);

        shell.succeed(&commands("With kubectl", 1)).await;
        cluster.namespace = "reloader";
        cluster.running(1).await;
        cluster.leader().await;
        assert_eq!(cluster.refused(), Vec::<String>::new());

        // Without what Helm has not made.
        shell.succeed("kubectl delete namespace reloader").await;
        shell
            .succeed("kubectl delete clusterrole,clusterrolebinding --selector app=reloader-reloader")
            .await;
        cluster.create_namespace("reloader", &json!({})).await;
        let helm = commands("With Helm", 0);
        shell.succeed(&format!("{} --wait", helm.trim_end())).await;
        cluster.running(3).await;
        cluster.leader().await;
        page.assert_all_run();
    });
}
