//! How many connections watches take.

use std::{collections::BTreeSet, fs, os::unix::fs::FileTypeExt as _};

use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
};

const NAMESPACES: usize = 80;
/// A connection for each of its seven watches would be too many where processes may open few files.
const DESCRIPTORS_A_NAMESPACE: f64 = 2.5;

/// How many sockets a process has open.
fn sockets(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let is_socket = |entry: &fs::DirEntry| {
        let kind = fs::metadata(entry.path()).map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_socket())
    };
    entries.flatten().filter(is_socket).count()
}

#[test]
fn watches_of_many_namespaces_share_connections() {
    run(async {
        let world = World::alone("many").await;
        world.permit_everywhere().await;
        let mut worlds = vec![world.clone()];
        for _ in 1..NAMESPACES {
            worlds.push(world.another("many").await);
        }
        for world in [&worlds[0], &worlds[NAMESPACES / 2], &worlds[NAMESPACES - 1]] {
            world.create(&config_map("app", "0")).await;
            world
                .create(&deployment("app", &AUTO, &pod_with_config_map("app")))
                .await;
        }
        let names: BTreeSet<&str> = worlds.iter().map(|world| world.namespace.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(",");
        let controller = world
            .controller()
            .arg(format!("--namespaces={names}"))
            .start()
            .await;
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let allowed = NAMESPACES as f64 * DESCRIPTORS_A_NAMESPACE;
        eventually(PATIENCE, "few sockets", async || -> Result<_, String> {
            let open = sockets(controller.replica.pid());
            #[allow(clippy::cast_precision_loss, reason = "a small number")]
            let is_few = open as f64 <= allowed;
            if is_few {
                Ok(Some(()))
            } else {
                Err(format!("{open} of {allowed}"))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        for world in [&worlds[0], &worlds[NAMESPACES / 2], &worlds[NAMESPACES - 1]] {
            world.change_config_map("app", "1").await;
            world.wait_for_rollouts("deployments", "app", 1).await;
        }
    });
}
