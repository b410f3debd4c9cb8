//! What an earlier leader left, as far as it cannot be settled at once.
//!
//! Input: what the ledger says, and until when it is complete. Output: debts of workloads seen later, and debts that only
//! a marker makes due. I/O: none.
//!
//! The ledger is written some seconds after a restart. If the leader dies before, and the source goes back to what the
//! ledger has of it, then ledger and source agree, and yet the pods run with what came in between. Their marker shows
//! it. Markers as such prove nothing: one that differs may be years old, from before a change that another controller
//! missed, and is no reason for a restart. But of a workload that Reloader wrote after the ledger's last write
//! (`metadata.managedFields` has the time, and both are of the API server's clock) the marker is news.
//!
//! Both times have whole seconds; a write in the same second counts as later.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    change::{Change, WorkloadId},
    debts::Debts,
    objects::Objects,
    replaced::{Replaced, is_restart},
    source_status::{OwedBy, SourceState, SourceStatus},
};
use crate::model::{Content, Source, SourceKind, SourceRef, UnixSeconds, Workload, WorkloadKey};

#[derive(Debug)]
pub(super) struct Handover {
    /// Sources that workloads waited for. Kept until the first list shows which of them exist.
    missing: HashSet<SourceRef>,
    /// What was written down of workloads that no stream has shown yet.
    inheritance: HashMap<WorkloadId, Vec<Inherited>>,
    /// Set when this replica has taken over, until every workload is known.
    unrecorded: Option<Unrecorded>,
    /// The sources that the ledger has, until every workload is known.
    recorded: HashSet<SourceRef>,
    /// As `unrecorded`, for as long as this replica leads: its own watches may show what an earlier leader did minutes later.
    inherited: Option<Unrecorded>,
    /// Workloads that an earlier leader restarted for a content that the source is not known to have held. Kept until the source
    /// is seen again.
    restarted: HashMap<SourceRef, HashSet<WorkloadId>>,
}

/// A workload owes a restart for a source, according to the ledger.
#[derive(Debug)]
struct Inherited {
    reference: SourceRef,
    /// What it runs with; `None`: unknown.
    running: Option<Content>,
    /// What the source held then.
    state: Option<Content>,
}

/// From when on restarts may be missing in the ledger, and the change that stands for any of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unrecorded {
    pub(super) since: UnixSeconds,
    /// A tentative one.
    pub(super) change: Change,
}

impl Handover {
    pub(super) fn new(unrecorded: Option<Unrecorded>) -> Self {
        Self {
            missing: HashSet::new(),
            inheritance: HashMap::new(),
            unrecorded,
            recorded: HashSet::new(),
            inherited: unrecorded,
            restarted: HashMap::new(),
        }
    }

    /// The ledger has this source.
    pub(super) fn record(&mut self, reference: SourceRef) {
        self.recorded.insert(reference);
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// A workload waited for a source that did not exist.
    pub(super) fn wait_for(&mut self, missing: SourceRef) {
        self.missing.insert(missing);
    }

    /// Whether a workload waited for the source, which has appeared.
    pub(super) fn has_appeared(&mut self, reference: &SourceRef) -> bool {
        self.missing.remove(reference)
    }

    /// A complete list has shown which sources of that kind exist.
    pub(super) fn listed(&mut self, kind: SourceKind) {
        self.missing.retain(|reference| reference.kind != kind);
    }

    /// The ledger says that the workload owes a restart for the source, whose state it has.
    ///
    /// Where no stream has shown the workload yet, the change is kept for it; what the ledger says of the others is that
    /// they owe nothing.
    pub(super) fn inherit(
        &mut self,
        owed: &OwedBy,
        (reference, state): (&SourceRef, SourceState),
        change: &Change,
        objects: &Objects,
        debts: &mut Debts,
    ) {
        let id = WorkloadId {
            kind: owed.kind,
            name: owed.name.clone(),
        };
        if objects.workloads.get(&id).is_some() {
            debts.inherit(&id, reference, (owed.running, state.content()), change, objects);
        } else if change.remember {
            if debts.last_change(reference).is_none() {
                let settled = objects.sources.target(reference).or(state.content());
                debts.remember(reference, settled, change, objects);
            }
            self.inheritance.entry(id).or_default().push(Inherited {
                reference: reference.clone(),
                running: owed.running,
                state: state.content(),
            });
        }
    }

    /// The workload has appeared: it owes what was left to it.
    pub(super) fn hand_over(&mut self, id: &WorkloadId, objects: &Objects, debts: &mut Debts) {
        for inherited in self.inheritance.remove(id).unwrap_or_default() {
            let Inherited {
                reference,
                running,
                state,
            } = inherited;
            if let Some(change) = debts.last_change(&reference) {
                debts.inherit(id, &reference, (running, state), &change, objects);
            }
        }
    }

    /// This replica has taken over, and restarts may be missing in what it restored: the workloads that are known and were
    /// written or created since have to be checked, and of those that appear until all are known. Later ones were
    /// written by this leader.
    pub(super) fn begin_check(&mut self, unrecorded: Unrecorded, objects: &Objects) -> Vec<WorkloadKey> {
        self.unrecorded = Some(unrecorded);
        self.inherited = Some(unrecorded);
        let workloads = objects.workloads.all();
        let since = Some(unrecorded.since);
        let unknown =
            |workload: &&Arc<Workload>| workload.template.written_at >= since || workload.created_at > since;
        workloads
            .filter(unknown)
            .map(|workload| workload.key.clone())
            .collect()
    }

    /// As [`Self::check_workload`].
    pub(super) fn check(&self, id: &WorkloadId, objects: &Objects, debts: &mut Debts) {
        if let Some(workload) = objects.workloads.get(id) {
            self.check_workload(workload, objects, debts);
        }
    }

    /// The marker of a workload has to be checked, if the ledger may lack a restart of it; and it owes what changed after
    /// its creation, if the ledger may lack the workload.
    pub(super) fn check_workload(&self, workload: &Workload, objects: &Objects, debts: &mut Debts) {
        if self.unrecorded.is_none() {
            return;
        }
        for reference in objects.of_workload(workload) {
            if let Some(source) = objects.sources.present(&reference) {
                self.check_one(workload, source, objects, debts);
            }
        }
    }

    /// The source exists, which was not known. Returns the workloads that owe a restart, or whose marker has to be checked.
    pub(super) fn check_source(
        &self,
        reference: &SourceRef,
        objects: &Objects,
        debts: &mut Debts,
    ) -> Vec<WorkloadId> {
        let Some(source) = objects
            .sources
            .present(reference)
            .filter(|_| self.unrecorded.is_some())
        else {
            return Vec::new();
        };
        let mut concerned = objects.workloads.concerned(source);
        concerned.retain(|id| {
            let workload = objects.workloads.get(id);
            workload.is_some_and(|workload| self.check_one(workload, source, objects, debts))
        });
        concerned
    }

    /// Returns whether it is news that the workload may owe a restart for the source.
    fn check_one(&self, workload: &Workload, source: &Source, objects: &Objects, debts: &mut Debts) -> bool {
        let Some(Unrecorded { since, change }) = &self.unrecorded else {
            return false;
        };
        let id = WorkloadId::from(&workload.key);
        if debts.was_replaced_unseen(&id, source, objects) {
            return false;
        }
        if self.recorded.contains(&source.key.reference()) {
            workload.template.written_at >= Some(*since) && debts.check_marker(&id, source, change, objects)
        } else if is_unrecorded(workload, source, *since) {
            let change = Change {
                tentative: false,
                inherited: true,
                ..*change
            };
            debts.check_marker(&id, source, &change, objects)
        } else {
            false
        }
    }

    /// The workload has become another. Where an earlier leader restarted it, which a watch shows only now, its pods may run
    /// with what the source has not been seen to hold. Returns whether it may owe a restart that it did not owe before.
    ///
    /// Where the source was last written before that restart, its stream is behind as well: what it shows next decides.
    pub(super) fn check_restart(
        &mut self,
        workload: &Workload,
        replaced: &Replaced,
        objects: &Objects,
        debts: &mut Debts,
    ) -> bool {
        let (before, template) = (&replaced.before, &workload.template);
        let Some(Unrecorded { since, change }) = self.inherited else {
            return false;
        };
        if template.written_at < Some(since) || !is_restart(before, workload) {
            return false;
        }
        let id = WorkloadId::from(&workload.key);
        let mut is_news = false;
        for reference in objects.of_workload(workload) {
            let shown = template.newly_shown(&reference, &before.template);
            let (Some(source), Some(shown)) = (objects.sources.present(&reference), shown) else {
                continue;
            };
            if *shown == *Content::Present(source.digest).shown().to_string() {
                continue;
            }
            if source.modified_at >= template.written_at {
                is_news |= debts.check_restart(&id, source, Some(&shown), &change, objects);
            } else {
                self.restarted.entry(reference).or_default().insert(id.clone());
            }
        }
        is_news
    }

    /// The workload is gone.
    pub(super) fn forget_workload(&mut self, id: &WorkloadId) {
        self.restarted.retain(|_, restarted| {
            restarted.remove(id);
            !restarted.is_empty()
        });
    }

    /// The source was seen again: as [`Self::check_restart`].
    pub(super) fn check_restarted(
        &mut self,
        reference: &SourceRef,
        objects: &Objects,
        debts: &mut Debts,
    ) -> Vec<WorkloadId> {
        let Some(restarted) = self.restarted.remove(reference) else {
            return Vec::new();
        };
        let (Some(source), Some(inherited)) = (objects.sources.present(reference), self.inherited) else {
            return Vec::new();
        };
        let is_news = |id: &WorkloadId| {
            objects.workloads.get(id).is_some()
                && debts.check_restart(id, source, None, &inherited.change, objects)
        };
        restarted.into_iter().filter(is_news).collect()
    }

    /// Every workload that existed when this replica began to lead is known now.
    pub(super) fn end(&mut self) {
        self.inheritance.clear();
        self.unrecorded = None;
        self.recorded.clear();
    }

    /// The namespace is not selected any more.
    pub(super) fn clear(&mut self) {
        self.end();
        self.missing.clear();
        self.restarted.clear();
    }
}

/// Whether the workload has opted into the source without the ledger's knowledge, and its data was written after its
/// pods may have started: certainly after both were created.
///
/// A workload that is older than the ledger opted in while nobody looked, which is no change.
fn is_unrecorded(workload: &Workload, source: &Source, since: UnixSeconds) -> bool {
    workload.created_at > Some(since) && source.rewritten && source.modified_at > workload.created_at
}

/// What a later leader needs to know of the source; `None` where no workload opted into it.
pub(super) fn status(reference: &SourceRef, objects: &Objects, debts: &Debts) -> Option<SourceStatus> {
    let Some(state) = objects.sources.state(reference) else {
        return objects.is_awaited(reference).then(SourceStatus::missing);
    };
    let concerned = objects.concerned(reference);
    if concerned.is_empty() {
        return None;
    }
    let owed = concerned
        .iter()
        .filter_map(|id| debts.owed_by(id, reference, objects));
    Some(SourceStatus {
        state,
        owed: owed.collect(),
    })
}
