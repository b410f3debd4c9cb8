//! What the index shows to users: how one workload stands, who uses a source, how much there is.
//!
//! Input: names. Output: copies of what is kept. I/O: none.
//!
//! Each look takes the lock of one namespace, and under it only copies: what is compared, matched or sorted is so later. With
//! ten thousand objects in the namespace that takes milliseconds; `benches/index.rs` measures it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{Index, debts::DebtStanding, namespace::Namespace};
use crate::model::{
    Content, Policy, Source, SourceKey, SourceKind, SourceRef, Workload, WorkloadKey, WorkloadKind,
};

/// How a workload stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The workload as the watch last showed it.
    pub workload: Arc<Workload>,
    /// Whether what happens in its namespace counts.
    pub is_selected: bool,
    /// The sources that were asked for, and those for which something is owed.
    pub sources: Vec<SourceStanding>,
}

/// How a source stands, and a workload with it.
#[derive(Clone, Debug)]
pub struct SourceStanding {
    /// Which source.
    pub reference: SourceRef,
    /// As it is now, or was last; `None`: not known.
    pub source: Option<Source>,
    /// What it holds; `None`: not known, because no complete list of its kind has been read.
    pub content: Option<Content>,
    /// What the workload owes for it, if anything.
    pub debt: Option<Debt>,
}

/// What a workload owes for a source.
#[derive(Clone, Copy, Debug)]
pub struct Debt {
    /// When the first change was seen that is not settled.
    pub since: Instant,
    /// What its pods run with, if only one content is possible.
    pub running: Option<Content>,
    /// Whether there is something to bring the workload to at present.
    pub is_due: bool,
}

/// How much one namespace has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Workloads.
    pub workloads: usize,
    /// Of these, those that some source may restart.
    pub opted_in: usize,
    /// Sources that exist, or are remembered.
    pub sources: usize,
}

/// For each kind of source, whether a complete list of it has been read.
type Listed = [bool; SourceKind::ALL.len()];

impl Index {
    /// Whether only namespaces count that the watch shows.
    pub fn selects_by_labels(&self) -> bool {
        self.selection.is_only_seen()
    }

    /// What the annotations of the namespace say about when restarts may happen; `None`: nothing, or they are not watched.
    pub fn policy_of(&self, namespace: &str) -> Option<Arc<Policy>> {
        self.selection.policy(namespace)
    }

    /// The namespaces that have something.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .namespaces
            .iter()
            .map(|entry| Arc::clone(entry.key()))
            .collect();
        names.sort_unstable();
        names
    }

    /// How the workload stands with these sources and with all that it owes; `None`: it is not known.
    pub fn standing(&self, key: &WorkloadKey, sources: Vec<SourceRef>) -> Option<Standing> {
        let is_listed = self.listed_kinds(&key.namespace);
        let inner = self.namespaces.get(&key.namespace)?;
        let id = key.into();
        let workload = Arc::clone(inner.workloads().get(&id)?);
        let debts: BTreeMap<SourceRef, DebtStanding> = inner
            .debts()
            .standings(&id)
            .map(|(reference, standing)| (reference.clone(), standing))
            .collect();
        let mut references = sources;
        references.extend(debts.keys().cloned());
        references.sort_unstable();
        references.dedup();
        let sources = references.into_iter().map(|reference| SourceStanding {
            debt: debts.get(&reference).map(|standing| Debt {
                since: standing.since,
                running: standing.running,
                is_due: standing.is_due && inner.sources().target(&reference).is_some(),
            }),
            ..source_standing(&inner, reference, is_listed)
        });
        Some(Standing {
            is_selected: inner.is_selected(),
            sources: sources.collect(),
            workload,
        })
    }

    /// How the source stands.
    pub fn source_standing(&self, key: &SourceKey) -> SourceStanding {
        let is_listed = self.listed_kinds(&key.namespace);
        let reference = key.reference();
        match self.namespaces.get(&key.namespace) {
            Some(inner) => source_standing(&inner, reference, is_listed),
            None => SourceStanding {
                content: is_listed[reference.kind as usize].then_some(Content::Absent),
                reference,
                source: None,
                debt: None,
            },
        }
    }

    /// Every source of the namespace, deleted ones that are remembered included.
    pub fn sources_in(&self, namespace: &str) -> Vec<SourceRef> {
        let inner = self.namespaces.get(namespace);
        let sources = inner.iter().flat_map(|inner| inner.sources().all());
        sources.map(|source| source.key.reference()).collect()
    }

    /// Every workload of the namespace as the watches last showed it.
    pub fn workloads_of(&self, namespace: &str) -> Vec<Arc<Workload>> {
        let inner = self.namespaces.get(namespace);
        let workloads = inner.iter().flat_map(|inner| inner.workloads().all());
        workloads.cloned().collect()
    }

    /// Every workload of a selected namespace that Reloader has paused.
    pub fn paused(&self) -> Vec<WorkloadKey> {
        self.namespaces
            .iter()
            .flat_map(|entry| entry.value().workloads().paused())
            .collect()
    }

    /// Every workload that may have a mistake in its annotations, a list or a pause period, or that has no pod template.
    pub fn workloads_to_check(&self) -> Vec<Arc<Workload>> {
        self.namespaces
            .iter()
            .flat_map(|entry| entry.value().workloads().to_check())
            .collect()
    }

    /// How many workloads live in the namespace, of each kind of which there is any.
    pub fn workloads_in(&self, namespace: &str) -> BTreeMap<WorkloadKind, usize> {
        self.namespaces
            .get(namespace)
            .map(|inner| inner.workloads().counts().clone())
            .unwrap_or_default()
    }

    /// The workloads of the namespace that owe a restart, and since when.
    pub fn owing_in(&self, namespace: &str) -> Vec<(WorkloadKey, Instant)> {
        let Some(inner) = self.namespaces.get(namespace) else {
            return Vec::new();
        };
        let owing = inner.debts().owing(inner.sources()).filter_map(|id| {
            let due = inner.debts().standings(id).filter(|(_, debt)| debt.is_due);
            let since = due.map(|(_, debt)| debt.since).min()?;
            Some((inner.workloads().get(id)?.key.clone(), since))
        });
        owing.collect()
    }

    /// How much the namespace has.
    pub fn tally(&self, namespace: &str) -> Tally {
        let Some(inner) = self.namespaces.get(namespace) else {
            return Tally::default();
        };
        let workloads = inner.workloads();
        Tally {
            workloads: workloads.counts().values().sum(),
            opted_in: workloads.opted_in(),
            sources: inner.sources().counts().iter().sum(),
        }
    }

    /// The sources of the namespace that most workloads opted into by using or naming them, at most so many, and how many
    /// workloads those are. One that patterns name as well has more than that.
    pub fn most_used_in(&self, namespace: &str, most: usize) -> Vec<(SourceRef, usize)> {
        let Some(inner) = self.namespaces.get(namespace) else {
            return Vec::new();
        };
        let mut users = inner.workloads().users_by_name();
        drop(inner);
        users.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        users.truncate(most);
        users
    }

    /// Of the lists that show this namespace.
    fn listed_kinds(&self, namespace: &Arc<str>) -> Listed {
        let streams = self.streams();
        SourceKind::ALL.map(|kind| streams.has_listed_sources(kind, namespace))
    }
}

fn source_standing(inner: &Namespace, reference: SourceRef, is_listed: Listed) -> SourceStanding {
    let sources = inner.sources();
    let content = match sources.present(&reference) {
        Some(source) => Some(Content::Present(source.digest)),
        None => is_listed[reference.kind as usize].then_some(Content::Absent),
    };
    SourceStanding {
        source: sources.get(&reference).cloned(),
        content,
        reference,
        debt: None,
    }
}
