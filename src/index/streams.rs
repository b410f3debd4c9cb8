//! How far each watch stream can be trusted at the moment.
//!
//! Input: events of the streams. Output: list generations, and whether workloads may exist that no stream has shown.
//! I/O: none.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    model::{SourceKind, WorkloadKind},
    watch::{Event, StreamId, Watched},
};

/// How long after a gap a resumed workload watch may still be catching up. Nothing in the protocol marks the end of
/// the catching up, and a busy API server sends the backlog within seconds.
pub const CATCHING_UP: Duration = Duration::from_secs(10);

/// The state of every expected stream.
#[derive(Debug)]
pub(super) struct Streams {
    streams: HashMap<StreamId, Stream>,
    /// The kinds of workloads among them: with thousands of namespaces that are watched one by one, a namespace asks for
    /// its own streams only.
    kinds: BTreeSet<WorkloadKind>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Counts complete lists; objects carry the generation in which they were last seen.
    generation: u32,
    /// A complete list has ended, and no other has begun since.
    listed: bool,
    /// A complete list has ended at least once.
    listed_once: bool,
    /// Since when events flow; `None` during a list and after a failure.
    current_since: Option<Instant>,
    /// Since when it has failed without anything in between; `None`: it has not, or is not permitted.
    failing_since: Option<Instant>,
}

impl Streams {
    pub(super) fn new(expected: impl IntoIterator<Item = StreamId>) -> Self {
        let mut streams = Self {
            streams: HashMap::new(),
            kinds: BTreeSet::new(),
        };
        for id in expected {
            streams.entry(&id);
        }
        streams
    }

    /// Notes the event and returns the generation its object belongs to.
    pub(super) fn note(&mut self, id: &StreamId, event: &Event, now: Instant) -> u32 {
        let stream = self.entry(id);
        match event {
            Event::Failed(failure) if !failure.denied && !failure.not_installed => {
                stream.failing_since.get_or_insert(now);
            }
            Event::ListStarted => {}
            _ => stream.failing_since = None,
        }
        match event {
            Event::ListStarted => {
                stream.generation = stream.generation.wrapping_add(1);
                stream.listed = false;
                stream.current_since = None;
            }
            event if event.shows_no_kind(id) => {
                stream.listed = true;
                stream.current_since = Some(now);
            }
            Event::Listed => {
                stream.listed = true;
                stream.listed_once = true;
                stream.current_since = Some(now);
            }
            Event::Failed(_) => stream.current_since = None,
            _ if stream.listed => _ = stream.current_since.get_or_insert(now),
            _ => {}
        }
        stream.generation
    }

    pub(super) fn is_listing(&self, id: &StreamId) -> bool {
        self.streams.get(id).is_none_or(|stream| !stream.listed)
    }

    /// Whether pods of the namespace may show classes of the Secrets Store CSI driver that are not known yet.
    pub(super) fn is_listing_statuses(&self, namespace: &Arc<str>) -> bool {
        let statuses = Watched::Source(SourceKind::SecretProviderClass);
        self.covering(statuses, namespace).any(|stream| !stream.listed)
    }

    /// Whether the stream has shown a complete list at least once.
    pub(super) fn has_listed(&self, id: &StreamId) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.listed_once)
    }

    /// As [`Self::has_listed`], of the stream that shows those sources. Where no stream does, nothing is known of them.
    pub(super) fn has_listed_sources(&self, kind: SourceKind, namespace: &Arc<str>) -> bool {
        self.has_listed_all(Watched::Source(kind), namespace)
    }

    /// As [`Self::has_listed`], of the stream that shows what of that sort lives in the namespace.
    pub(super) fn has_listed_all(&self, watched: Watched, namespace: &Arc<str>) -> bool {
        let mut covering = self.covering(watched, namespace);
        covering.any(|stream| stream.listed_once)
    }

    /// Whether the namespace may hold workloads that no stream has shown yet.
    pub(super) fn some_workloads_unknown(&self, namespace: &Arc<str>, now: Instant) -> bool {
        let kinds = self.kinds.iter().map(|kind| Watched::Workload(*kind));
        let mut covering = kinds.flat_map(|kind| self.covering(kind, namespace));
        covering.any(|stream| {
            stream
                .current_since
                .is_none_or(|since| now.saturating_duration_since(since) < CATCHING_UP)
        })
    }

    /// Whether one of the streams that show the namespace's workloads has failed for that long: what it showed is old.
    pub(super) fn workloads_fail_for(&self, namespace: &Arc<str>, time: Duration, now: Instant) -> bool {
        let kinds = self.kinds.iter().map(|kind| Watched::Workload(*kind));
        let mut covering = kinds.flat_map(|kind| self.covering(kind, namespace));
        covering.any(|stream| {
            stream
                .failing_since
                .is_some_and(|since| now.saturating_duration_since(since) >= time)
        })
    }

    /// Whether every stream of workloads has shown a complete list at least once, or shows a kind that is not served.
    pub(super) fn has_listed_workloads(&self) -> bool {
        let mut streams = self.streams.iter();
        streams.all(|(id, stream)| {
            stream.listed || stream.listed_once || !matches!(id.watched, Watched::Workload(_))
        })
    }

    /// The streams of that kind which show the objects of that namespace: its own and that of all namespaces.
    fn covering(&self, watched: Watched, namespace: &Arc<str>) -> impl Iterator<Item = &Stream> {
        let scopes = [None, Some(Arc::clone(namespace))];
        let ids = scopes.map(|namespace| StreamId { watched, namespace });
        ids.into_iter().filter_map(|id| self.streams.get(&id))
    }

    fn entry(&mut self, id: &StreamId) -> &mut Stream {
        if let Watched::Workload(kind) = id.watched {
            self.kinds.insert(kind);
        }
        self.streams.entry(id.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Failure;

    fn stream(watched: Watched, namespace: Option<&str>) -> StreamId {
        StreamId {
            watched,
            namespace: namespace.map(Arc::from),
        }
    }

    /// With thousands of namespaces that are watched one by one.
    #[test]
    fn a_namespace_depends_on_the_streams_that_cover_it() {
        let [one, other] = ["one", "other"].map(Arc::from);
        let deployments = Watched::Workload(WorkloadKind::Deployment);
        let secrets = Watched::Source(SourceKind::Secret);
        let everywhere = stream(Watched::Workload(WorkloadKind::StatefulSet), None);
        let expected = [
            stream(deployments, Some("one")),
            stream(deployments, Some("other")),
            stream(secrets, Some("one")),
            everywhere.clone(),
        ];
        let begun = Instant::now();
        let later = begun + CATCHING_UP;
        let mut streams = Streams::new(expected.clone());
        assert!(streams.some_workloads_unknown(&one, later));
        for id in [&expected[0], &expected[2], &everywhere] {
            streams.note(id, &Event::ListStarted, begun);
            streams.note(id, &Event::Listed, begun);
        }
        assert!(!streams.some_workloads_unknown(&one, later));
        assert!(streams.some_workloads_unknown(&one, begun));
        assert!(streams.some_workloads_unknown(&other, later));
        assert!(streams.has_listed_sources(SourceKind::Secret, &one));
        assert!(!streams.has_listed_sources(SourceKind::Secret, &other));
        // What is not permitted is no failure of a watch.
        let minute = Duration::from_mins(1);
        let fails = |denied| {
            Event::Failed(Failure {
                denied,
                ..Failure::other("broken")
            })
        };
        streams.note(&expected[0], &fails(false), begun);
        assert!(!streams.workloads_fail_for(&one, minute, begun + minute / 2));
        streams.note(&expected[0], &Event::ListStarted, begun + minute / 2);
        assert!(streams.workloads_fail_for(&one, minute, begun + minute));
        assert!(!streams.workloads_fail_for(&other, minute, begun + minute));
        streams.note(&expected[0], &fails(true), begun + minute);
        assert!(!streams.workloads_fail_for(&one, minute, begun + 2 * minute));
        streams.note(&expected[0], &Event::Listed, begun);
        // A stream that covers all namespaces counts for each.
        streams.note(&everywhere, &Event::ListStarted, begun);
        assert!(streams.some_workloads_unknown(&one, later));
    }
}
