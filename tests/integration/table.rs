//! Every kind of workload, every kind of source, every way to ask for it, both strategies, under the roles that ship and
//! under upstream's: one change is one restart.

use std::sync::Arc;

use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::OwnerReference};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::{Entry, Stage, eventually};

use crate::{
    harness::{
        PATIENCE, World,
        csi::{self, pod_with_class},
        kinds::{ROLLOUT, cron_job, job},
        objects::{daemon_set, deployment, plain_pod, stateful_set, workload},
        run,
        sentinel::Sentinel,
        sources::SourceType,
        usage::Usage,
    },
    upstream_rbac,
};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Rollout,
    CronJob,
    Job,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Rollout,
        Self::CronJob,
        Self::Job,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Plain(SourceType),
    /// A SecretProviderClass of the CSI driver, with one pod.
    Class,
}

/// How a workload asks to be restarted for a source.
#[derive(Clone, Copy, Debug)]
enum Reference {
    /// By `auto`, and its pods use it this way.
    Auto(Usage),
    /// By a list of names; its pods do not use it.
    Named,
    /// By `search`; the source says `match`.
    Search,
}

/// What happens to a source.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    Update,
    /// Deleted, and created with other content.
    Recreation,
}

#[derive(Clone, Copy, Debug)]
enum Roles {
    Shipped,
    Upstreams,
}

impl Roles {
    /// Those who use Argo Rollouts or the CSI driver add these rules to what ships, as upstream's chart does.
    async fn grant(self, world: &World) {
        let rollouts = |verbs: &[&str]| json!({ "apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": verbs });
        match self {
            Self::Shipped => {
                world
                    .permit_also(rollouts(&["get", "list", "watch", "patch"]))
                    .await;
                world.grant_csi().await;
            }
            Self::Upstreams => {
                let mut rules = upstream_rbac::watched();
                let rules_of_flags = [
                    rollouts(&["list", "get", "update", "patch"]),
                    json!({
                        "apiGroups": ["secrets-store.csi.x-k8s.io"],
                        "resources": ["secretproviderclasspodstatuses", "secretproviderclasses"],
                        "verbs": ["list", "get", "watch"],
                    }),
                ];
                rules.as_array_mut().expect("a list").extend(rules_of_flags);
                world.replace_rules("watched", rules).await;
                world.replace_rules("own", upstream_rbac::own()).await;
            }
        }
    }
}

/// One workload with a source of its own; both have the same name.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    source: Source,
    reference: Reference,
}

impl Case {
    /// The cases in which that can happen.
    fn all(trigger: Trigger) -> Vec<Self> {
        let mut cases = Vec::new();
        for kind in Kind::ALL {
            for source in SourceType::ALL.map(Source::Plain) {
                let auto = Usage::ALL.map(Reference::Auto);
                for reference in auto.into_iter().chain([Reference::Named, Reference::Search]) {
                    cases.push(Self {
                        kind,
                        source,
                        reference,
                    });
                }
            }
            if matches!(trigger, Trigger::Update) {
                for reference in [Reference::Auto(Usage::Volume), Reference::Named] {
                    let source = Source::Class;
                    cases.push(Self {
                        kind,
                        source,
                        reference,
                    });
                }
            }
        }
        cases
    }

    fn name(self) -> String {
        let source = match self.source {
            Source::Plain(source) => source.word(),
            Source::Class => "class",
        };
        let reference = match self.reference {
            Reference::Auto(usage) => format!("{usage:?}"),
            other => format!("{other:?}"),
        };
        format!("{:?}-{source}-{reference}", self.kind).to_lowercase()
    }

    fn pod(self) -> Value {
        match (self.reference, self.source) {
            (Reference::Named, _) => plain_pod(),
            (_, Source::Class) => pod_with_class(&self.name()),
            (Reference::Auto(usage), Source::Plain(source)) => usage.pod(source, &self.name()),
            (Reference::Search, Source::Plain(source)) => Usage::EnvFrom.pod(source, &self.name()),
        }
    }

    async fn create(self, world: &World) {
        let name = self.name();
        self.create_source(world, "before").await;
        let list = match self.source {
            Source::Plain(source) => format!("{}.reloader.stakater.com/reload", source.word()),
            Source::Class => "secretproviderclass.reloader.stakater.com/reload".to_owned(),
        };
        let annotation = match self.reference {
            Reference::Auto(_) => ("reloader.stakater.com/auto", "true"),
            Reference::Named => (list.as_str(), name.as_str()),
            Reference::Search => ("reloader.stakater.com/search", "true"),
        };
        let (annotations, pod) = ([annotation], self.pod());
        match self.kind {
            Kind::Deployment => drop(world.create(&deployment(&name, &annotations, &pod)).await),
            Kind::StatefulSet => drop(world.create(&stateful_set(&name, &annotations, &pod)).await),
            Kind::DaemonSet => drop(world.create(&daemon_set(&name, &annotations, &pod)).await),
            Kind::CronJob => drop(world.create(&cron_job(&name, &annotations, &pod)).await),
            Kind::Job => drop(world.create(&job(&name, &annotations, &pod)).await),
            Kind::Rollout => {
                let object = workload(&name, &annotations, &[], &pod);
                world.create_custom(ROLLOUT, object).await;
            }
        }
    }

    async fn create_source(self, world: &World, content: &str) {
        let name = self.name();
        let annotations: &[(&str, &str)] = match self.reference {
            Reference::Search => &[("reloader.stakater.com/match", "true")],
            Reference::Auto(_) | Reference::Named => &[],
        };
        match self.source {
            Source::Plain(source) => world.create_source(source, &name, annotations, content).await,
            Source::Class => world.start_pod(&name, &name, content).await,
        }
    }

    async fn pull(self, trigger: Trigger, world: &World) {
        let name = self.name();
        match (self.source, trigger) {
            (Source::Class, _) => world.rotate(&name, "after").await,
            (Source::Plain(source), Trigger::Update) => world.change_source(source, &name, "after").await,
            (Source::Plain(source), Trigger::Recreation) => {
                world.delete_source(source, &name).await;
                self.create_source(world, "after").await;
            }
        }
    }

    /// How often the workload was restarted so far, whatever that means for its kind.
    fn restarts(self, state: &State) -> usize {
        let name = self.name();
        match self.kind {
            Kind::Deployment => state.writes("patch", "deployments", &name),
            Kind::StatefulSet => state.writes("patch", "statefulsets", &name),
            Kind::DaemonSet => state.writes("patch", "daemonsets", &name),
            Kind::Rollout => state.writes("patch", "rollouts", &name),
            Kind::CronJob => {
                let is_owner = |owner: &OwnerReference| owner.name == name;
                let runs = state
                    .jobs
                    .iter()
                    .filter(|job| job.metadata.owner_references.iter().flatten().any(is_owner));
                runs.count()
            }
            // Between the two steps it is not restarted yet.
            Kind::Job
                if state
                    .jobs
                    .iter()
                    .all(|job| job.metadata.name.as_ref() != Some(&name)) =>
            {
                0
            }
            Kind::Job => state.writes("delete", "jobs", &name),
        }
    }
}

/// What the controller has done in the namespace so far. Read at once: the audit log is that of every test.
struct State {
    writes: Vec<Arc<Entry>>,
    jobs: Vec<Job>,
}

impl State {
    async fn of(world: &World) -> Self {
        let is_write = |entry: &Entry| {
            entry.user == world.user()
                && entry.namespace == world.namespace
                && entry.stage == Stage::ResponseComplete
                && entry.is_write()
                && entry.succeeded()
        };
        Self {
            writes: world.plane.audit().matching(is_write).expect("the audit log"),
            jobs: world.jobs().await,
        }
    }

    fn writes(&self, verb: &str, resource: &str, name: &str) -> usize {
        let is_it = |write: &&Arc<Entry>| {
            (write.verb.as_str(), write.resource.as_str(), write.name.as_str()) == (verb, resource, name)
        };
        self.writes.iter().filter(is_it).count()
    }
}

#[rstest]
fn one_change_is_one_restart(
    #[values(Roles::Shipped, Roles::Upstreams)] roles: Roles,
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
    #[values(Trigger::Update, Trigger::Recreation)] trigger: Trigger,
) {
    run(async {
        let world = World::new("table").await;
        csi::install(&world.client).await;
        world.define(ROLLOUT).await;
        roles.grant(&world).await;
        let cases = Case::all(trigger);
        for case in &cases {
            case.create(&world).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let flags = [
            "--is-Argo-Rollouts=true",
            "--enable-csi-integration=true",
            strategy,
        ];
        let controller = world.controller().args(flags).start().await;

        for case in &cases {
            case.pull(trigger, &world).await;
        }
        let waited = eventually(PATIENCE, "one restart each", async || -> Result<_, String> {
            let state = State::of(&world).await;
            let waiting = cases.iter().filter(|case| case.restarts(&state) == 0);
            let waiting: Vec<String> = waiting.map(|case| case.name()).collect();
            if waiting.is_empty() {
                Ok(Some(()))
            } else {
                Err(waiting.join(", "))
            }
        });
        if let Err(error) = waited.await {
            panic!("{error}\n{}", controller.replica.log());
        }
        sentinel.pass().await;
        controller.wait_idle().await;
        let state = State::of(&world).await;
        for case in &cases {
            assert_eq!(case.restarts(&state), 1, "{case:?}");
        }
    });
}
