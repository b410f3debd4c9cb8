//! The Secrets Store CSI driver as Reloader sees it: its two kinds, and what the driver writes for pods.
//!
//! The definitions are the least that an API server needs; there is no driver, so tests write what one would.

use k8s_openapi::{
    api::rbac::v1::ClusterRole,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use testbed::eventually;

use super::{
    PATIENCE, World,
    manifests::grant,
    objects::{deployment, from},
    observe::AUTO,
};

/// What ships for the integration.
const RBAC: &str = include_str!("../../../deployments/kubernetes/rbac-csi.yaml");
const GROUP: &str = "secrets-store.csi.x-k8s.io";
const STATUS: (&str, &str) = ("SecretProviderClassPodStatus", "secretproviderclasspodstatuses");
const CLASS: (&str, &str) = ("SecretProviderClass", "secretproviderclasses");

/// Lets the API server know both kinds; returns when it does. They may be there already.
pub async fn install(client: &Client) {
    for (kind, plural) in [CLASS, STATUS] {
        let definition: CustomResourceDefinition = from(json!({
            "metadata": { "name": format!("{plural}.{GROUP}") },
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": { "kind": kind, "plural": plural },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                }],
            },
        }));
        let created = Api::all(client.clone())
            .create(&PostParams::default(), &definition)
            .await;
        assert!(
            match &created {
                Ok(_) => true,
                Err(kube::Error::Api(status)) => status.is_already_exists(),
                Err(_) => false,
            },
            "{created:?}"
        );
        // Other tests' namespaces may hold objects that no client library can read.
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), "default", &resource((kind, plural)));
        eventually(PATIENCE, "the kind to be served", async || {
            api.list(&kube::api::ListParams::default()).await.ok().map(drop)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A pod with a container `main` that mounts what the class says.
pub fn pod_with_class(class: &str) -> Value {
    json!({
        "containers": [{ "name": "main", "image": "none",
            "volumeMounts": [{ "name": "store", "mountPath": "/mnt/store" }] }],
        "volumes": [{ "name": "store", "csi": { "driver": "secrets-store.csi.k8s.io", "readOnly": true,
            "volumeAttributes": { "secretProviderClass": class } } }],
    })
}

impl World {
    /// As [`World::new`], where the driver's kinds are installed and the controller may watch them.
    pub async fn with_csi(name: &str) -> Self {
        let world = Self::new(name).await;
        install(&world.client).await;
        world.grant_csi().await;
        world
    }

    /// Grants what ships for the integration.
    pub async fn grant_csi(&self) {
        let documents: Vec<DynamicObject> =
            serde_saphyr::from_multiple(RBAC).expect("the shipped RBAC is YAML");
        let role: ClusterRole = documents[0].clone().try_parse().expect("a ClusterRole");
        let rules = role.rules.unwrap_or_default();
        grant(&self.client, &self.namespace, "csi", rules).await;
    }

    /// A class with these annotations.
    pub async fn create_class(&self, name: &str, annotations: &Value) {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": CLASS.0,
            "metadata": { "name": name, "annotations": annotations },
            "spec": { "provider": "vault" },
        });
        self.create_dynamic(CLASS, object).await;
    }

    /// Changes a class's annotations.
    pub async fn annotate_class(&self, name: &str, annotations: &Value) {
        let body = json!({ "metadata": { "annotations": annotations } });
        self.merge(CLASS, name, &body).await;
    }

    /// The driver has mounted that version of the class's one object `password` for the pod.
    pub async fn start_pod(&self, pod: &str, class: &str, version: &str) {
        self.start_pod_with(pod, class, &objects(version)).await;
    }

    /// As [`Self::start_pod`], with any list of objects, or none.
    pub async fn start_pod_with(&self, pod: &str, class: &str, objects: &Value) {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": STATUS.0,
            "metadata": { "name": pod, "labels": { "internal.secrets-store.csi.k8s.io/node-name": "node" } },
            "status": { "podName": pod, "mounted": true, "secretProviderClassName": class, "objects": objects },
        });
        self.create_dynamic(STATUS, object).await;
    }

    /// The driver has rotated the pod's files to that version.
    pub async fn rotate(&self, pod: &str, version: &str) {
        let body = json!({ "status": { "objects": objects(version) } });
        self.merge(STATUS, pod, &body).await;
    }

    /// Changes anything about a pod's status.
    pub async fn patch_pod_status(&self, pod: &str, body: &Value) {
        self.merge(STATUS, pod, body).await;
    }

    /// The pod is gone.
    pub async fn stop_pod(&self, pod: &str) {
        self.dynamic(STATUS)
            .delete(pod, &DeleteParams::default())
            .await
            .expect("the status is deleted");
    }

    async fn create_dynamic(&self, kind: (&str, &str), object: Value) {
        self.dynamic(kind)
            .create(&PostParams::default(), &from(object))
            .await
            .expect("the object is accepted");
    }

    async fn merge(&self, kind: (&str, &str), name: &str, body: &Value) {
        // The answer without its content, which may be nested deeper than this client reads.
        self.dynamic(kind)
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(body))
            .await
            .expect("the object changes");
    }

    fn dynamic(&self, kind: (&str, &str)) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }
}

fn resource((kind, plural): (&str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural)
}

fn objects(version: &str) -> Value {
    json!([{ "id": "password", "version": version }])
}

/// A class, a pod and a Deployment whose rollout shows that every change of a status before it has been dealt with: a
/// watch keeps the order. Exact with `--workers=1`.
pub struct ClassSentinel<'a> {
    world: &'a World,
    passed: usize,
}

impl<'a> ClassSentinel<'a> {
    /// What they are called.
    pub const NAME: &'static str = "sentinel-class";

    /// To be made before the controller is ready.
    pub async fn new(world: &'a World) -> Self {
        world.start_pod(Self::NAME, Self::NAME, "0").await;
        world
            .create(&deployment(Self::NAME, &AUTO, &pod_with_class(Self::NAME)))
            .await;
        Self { world, passed: 0 }
    }

    /// Returns when every change made before this call has been dealt with.
    pub async fn pass(&mut self) {
        self.passed += 1;
        self.world.rotate(Self::NAME, &self.passed.to_string()).await;
        self.world
            .wait_for_rollouts("deployments", Self::NAME, self.passed)
            .await;
    }
}
