//! Webhook mode: which of the changes that the watches show are posted, and by whom.
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
    notify::{Change, Webhook},
    watch::{StreamId, Watched},
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

/// One change to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Announcement {
    source: SourceKey,
    change: Change,
    seen: Timestamp,
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

    /// Notes who leads now. To be called before each observation and from time to time.
    pub fn follow(&mut self) {
        let holder = {
            let state = self.leadership.state();
            let state = state.borrow();
            match (state.role, &state.holder) {
                (Role::Leader, _) => Holder::Me,
                (_, Some(_)) => Holder::Other,
                (_, None) => Holder::Nobody,
            }
        };
        for missed in self.backlog.follow(holder, Instant::now()) {
            self.post(&missed);
        }
    }

    /// Takes in what an observation has led to. `about` is the source that it was about; `listed`: it was the end of a
    /// complete list.
    pub fn take(&mut self, stream: &StreamId, listed: bool, about: Option<&SourceKey>, effect: &Effect) {
        for (source, change) in self.selection.select(stream, listed, about, effect) {
            if !self.index.selects(&source.namespace) {
                continue;
            }
            let seen = Timestamp::now();
            let announcement = Announcement { source, change, seen };
            if let Some(announcement) = self.backlog.keep(announcement, Instant::now()) {
                self.post(&announcement);
            }
        }
    }

    fn post(&self, announcement: &Announcement) {
        let Announcement { source, change, seen } = announcement;
        self.webhook.changed(source, *change, *seen);
    }
}

/// Tells changes that are posted from others.
#[derive(Debug, Default)]
struct Selection {
    announced: Announced,
    /// Streams that have shown a complete list: what they show as new is new.
    listed: HashSet<StreamId>,
}

impl Selection {
    fn select(
        &mut self,
        stream: &StreamId,
        listed: bool,
        about: Option<&SourceKey>,
        effect: &Effect,
    ) -> Vec<(SourceKey, Change)> {
        if listed {
            let first = self.listed.insert(stream.clone());
            // What a list did not show is gone: upstream loses these deletions.
            let deletable = matches!(
                stream.watched,
                Watched::Source(SourceKind::ConfigMap | SourceKind::Secret)
            );
            let gone = deletable && !first && self.announced.deletions;
            let deleted = effect.touched.iter().filter(|_| gone);
            let deleted = deleted.map(|source| (source.clone(), Change::Delete));
            let updated = effect
                .changed
                .iter()
                .map(|source| (source.clone(), Change::Update));
            return deleted.chain(updated).collect();
        }
        let (Some(source), Some(change)) = (about, effect.source) else {
            return Vec::new();
        };
        let new = self.announced.first_list || self.listed.contains(stream);
        let change = match change {
            SourceChange::Updated => Some(Change::Update),
            // Pods that come and go, not the class.
            _ if source.kind == SourceKind::SecretProviderClass => None,
            SourceChange::Created => (self.announced.creations && new).then_some(Change::Create),
            SourceChange::Deleted => self.announced.deletions.then_some(Change::Delete),
            SourceChange::Unchanged => None,
        };
        change
            .map(|change| (source.clone(), change))
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests;
