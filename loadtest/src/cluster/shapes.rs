//! What each scenario makes and changes. Input: a scenario and sizes; output: a [`Shape`]. I/O: none.
//!
//! `s1` to `s13` have the names, the objects and the pace of the scenarios of Stakater Reloader's own load test.

use std::time::Duration;

use clap::ValueEnum;

/// A scenario on a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Each of thousands of sources changed once
    Thousands,
    /// Burst: 10 ConfigMaps of 10 Deployments, one changed every 100 ms
    S1,
    /// Fan-out: one ConfigMap of 50 Deployments, changed every 5 s
    S2,
    /// Cardinality: 220 ConfigMaps and Deployments in 11 namespaces, one changed every 200 ms
    S3,
    /// No-op: 10 ConfigMaps whose annotations alone change; nothing may restart
    S4,
    /// Churn: Deployments come and go while their ConfigMap changes every 2 s
    S5,
    /// Restart: the leader's pod is killed while 20 ConfigMaps change
    S6,
    /// API pressure: 10 writers change 50 ConfigMaps, each every 100 ms
    S7,
    /// Large: 10 ConfigMaps of 200 KiB, one changed every 2 s
    S8,
    /// Kinds: one ConfigMap of 5 Deployments, 3 StatefulSets and 2 DaemonSets, changed every 5 s
    S9,
    /// Mixed: 5 Secrets and 5 ConfigMaps changed in turn every 500 ms
    S10,
    /// Annotations: 10 ConfigMaps of 10 Deployments with the annotations strategy
    S11,
    /// Pause: 10 Deployments that pause for 15 s after a restart
    S12,
    /// Complex: init containers, single keys, volumes and projected volumes, two ConfigMaps each
    S13,
    /// The leader's pod deleted and killed: time until the next one leads and restarts
    Failover,
}

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
}

/// A kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// Deployment.
    Deployment,
    /// StatefulSet.
    StatefulSet,
    /// DaemonSet.
    DaemonSet,
}

/// A source to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The end of its namespace's name.
    pub namespace: String,
    /// Its kind.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
    /// Bytes beside the content that changes.
    pub padding: usize,
}

/// Where a workload refers to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All keys as variables.
    EnvFrom,
    /// The same in an init container.
    InitEnvFrom,
    /// One key as a variable.
    Key,
    /// A volume.
    Volume,
    /// A projected volume.
    Projected,
}

/// A workload to make; it opts in with `auto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The end of its namespace's name.
    pub namespace: String,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Positions of its sources, all in its namespace.
    pub uses: Vec<(usize, Place)>,
    /// How long it pauses after a restart.
    pub pause: Option<&'static str>,
}

/// Which source is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any, until time is up.
    Random,
    /// One after the other, until time is up.
    InTurn,
    /// One after the other, each once.
    Once,
}

/// What goes on beside the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// Nothing.
    Nothing,
    /// Deployments come and go.
    Churn,
    /// The leader's pod is killed.
    Kill,
}

/// All of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is changed.
    pub sources: Vec<Source>,
    /// What uses it.
    pub workloads: Vec<Workload>,
    /// Between two changes of one writer.
    pub every: Duration,
    /// How many change sources at the same time, each its own ones.
    pub writers: usize,
    /// Which one next.
    pub order: Order,
    /// Whether annotations are changed, and the content is not.
    pub annotations_only: bool,
    /// What else happens.
    pub meanwhile: Meanwhile,
}

/// How many objects [`Scenario::Thousands`] makes, and how fast it changes them.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// ConfigMaps.
    pub config_maps: usize,
    /// Secrets.
    pub secrets: usize,
    /// Deployments.
    pub workloads: usize,
    /// Namespaces that they are spread over.
    pub namespaces: usize,
    /// Changes a second.
    pub rate: u32,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// In words.
    pub fn describe(self) -> String {
        let help = self
            .to_possible_value()
            .and_then(|value| value.get_help().cloned());
        help.unwrap_or_default().to_string()
    }

    /// Values of the chart that it needs.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Self::S11 => &["reloader.reloadStrategy=annotations"],
            _ => &[],
        }
    }

    /// What it makes and changes.
    pub fn shape(self, sizes: &Sizes) -> Shape {
        let name = self.name();
        let pairs = |count, milliseconds| Shape::pairs(&name, count, milliseconds);
        match self {
            Self::Thousands => Shape::thousands(sizes),
            Self::S1 | Self::Failover => pairs(10, 100),
            Self::S2 => Shape::one_source(&name, 50, 5000),
            Self::S3 => Shape::spread(&name, 11, 20, 200),
            Self::S4 => Shape {
                annotations_only: true,
                ..pairs(10, 100)
            },
            Self::S5 => Shape {
                meanwhile: Meanwhile::Churn,
                ..Shape::one_source(&name, 0, 2000)
            },
            Self::S6 => Shape {
                meanwhile: Meanwhile::Kill,
                ..pairs(20, 200)
            },
            Self::S7 => Shape {
                writers: 10,
                ..pairs(50, 100)
            },
            Self::S8 => {
                let mut shape = pairs(10, 2000);
                shape
                    .sources
                    .iter_mut()
                    .for_each(|source| source.padding = 2 * 100 * 1024);
                shape
            }
            Self::S9 => {
                let mut shape = Shape::one_source(&name, 10, 5000);
                for workload in &mut shape.workloads[5..8] {
                    workload.kind = WorkloadKind::StatefulSet;
                }
                for workload in &mut shape.workloads[8..] {
                    workload.kind = WorkloadKind::DaemonSet;
                }
                shape
            }
            Self::S10 => Shape::mixed(&name),
            Self::S11 => pairs(10, 500),
            Self::S12 => {
                let mut shape = pairs(10, 2000);
                shape
                    .workloads
                    .iter_mut()
                    .for_each(|workload| workload.pause = Some("15s"));
                shape
            }
            Self::S13 => Shape::complex(&name),
        }
    }
}

fn source(namespace: &str, kind: SourceKind, number: usize) -> Source {
    let prefix = match kind {
        SourceKind::ConfigMap => "c",
        SourceKind::Secret => "s",
    };
    Source {
        namespace: namespace.to_owned(),
        kind,
        name: format!("{prefix}-{number}"),
        padding: 0,
    }
}

/// A Deployment that uses sources as variables.
pub fn workload(namespace: &str, number: usize, uses: &[usize]) -> Workload {
    Workload {
        namespace: namespace.to_owned(),
        kind: WorkloadKind::Deployment,
        name: format!("w-{number}"),
        uses: uses.iter().map(|source| (*source, Place::EnvFrom)).collect(),
        pause: None,
    }
}

impl Shape {
    /// ConfigMaps changed by one writer at random.
    fn new(sources: Vec<Source>, workloads: Vec<Workload>, milliseconds: u64) -> Self {
        Self {
            sources,
            workloads,
            every: Duration::from_millis(milliseconds),
            writers: 1,
            order: Order::Random,
            annotations_only: false,
            meanwhile: Meanwhile::Nothing,
        }
    }

    fn pairs(namespace: &str, count: usize, milliseconds: u64) -> Self {
        let sources = (0..count).map(|number| source(namespace, SourceKind::ConfigMap, number));
        let workloads = (0..count).map(|number| workload(namespace, number, &[number]));
        Self::new(sources.collect(), workloads.collect(), milliseconds)
    }

    fn one_source(namespace: &str, workloads: usize, milliseconds: u64) -> Self {
        let workloads = (0..workloads).map(|number| workload(namespace, number, &[0]));
        let sources = vec![source(namespace, SourceKind::ConfigMap, 0)];
        Self::new(sources, workloads.collect(), milliseconds)
    }

    fn spread(namespace: &str, namespaces: usize, each: usize, milliseconds: u64) -> Self {
        let mut shape = Self::pairs(namespace, namespaces * each, milliseconds);
        for number in 0..namespaces * each {
            let namespace = format!("{namespace}-{}", number / each);
            shape.sources[number].namespace.clone_from(&namespace);
            shape.workloads[number].namespace = namespace;
        }
        shape
    }

    fn mixed(namespace: &str) -> Self {
        // Secrets at even positions, so that taking turns alternates.
        let kinds = [SourceKind::Secret, SourceKind::ConfigMap];
        let sources = (0..10).map(|number| source(namespace, kinds[number % 2], number / 2));
        let secrets_only = (0..5).map(|number| vec![2 * number]);
        let config_maps_only = (0..3).map(|number| vec![2 * number + 1]);
        let both = (0..2).map(|number| vec![2 * number, 2 * number + 1]);
        let uses = secrets_only.chain(config_maps_only).chain(both);
        let workloads = uses
            .enumerate()
            .map(|(number, uses)| workload(namespace, number, &uses));
        let shape = Self::new(sources.collect(), workloads.collect(), 500);
        Self {
            order: Order::InTurn,
            ..shape
        }
    }

    fn complex(namespace: &str) -> Self {
        let mut shape = Self::pairs(namespace, 5, 2000);
        for (number, workload) in shape.workloads.iter_mut().enumerate() {
            let next = (number + 1) % 5;
            workload.uses = vec![
                (number, Place::InitEnvFrom),
                (number, Place::Key),
                (number, Place::Volume),
                (next, Place::Projected),
            ];
        }
        shape
    }

    fn thousands(sizes: &Sizes) -> Self {
        let namespaces = sizes.namespaces.max(1);
        let home = |number: usize| format!("n{}", number % namespaces);
        let of_kind = |kind, count| (0..count).map(move |number| source(&home(number), kind, number));
        let mut sources: Vec<Source> = of_kind(SourceKind::ConfigMap, sizes.config_maps).collect();
        sources.extend(of_kind(SourceKind::Secret, sizes.secrets));
        let mut workloads: Vec<Workload> = (0..sizes.workloads)
            .map(|number| workload(&home(number), number, &[]))
            .collect();
        // Dealt out within each namespace until every source has a workload.
        let per_namespace = |namespace: usize| {
            let of_namespace = sizes.workloads.saturating_sub(namespace);
            of_namespace.div_ceil(namespaces)
        };
        let counts = [(0, sizes.config_maps), (sizes.config_maps, sizes.secrets)];
        for (first, count) in counts {
            for number in 0..count {
                let namespace = number % namespaces;
                let there = per_namespace(namespace);
                if there > 0 {
                    let workload = namespace + (number / namespaces) % there * namespaces;
                    workloads[workload].uses.push((first + number, Place::EnvFrom));
                }
            }
        }
        let writers = 10.min(sources.len().max(1));
        let pause = Duration::from_secs(1) / sizes.rate.max(1);
        let shape = Self::new(sources, workloads, 0);
        let factor = u32::try_from(writers).unwrap_or(1);
        Self {
            every: pause * factor,
            writers,
            order: Order::Once,
            ..shape
        }
    }

    /// The ends of its namespaces' names.
    pub fn namespaces(&self) -> Vec<String> {
        let sources = self.sources.iter().map(|source| &source.namespace);
        let all = sources.chain(self.workloads.iter().map(|workload| &workload.namespace));
        let mut all: Vec<String> = all.cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes {
        config_maps: 20,
        secrets: 10,
        workloads: 10,
        namespaces: 3,
        rate: 20,
    };

    #[test]
    fn scenarios_have_the_sizes_of_their_models() {
        let expected = [
            (Scenario::S1, 10, 10),
            (Scenario::S2, 1, 50),
            (Scenario::S3, 220, 220),
            (Scenario::S4, 10, 10),
            (Scenario::S5, 1, 0),
            (Scenario::S6, 20, 20),
            (Scenario::S7, 50, 50),
            (Scenario::S8, 10, 10),
            (Scenario::S9, 1, 10),
            (Scenario::S10, 10, 10),
            (Scenario::S11, 10, 10),
            (Scenario::S12, 10, 10),
            (Scenario::S13, 5, 5),
            (Scenario::Thousands, 30, 10),
        ];
        for (scenario, sources, workloads) in expected {
            let shape = scenario.shape(&SIZES);
            let found = (shape.sources.len(), shape.workloads.len());
            assert_eq!(found, (sources, workloads), "{scenario:?}");
        }
        assert_eq!(Scenario::S3.shape(&SIZES).namespaces().len(), 11);
    }

    proptest! {
        #[test]
        fn a_workload_uses_sources_of_its_own_namespace_and_each_source_is_used_once(
            config_maps in 0_usize..40, secrets in 0_usize..40, workloads in 0_usize..40, namespaces in 1_usize..6,
        ) {
            let shape = Scenario::Thousands.shape(&Sizes { config_maps, secrets, workloads, namespaces, rate: 20 });
            let mut used = vec![0; shape.sources.len()];
            for workload in &shape.workloads {
                for (source, _) in &workload.uses {
                    prop_assert_eq!(&shape.sources[*source].namespace, &workload.namespace);
                    used[*source] += 1;
                }
            }
            if workloads >= namespaces {
                prop_assert!(used.iter().all(|count| *count == 1));
            }
        }
    }
}
