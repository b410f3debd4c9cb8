//! Runs the built program as a user would.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::harness::{World, objects::from};

/// Longer than any verb takes, a busy machine included.
const LIMIT: Duration = Duration::from_mins(2);

/// The user that [`World::reader`] makes.
const READER: &str = "reader";

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The JSON on standard output.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The command, with no environment but this: of the controller's variables one that it could not start with.
pub fn command(kubeconfig: Option<&Path>, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reloader"));
    command
        .args(args)
        .env_clear()
        .env("RELOADER_WORKERS", "many")
        .env("HOME", "/nonexistent")
        .kill_on_drop(true)
        .stdin(Stdio::null());
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    command
}

/// Runs a verb to its end.
pub async fn verb(kubeconfig: Option<&Path>, args: &[&str]) -> Ended {
    let run = command(kubeconfig, args).output();
    let output = timeout(LIMIT, run)
        .await
        .unwrap_or_else(|_| panic!("{args:?} did not end"));
    let output = output.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl World {
    /// A kubeconfig of a user who may do in this namespace what these rules say, and nothing elsewhere.
    pub async fn reader(&self, rules: Value) -> PathBuf {
        self.create::<ServiceAccount>(&from(json!({ "metadata": { "name": READER } })))
            .await;
        self.create::<Role>(&from(json!({ "metadata": { "name": READER }, "rules": rules })))
            .await;
        let binding = json!({
            "metadata": { "name": READER },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": READER },
            "subjects": [{ "kind": "ServiceAccount", "name": READER, "namespace": self.namespace }],
        });
        self.create::<RoleBinding>(&from(binding)).await;
        self.plane
            .kubeconfig_for_service_account(&self.namespace, READER)
            .await
            .expect("a kubeconfig")
    }
}

/// Reads workloads and their revisions.
pub fn reads_workloads() -> Value {
    let apps = [
        "deployments",
        "statefulsets",
        "daemonsets",
        "replicasets",
        "controllerrevisions",
    ];
    json!({ "apiGroups": ["apps"], "resources": apps, "verbs": ["get", "list"] })
}

/// Reads ConfigMaps, and no Secrets.
pub fn reads_config_maps() -> Value {
    json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] })
}
