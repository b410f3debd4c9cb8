//! The authority that signs the API server's certificate is replaced.

use testbed::{eventually, proxy::StreamFault};

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
        proxy.disturb(|_| true, &StreamFault::Reset);
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
