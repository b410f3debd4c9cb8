//! One release of the chart on a control plane: its namespaces, its permissions, its replicas.
//!
//! Input: a profile of `charts/reloader/ci`. Output: [`Mode`]. I/O: runs Helm, starts a control plane and replicas.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, Client, api::PostParams};
use reloader::config::{Config, Scope};
use serde_json::{Value, json};
use testbed::{
    ControlPlane, Entry, Replica,
    binaries::Component,
    eventually, free_port, http_get,
    proxy::{Fault, Proxy, Rule},
};
use tokio::{runtime::Runtime, sync::OnceCell};

use super::{
    PROFILES,
    grants::{Grant, granted},
    workloads::{definitions, restarted, sources, workload},
};
use crate::{
    admission::apply,
    helm::{chart, in_repository, only, render_release},
    program::{arguments, settings, variables},
};

/// How long anything may take that should be quick; a wait ends as soon as what it waits for is there.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// What makes an object part of the grant.
const GRANT: [&str; 5] = [
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// One runtime for all tests, so that clients of the shared control plane outlive the test that made them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static CONTROL_PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// Runs a test body.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The control plane that the modes share.
pub async fn shared_plane() -> &'static ControlPlane {
    CONTROL_PLANE
        .get_or_init(async || ControlPlane::start().await.unwrap())
        .await
}

/// A mode of the program under the permissions that the chart grants for it.
pub struct Mode {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub config: Config,
    /// The namespaces that are watched.
    pub namespaces: Vec<String>,
    /// The namespace that the program runs in.
    pub own: String,
    /// Who the program is to the API server.
    pub user: String,
    pub grants: BTreeSet<Grant>,
    /// Between the program and the API server.
    pub proxy: Proxy,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    kubeconfig: PathBuf,
}

impl Mode {
    /// Applies a profile's permissions, and makes sources and workloads. `further` are arguments of Helm.
    pub async fn of(profile: &str, further: &[&str]) -> Self {
        let plane = shared_plane().await;
        Self::with(plane, profile, (profile, further), |_| {}).await
    }

    /// As [`Self::of`], under another name, with objects that something was done to.
    pub async fn with(
        plane: &'static ControlPlane,
        profile: &str,
        (name, further): (&str, &[&str]),
        change: impl Fn(&mut Value),
    ) -> Self {
        let values = in_repository(&format!("charts/reloader/ci/{profile}-values.yaml"));
        // The shared control plane serves them, as OpenShift does.
        let fixed = [
            "--values",
            values.to_str().unwrap(),
            "--api-versions=apps.openshift.io/v1",
        ];
        let helm = [&fixed[..], further].concat();
        let mut objects = render_release(Component::Helm, &chart(), (name, name), &helm);
        objects.iter_mut().for_each(change);
        let reloader = only(&objects, "Deployment");
        let pod = &reloader["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().unwrap();
        let own = reloader["metadata"]["namespace"].as_str().unwrap().to_owned();
        let config = settings(reloader, profile);
        let mut arguments = arguments(reloader);
        let namespaces = match &config.scope {
            Scope::Namespaces(names) => names.clone(),
            Scope::All => {
                arguments.push(format!("--namespaces-to-ignore={}", others(profile)));
                vec![format!("{profile}-apps")]
            }
        };
        let mode = Self {
            plane,
            client: plane.admin(),
            grants: granted(&objects),
            user: format!("system:serviceaccount:{own}:{account}"),
            proxy: plane.proxy().await.unwrap(),
            kubeconfig: PathBuf::new(),
            arguments,
            // The receiver of alerts grants no permissions.
            variables: variables(reloader)
                .into_iter()
                .filter(|(name, _)| !name.starts_with("ALERT_"))
                .collect(),
            config,
            namespaces,
            own,
        };
        mode.set_up(&objects).await;
        let direct = plane
            .kubeconfig_for_service_account(&mode.own, account)
            .await
            .unwrap();
        Self {
            kubeconfig: mode.proxy.kubeconfig(&direct).unwrap(),
            ..mode
        }
    }

    async fn set_up(&self, objects: &[Value]) {
        let labels = json!({ "team": "shop", "tier": "web" });
        for name in self.namespaces.iter().chain([&self.own]) {
            let metadata = json!({ "name": name, "labels": labels });
            self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
                .await;
        }
        for definition in definitions(&self.config) {
            self.apply(&definition).await;
        }
        let is_grant = |object: &&Value| GRANT.iter().any(|kind| object["kind"] == *kind);
        for object in objects.iter().filter(is_grant) {
            self.apply(object).await;
        }
        for namespace in &self.namespaces {
            for source in sources(&self.config, namespace, 0) {
                self.apply(&source).await;
            }
            for kind in restarted(&self.config) {
                self.apply(&workload(&self.config, kind, namespace)).await;
            }
        }
        for grant in &self.grants {
            self.wait_until_allowed(grant).await;
        }
    }

    /// Applies an object, as soon as its kind is served.
    pub async fn apply(&self, object: &Value) {
        let applied = eventually(PATIENCE, "an object to be applied", async || {
            apply(&self.client, object).await.map(Some)
        });
        applied
            .await
            .unwrap_or_else(|error| panic!("{error}\n{object:#}"));
    }

    /// The API server learns of roles by watching them.
    async fn wait_until_allowed(&self, grant: &Grant) {
        let review: SubjectAccessReview = serde_json::from_value(json!({
            "spec": { "user": self.user, "resourceAttributes": {
                "namespace": grant.namespace.as_deref().unwrap_or_default(), "group": grant.group,
                "resource": grant.resource, "verb": grant.verb, "name": grant.name,
            } },
        }))
        .unwrap();
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        eventually(PATIENCE, &format!("{grant} to be allowed"), async || {
            let answer = reviews.create(&PostParams::default(), &review).await;
            answer.map(|answer| answer.status.filter(|status| status.allowed).map(drop))
        })
        .await
        .unwrap();
    }

    /// What happens now and then, happens at once: lists instead of streamed ones, which an API server before 1.32
    /// answers like this, and in each namespace a write of another client between the decision about a workload and its
    /// patch.
    pub fn provoke(&self) {
        let refused = |code| Fault::Status {
            code,
            retry_after: None,
        };
        let streamed = Rule::new(refused(422)).when(|head| head.query.contains("sendInitialEvents=true"));
        let _ = self.proxy.add(streamed);
        for namespace in &self.namespaces {
            for kind in restarted(&self.config) {
                let path = format!("/namespaces/{namespace}/{}/", kind.plural());
                let conflict = Rule::new(refused(409)).method("PATCH").path(path).times(1);
                let _ = self.proxy.add(conflict);
            }
        }
    }

    /// Starts a replica.
    pub fn launch(&self, name: &str) -> (Replica, u16) {
        let port = free_port().unwrap();
        let builder = Replica::builder(env!("CARGO_BIN_EXE_reloader"))
            .name(format!("{}-{name}", self.own))
            .kubeconfig(&self.kubeconfig)
            .args(&self.arguments)
            .arg("--inspect-address=")
            .arg(format!("--listen-address=127.0.0.1:{port}"));
        let builder = self
            .variables
            .iter()
            .fold(builder, |builder, (name, value)| builder.env(name, value));
        let builder = builder.env("POD_NAME", name);
        (builder.start().unwrap(), port)
    }

    /// Starts a replica and waits until it is ready.
    pub async fn start(&self, name: &str) -> Replica {
        let (replica, port) = self.launch(name);
        let ready = eventually(PATIENCE, "the replica to be ready", async || {
            match http_get(port, "/ready").await {
                Ok((200, _)) => Ok(Some(())),
                _ => Err(replica.log()),
            }
        });
        ready
            .await
            .unwrap_or_else(|error| panic!("{error}\nrefused: {:#?}", self.refused()));
        replica
    }

    /// The program's requests that RBAC has refused.
    pub fn refused(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        let refused = requests.filter(|request| request.code == 403);
        refused
            .map(|request| format!("{} {}", request.verb, request.uri))
            .collect()
    }

    /// The program's requests so far, each once.
    pub fn requests(&self) -> Vec<Arc<Entry>> {
        let mut seen = BTreeSet::new();
        let mut requests = self
            .plane
            .audit()
            .matching(|entry| entry.user == self.user)
            .unwrap();
        requests.retain(|entry| seen.insert(entry.audit_id.clone()));
        requests
    }
}

/// The namespaces that the other profiles work in, whose tests may run at the same time.
fn others(profile: &str) -> String {
    let fixed = ["shop", "payments", "elsewhere"].map(str::to_owned);
    let profiles = PROFILES.iter().filter(|other| **other != profile);
    let names = profiles.flat_map(|other| [(*other).to_owned(), format!("{other}-apps")]);
    names.chain(fixed).collect::<Vec<_>>().join(",")
}
