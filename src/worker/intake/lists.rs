//! Lists namespaces where workloads may not be watched.
//!
//! Input: what observations show about streams, namespaces whose workloads are needed. Output: requests to [`Lister`].
//! I/O: none of its own.

use std::sync::Arc;

use super::{
    permissions::{Access, Consequence, Permissions},
    sign::Sign,
};
use crate::{
    model::{WorkloadKey, WorkloadKind},
    watch::{Lister, StreamId, Watched},
    worker::context::Context,
};

/// What has to be listed.
pub(super) struct Lists {
    context: Arc<Context>,
    lister: Lister,
    permissions: Permissions,
    takeover: Takeover,
}

/// Whether what a takeover needs has been requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover {
    /// This replica has not led yet.
    Ahead,
    /// A lost lease ends the process, so that this is final.
    Requested,
}

impl Lists {
    /// Every stream may be watched, as far as is known.
    pub(super) fn new(context: Arc<Context>, lister: Lister) -> Self {
        Self {
            context,
            lister,
            permissions: Permissions::default(),
            takeover: Takeover::Ahead,
        }
    }

    /// What may be done with the stream's objects.
    pub(super) fn access(&self, stream: &StreamId) -> Access {
        self.permissions.access(stream)
    }

    /// Takes in what was shown about the stream, and requests the lists that follow from it.
    pub(super) fn note(&mut self, stream: &StreamId, sign: Sign<'_>) -> Consequence {
        let consequence = self.permissions.note(stream, sign, self.context.role());
        match consequence {
            Consequence::BecameListOnly => self.request_outdated(),
            Consequence::ListAgain if self.context.leadership().is_leader() => {
                for namespace in self.context.index().unsettled_namespaces() {
                    if stream.covers(&namespace) {
                        self.lister.request(&namespace, [stream.clone()]);
                    }
                }
            }
            Consequence::Nothing | Consequence::ListRefused | Consequence::ListAgain => {}
        }
        consequence
    }

    /// A standby that may not watch workloads knows them as they were when it started: once it leads, it lists those
    /// namespaces where something is owed.
    pub(super) fn follow_election(&mut self) {
        if self.takeover == Takeover::Ahead && self.context.leadership().is_leader() {
            self.takeover = Takeover::Requested;
            for namespace in self.context.index().unsettled_namespaces() {
                self.request(&namespace);
            }
            self.request_outdated();
        }
    }

    /// Requests the workloads of a namespace where they may not be watched. Returns their kinds: those that owe are due
    /// when the list has come.
    pub(super) fn request(&self, namespace: &Arc<str>) -> Vec<WorkloadKind> {
        let streams: Vec<_> = self.permissions.list_only(namespace).cloned().collect();
        let kind = |stream: &StreamId| match stream.watched {
            Watched::Workload(kind) => Some(kind),
            Watched::Source(_) | Watched::Class | Watched::Namespace => None,
        };
        let kinds = streams.iter().filter_map(kind).collect();
        if !streams.is_empty() && self.context.leadership().is_leader() {
            self.lister.request(namespace, streams);
        }
        kinds
    }

    /// The workloads of that stream that owe a restart.
    pub(super) fn owing_in(&self, stream: &StreamId) -> Vec<WorkloadKey> {
        let mut owing = self.context.index().owing();
        owing.retain(|key| stream.watched == Watched::Workload(key.kind) && stream.covers(&key.namespace));
        owing
    }

    /// A list may have missed the Job between its deletion and its creation: then no workload seems to use its sources,
    /// and the ledger forgets them. Where no watch shows the new Job, it is listed.
    pub(super) fn request_recreated(&self, key: &WorkloadKey) {
        let streams: Vec<StreamId> = self
            .permissions
            .list_only(&key.namespace)
            .filter(|stream| stream.watched == Watched::Workload(key.kind))
            .cloned()
            .collect();
        if !streams.is_empty() {
            self.lister.request(&key.namespace, streams);
        }
    }

    /// Deployments that the leader before has paused have to be known to be resumed: where they may not be watched,
    /// they are listed once more.
    fn request_outdated(&mut self) {
        if self.context.leadership().is_leader() {
            for stream in self.permissions.take_outdated() {
                self.lister.request_all(stream);
            }
        }
    }
}
