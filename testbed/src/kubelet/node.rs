//! The node that the kubelet stands for. Input: a client; output: a node that pods are scheduled to. I/O: writes a Node and
//! its Lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::eventually::eventually;

/// Name of the node, and value of its label `kubernetes.io/hostname`.
pub const NAME: &str = "kubelet-1";

/// Key of the taint of a node that is kept for some pods; its effect is `NoSchedule`.
pub const TAINT: &str = "testbed/reserved";

/// How long until pods may be scheduled to it; it takes a second.
const TIMEOUT: Duration = Duration::from_mins(1);

/// How often the Lease is renewed, as a kubelet does; without, the controller manager evicts all pods after some minutes.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What the node says it has: more than pods of tests ask for.
const CAPACITY: [(&str, &str); 3] = [("cpu", "16"), ("memory", "64Gi"), ("pods", "110")];

/// How much of a resource the node has.
pub fn capacity(resource: &str) -> Option<&'static str> {
    let found = CAPACITY.iter().find(|(name, _)| *name == resource);
    found.map(|(_, amount)| *amount)
}

/// Registers the node and waits until pods may be scheduled to it. The controller manager has to run: it takes the taint away
/// with which every node starts.
pub async fn register(client: &Client) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let read = |object: Value| {
        serde_json::from_value(object).map_err(|error| Error::io("make a Node")(error.into()))
    };
    let node: Node = read(json!({
        "metadata": { "name": NAME, "labels": {
            "kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        } },
    }))?;
    api.create(&PostParams::default(), &node)
        .await
        .map_err(Error::kubernetes("register the node"))?;
    let now = Timestamp::now().to_string();
    let capacity: Value = CAPACITY.into_iter().collect();
    let status = json!({ "status": {
        "capacity": capacity, "allocatable": capacity,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the testbed's kubelet runs",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    } });
    api.patch_status(NAME, &PatchParams::default(), &Patch::Strategic(status))
        .await
        .map_err(Error::kubernetes("say that the node is ready"))?;
    renew(client).await?;
    eventually(TIMEOUT, "a node without taints", async || -> Result<_, String> {
        let node = api.get(NAME).await.map_err(|error| error.to_string())?;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if taints.is_empty() {
            Ok(Some(()))
        } else {
            Err(format!("{taints:?}"))
        }
    })
    .await
}

/// Lets only pods that tolerate [`TAINT`] be scheduled to the node.
pub async fn taint(client: &Client) -> Result<()> {
    let taint = json!({ "spec": { "taints": [{ "key": TAINT, "effect": "NoSchedule" }] } });
    Api::<Node>::all(client.clone())
        .patch(NAME, &PatchParams::default(), &Patch::Merge(taint))
        .await
        .map(drop)
        .map_err(Error::kubernetes("taint the node"))
}

/// Renews the node's Lease for ever.
pub async fn heartbeat(client: Client) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // The next one will do: the controller manager has patience for 40 s.
        let _ = renew(&client).await;
    }
}

async fn renew(client: &Client) -> Result<()> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": NAME },
        "spec": { "holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": format!("{:.6}", Timestamp::now()) },
    });
    Api::<Lease>::namespaced(client.clone(), "kube-node-lease")
        .patch(NAME, &PatchParams::apply("kubelet").force(), &Patch::Apply(lease))
        .await
        .map(drop)
        .map_err(Error::kubernetes("renew the node's Lease"))
}
