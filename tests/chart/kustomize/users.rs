//! Kustomizations as users of Stakater Reloader's base write them. Output: what they build. I/O: runs kustomize.

use serde_json::{Value, json};

use super::{build_with_warnings, relative};

/// Kind, name, JSON pointer, and what is there.
pub type Expected = (&'static str, &'static str, &'static str, Value);

/// A user's folder. `BASE` stands for the base.
#[derive(Default)]
pub struct User {
    pub name: &'static str,
    kustomization: &'static str,
    files: &'static [(&'static str, &'static str)],
    pub expected: Vec<Expected>,
    /// The kinds that are in neither base.
    pub own: &'static [&'static str],
    /// The kinds that it deletes.
    pub deleted: &'static [&'static str],
}

impl User {
    pub fn build(&self, base: &str) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let base = relative(folder.path(), base);
        write(
            "kustomization.yaml",
            &self.kustomization.replace("BASE", base.to_str().unwrap()),
        );
        for (file, text) in self.files {
            write(file, text);
        }
        let (objects, warnings) = build_with_warnings(folder.path());
        // Old keys of a user's own are not ours to change.
        for warning in warnings.lines() {
            assert!(
                warning.contains("deprecated") || warning.contains("kustomize edit fix"),
                "{}: {warning}",
                self.name
            );
        }
        objects
    }
}

const DEPLOYMENT: &str = "reloader-reloader";
const NAMESPACE_FILE: (&str, &str) = (
    "namespace.yaml",
    "apiVersion: v1\nkind: Namespace\nmetadata: { name: tooling, labels: { team: platform } }\n",
);

fn at(kind: &'static str, name: &'static str, pointer: &'static str, value: Value) -> Expected {
    (kind, name, pointer, value)
}

/// Every namespaced object in a namespace, and the bindings with their subject in it.
fn placed(namespace: &'static str) -> Vec<Expected> {
    let mut expected: Vec<Expected> = [
        ("ServiceAccount", "reloader-reloader"),
        ("Role", "reloader-reloader-metadata-role"),
        ("RoleBinding", "reloader-reloader-metadata-rolebinding"),
        ("Deployment", "reloader-reloader"),
    ]
    .map(|(kind, name)| at(kind, name, "/metadata/namespace", json!(namespace)))
    .into();
    for (kind, name) in [
        ("RoleBinding", "reloader-reloader-metadata-rolebinding"),
        ("ClusterRoleBinding", "reloader-reloader-role-binding"),
    ] {
        expected.push(at(kind, name, "/subjects/0/namespace", json!(namespace)));
    }
    expected
}

fn namespaces() -> Vec<User> {
    let own_namespace = |name, kustomization| User {
        name,
        kustomization,
        files: &[NAMESPACE_FILE],
        expected: [
            placed("tooling"),
            vec![
                at(
                    "Namespace",
                    "tooling",
                    "/metadata/labels",
                    json!({ "team": "platform" }),
                ),
                at("Namespace", "tooling", "/metadata/annotations", Value::Null),
            ],
        ]
        .concat(),
        own: &["Namespace"],
        ..User::default()
    };
    vec![
        User {
            name: "the base alone",
            kustomization: "resources: [BASE]",
            expected: placed("default"),
            ..User::default()
        },
        User {
            name: "another namespace",
            kustomization: "resources: [BASE]\nnamespace: kube-system",
            expected: placed("kube-system"),
            ..User::default()
        },
        own_namespace(
            "its namespace first",
            "resources: [namespace.yaml, BASE]\nnamespace: tooling",
        ),
        own_namespace(
            "its namespace last, an old key for the base",
            "bases: [BASE]\nresources: [namespace.yaml]\nnamespace: tooling",
        ),
    ]
}

fn patches_of_the_deployment() -> Vec<User> {
    vec![
        User {
            name: "patches by index",
            kustomization: r#"
resources: [BASE]
namespace: kube-system
patches:
  - target: { kind: Deployment, name: reloader-reloader }
    patch: |
      - { op: replace, path: /spec/template/spec/containers/0/resources, value: { limits: { memory: 1Gi } } }
      - { op: replace, path: /spec/template/spec/containers/0/image, value: "registry.example/reloader:1" }
      - { op: add, path: /spec/template/spec/containers/0/args, value: ["--auto-reload-all=true"] }
      - { op: add, path: /spec/template/spec/containers/0/env/-, value: { name: ALERT_SINK, value: slack } }
      - { op: replace, path: /spec/template/spec/containers/0/resources/limits/memory, value: 2Gi }
"#,
            expected: vec![
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/template/spec/containers/0/resources",
                    json!({ "limits": { "memory": "2Gi" } }),
                ),
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/template/spec/containers/0/image",
                    json!("registry.example/reloader:1"),
                ),
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/template/spec/containers/0/args",
                    json!(["--auto-reload-all=true"]),
                ),
            ],
            ..User::default()
        },
        User {
            name: "single values by index, in a file",
            kustomization: r"
resources: [BASE]
patches:
  - path: patch.yaml
    target: { group: apps, version: v1, kind: Deployment, name: reloader-reloader }
",
            files: &[(
                "patch.yaml",
                r"
- { op: replace, path: /spec/replicas, value: 2 }
- { op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 50m }
- { op: replace, path: /spec/template/spec/containers/0/resources/requests/memory, value: 100Mi }
- { op: replace, path: /spec/template/spec/containers/0/livenessProbe/initialDelaySeconds, value: 30 }
- { op: replace, path: /spec/template/spec/containers/0/securityContext, value: { allowPrivilegeEscalation: false } }
- { op: remove, path: /spec/template/spec/containers/0/resources/limits }
- { op: replace, path: /spec/revisionHistoryLimit, value: 5 }
",
            )],
            expected: vec![
                at("Deployment", DEPLOYMENT, "/spec/replicas", json!(2)),
                at("Deployment", DEPLOYMENT, "/spec/revisionHistoryLimit", json!(5)),
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/template/spec/containers/0/resources",
                    json!({ "requests": { "cpu": "50m", "memory": "100Mi" } }),
                ),
            ],
            ..User::default()
        },
        User {
            name: "a patch by the container's name, without a namespace",
            kustomization: "resources: [BASE]\nnamespace: kube-system\npatches: [{ path: patch.yaml }]",
            files: &[("patch.yaml", PATCH_BY_NAME)],
            expected: patched_by_name(),
            ..User::default()
        },
        User {
            name: "the same under an old key",
            kustomization: "bases: [BASE]\npatchesStrategicMerge: [patch.yaml]",
            files: &[("patch.yaml", PATCH_BY_NAME)],
            expected: patched_by_name(),
            ..User::default()
        },
        User {
            name: "the same, with the namespace of the base",
            kustomization: r"
resources: [BASE]
namespace: kube-system
patches:
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: reloader-reloader, namespace: default }
      spec: { replicas: 2 }
",
            expected: vec![at("Deployment", DEPLOYMENT, "/spec/replicas", json!(2))],
            ..User::default()
        },
        User {
            name: "fields that are null",
            kustomization: r"
resources: [BASE]
patches:
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: reloader-reloader }
      spec: { template: { spec: { securityContext: { runAsUser: null } } } }
",
            expected: vec![at(
                "Deployment",
                DEPLOYMENT,
                "/spec/template/spec/securityContext/runAsUser",
                Value::Null,
            )],
            ..User::default()
        },
        User {
            name: "images and replicas",
            kustomization: r"
resources: [BASE]
images:
  - { name: ghcr.io/stakater/reloader, newName: registry.example/reloader, newTag: '1' }
  - { name: reloader, newName: registry.example/reloader, newTag: '1' }
replicas: [{ name: reloader-reloader, count: 2 }]
",
            expected: vec![
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/template/spec/containers/0/image",
                    json!("registry.example/reloader:1"),
                ),
                at("Deployment", DEPLOYMENT, "/spec/replicas", json!(2)),
            ],
            ..User::default()
        },
    ]
}

const PATCH_BY_NAME: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: reloader-reloader
  annotations: { team: platform }
spec:
  template:
    spec:
      nodeSelector: { pool: system }
      tolerations: [{ key: system, operator: Exists }]
      priorityClassName: system-cluster-critical
      containers:
        - name: reloader-reloader
          args: ["--log-format=json", "--reload-strategy=annotations"]
          env: [{ name: KUBERNETES_NAMESPACE, value: shop }]
          securityContext: { readOnlyRootFilesystem: true }
"#;

fn patched_by_name() -> Vec<Expected> {
    let at = |pointer, value| at("Deployment", DEPLOYMENT, pointer, value);
    vec![
        at("/metadata/annotations", json!({ "team": "platform" })),
        at("/spec/template/spec/nodeSelector", json!({ "pool": "system" })),
        at(
            "/spec/template/spec/tolerations",
            json!([{ "key": "system", "operator": "Exists" }]),
        ),
        at(
            "/spec/template/spec/priorityClassName",
            json!("system-cluster-critical"),
        ),
        at(
            "/spec/template/spec/containers/0/args",
            json!(["--log-format=json", "--reload-strategy=annotations"]),
        ),
        at(
            "/spec/template/spec/containers/0/env/0",
            json!({ "name": "KUBERNETES_NAMESPACE", "value": "shop" }),
        ),
        at(
            "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
            json!(true),
        ),
        at("/spec/template/spec/containers/1", Value::Null),
    ]
}

fn names_and_labels() -> Vec<User> {
    let labelled = || {
        vec![
            at(
                "Deployment",
                DEPLOYMENT,
                "/metadata/labels/team",
                json!("platform"),
            ),
            at(
                "Deployment",
                DEPLOYMENT,
                "/spec/template/metadata/labels/team",
                json!("platform"),
            ),
            at(
                "Deployment",
                DEPLOYMENT,
                "/spec/selector/matchLabels",
                json!({ "app": "reloader-reloader", "team": "platform" }),
            ),
            at(
                "ClusterRole",
                "reloader-reloader-role",
                "/metadata/labels/team",
                json!("platform"),
            ),
        ]
    };
    vec![
        User {
            name: "labels under an old key",
            kustomization: "resources: [BASE]\ncommonLabels: { team: platform }\ncommonAnnotations: { on-call: someone }",
            expected: [
                labelled(),
                vec![at(
                    "ServiceAccount",
                    "reloader-reloader",
                    "/metadata/annotations",
                    json!({ "on-call": "someone" }),
                )],
            ]
            .concat(),
            ..User::default()
        },
        User {
            name: "labels in selectors",
            kustomization: "resources: [BASE]\nlabels: [{ pairs: { team: platform }, includeSelectors: true }]",
            expected: labelled(),
            ..User::default()
        },
        User {
            name: "labels of objects only",
            kustomization: "resources: [BASE]\nlabels: [{ pairs: { team: platform } }]",
            expected: vec![
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/metadata/labels/team",
                    json!("platform"),
                ),
                at(
                    "Deployment",
                    DEPLOYMENT,
                    "/spec/selector/matchLabels",
                    json!({ "app": "reloader-reloader" }),
                ),
            ],
            ..User::default()
        },
        User {
            name: "a prefix",
            kustomization: "resources: [BASE]\nnamespace: kube-system\nnamePrefix: acme-\nnameSuffix: -v1",
            expected: vec![
                at(
                    "Deployment",
                    "acme-reloader-reloader-v1",
                    "/spec/template/spec/serviceAccountName",
                    json!("acme-reloader-reloader-v1"),
                ),
                at(
                    "ClusterRoleBinding",
                    "acme-reloader-reloader-role-binding-v1",
                    "/roleRef/name",
                    json!("acme-reloader-reloader-role-v1"),
                ),
                at(
                    "ClusterRoleBinding",
                    "acme-reloader-reloader-role-binding-v1",
                    "/subjects/0/name",
                    json!("acme-reloader-reloader-v1"),
                ),
                at(
                    "ClusterRoleBinding",
                    "acme-reloader-reloader-role-binding-v1",
                    "/subjects/0/namespace",
                    json!("kube-system"),
                ),
                at(
                    "RoleBinding",
                    "acme-reloader-reloader-metadata-rolebinding-v1",
                    "/roleRef/name",
                    json!("acme-reloader-reloader-metadata-role-v1"),
                ),
                at(
                    "RoleBinding",
                    "acme-reloader-reloader-metadata-rolebinding-v1",
                    "/subjects/0/name",
                    json!("acme-reloader-reloader-v1"),
                ),
            ],
            ..User::default()
        },
    ]
}

fn patches_of_roles() -> Vec<User> {
    vec![
        User {
            name: "a rule more",
            kustomization: r"
resources: [BASE]
namespace: kube-system
patchesJson6902:
  - target: { group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole, name: reloader-reloader-role }
    patch: |
      - op: add
        path: /rules/0
        value: { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update] }
",
            expected: vec![at(
                "ClusterRole",
                "reloader-reloader-role",
                "/rules/0/resources",
                json!(["leases"]),
            )],
            ..User::default()
        },
        User {
            name: "other rules, and another subject",
            kustomization: r"
resources: [BASE]
patches:
  - patch: |
      apiVersion: rbac.authorization.k8s.io/v1
      kind: ClusterRole
      metadata: { name: reloader-reloader-role }
      rules: [{ apiGroups: [''], resources: [configmaps], verbs: [list, get, watch] }]
  - target: { kind: ClusterRoleBinding, name: reloader-reloader-role-binding }
    patch: |
      - { op: replace, path: /subjects/0/namespace, value: kube-system }
  - target: { kind: Role, name: reloader-reloader-metadata-role }
    patch: |
      - { op: replace, path: /metadata/namespace, value: kube-system }
",
            expected: vec![
                at(
                    "ClusterRole",
                    "reloader-reloader-role",
                    "/rules",
                    json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get", "watch"] }]),
                ),
                at(
                    "ClusterRoleBinding",
                    "reloader-reloader-role-binding",
                    "/subjects/0/namespace",
                    json!("kube-system"),
                ),
                at(
                    "Role",
                    "reloader-reloader-metadata-role",
                    "/metadata/namespace",
                    json!("kube-system"),
                ),
            ],
            ..User::default()
        },
        User {
            name: "without the cluster's roles",
            kustomization: r"
resources: [BASE]
namespace: kube-system
patches:
  - patch: |
      $patch: delete
      apiVersion: rbac.authorization.k8s.io/v1
      kind: ClusterRole
      metadata: { name: reloader-reloader-role }
  - patch: |
      $patch: delete
      apiVersion: rbac.authorization.k8s.io/v1
      kind: ClusterRoleBinding
      metadata: { name: reloader-reloader-role-binding }
",
            expected: vec![at(
                "Deployment",
                DEPLOYMENT,
                "/metadata/namespace",
                json!("kube-system"),
            )],
            deleted: &["ClusterRole", "ClusterRoleBinding"],
            ..User::default()
        },
    ]
}

pub fn users() -> Vec<User> {
    let users = [
        namespaces(),
        patches_of_the_deployment(),
        names_and_labels(),
        patches_of_roles(),
    ];
    users.into_iter().flatten().collect()
}
