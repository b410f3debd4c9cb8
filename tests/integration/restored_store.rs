//! etcd is set back to an older state while the controller runs: resourceVersions go backwards.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use rstest::rstest;

use crate::harness::{
    PATIENCE, World,
    fleet::LEASE,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
};

/// Far more than an API server writes while it starts: a watch would be deaf for as long as it takes to make up for them.
const LOST_WRITES: usize = 100;

/// Longer than the API server is away while its store is replaced: a leader would end because it cannot renew its lease.
const LONG_LEASE: [&str; 3] = [
    "--lease-duration=600s",
    "--renew-deadline=590s",
    "--retry-period=1s",
];

#[rstest]
fn a_store_set_back_to_an_older_state_is_noticed(#[values(false, true)] elected: bool) {
    run(async {
        let world = World::alone("restored").await;
        world.create(&config_map("app", "0")).await;
        world
            .create(&deployment("app", &AUTO, &pod_with_config_map("app")))
            .await;
        let kubeconfig = world.kubeconfig().await;
        world.plane.save_store().await.expect("the store is kept");
        let replica = || {
            let builder = world.controller().kubeconfig(kubeconfig.clone());
            if elected {
                builder.elected().args(LONG_LEASE)
            } else {
                builder
            }
        };
        let controller = replica().start().await;
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        for number in 0..LOST_WRITES {
            world.change_config_map("app", &format!("lost-{number}")).await;
        }
        controller.wait_idle().await;
        let before = world.rollouts("deployments", "app");

        world.plane.restore_store().await.expect("the store is set back");
        let code = controller.wait_exit(PATIENCE).await;
        let log = controller.replica.log();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("older than what this process has seen"), "{log}");

        if elected {
            // Its holder may have written it anew before it ended: what comes now does not wait for it to expire.
            let leases = world.api::<Lease>();
            let deleted = leases.delete(LEASE, &DeleteParams::default()).await;
            if let Err(error) = deleted {
                assert!(
                    leases.get_opt(LEASE).await.expect("an answer").is_none(),
                    "{error}"
                );
            }
        }
        // As a kubelet does.
        let restarted = replica().start().await;
        restarted.wait_idle().await;
        world.change_config_map("app", "2").await;
        world.wait_for_rollouts("deployments", "app", before + 1).await;
    });
}
