//! The authority that signs the API server's certificate is replaced.

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use testbed::{Proxy, eventually};

use super::{create_app, world};
use crate::harness::{PATIENCE, run};

/// kubelet writes the new authority into `ca.crt`; nobody restarts the pod.
#[test]
fn a_new_authority_is_read_from_its_file() {
    run(async {
        let (world, proxy) = world("authority").await;
        create_app(&world, "app").await;
        let controller = world.controller().through(&proxy).start().await;
        proxy.replace_authority().expect("another authority");
        proxy.close_connections();
        world.change_config_map("app", "1").await;
        // The file is read again at most once a minute.
        eventually(2 * PATIENCE, "a rollout", async || {
            (world.rollouts("deployments", "app") == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", controller.replica.log()));
        controller.wait_ready().await;
    });
}

/// A kubeconfig through the proxy with the authority's certificate in it, as `kubectl config --flatten` writes it.
fn flattened(proxy: &Proxy, direct: &Path) -> PathBuf {
    let path = proxy.kubeconfig(direct).expect("a kubeconfig");
    let text = fs::read(&path).expect("it can be read");
    let mut kubeconfig: Value = serde_json::from_slice(&text).expect("JSON");
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    let authority = cluster["certificate-authority"].take();
    let certificate = fs::read(authority.as_str().expect("a path")).expect("it can be read");
    cluster["certificate-authority-data"] = json!(ByteString(certificate));
    if let Some(fields) = cluster.as_object_mut() {
        fields.remove("certificate-authority");
    }
    fs::write(&path, kubeconfig.to_string()).expect("it can be written");
    path
}

/// What it has read at the start only, another process reads again. No connection outlives the old certificate: a restart
/// could still be written on one.
#[test]
fn a_process_that_can_trust_no_api_server_ends() {
    run(async {
        let (world, proxy) = world("untrusted").await;
        create_app(&world, "app").await;
        let kubeconfig = flattened(&proxy, &world.kubeconfig().await);
        let controller = world.controller().kubeconfig(kubeconfig).start().await;
        proxy.replace_authority().expect("another authority");
        proxy.close_connections();
        world.change_config_map("app", "1").await;
        assert_eq!(controller.wait_exit(2 * PATIENCE).await, Some(1));
        let log = controller.replica.log();
        assert!(log.contains("no TLS connection to the API server"), "{log}");
        assert_eq!(world.rollouts("deployments", "app"), 0);
    });
}
