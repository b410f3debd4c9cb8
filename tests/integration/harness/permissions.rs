//! Permissions given and taken while controllers run.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, Subject},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::eventually;

use super::{
    PATIENCE, World,
    manifests::{self, SERVICE_ACCOUNT},
};

/// What the shipped role grants on workloads.
pub const SHIPPED: [&str; 4] = ["get", "list", "watch", "patch"];

impl World {
    /// Lets the namespace's `ServiceAccount` do exactly this with a kind of workload ("statefulsets"). Returns when the
    /// API server goes by it.
    pub async fn permit(&self, resource: &str, verbs: &[&str]) {
        let api = self.api::<Role>();
        let mut role = api.get("watched").await.expect("the Role");
        let rules = role.rules.get_or_insert_default();
        for rule in rules.iter_mut() {
            if let Some(resources) = &mut rule.resources {
                resources.retain(|other| other != resource);
            }
        }
        rules.retain(|rule| {
            rule.resources
                .as_ref()
                .is_none_or(|resources| !resources.is_empty())
        });
        if !verbs.is_empty() {
            rules.push(PolicyRule {
                api_groups: Some(vec!["apps".to_owned()]),
                resources: Some(vec![resource.to_owned()]),
                verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
                ..PolicyRule::default()
            });
        }
        api.replace("watched", &PostParams::default(), &role)
            .await
            .expect("the Role changes");
        for verb in SHIPPED {
            let what = format!("{verb} {resource} to be as the Role says");
            let wanted = verbs.contains(&verb);
            eventually(PATIENCE, &what, async || {
                (self.may(verb, resource).await == wanted).then_some(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    async fn may(&self, verb: &str, resource: &str) -> bool {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(self.user()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("apps".to_owned()),
                    namespace: Some(self.namespace.clone()),
                    resource: Some(resource.to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = Api::<SubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .expect("an answer");
        answer.status.is_some_and(|status| status.allowed)
    }

    /// Lets another namespace's controllers do here what its own may: `watched` (sources, workloads, Events) or `own`
    /// (lease, ledger).
    pub async fn admit(&self, other: &World, role: &str) {
        let api = self.api::<RoleBinding>();
        let mut binding = api.get(role).await.expect("the RoleBinding");
        binding.subjects.get_or_insert_default().push(Subject {
            kind: "ServiceAccount".to_owned(),
            name: SERVICE_ACCOUNT.to_owned(),
            namespace: Some(other.namespace.clone()),
            ..Subject::default()
        });
        api.replace(role, &PostParams::default(), &binding)
            .await
            .expect("the RoleBinding changes");
    }

    /// Lets the namespace's `ServiceAccount` do in all namespaces what the shipped role says. For control planes of the
    /// test's own.
    pub async fn permit_everywhere(&self) {
        manifests::create_cluster_role(&self.client).await;
        manifests::bind_cluster_role(&self.client, &self.user()).await;
    }

    /// Adds to the shipped `ClusterRole` what `--namespace-selector` needs.
    pub async fn permit_namespaces(&self) {
        let api = Api::<ClusterRole>::all(self.client.clone());
        let mut role = manifests::Shipped::read().cluster_role;
        role.rules.get_or_insert_default().push(PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["namespaces".to_owned()]),
            verbs: vec!["list".to_owned(), "watch".to_owned()],
            ..PolicyRule::default()
        });
        let patch = Patch::Merge(json!({ "rules": role.rules }));
        api.patch(&role.name_any(), &PatchParams::default(), &patch)
            .await
            .expect("the ClusterRole changes");
    }
}
