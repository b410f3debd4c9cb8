//! The commands of README.md's section on installation, typed into a shell.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;
use testbed::eventually;

use crate::{
    harness::{Cluster, PATIENCE, page::Page, run, shell::Shell, workloads::Workloads},
    migration::mark,
};

const SECTION: &str = "Installation";

#[test]
fn the_commands_for_an_installation_work() {
    run("readme::the_commands_for_an_installation_work", async {
        let (page, mut cluster) = (Page::read("README.md"), Cluster::start_in("default").await);
        let _workloads = Workloads::create(&cluster, 1, mark).await;
        let shell = Shell::new(&cluster).await;
        let commands = |number| page.commands(SECTION, number, "default");
        assert_eq!(page.under(SECTION, "sh").len(), 4);

        shell.succeed(&commands(1)).await;
        cluster.running(1).await;
        cluster.leader().await;
        shell.succeed("kubectl delete deployment reloader-reloader").await;

        // Under the permissions of rbac.yaml alone. What it needs is built already.
        shell.program("cargo", "/bin/true");
        shell.program("target/release/reloader", env!("CARGO_BIN_EXE_reloader"));
        let by_hand = shell.start(&format!(
            "export RELOADER_LISTEN_ADDRESS=127.0.0.1:0\n{}",
            commands(3)
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

        shell.succeed(&commands(2)).await;
        cluster.namespace = "reloader";
        cluster.running(1).await;
        cluster.leader().await;
        assert_eq!(cluster.refused(), Vec::<String>::new());

        // Without what Helm has not made; the image is not built here.
        shell.succeed("kubectl delete namespace reloader").await;
        shell
            .succeed("kubectl delete clusterrole,clusterrolebinding --selector app=reloader-reloader")
            .await;
        cluster.create_namespace("reloader", &json!({})).await;
        let helm = commands(0);
        let (_, helm) = helm.split_once('\n').unwrap();
        shell.succeed(&format!("{} --wait", helm.trim_end())).await;
        cluster.running(3).await;
        cluster.leader().await;
    });
}
