//! The example application: the files in `deployments/kubernetes/nginx/`, and by what names its parts are known.
//!
//! I/O: none.

/// Where the example is applied: where `kubectl` looks unless told otherwise.
pub const NAMESPACE: &str = "default";

/// A workload of the example. Its pods carry the label `app` with its name.
#[derive(Clone, Copy)]
pub struct Workload {
    /// `Deployment`, ...
    pub kind: &'static str,
    /// `deployments`, ..., as the audit log names it.
    pub resource: &'static str,
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
    name: "nginx",
};
/// Restarted by whatever it uses.
pub const REDIS: Workload = Workload {
    kind: "StatefulSet",
    resource: "statefulsets",
    name: "redis",
};
/// Restarted by what it uses, if that is marked.
pub const LOG_SHIPPER: Workload = Workload {
    kind: "DaemonSet",
    resource: "daemonsets",
    name: "log-shipper",
};
/// All three.
pub const WORKLOADS: [Workload; 3] = [NGINX, REDIS, LOG_SHIPPER];

/// Mounted into nginx as files.
pub const NGINX_MAP: Source = Source {
    kind: "ConfigMap",
    resource: "configmaps",
    name: "nginx-map",
    key: "default.conf",
};
/// An environment variable of redis.
pub const REDIS_PASSWORD: Source = Source {
    kind: "Secret",
    resource: "secrets",
    name: "redis-password",
    key: "password",
};
/// Mounted into the log shipper as files; marked.
pub const LOG_SHIPPER_MAP: Source = Source {
    kind: "ConfigMap",
    resource: "configmaps",
    name: "log-shipper",
    key: "fluent-bit.conf",
};
