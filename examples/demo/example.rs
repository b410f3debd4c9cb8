//! What is applied: the example application of `deployments/kubernetes/nginx/`, and many small applications beside it.
//!
//! Output: manifests, and by what names their parts are known. I/O: none.

use std::sync::LazyLock;

/// Where the example is applied: where `kubectl` looks unless told otherwise.
pub const NAMESPACE: &str = "default";

/// A workload of the example. Its pods carry the label `app` with its name.
#[derive(Clone, Copy)]
pub struct Workload {
    /// `Deployment`, ...
    pub kind: &'static str,
    /// `deployments`, ..., as the audit log names it.
    pub resource: &'static str,
    /// Where it is.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
}

/// A source of the example, whose one value is the demo's to change.
#[derive(Clone, Copy)]
pub struct Source {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// `configmaps` or `secrets`, as the audit log names it.
    pub resource: &'static str,
    /// Where it is.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The key that is edited.
    pub key: &'static str,
}

/// The example's files, as they ship, with what each wants.
pub const FILES: [(&str, &str, &str); 3] = [
    (
        "nginx.yaml",
        include_str!("../../deployments/kubernetes/nginx/nginx.yaml"),
        "Deployment nginx names ConfigMap nginx-map",
    ),
    (
        "redis.yaml",
        include_str!("../../deployments/kubernetes/nginx/redis.yaml"),
        "StatefulSet redis wants restarts for whatever it uses (auto)",
    ),
    (
        "log-shipper.yaml",
        include_str!("../../deployments/kubernetes/nginx/log-shipper.yaml"),
        "DaemonSet log-shipper looks for marked sources (search)",
    ),
];

/// Restarted by the ConfigMap that it names.
pub const NGINX: Workload = Workload {
    kind: "Deployment",
    resource: "deployments",
    namespace: NAMESPACE,
    name: "nginx",
};
/// Restarted by whatever it uses.
pub const REDIS: Workload = Workload {
    kind: "StatefulSet",
    resource: "statefulsets",
    namespace: NAMESPACE,
    name: "redis",
};
/// Restarted by what it uses, if that is marked.
pub const LOG_SHIPPER: Workload = Workload {
    kind: "DaemonSet",
    resource: "daemonsets",
    namespace: NAMESPACE,
    name: "log-shipper",
};
/// All three.
pub const WORKLOADS: [Workload; 3] = [NGINX, REDIS, LOG_SHIPPER];

/// Mounted into nginx as files.
pub const NGINX_MAP: Source = Source {
    kind: "ConfigMap",
    resource: "configmaps",
    namespace: NAMESPACE,
    name: "nginx-map",
    key: "default.conf",
};
/// An environment variable of redis.
pub const REDIS_PASSWORD: Source = Source {
    kind: "Secret",
    resource: "secrets",
    namespace: NAMESPACE,
    name: "redis-password",
    key: "password",
};
/// Mounted into the log shipper as files; marked.
pub const LOG_SHIPPER_MAP: Source = Source {
    kind: "ConfigMap",
    resource: "configmaps",
    namespace: NAMESPACE,
    name: "log-shipper",
    key: "fluent-bit.conf",
};

/// Where the small applications are.
pub const APPS_NAMESPACE: &str = "apps";
/// How many there are.
pub const APPS: usize = 30;
/// The value of an application's ConfigMap to begin with.
const APP_VALUE: &str = "red";
/// What it is changed to.
pub const APP_NEW_VALUE: &str = "blue";
/// The digest of that: `printf %s colour=blue | sha1sum`.
pub const APP_NEW_DIGEST: &str = "10945c6596918ed811b4290038230edd4ca06f11";

static APP_NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| (1..=APPS).map(|number| format!("app-{number:02}")).collect());

/// A Deployment of one pod and the ConfigMap of its environment, both of one name.
#[derive(Clone, Copy)]
pub struct App {
    /// Restarted by whatever it uses.
    pub workload: Workload,
    /// An environment variable of its pod.
    pub source: Source,
}

impl App {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        APP_NAMES.iter().map(|name| Self {
            workload: Workload {
                kind: "Deployment",
                resource: "deployments",
                namespace: APPS_NAMESPACE,
                name,
            },
            source: Source {
                kind: "ConfigMap",
                resource: "configmaps",
                namespace: APPS_NAMESPACE,
                name,
                key: "colour",
            },
        })
    }

    /// Its manifest.
    pub fn yaml(self) -> String {
        let name = self.workload.name;
        format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: {APPS_NAMESPACE}}}
data: {{colour: {APP_VALUE}}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {APPS_NAMESPACE}
  annotations: {{reloader.stakater.com/auto: "true"}}
spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
      - name: app
        image: nginx:1.29-alpine
        envFrom:
        - configMapRef: {{name: {name}}}
"#
        )
    }
}
