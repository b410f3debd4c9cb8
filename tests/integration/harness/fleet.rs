//! Several replicas with leader election. Each is a user of its own, so that the audit log distinguishes them.

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    jiff::Timestamp,
};
use testbed::eventually;

use super::{Controller, EVERYWHERE, PATIENCE, World, manifests};

/// The Lease's name: upstream's, so that a mixed fleet elects one leader.
pub const LEASE: &str = "stakater-reloader-lock";

/// A successful write of the Lease.
#[derive(Clone, Debug)]
pub struct LeaseWrite {
    /// The pod that holds it from then on; none: it was given back.
    pub holder: Option<String>,
    /// When the API server received it.
    pub received: Timestamp,
    /// When the API server had stored it.
    pub answered: Timestamp,
}

/// Replicas that run.
pub struct Fleet<'a> {
    world: &'a World,
    args: Vec<String>,
    cluster_wide: bool,
    replicas: Vec<Controller>,
    /// How many were ever started: names are never given twice, since the Lease may still show a dead one's.
    started: u8,
}

impl<'a> Fleet<'a> {
    /// Three replicas with these flags, all ready, one of them leading.
    pub async fn start(world: &'a World, args: &[&str]) -> Self {
        Self::launch(world, args, false).await
    }

    /// The same for every namespace of a control plane of the test's own.
    pub async fn start_cluster_wide(world: &'a World, args: &[&str]) -> Self {
        let args = [&[EVERYWHERE], args].concat();
        manifests::create_cluster_role(&world.client).await;
        Self::launch(world, &args, true).await
    }

    async fn launch(world: &'a World, args: &[&str], cluster_wide: bool) -> Self {
        let mut fleet = Self {
            world,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            cluster_wide,
            replicas: Vec::new(),
            started: 0,
        };
        for _ in 0..3 {
            fleet.add().await;
        }
        for replica in &fleet.replicas {
            replica.wait_ready().await;
        }
        fleet.leader().await;
        fleet
    }

    /// Starts one more replica and returns at once.
    pub async fn add(&mut self) {
        let name = format!("reloader-{}", char::from(b'a' + self.started));
        self.started += 1;
        bind(self.world, &name).await;
        let user = user(self.world, &name);
        if self.cluster_wide {
            manifests::bind_cluster_role(&self.world.client, &user).await;
        }
        let kubeconfig = self
            .world
            .plane
            .kubeconfig_for_user(&user, &[])
            .expect("a kubeconfig");
        let builder = self.world.controller().elected().name(&name);
        let replica = builder.kubeconfig(kubeconfig).args(&self.args).launch().await;
        self.replicas.push(replica);
    }

    /// The replica that leads, once there is one among those that are left.
    pub async fn leader(&self) -> &Controller {
        let name = eventually(PATIENCE, "a leader", async || -> Result<_, String> {
            let lease = self
                .world
                .api::<Lease>()
                .get(LEASE)
                .await
                .map_err(|error| error.to_string())?;
            let holder = lease
                .spec
                .and_then(|spec| spec.holder_identity)
                .unwrap_or_default();
            let pod = pod_of(&holder).unwrap_or_default();
            let found = self.replicas.iter().position(|replica| replica.name == pod);
            found.map(Some).ok_or(holder)
        });
        &self.replicas[name.await.unwrap_or_else(|error| panic!("{error}"))]
    }

    /// The replica that leads, taken out of the fleet.
    pub async fn take_leader(&mut self) -> Controller {
        let name = self.leader().await.name.clone();
        let index = self
            .replicas
            .iter()
            .position(|replica| replica.name == name)
            .expect("it is there");
        self.replicas.remove(index)
    }

    /// The replicas that are left.
    pub fn replicas(&self) -> &[Controller] {
        &self.replicas
    }
}

impl World {
    /// Every successful write of the Lease, in the order in which they took effect.
    pub fn lease_writes(&self) -> Vec<LeaseWrite> {
        let about_lease = |entry: &testbed::Entry| {
            entry.is_about("leases", &self.namespace, LEASE) && entry.is_write() && entry.succeeded()
        };
        let mut writes = self.plane.audit().matching(about_lease).expect("the audit log");
        let version = |entry: &testbed::Entry| {
            let stored = entry
                .response_object
                .as_ref()?
                .pointer("/metadata/resourceVersion")?;
            stored.as_str()?.parse::<u64>().ok()
        };
        writes.sort_by_key(|entry| version(entry));
        let read = |entry: &std::sync::Arc<testbed::Entry>| {
            let stored = entry.response_object.as_ref().expect("the Lease as stored");
            LeaseWrite {
                holder: pod_of(stored["spec"]["holderIdentity"].as_str().unwrap_or_default()),
                received: entry.request_received,
                answered: entry.stage_timestamp,
            }
        };
        writes.iter().map(read).collect()
    }

    /// The replica that sent a write.
    pub fn replica_of(&self, entry: &testbed::Entry) -> String {
        let prefix = user(self, "");
        let name = entry.user.strip_prefix(&prefix);
        name.unwrap_or_else(|| panic!("{} is no replica", entry.user))
            .to_owned()
    }

    /// Every write of a workload was sent by the replica that held the Lease at that moment.
    pub fn assert_only_leaders_wrote(&self) {
        let prefix = user(self, "");
        let by_replicas = |entry: &testbed::Entry| {
            entry.user.starts_with(&prefix) && entry.is_write() && entry.group == "apps"
        };
        let writes = self.plane.audit().matching(by_replicas).expect("the audit log");
        assert!(!writes.is_empty(), "no replica wrote anything");
        let leases = self.lease_writes();
        for write in writes {
            let current = leases
                .iter()
                .rfind(|lease| lease.answered <= write.request_received);
            let holder = current.and_then(|lease| lease.holder.clone());
            assert_eq!(Some(self.replica_of(&write)), holder, "{write:?}\n{leases:#?}");
        }
    }
}

/// The pod's name in `<pod>_<random>`.
fn pod_of(identity: &str) -> Option<String> {
    identity.split_once('_').map(|(pod, _)| pod.to_owned())
}

fn user(world: &World, replica: &str) -> String {
    format!("{}:{replica}", world.namespace)
}

/// Gives the replica's user what ships, as the namespace's `ServiceAccount` has it.
async fn bind(world: &World, replica: &str) {
    for role in ["watched", "own"] {
        let mut binding = RoleBinding {
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Role".to_owned(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: user(world, replica),
                ..Subject::default()
            }]),
            ..RoleBinding::default()
        };
        binding.metadata.name = Some(format!("{role}-{replica}"));
        world.create(&binding).await;
    }
}
