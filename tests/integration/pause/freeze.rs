//! An admission policy under which a Deployment keeps its pod template.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apps::v1::Deployment,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::eventually;

use crate::harness::{PATIENCE, World, objects::from};

/// How many there were, for their names: policies belong to no namespace.
static FREEZES: AtomicUsize = AtomicUsize::new(0);

/// Refuses every change of the pod template of `web`.
pub struct Freeze {
    name: String,
}

impl Freeze {
    /// Returns when it is in force.
    pub async fn begin(world: &World) -> Self {
        let name = format!("{}-{}", world.namespace, FREEZES.fetch_add(1, Ordering::Relaxed));
        let rule = json!({
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["deployments"], "resourceNames": ["web"],
        });
        let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
        let unchanged = json!({
            "expression": "object.spec.template == oldObject.spec.template", "message": "frozen for the test",
        });
        let policy = from(json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "namespaceSelector": namespace, "resourceRules": [rule] },
                "validations": [unchanged],
            },
        }));
        let binding = from(json!({
            "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"] },
        }));
        let post = PostParams::default();
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
        policies.create(&post, &policy).await.expect("a policy");
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
        bindings.create(&post, &binding).await.expect("a binding");
        let freeze = Self { name };
        freeze.wait(world, true).await;
        freeze
    }

    /// Returns when it is no longer in force.
    pub async fn end(self, world: &World) {
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
        let delete = DeleteParams::default();
        bindings.delete(&self.name, &delete).await.expect("it was there");
        self.wait(world, false).await;
    }

    async fn wait(&self, world: &World, in_force: bool) {
        let api = world.api::<Deployment>();
        let params = PatchParams::default().dry_run();
        let template = json!({ "metadata": { "labels": { "try": "again" } } });
        let body = Patch::Merge(json!({ "spec": { "template": template } }));
        let waited = eventually(PATIENCE, "the policy", async || {
            let tried = api.patch("web", &params, &body).await;
            (tried.is_err() == in_force).then_some(())
        });
        waited
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}
