//! The cluster as its administrator sees it: apply manifests, edit sources, look at workloads and their pods.
//!
//! Input: a client that may do everything. Output: what the API server answers. I/O: reads and writes objects.

use std::{collections::BTreeSet, fmt};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testbed::Entry;

/// Pods by uid: a StatefulSet's new pod has the name of the old one.
pub type Pods = BTreeSet<String>;

/// A workload, or a ConfigMap or Secret.
pub struct Object {
    resource: ApiResource,
    namespace: &'static str,
    name: String,
}

impl Object {
    /// An object by its names; `group` is that of its kind.
    pub fn new(namespace: &'static str, group: &str, kind: &str, name: &str) -> Self {
        Self {
            resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)),
            namespace,
            name: name.to_owned(),
        }
    }

    /// Whether a request wrote it.
    pub fn is_written_by(&self, entry: &Entry) -> bool {
        let is_mine = entry.is_about(&self.resource.plural, self.namespace, &self.name);
        is_mine && entry.is_write() && entry.succeeded()
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), self.namespace, &self.resource)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind, self.name)
    }
}

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
        let api = Api::<Namespace>::all(self.client.clone());
        api.patch(name, &PatchParams::apply("demo"), &Patch::Apply(namespace))
            .await?;
        Ok(())
    }

    /// `kubectl apply --server-side -f`: the documents of one file, in order.
    pub async fn apply(&self, file: &str, yaml: &str) -> Result<()> {
        let objects: Vec<DynamicObject> =
            serde_saphyr::from_multiple(yaml).with_context(|| format!("{file} is not valid YAML"))?;
        for object in objects {
            let kind = GroupVersionKind::try_from(&object.types.clone().unwrap_or_default())?;
            let (resource, capabilities) = pinned_kind(&self.client, &kind).await?;
            let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
            let api: Api<DynamicObject> = match capabilities.scope {
                Scope::Cluster => Api::all_with(self.client.clone(), &resource),
                Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
            };
            api.patch(
                &object.name_any(),
                &PatchParams::apply("demo"),
                &Patch::Apply(&object),
            )
            .await
            .with_context(|| format!("cannot apply {} {}", kind.kind, object.name_any()))?;
        }
        Ok(())
    }

    /// Writes a value of a source. The annotation makes the API server store the object, and send it to every watch, even if
    /// the value is there already.
    pub async fn edit(&self, source: &Object, (key, value): (&str, &str)) -> Result<()> {
        // The API server encodes a Secret's plain text.
        let is_secret = source.resource.kind == "Secret";
        let values = if is_secret { "stringData" } else { "data" };
        let annotations = json!({ "example.com/edited": jiff::Timestamp::now() });
        let body = json!({ "metadata": { "annotations": annotations }, values: { (key): value } });
        let api = source.api(&self.client);
        api.patch_metadata(&source.name, &PatchParams::default(), &Patch::Merge(body))
            .await
            .with_context(|| format!("cannot edit {source}"))?;
        Ok(())
    }

    /// The text of an Event about the object; `None`: there is none yet.
    pub async fn has_event(&self, about: &Object, reason: &str) -> Result<Option<String>> {
        let fields = format!("involvedObject.name={},reason={reason}", about.name);
        let api = Api::<Event>::namespaced(self.client.clone(), about.namespace);
        let events = api.list(&ListParams::default().fields(&fields)).await?.items;
        Ok(events.into_iter().find_map(|event| event.message))
    }

    /// How often a workload was restarted: its generation is 1 at creation, and every change of its spec adds 1.
    ///
    /// The audit log cannot tell: a patch whose sender was killed before the answer may be logged as failed, and be stored.
    pub async fn restarts(&self, workload: &Object) -> Result<i64> {
        let object = workload.api(&self.client).get_metadata(&workload.name).await?;
        Ok(object.metadata.generation.unwrap_or(1) - 1)
    }

    /// The workload's pods once all of them are ready and none is among `before`; `None` until then.
    pub async fn new_pods(&self, workload: &Object, before: &Pods) -> Result<Option<Pods>> {
        let object = workload.api(&self.client).get(&workload.name).await?;
        // A DaemonSet has a pod on each node, of which there is one.
        let replicas = object.data["spec"]["replicas"].as_u64().unwrap_or(1);
        let of_workload = ListParams::default().labels(&format!("app={}", workload.name));
        let api = Api::<Pod>::namespaced(self.client.clone(), workload.namespace);
        let mut pods = api.list(&of_workload).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        let complete = u64::try_from(pods.len()) == Ok(replicas) && pods.iter().all(is_ready);
        let pods: Pods = pods.iter().filter_map(ResourceExt::uid).collect();
        Ok((complete && pods.is_disjoint(before)).then_some(pods))
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref());
    let mut conditions = conditions.flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
