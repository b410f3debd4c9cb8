//! Counts what observations show, as upstream does.
//!
//! Input: events, changes of sources. Output: counts, and upstream's lines about namespaces. I/O: none.

use std::collections::BTreeSet;

use crate::{
    index::{Index, SourceChange},
    metrics::{EventResult, EventType, Metrics},
    model::SourceKind,
    watch::{Event, Watched},
    worker::context::Context,
};

/// A namespace that comes or goes; upstream logs it in these words. To be called before the index has it.
pub(super) fn namespace(context: &Context, event: &Event) {
    let event = match event {
        Event::NamespaceSeen { name, .. } if context.index().selects(name) => EventType::Update,
        Event::NamespaceSeen { name, .. } => {
            tracing::info!("added namespace to be watched: {name}");
            EventType::Add
        }
        Event::NamespaceGone(name) => {
            tracing::info!("removed namespace from watch: {name}");
            EventType::Delete
        }
        _ => return,
    };
    context.metrics().namespace_received(event);
}

/// As upstream: what happens in a namespace that is not selected is received and skipped.
pub(super) fn unselected(metrics: &Metrics, kind: SourceKind, change: SourceChange) {
    metrics.event_received(event_type(change), kind);
    if matches!(change, SourceChange::Updated | SourceChange::Unchanged) {
        metrics.change_skipped("ignored_or_not_selected");
    }
}

/// What happened to a source that counts.
pub(super) fn selected(metrics: &Metrics, kind: SourceKind, change: SourceChange) {
    metrics.event_received(event_type(change), kind);
    metrics.event_processed(kind, EventResult::Success);
    if change == SourceChange::Unchanged {
        metrics.change_skipped("no_data_change");
    }
}

/// The workloads that a change of a source is matched against.
pub(super) fn scanned(context: &Context, namespace: &str) {
    for (kind, count) in context.index().workloads_in(namespace) {
        context.metrics().workloads_scanned(kind, count as u64);
    }
}

/// How many objects of each kind there are, and how many workloads opted in: `32 Deployments (12 opted in)`.
pub(super) fn watched(index: &Index, watched: &BTreeSet<Watched>) -> String {
    let opted_in = index.opted_in();
    let of_kind = watched.iter().map(|watched| {
        let (count, resource) = (index.count(*watched), watched.resource());
        match watched {
            Watched::Workload(kind) => {
                let opted_in = opted_in.get(kind).copied().unwrap_or_default();
                format!("{count} {resource} ({opted_in} opted in)")
            }
            _ => format!("{count} {resource}"),
        }
    });
    of_kind.collect::<Vec<_>>().join(", ")
}

const fn event_type(change: SourceChange) -> EventType {
    match change {
        SourceChange::Created => EventType::Add,
        SourceChange::Updated | SourceChange::Unchanged => EventType::Update,
        SourceChange::Deleted => EventType::Delete,
    }
}
