//! When a control plane may be used. Input: what should run; output: success or what is missing. I/O: asks the API server.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::core::Request;
use kube::{Api, Client};

use super::commands::KWOK_NODE_ANNOTATION;
use super::{Builder, ControlPlane};
use crate::error::{Error, Result};
use crate::eventually::eventually;

/// Longest start. It takes seconds; a computer that compiles at the same time may need much more.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Name of the one node KWOK plays.
const NODE: &str = "node-1";

impl ControlPlane {
    /// Waits until `/readyz` says ok (RBAC's built-in roles exist then) and the default namespace is there.
    pub(super) async fn wait_until_api_serves(&self) -> Result<()> {
        let client = self.admin();
        self.wait("the API server", async || {
            // Only a way to spell GET /readyz without depending on the http crate.
            let request = Request::new("/readyz")
                .list(&ListParams::default())
                .map_err(|error| error.to_string())?;
            client
                .request_text(request)
                .await
                .map_err(|error| error.to_string())?;
            found::<Namespace>(Api::all(client.clone()), "default").await
        })
        .await
    }

    /// Waits until each of the further programs has shown that it works.
    pub(super) async fn wait_until_complete(&self, builder: &Builder) -> Result<()> {
        let client = self.admin();
        if builder.controller_manager {
            self.wait(
                "the default ServiceAccount, which the controller manager makes",
                async || found::<ServiceAccount>(Api::default_namespaced(client.clone()), "default").await,
            )
            .await?;
        }
        if builder.kwok {
            create_node(client.clone()).await?;
            self.wait("a Ready node, which KWOK plays", async || {
                let node = Api::<Node>::all(client.clone())
                    .get(NODE)
                    .await
                    .map_err(|error| error.to_string())?;
                if is_ready(&node) {
                    Ok(Some(()))
                } else {
                    Err(format!("{:?} {:?}", node.spec, node.status))
                }
            })
            .await?;
        }
        self.check_alive()
    }

    /// [`eventually`], ended early with the reason when a program has ended.
    async fn wait(
        &self,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<Option<()>, String>,
    ) -> Result<()> {
        eventually(TIMEOUT, what, async || -> Result<Option<Result<()>>, String> {
            match self.check_alive() {
                Err(ended) => Ok(Some(Err(ended))),
                Ok(()) => probe().await.map(|found| found.map(Ok)),
            }
        })
        .await?
    }

    /// An error if a program that should run has ended.
    fn check_alive(&self) -> Result<()> {
        if let Some(etcd) = self.etcd().as_ref() {
            etcd.check_alive()?;
        }
        if let Some(apiserver) = self.apiserver().as_ref() {
            apiserver.check_alive()?;
        }
        self.others
            .iter()
            .try_for_each(crate::process::Process::check_alive)
    }
}

async fn found<K>(api: Api<K>, name: &str) -> Result<Option<()>, String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.get_opt(name)
        .await
        .map(|object| object.map(drop))
        .map_err(|error| error.to_string())
}

async fn create_node(client: Client) -> Result<()> {
    let (annotation, value) = KWOK_NODE_ANNOTATION;
    let labels = [
        ("kubernetes.io/hostname", NODE),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let node = Node {
        metadata: ObjectMeta {
            name: Some(NODE.to_owned()),
            annotations: Some([owned((annotation, value))].into()),
            labels: Some(labels.map(owned).into()),
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    Api::all(client)
        .create(&PostParams::default(), &node)
        .await
        .map(drop)
        .map_err(Error::kubernetes("create the node"))
}

/// Ready, and no longer tainted as not ready, which would keep pods away.
fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    let tainted = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_ref())
        .is_some_and(|taints| !taints.is_empty());
    !tainted
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
