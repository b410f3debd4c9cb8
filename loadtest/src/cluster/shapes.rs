//! What each scenario makes and changes. Input: a scenario and sizes; output: a [`Shape`]. I/O: none.
//!
//! `s1` to `s13` have the names, the objects and the pace of the scenarios of Stakater Reloader's own load test.

mod forms;

use std::time::Duration;

use clap::ValueEnum;

pub use forms::workload;

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
