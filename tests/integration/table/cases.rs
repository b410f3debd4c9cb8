//! The rows of the table: what is restarted, for what, and how it asks for that.

use serde_json::{Value, json};

use super::{Presence, Trigger};
use crate::harness::{
    World,
    csi::pod_with_class,
    kinds::{Custom, DEPLOYMENT_CONFIG, ROLLOUT, cron_job, deployment_config, job},
    objects::{daemon_set, deployment, plain_pod, stateful_set, workload},
    sources::SourceType,
    usage::Usage,
};

/// Stands for whatever `--workload-kind` names.
pub const CLONE_SET: Custom = Custom {
    group: "apps.kruise.io",
    version: "v1alpha1",
    kind: "CloneSet",
    plural: "clonesets",
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Rollout,
    DeploymentConfig,
    CloneSet,
    CronJob,
    Job,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Rollout,
        Self::DeploymentConfig,
        Self::CloneSet,
        Self::CronJob,
        Self::Job,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Plain(SourceType),
    /// A SecretProviderClass of the CSI driver, with one pod.
    Class,
}

/// How a workload asks to be restarted for a source.
#[derive(Clone, Copy, Debug)]
pub enum Reference {
    /// By `auto`, and its pods use it this way.
    Auto(Usage),
    /// By a list of names; its pods do not use it.
    Named,
    /// By `search`; the source says `match`.
    Search,
}

impl Reference {
    /// In which ways a ConfigMap or a Secret is asked for. All of them where a controller sees it change; whatever else
    /// happens to a source does not depend on how pods use it, so one use stands for all.
    fn all(trigger: Trigger, presence: Presence) -> Vec<Self> {
        let uses: &[Usage] = match (trigger, presence) {
            (Trigger::Update | Trigger::Recreation, Presence::Running) => &Usage::ALL,
            _ => &[Usage::EnvFrom],
        };
        let auto = uses.iter().copied().map(Self::Auto);
        // The ledger does not say which of the sources that are gone by then said `match`.
        let search = ((trigger, presence) != (Trigger::Deletion, Presence::Away)).then_some(Self::Search);
        auto.chain([Self::Named]).chain(search).collect()
    }

    /// In which ways a SecretProviderClass is asked for.
    const OF_CLASSES: [Self; 3] = [Self::Auto(Usage::Volume), Self::Named, Self::Search];
}

/// One workload with a source of its own; both have the same name.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    source: Source,
    reference: Reference,
}

impl Case {
    /// The cases in which that can happen.
    pub fn all(trigger: Trigger, presence: Presence) -> Vec<Self> {
        let mut cases = Vec::new();
        for kind in Kind::ALL {
            let mut add = |source, references: &[Reference]| {
                cases.extend(references.iter().map(|&reference| Self {
                    kind,
                    source,
                    reference,
                }));
            };
            for source in SourceType::ALL {
                add(Source::Plain(source), &Reference::all(trigger, presence));
            }
            // A class is neither created nor deleted: what counts is what pods mount of it.
            if trigger == Trigger::Update {
                add(Source::Class, &Reference::OF_CLASSES);
            }
        }
        cases
    }

    pub fn name(self) -> String {
        let reference = match self.reference {
            Reference::Auto(usage) => format!("{usage:?}"),
            other => format!("{other:?}"),
        };
        let source = match self.source {
            Source::Plain(source) => source.word(),
            Source::Class => "class",
        };
        format!("{:?}-{source}-{reference}", self.kind).to_lowercase()
    }

    /// The path of the question which workloads its source restarts.
    pub fn question(self, namespace: &str) -> String {
        let kind = match self.source {
            Source::Plain(source) => source.word(),
            Source::Class => "secretproviderclass",
        };
        format!("/v1/sources/{kind}/{namespace}/{}", self.name())
    }

    fn pod(self) -> Value {
        match (self.reference, self.source) {
            (Reference::Named, _) => plain_pod(),
            (_, Source::Class) => pod_with_class(&self.name()),
            (Reference::Auto(usage), Source::Plain(source)) => usage.pod(source, &self.name()),
            (Reference::Search, Source::Plain(source)) => Usage::EnvFrom.pod(source, &self.name()),
        }
    }

    pub async fn create_workload(self, world: &World) {
        let name = self.name();
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
        let custom = || workload(&name, &annotations, &[], &pod);
        match self.kind {
            Kind::Deployment => drop(world.create(&deployment(&name, &annotations, &pod)).await),
            Kind::StatefulSet => drop(world.create(&stateful_set(&name, &annotations, &pod)).await),
            Kind::DaemonSet => drop(world.create(&daemon_set(&name, &annotations, &pod)).await),
            Kind::Rollout => drop(world.create_custom(ROLLOUT, custom()).await),
            Kind::DeploymentConfig => {
                let object = deployment_config(&name, &annotations, &pod);
                drop(world.create_custom(DEPLOYMENT_CONFIG, object).await);
            }
            Kind::CloneSet => drop(world.create_custom(CLONE_SET, custom()).await),
            Kind::CronJob => drop(world.create(&cron_job(&name, &annotations, &pod)).await),
            Kind::Job => drop(world.create(&job(&name, &annotations, &pod)).await),
        }
    }

    pub async fn create_source(self, world: &World, content: &str) {
        let name = self.name();
        let annotations: &[(&str, &str)] = match self.reference {
            Reference::Search => &[("reloader.stakater.com/match", "true")],
            Reference::Auto(_) | Reference::Named => &[],
        };
        match self.source {
            Source::Plain(source) => world.create_source(source, &name, annotations, content).await,
            Source::Class => {
                let annotations = annotations
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), json!(value)));
                world.create_class(&name, &annotations.collect()).await;
                world.start_pod(&name, &name, content).await;
            }
        }
    }

    pub async fn change(self, world: &World, content: &str) {
        match self.source {
            Source::Plain(source) => world.change_source(source, &self.name(), content).await,
            Source::Class => world.rotate(&self.name(), content).await,
        }
    }

    pub async fn delete_source(self, world: &World) {
        match self.source {
            Source::Plain(source) => world.delete_source(source, &self.name()).await,
            Source::Class => world.stop_pod(&self.name()).await,
        }
    }
}
