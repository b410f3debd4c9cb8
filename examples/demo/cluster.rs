//! What the person at the keyboard does: apply manifests, edit sources, look at workloads and their pods.
//!
//! Input: a client that may do everything. Output: what the API server answers. I/O: reads and writes objects.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::example::{NAMESPACE, Source, Workload};
use crate::fleet;

/// Where Reloader remembers for which content of each source the workloads run.
pub const LEDGER: &str = "reloader-ledger";

/// Pods by uid, with their names. A StatefulSet's new pod has the name of the old one, so names alone would not do.
pub type Pods = BTreeMap<String, String>;

/// The cluster, seen by its administrator.
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Works through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// `kubectl create namespace`.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        Api::<Namespace>::all(self.client.clone())
            .patch(name, &PatchParams::apply("demo"), &Patch::Apply(namespace))
            .await
            .with_context(|| format!("cannot create namespace {name}"))?;
        Ok(())
    }

    /// `kubectl apply --server-side -f`: the documents of one file, in order.
    pub async fn apply(&self, file: &str, yaml: &str) -> Result<()> {
        let objects: Vec<DynamicObject> =
            serde_saphyr::from_multiple(yaml).with_context(|| format!("{file} is not valid YAML"))?;
        for object in objects {
            let name = object.name_any();
            let types = object.types.clone().unwrap_or_default();
            let applied = async {
                let kind = GroupVersionKind::try_from(&types)?;
                let (resource, capabilities) = pinned_kind(&self.client, &kind).await?;
                let api: Api<DynamicObject> = match capabilities.scope {
                    Scope::Cluster => Api::all_with(self.client.clone(), &resource),
                    Scope::Namespaced => {
                        let namespace = object.metadata.namespace.as_deref().unwrap_or(NAMESPACE);
                        Api::namespaced_with(self.client.clone(), namespace, &resource)
                    }
                };
                api.patch(&name, &PatchParams::apply("demo"), &Patch::Apply(&object))
                    .await?;
                anyhow::Ok(())
            };
            applied
                .await
                .with_context(|| format!("cannot apply {} {name} of {file}", types.kind))?;
        }
        Ok(())
    }

    /// Writes a new value.
    pub async fn edit(&self, source: Source, value: &str) -> Result<()> {
        self.write(source, &json!({ (source.key): value }), "edit").await
    }

    /// Writes the value that is there already. An annotation beside it makes the API server store the object and send it
    /// to everybody who watches, which it would not do for a write that changes nothing at all.
    pub async fn rewrite(&self, source: Source, value: &str) -> Result<()> {
        self.write(source, &json!({ (source.key): value }), "rewrite")
            .await
    }

    async fn write(&self, source: Source, data: &Value, why: &str) -> Result<()> {
        let values = match source.kind {
            // Plain text; the API server encodes it.
            "Secret" => "stringData",
            _ => "data",
        };
        let body = json!({ "metadata": { "annotations": { "example.com/last-action": why } }, values: data });
        let written = self
            .sources(source)
            .patch_metadata(source.name, &PatchParams::default(), &Patch::Merge(body))
            .await;
        written.with_context(|| format!("cannot {why} {} {}", source.kind, source.name))?;
        Ok(())
    }

    /// Deletes the source and creates it again, with the content it had.
    pub async fn recreate(&self, source: Source) -> Result<()> {
        let api = self.sources(source);
        let recreated = async {
            let mut object = api.get(source.name).await?;
            api.delete(source.name, &DeleteParams::default()).await?;
            object.metadata = ObjectMeta {
                name: object.metadata.name,
                annotations: object.metadata.annotations,
                ..ObjectMeta::default()
            };
            api.create(&PostParams::default(), &object).await
        };
        recreated
            .await
            .with_context(|| format!("cannot recreate {} {}", source.kind, source.name))?;
        Ok(())
    }

    fn sources(&self, source: Source) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", source.kind));
        Api::namespaced_with(self.client.clone(), source.namespace, &resource)
    }

    /// How many sources Reloader's ledger holds: one a line.
    pub async fn ledger_lines(&self) -> Result<usize> {
        let object = Api::<ConfigMap>::namespaced(self.client.clone(), fleet::NAMESPACE)
            .get(LEDGER)
            .await
            .with_context(|| format!("cannot read ConfigMap {LEDGER}"))?;
        let text = object.data.and_then(|mut data| data.remove("sources"));
        Ok(text.unwrap_or_default().lines().count())
    }

    /// The workload's pods, without those on their way out.
    pub async fn pods(&self, workload: Workload) -> Result<Pods> {
        let selector = ListParams::default().labels(&format!("app={}", workload.name));
        let pods = Api::<Pod>::namespaced(self.client.clone(), workload.namespace)
            .list(&selector)
            .await
            .with_context(|| format!("cannot list the pods of {}", workload.name))?;
        Ok(pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| Some((pod.uid()?, pod.name_any())))
            .collect())
    }

    /// The workload's pods once all are of its newest template and ready; `None` before. The same numbers as
    /// `kubectl rollout status` looks at.
    pub async fn rolled_out(&self, workload: Workload) -> Result<Option<Pods>> {
        let kind = GroupVersionKind::gvk("apps", "v1", workload.kind);
        let resource = ApiResource::from_gvk(&kind);
        let object =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), workload.namespace, &resource)
                .get(workload.name)
                .await
                .with_context(|| format!("cannot get {} {}", workload.kind, workload.name))?;
        if !is_rolled_out(&object) {
            return Ok(None);
        }
        self.pods(workload).await.map(Some)
    }

    /// All Deployments of a namespace.
    pub async fn deployments(&self, namespace: &str) -> Result<Vec<Deployment>> {
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), namespace)
            .list(&ListParams::default())
            .await
            .with_context(|| format!("cannot list the Deployments of {namespace}"))?;
        Ok(deployments.items)
    }

    /// Whether the replica says, in a Kubernetes Event on the workload, that it restarted it because of the source.
    pub async fn reloaded_by(&self, workload: Workload, source: Source, replica: &str) -> Result<Option<()>> {
        let selector = ListParams::default().fields(&format!(
            "involvedObject.kind={},involvedObject.name={},reason=Reloaded",
            workload.kind, workload.name
        ));
        let events = Api::<Event>::namespaced(self.client.clone(), workload.namespace)
            .list(&selector)
            .await
            .context("cannot list Events")?;
        let named = format!("'{}'", source.name);
        let found = events.into_iter().any(|event| {
            event.reporting_instance.as_deref() == Some(replica)
                && event.message.is_some_and(|message| message.contains(&named))
        });
        Ok(found.then_some(()))
    }
}

fn is_rolled_out(object: &DynamicObject) -> bool {
    let number = |path: &str| object.data.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let text = |path: &str| object.data.pointer(path).and_then(Value::as_str);
    if number("/status/observedGeneration") < object.metadata.generation.unwrap_or(1) {
        return false;
    }
    let (wanted, counted): (&str, &[&str]) = match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("DaemonSet") => (
            "/status/desiredNumberScheduled",
            &["/status/updatedNumberScheduled", "/status/numberAvailable"],
        ),
        Some("StatefulSet") => (
            "/spec/replicas",
            &["/status/updatedReplicas", "/status/availableReplicas"],
        ),
        _ => (
            "/spec/replicas",
            &[
                "/status/replicas",
                "/status/updatedReplicas",
                "/status/availableReplicas",
            ],
        ),
    };
    let wanted = number(wanted);
    wanted > 0
        && counted.iter().all(|path| number(path) == wanted)
        && text("/status/currentRevision") == text("/status/updateRevision")
}
