//! What workloads ask for and the cluster does not have; how many opt in.
//!
//! Input: the index. Output: workloads, counts. I/O: none.

use std::{collections::BTreeMap, sync::Arc};

use super::Index;
use crate::{
    model::{SourceKey, SourceKind, Workload, WorkloadKind, opt_in::BadPatternReason},
    watch::Watched,
};

impl Index {
    /// The selected namespaces of which an object is tracked.
    pub fn tracked_namespaces(&self) -> Vec<Arc<str>> {
        let selected = self
            .namespaces
            .iter()
            .filter(|entry| entry.value().workloads().are_selected());
        selected.map(|entry| Arc::clone(entry.key())).collect()
    }

    /// Every source that some workload opted into or, with [`super::Options::reload_on_create`], waits for.
    #[cfg(test)]
    pub(super) fn opted_sources(&self) -> Vec<SourceKey> {
        let mut sources = Vec::new();
        for inner in &self.namespaces {
            sources.extend(inner.opted_sources());
            sources.extend(inner.awaited_sources());
        }
        sources
    }

    /// The workloads of the namespace that list sources by their names, or have a list for which there was no room.
    pub fn listing_workloads(&self, namespace: &str) -> Vec<Arc<Workload>> {
        let Some(inner) = self.namespaces.get(namespace) else {
            return Vec::new();
        };
        let lists = |workload: &&Arc<Workload>| {
            let opt_in = &workload.opt_in;
            let names = SourceKind::ALL
                .into_iter()
                .any(|kind| opt_in.listed(kind).is_some_and(|list| list.names().len() > 0));
            let is_refused = |error| error == BadPatternReason::NamespaceFull;
            names || opt_in.bad_items().any(|(_, bad)| is_refused(bad.error))
        };
        inner.workloads().all().filter(lists).cloned().collect()
    }

    /// Whether there is certainly no such source: its kind is listed, and it was not among them.
    pub fn lacks(&self, source: &SourceKey) -> bool {
        // A class has content only while a pod mounts it.
        let watched = match source.kind {
            SourceKind::SecretProviderClass => Watched::Class,
            kind => Watched::Source(kind),
        };
        if !self.streams().has_listed_all(watched, &source.namespace) {
            return false;
        }
        self.namespaces.get(&source.namespace).is_none_or(|inner| {
            inner.sources().present(&source.reference()).is_none() && !inner.mounted().has_class(&source.name)
        })
    }

    /// How many workloads of selected namespaces opt in, by kind.
    pub fn opted_in(&self) -> BTreeMap<WorkloadKind, usize> {
        let mut counts = BTreeMap::new();
        for inner in &self.namespaces {
            let workloads = inner.workloads();
            for workload in workloads
                .all()
                .filter(|workload| workloads.may_be_concerned(workload))
            {
                *counts.entry(workload.key.kind).or_default() += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        index::{Options, Seen},
        model::{ClassAnnotations, UnixSeconds, WorkloadKey},
        watch::{
            Event, Observation, StreamId,
            workload::{Decoded, Reading, WorkloadObject},
        },
    };

    const LIST: &str = "configmap.reloader.stakater.com/reload";

    fn show(index: &Index, watched: Watched, event: Event) {
        let stream = StreamId {
            watched,
            namespace: None,
        };
        let observation = Observation::of(stream, event);
        let now = Seen {
            at: Instant::now(),
            unix: UnixSeconds(1_790_000_000),
        };
        let _ = index.apply(observation, now);
    }

    fn index() -> Index {
        let watched = Watched::all().chain([Watched::Class]);
        let expected = watched.map(|watched| StreamId {
            watched,
            namespace: None,
        });
        let options = Options {
            longest_lag: Duration::from_mins(1),
            ..Options::default()
        };
        Index::new(options, expected)
    }

    fn workload(name: &str, annotations: &serde_json::Value) -> Workload {
        let metadata = serde_json::json!({ "name": name, "namespace": "shop", "annotations": annotations });
        let object: WorkloadObject =
            serde_json::from_value(serde_json::json!({ "metadata": metadata })).unwrap();
        let kind = WorkloadKind::Deployment;
        Reading::default().read(object.into_object(kind), kind).unwrap()
    }

    #[test]
    fn a_source_is_missing_only_once_its_kind_is_listed() {
        let index = index();
        for (kind, watched) in [
            (SourceKind::Secret, Watched::Source(SourceKind::Secret)),
            (SourceKind::SecretProviderClass, Watched::Class),
        ] {
            let source = SourceKey::new(kind, "shop", "vault");
            assert!(!index.lacks(&source));
            show(&index, watched, Event::ListStarted);
            assert!(!index.lacks(&source));
            show(&index, watched, Event::Listed);
            assert!(index.lacks(&source));
        }
        let class = SourceKey::new(SourceKind::SecretProviderClass, "shop", "vault");
        let annotations = ClassAnnotations {
            key: class.clone(),
            ignored: false,
            matched: false,
        };
        show(&index, Watched::Class, Event::ClassSeen(annotations));
        assert!(!index.lacks(&class));
    }

    #[test]
    fn workloads_that_list_names_are_found_and_those_that_opt_in_counted() {
        let index = index();
        let deployments = Watched::Workload(WorkloadKind::Deployment);
        for (name, annotations) in [
            ("lists", serde_json::json!({ LIST: "settings" })),
            ("patterns", serde_json::json!({ LIST: "set.*" })),
            (
                "auto",
                serde_json::json!({ "reloader.stakater.com/auto": "true" }),
            ),
            ("not", serde_json::json!({})),
        ] {
            let seen = Event::WorkloadSeen(Box::new(workload(name, &annotations)));
            show(&index, deployments, seen);
        }
        assert_eq!(index.tracked_namespaces(), ["shop".into()]);
        let listing: Vec<WorkloadKey> = index
            .listing_workloads("shop")
            .iter()
            .map(|workload| workload.key.clone())
            .collect();
        assert_eq!(
            listing,
            [WorkloadKey::new(WorkloadKind::Deployment, "shop", "lists")]
        );
        assert_eq!(index.opted_in(), BTreeMap::from([(WorkloadKind::Deployment, 3)]));
    }
}
