//! What people do to Leases with kubectl: one is deleted, one is given to a holder that does not exist, one is added. Each
//! ends with one leader, by upstream's default timings.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::eventually;

use crate::harness::{
    PATIENCE, World,
    fleet::{Fleet, LEASE},
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, Barrier},
    run,
};

/// An identity of upstream's form, of a pod that does not exist: it is never renewed.
const FOREIGN: &str = "intruder_0";

/// A Lease beside the replicas' own, held by the pod that there is not.
async fn create_another_lease(world: &World) -> Lease {
    let mut lease = Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(FOREIGN.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    };
    lease.metadata.name = Some(format!("{LEASE}-2"));
    world.create(&lease).await
}

/// Waits until the Lease is there again, and returns who holds it.
async fn wait_for_holder(world: &World) -> String {
    let holder = eventually(PATIENCE, "the Lease to be put back", async || {
        let lease = world.api::<Lease>().get_opt(LEASE).await.ok().flatten();
        lease?.spec?.holder_identity
    });
    holder.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts that one replica says that it leads, and that the others say that they do not.
async fn assert_one_leads(fleet: &Fleet<'_>) {
    let leader = fleet.leader().await;
    for replica in fleet.replicas() {
        let leads = f64::from(u8::from(replica.name == leader.name));
        replica
            .wait_metrics(&[("leader_election_master_status", leads)])
            .await;
    }
}

#[test]
fn a_deleted_a_stolen_and_a_further_lease_end_with_one_leader_and_one_rollout_a_change() {
    run(async {
        let world = World::new("lease").await;
        world.create(&config_map("settings", "0")).await;
        let web = deployment("web", &AUTO, &pod_with_config_map("settings"));
        world.create(&web).await;
        let mut barrier = Barrier::create(&world).await;
        let another = create_another_lease(&world).await;
        let mut fleet = Fleet::start(&world, &[]).await;
        let first = fleet.take_leader().await;
        // What is to be rolled out later must be a change to every replica.
        barrier.pass(&world, &first).await;

        // Its holder puts a deleted Lease back and goes on; no other replica takes it.
        world
            .api::<Lease>()
            .delete(LEASE, &DeleteParams::default())
            .await
            .expect("the Lease is deleted");
        world.change_config_map("settings", "without a lease").await;
        let holder = wait_for_holder(&world).await;
        assert!(holder.starts_with(&format!("{}_", first.name)), "{holder}");
        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        assert_eq!(world.replica_of(&writes[0]), first.name);
        barrier.pass(&world, &first).await;

        // A leader that finds another holder in its place ends.
        let stolen =
            json!({ "spec": { "holderIdentity": FOREIGN, "renewTime": MicroTime(Timestamp::now()) } });
        world
            .api::<Lease>()
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(&stolen))
            .await
            .expect("the Lease changes");
        assert_eq!(first.wait_exit(PATIENCE).await, Some(1));
        let log = first.replica.log();
        assert!(log.contains(&format!("{FOREIGN} holds it")), "{log}");
        world.change_config_map("settings", "held by no replica").await;
        // As a kubelet does.
        fleet.add().await;

        // The standbys wait for as long as the foreign holder may lead, and then one of them takes over.
        let writes = world.wait_for_rollouts("deployments", "web", 2).await;
        let second = fleet.leader().await;
        assert_ne!(second.name, first.name);
        assert_eq!(world.replica_of(&writes[1]), second.name);
        let leases = world.lease_writes();
        let stolen = leases
            .iter()
            .rposition(|write| write.holder.as_deref() == Some("intruder"))
            .expect("it was stolen");
        let taken = &leases[stolen + 1];
        assert_eq!(taken.holder.as_ref(), Some(&second.name));
        let waited = taken.received.duration_since(leases[stolen].answered);
        assert!(
            waited.as_secs() >= 15,
            "{waited}: the foreign holder may lead still"
        );

        for replica in fleet.replicas() {
            replica.wait_ready().await;
        }
        barrier.pass(&world, second).await;
        assert_eq!(fleet.replicas().len(), 3);
        assert_one_leads(&fleet).await;
        assert_eq!(world.rollouts("deployments", "web"), 2);
        assert_eq!(world.rollouts("deployments", "barrier"), 3);
        let name = another.metadata.name.as_deref().expect("a name");
        assert_eq!(
            world.api::<Lease>().get(name).await.expect("it is there"),
            another
        );
        world.assert_only_leaders_wrote();
    });
}
