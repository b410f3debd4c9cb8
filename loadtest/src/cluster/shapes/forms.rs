//! The forms that scenarios have in common. Input: counts; output: a [`Shape`]. I/O: none.

use std::time::Duration;

use super::{Meanwhile, Order, Place, Shape, Sizes, Source, SourceKind, Workload, WorkloadKind};

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

    /// ConfigMaps and a Deployment for each.
    pub(super) fn pairs(namespace: &str, count: usize, milliseconds: u64) -> Self {
        let sources = (0..count).map(|number| source(namespace, SourceKind::ConfigMap, number));
        let workloads = (0..count).map(|number| workload(namespace, number, &[number]));
        Self::new(sources.collect(), workloads.collect(), milliseconds)
    }

    /// One ConfigMap of all Deployments.
    pub(super) fn one_source(namespace: &str, workloads: usize, milliseconds: u64) -> Self {
        let workloads = (0..workloads).map(|number| workload(namespace, number, &[0]));
        let sources = vec![source(namespace, SourceKind::ConfigMap, 0)];
        Self::new(sources, workloads.collect(), milliseconds)
    }

    /// Pairs in several namespaces.
    pub(super) fn spread(namespace: &str, namespaces: usize, each: usize, milliseconds: u64) -> Self {
        let mut shape = Self::pairs(namespace, namespaces * each, milliseconds);
        for number in 0..namespaces * each {
            let namespace = format!("{namespace}-{}", number / each);
            shape.sources[number].namespace.clone_from(&namespace);
            shape.workloads[number].namespace = namespace;
        }
        shape
    }

    /// Secrets, ConfigMaps, and Deployments that use one kind or both.
    pub(super) fn mixed(namespace: &str) -> Self {
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

    /// Two ConfigMaps for each Deployment, in every place that refers to one.
    pub(super) fn complex(namespace: &str) -> Self {
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

    /// Sources dealt out to Deployments of their namespace.
    pub(super) fn thousands(sizes: &Sizes) -> Self {
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
