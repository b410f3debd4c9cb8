//! The manifests that ship, applied to a test's namespace.

use k8s_openapi::api::{
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject},
};
use kube::{Api, Client, ResourceExt, api::PostParams, core::DynamicObject};

/// What ships.
const RBAC: &str = include_str!("../../../deployments/kubernetes/rbac.yaml");
/// What ships for Argo Rollouts: a further `ClusterRole` and its binding.
const ARGO_ROLLOUTS: &str = include_str!("../../../deployments/kubernetes/rbac-argo-rollouts.yaml");
/// The ServiceAccount's name in it.
pub const SERVICE_ACCOUNT: &str = "reloader-reloader";

/// The rules that ship, to be granted in one namespace only.
pub struct Shipped {
    /// Sources, workloads, Events: what is needed in every watched namespace.
    pub cluster_role: ClusterRole,
    /// What is needed in the controller's own namespace.
    pub role: Role,
}

impl Shipped {
    /// Reads them from the shipped files.
    pub fn read() -> Self {
        let documents = |text| -> Vec<DynamicObject> {
            serde_saphyr::from_multiple(text).expect("the shipped RBAC is YAML")
        };
        let (documents, further) = (documents(RBAC), documents(ARGO_ROLLOUTS));
        let of_kind = |documents: &[DynamicObject], kind: &str| {
            let is_kind =
                |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == kind);
            documents
                .iter()
                .find(is_kind)
                .cloned()
                .unwrap_or_else(|| panic!("no {kind} in the shipped RBAC"))
        };
        assert_eq!(of_kind(&documents, "ServiceAccount").name_any(), SERVICE_ACCOUNT);
        let cluster_role = |documents: &[DynamicObject]| -> ClusterRole {
            let object = of_kind(documents, "ClusterRole");
            object.try_parse().expect("a ClusterRole")
        };
        let (mut shipped, further) = (cluster_role(&documents), cluster_role(&further));
        let rules = shipped.rules.get_or_insert_default();
        rules.extend(further.rules.unwrap_or_default());
        Self {
            cluster_role: shipped,
            role: of_kind(&documents, "Role").try_parse().expect("a Role"),
        }
    }
}

/// Creates the namespace with a ServiceAccount that may do there what the shipped roles say, and nothing elsewhere.
pub async fn create_namespace(client: &Client, namespace: &str) {
    let post = PostParams::default();
    let mut object = Namespace::default();
    object.metadata.name = Some(namespace.to_owned());
    Api::all(client.clone())
        .create(&post, &object)
        .await
        .expect("a namespace");

    let mut account = ServiceAccount::default();
    account.metadata.name = Some(SERVICE_ACCOUNT.to_owned());
    Api::namespaced(client.clone(), namespace)
        .create(&post, &account)
        .await
        .expect("a ServiceAccount");

    let Shipped { cluster_role, role } = Shipped::read();
    grant(
        client,
        namespace,
        "watched",
        cluster_role.rules.unwrap_or_default(),
    )
    .await;
    grant(client, namespace, "own", role.rules.unwrap_or_default()).await;
}

/// Creates the shipped `ClusterRole`, for [`bind_cluster_role`].
pub async fn create_cluster_role(client: &Client) {
    Api::all(client.clone())
        .create(&PostParams::default(), &Shipped::read().cluster_role)
        .await
        .expect("a ClusterRole");
}

/// Grants the shipped `ClusterRole` to a user.
pub async fn bind_cluster_role(client: &Client, user: &str) {
    let mut binding = ClusterRoleBinding {
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: Shipped::read().cluster_role.name_any(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: user.to_owned(),
            ..Subject::default()
        }]),
        ..ClusterRoleBinding::default()
    };
    binding.metadata.name = Some(user.to_owned());
    Api::all(client.clone())
        .create(&PostParams::default(), &binding)
        .await
        .expect("a ClusterRoleBinding");
}

pub(super) async fn grant(
    client: &Client,
    namespace: &str,
    name: &str,
    rules: Vec<k8s_openapi::api::rbac::v1::PolicyRule>,
) {
    let post = PostParams::default();
    let mut role = Role {
        rules: Some(rules),
        ..Role::default()
    };
    role.metadata.name = Some(name.to_owned());
    Api::namespaced(client.clone(), namespace)
        .create(&post, &role)
        .await
        .expect("a Role");
    let mut binding = RoleBinding {
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "Role".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: SERVICE_ACCOUNT.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Subject::default()
        }]),
        ..RoleBinding::default()
    };
    binding.metadata.name = Some(name.to_owned());
    Api::namespaced(client.clone(), namespace)
        .create(&post, &binding)
        .await
        .expect("a RoleBinding");
}

impl super::World {
    /// Replaces one of the two sets of rules.
    pub async fn replace_rules(&self, name: &str, rules: serde_json::Value) {
        let patch = kube::api::Patch::Merge(serde_json::json!({ "rules": rules }));
        let api = self.api::<Role>();
        api.patch(name, &kube::api::PatchParams::default(), &patch)
            .await
            .expect("the Role changes");
    }

    /// Takes one of the two sets of rules away: `watched` (sources, workloads, Events) or `own` (lease, ledger).
    pub async fn revoke(&self, name: &str) {
        let api = self.api::<RoleBinding>();
        api.delete(name, &kube::api::DeleteParams::default())
            .await
            .expect("the RoleBinding is deleted");
    }
}
