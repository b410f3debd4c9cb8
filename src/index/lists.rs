//! The lists of names and patterns of one namespace's workloads: which of them name a source.
//!
//! Input: workloads that come and go. Output: who lists a source. I/O: none.
//!
//! A name is looked up, or matched, once for each distinct list, however many workloads have it. Whoever may write in
//! one namespace may fill it with lists; intake reads all namespaces, and every replica keeps them. So the time that one
//! name takes and the memory of all lists are bounded, and a list beyond that does not count ([`Lists::has_room`]).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::change::WorkloadId;
use crate::model::{
    OptIn, SourceKind, SourceRef,
    opt_in::{NameList, Subject},
};

/// What matching one name against all lists of a namespace may cost, in steps of about a nanosecond.
pub(super) const MAX_STEPS: usize = 256 << 10;

/// What all lists of a namespace may take, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// A list with more exact names is asked for each source instead: an entry for each of its names would take ten times
/// the list.
pub(super) const MAX_ENTRIES: usize = 1024;

/// What an entry takes, in bytes.
const ENTRY_SIZE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Each distinct list with how often workloads have it, as one of exclusions too.
    uses: HashMap<ListId, usize>,
    listed: HashMap<(SourceKind, ListId), Listed>,
    /// The lists that hold a source's exact name.
    by_name: HashMap<SourceRef, Vec<ListId>>,
    /// The lists that are asked for each source.
    asked: HashSet<(SourceKind, ListId)>,
    total: Cost,
}

/// A distinct list: its address. Equal texts are one list, see [`crate::model::opt_in::SharedLists`].
type ListId = usize;

/// A list of sources that restart these workloads.
#[derive(Debug)]
struct Listed {
    list: Arc<NameList>,
    workloads: HashSet<WorkloadId>,
}

/// What lists take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    steps: usize,
    bytes: usize,
}

/// The lists that name one source.
#[derive(Debug)]
pub(super) struct Naming(Vec<ListId>);

impl Naming {
    pub(super) fn contains(&self, list: &Arc<NameList>) -> bool {
        self.0.contains(&id_of(list))
    }
}

impl Lists {
    /// Whether the list may be added, where the workload's lists so far are given up.
    pub(super) fn has_room(&self, list: &Arc<NameList>, before: Option<&OptIn>) -> bool {
        if self.uses.contains_key(&id_of(list)) {
            return true;
        }
        let mut total = self.total;
        let given_up = before.into_iter().flat_map(OptIn::lists);
        for list in given_up.filter(|list| self.uses.get(&id_of(list)) == Some(&1)) {
            total.subtract(Cost::of(list));
        }
        total.add(Cost::of(list));
        total.steps <= MAX_STEPS && total.bytes <= MAX_BYTES
    }

    pub(super) fn add(&mut self, workload: &WorkloadId, opt_in: &OptIn) {
        for list in opt_in.lists() {
            let uses = self.uses.entry(id_of(list)).or_default();
            if *uses == 0 {
                self.total.add(Cost::of(list));
            }
            *uses += 1;
        }
        for (kind, list) in listed(opt_in) {
            let id = id_of(list);
            let known = self.listed.entry((kind, id)).or_insert_with(|| {
                if is_asked(list) {
                    self.asked.insert((kind, id));
                }
                for name in entries(list) {
                    let lists = self.by_name.entry(SourceRef::new(kind, name)).or_default();
                    lists.push(id);
                }
                Listed {
                    list: Arc::clone(list),
                    workloads: HashSet::new(),
                }
            });
            known.workloads.insert(workload.clone());
        }
    }

    pub(super) fn remove(&mut self, workload: &WorkloadId, opt_in: &OptIn) {
        for (kind, list) in listed(opt_in) {
            let id = id_of(list);
            let Some(known) = self.listed.get_mut(&(kind, id)) else {
                continue;
            };
            known.workloads.remove(workload);
            if !known.workloads.is_empty() {
                continue;
            }
            self.listed.remove(&(kind, id));
            self.asked.remove(&(kind, id));
            for name in entries(list) {
                let reference = SourceRef::new(kind, name);
                if let Some(lists) = self.by_name.get_mut(&reference) {
                    lists.retain(|other| *other != id);
                    if lists.is_empty() {
                        self.by_name.remove(&reference);
                    }
                }
            }
        }
        for list in opt_in.lists() {
            let Some(uses) = self.uses.get_mut(&id_of(list)) else {
                continue;
            };
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&id_of(list));
                self.total.subtract(Cost::of(list));
            }
        }
    }

    /// The lists that name the source.
    pub(super) fn naming(&self, source: &SourceRef) -> Naming {
        let mut naming = self.by_name.get(source).cloned().unwrap_or_default();
        let subject = Subject::new(&source.name);
        let asked = self.asked.iter().filter(|(kind, _)| *kind == source.kind);
        for key in asked {
            let matches = |listed: &Listed| listed.list.matches(&subject);
            if !naming.contains(&key.1) && self.listed.get(key).is_some_and(matches) {
                naming.push(key.1);
            }
        }
        Naming(naming)
    }

    /// The workloads that have one of these lists.
    pub(super) fn workloads(&self, kind: SourceKind, naming: &Naming) -> impl Iterator<Item = &WorkloadId> {
        let lists = naming
            .0
            .iter()
            .filter_map(move |id| self.listed.get(&(kind, *id)));
        lists.flat_map(|listed| &listed.workloads)
    }

    /// The sources that are looked up by their name.
    pub(super) fn by_name(&self) -> impl Iterator<Item = &SourceRef> {
        self.by_name.keys()
    }

    /// Whether the source, which need not exist, is one of these.
    pub(super) fn has_name(&self, source: &SourceRef) -> bool {
        self.by_name.contains_key(source)
    }
}

impl Cost {
    fn of(list: &NameList) -> Self {
        Self {
            steps: list.steps(),
            bytes: list.size() + entries(list).count() * ENTRY_SIZE,
        }
    }

    const fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.bytes += other.bytes;
    }

    const fn subtract(&mut self, other: Self) {
        self.steps = self.steps.saturating_sub(other.steps);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The sources that the workload's lists name one by one.
pub(super) fn names(opt_in: &OptIn) -> impl Iterator<Item = SourceRef> {
    listed(opt_in).flat_map(|(kind, list)| entries(list).map(move |name| SourceRef::new(kind, name)))
}

/// Whether its lists can name other sources.
pub(super) fn are_asked(opt_in: &OptIn) -> bool {
    listed(opt_in).any(|(_, list)| is_asked(list))
}

fn listed(opt_in: &OptIn) -> impl Iterator<Item = (SourceKind, &Arc<NameList>)> {
    let kinds = SourceKind::ALL.into_iter();
    kinds.filter_map(|kind| Some((kind, opt_in.listed(kind)?)))
}

fn is_asked(list: &NameList) -> bool {
    list.has_patterns() || list.names().len() > MAX_ENTRIES
}

fn entries(list: &NameList) -> impl Iterator<Item = &str> {
    let count = list.names().len();
    list.names().take(if count > MAX_ENTRIES { 0 } else { count })
}

fn id_of(list: &Arc<NameList>) -> ListId {
    Arc::as_ptr(list) as ListId
}

#[cfg(test)]
mod tests;
