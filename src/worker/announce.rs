//! Webhook mode: which of the changes that the watches show are posted, and by which replica.
//!
//! Input: effects of observations, the state of the election. Output: calls of [`Webhook`]. I/O: none of its own.
//!
//! Only the leader posts. A standby keeps what it sees, and when it becomes the leader it posts what the one before may
//! not have posted: everything since a little before the lease was given back or its holder was lost. So a change is
//! posted at least once while any replica runs, and twice only around a change of leaders.
//! What changes while none runs is not posted: that would need a durable memory of every source in the cluster, where
//! the ledger holds only those that some workload opted into, and in webhook mode there are none.

mod backlog;

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    index::{Effect, Index, SourceChange},
    lease::{Leadership, Role, Settings},
    model::{SourceKey, SourceKind},
    notify::{self, Webhook},
    telemetry::RELOAD_SPAN_TARGET,
    watch::{Event, StreamId, Watched},
};
use backlog::{Backlog, Holder};

/// Which changes beside updates are posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Sources that are created (`--reload-on-create`).
    pub creations: bool,
    /// Sources that are deleted (`--reload-on-delete`).
    pub deletions: bool,
    /// What the first list shows counts as created, too (`--sync-after-restart`).
    pub first_list: bool,
}

/// What an observation is about, as far as that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A source, or what a pod mounts of it.
    Source(SourceKey),
    /// A complete list has ended.
    List,
    /// Something else.
    Other,
}

/// A change of a source that is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Posted {
    source: SourceKey,
    change: notify::ChangeKind,
}

/// The same, and when it was seen.
#[derive(Clone, Debug)]
struct Announcement {
    posted: Posted,
    seen: Timestamp,
}

/// The same change of the same source, whenever it was seen.
impl PartialEq for Announcement {
    fn eq(&self, other: &Self) -> bool {
        self.posted == other.posted
    }
}

impl Subject {
    /// What the event is about.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Listed => Self::List,
            Event::SourceSeen(source) => Self::Source(source.key.clone()),
            Event::SourceGone { key, .. } => Self::Source(key.clone()),
            Event::PodStatusSeen(status) => Self::Source(status.source()),
            _ => Self::Other,
        }
    }
}

/// Posts changes.
pub struct Announcer {
    webhook: Webhook,
    selection: Selection,
    /// Knows which namespaces count.
    index: Arc<Index>,
    leadership: Leadership,
    backlog: Backlog<Announcement>,
}

impl Announcer {
    /// An announcer for a replica that stands for election by these settings; none: it always leads.
    pub fn new(
        webhook: Webhook,
        announced: Announced,
        index: Arc<Index>,
        leadership: Leadership,
        election: Option<&Settings>,
    ) -> Self {
        let timings = election.map(|settings| settings.timings);
        Self {
            webhook,
            selection: Selection {
                announced,
                listed: HashSet::new(),
            },
            index,
            leadership,
            backlog: Backlog::new(timings, Instant::now()),
        }
    }

    /// Notes which replica leads now. To be called before each observation and from time to time.
    pub fn follow(&mut self) {
        let holder = {
            let state = self.leadership.state();
            let state = state.borrow();
            match (state.role, &state.holder) {
                (Role::Leader, _) => Holder::Me,
                (_, Some(_)) => Holder::Other,
                (_, None) => Holder::None,
            }
        };
        for missed in self.backlog.follow(holder, Instant::now()) {
            self.post(&missed);
        }
    }

    /// Takes in what an observation about `subject` has led to.
    pub fn take(&mut self, stream: &StreamId, subject: &Subject, effect: &Effect) {
        for posted in self.selection.select(stream, subject, effect) {
            if !self.index.selects(&posted.source.namespace) {
                continue;
            }
            let seen = Timestamp::now();
            let namespace = Arc::clone(&posted.source.namespace);
            let announcement = Announcement { posted, seen };
            if let Some(announcement) = self.backlog.keep(&namespace, announcement, Instant::now()) {
                self.post(&announcement);
            }
        }
    }

    fn post(&self, announcement: &Announcement) {
        let Announcement {
            posted: Posted { source, change },
            seen,
        } = announcement;
        // The call's receiver continues the trace of the change.
        let _span = tracing::info_span!(
            target: RELOAD_SPAN_TARGET, "change",
            otel.name = format!("{} {} {}/{}", change.as_str(), source.kind, source.namespace, source.name),
            "k8s.namespace.name" = %source.namespace, source.kind = %source.kind, source.name = %source.name,
            change = change.as_str(),
        )
        .entered();
        self.webhook.changed(source, *change, *seen);
    }
}

/// Selects the changes that are posted.
#[derive(Debug, Default)]
struct Selection {
    announced: Announced,
    /// Streams that have shown a complete list: what they show as new is new.
    listed: HashSet<StreamId>,
}

impl Selection {
    fn select(&mut self, stream: &StreamId, subject: &Subject, effect: &Effect) -> Vec<Posted> {
        match subject {
            Subject::List => self.of_list(stream, effect),
            Subject::Source(source) => self.of_source(stream, source, effect).into_iter().collect(),
            Subject::Other => Vec::new(),
        }
    }

    /// What a list did not show is gone: upstream loses these deletions.
    fn of_list(&mut self, stream: &StreamId, effect: &Effect) -> Vec<Posted> {
        let is_first = self.listed.insert(stream.clone());
        let is_deletable = matches!(
            stream.watched,
            Watched::Source(SourceKind::ConfigMap | SourceKind::Secret)
        );
        let posts_deletions = is_deletable && !is_first && self.announced.deletions;
        let posted = |change| {
            move |source: &SourceKey| Posted {
                source: source.clone(),
                change,
            }
        };
        let gone = effect.touched.iter().filter(|_| posts_deletions);
        let deleted = gone.map(posted(notify::ChangeKind::Delete));
        let updated = effect.changed.iter().map(posted(notify::ChangeKind::Update));
        deleted.chain(updated).collect()
    }

    fn of_source(&self, stream: &StreamId, source: &SourceKey, effect: &Effect) -> Option<Posted> {
        let Announced {
            creations,
            deletions,
            first_list,
        } = self.announced;
        let is_new = first_list || self.listed.contains(stream);
        let change = match effect.source? {
            SourceChange::Updated => notify::ChangeKind::Update,
            // Pods that come and go, not the class.
            _ if source.kind == SourceKind::SecretProviderClass => return None,
            SourceChange::Created if creations && is_new => notify::ChangeKind::Create,
            SourceChange::Deleted if deletions => notify::ChangeKind::Delete,
            SourceChange::Created | SourceChange::Deleted | SourceChange::Unchanged => return None,
        };
        Some(Posted {
            source: source.clone(),
            change,
        })
    }
}

#[cfg(test)]
mod tests;
