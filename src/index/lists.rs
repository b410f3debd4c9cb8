//! The lists of names and patterns of one namespace's workloads: which of them name a source.
//!
//! Input: workloads that come and go. Output: who lists a source. I/O: none.
//!
//! A name is looked up, or matched, once for each distinct list, however many workloads have it; against patterns that
//! begin with letters, as most do, only if it begins like one of them. Whoever may write in one namespace may fill it with
//! lists; intake reads all namespaces, and every replica keeps them. So the time that one name takes and the memory of all
//! lists are bounded, and a list beyond that does not count ([`Lists::has_room`]).

mod prefixes;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::change::WorkloadId;
use crate::model::{
    OptIn, SourceKind, SourceRef,
    opt_in::{NameList, Subject},
};
use prefixes::{ListId, Prefixes};

/// What matching one name against all lists of a namespace may cost, in steps of about a nanosecond.
pub(super) const MAX_STEPS: usize = 256 << 10;

/// What all lists of a namespace may take, in bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// A list with more exact names is asked for each source instead: an entry for each of its names would take ten times
/// the list.
pub(super) const MAX_ENTRIES: usize = 1024;

/// What an entry takes, in bytes.
const ENTRY_SIZE: usize = 256;

/// What the prefix of a pattern takes, in bytes.
const PREFIX_SIZE: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Each distinct list with how often workloads have it, as one of exclusions too.
    uses: HashMap<ListId, usize>,
    listed: HashMap<(SourceKind, ListId), Listed>,
    /// The lists that hold a source's exact name.
    by_name: HashMap<SourceRef, Vec<ListId>>,
    /// The lists that are asked for each source.
    asked: HashSet<(SourceKind, ListId)>,
    /// The lists that are asked for sources whose names begin like one of their patterns.
    asked_by_prefix: Prefixes,
    total: Cost,
}

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

/// The lists that name one source, in order.
#[derive(Debug)]
pub(super) struct Naming(Vec<ListId>);

impl Naming {
    pub(super) fn contains(&self, list: &Arc<NameList>) -> bool {
        self.0.binary_search(&id_of(list)).is_ok()
    }
}

/// For which sources a workload's lists are asked, beside those that they name one by one.
#[derive(Debug)]
pub(super) enum Asked {
    /// For those of a kind whose names begin so.
    By(Vec<(SourceKind, Box<str>)>),
    /// For each.
    ForEach,
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
                match prefixes(list) {
                    Some(prefixes) => self.asked_by_prefix.add(kind, id, prefixes),
                    None => _ = self.asked.insert((kind, id)),
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
            match prefixes(list) {
                Some(prefixes) => self.asked_by_prefix.remove(kind, id, prefixes),
                None => _ = self.asked.remove(&(kind, id)),
            }
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
        let of_kind = self.asked.iter().filter(|(kind, _)| *kind == source.kind);
        let by_prefix = self.asked_by_prefix.of(source.kind, &source.name);
        let mut asked: Vec<ListId> = of_kind.map(|(_, id)| *id).chain(by_prefix).collect();
        // Several patterns of a list may begin alike.
        asked.sort_unstable();
        asked.dedup();
        let matches = |id: &ListId| {
            let listed = self.listed.get(&(source.kind, *id));
            listed.is_some_and(|listed| asks(&listed.list, &subject))
        };
        naming.extend(asked.into_iter().filter(matches));
        naming.sort_unstable();
        naming.dedup();
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

    /// The workloads that list the source by its exact name; one of several lists counts for each.
    pub(super) fn listing(&self, source: &SourceRef) -> impl Iterator<Item = &WorkloadId> {
        let lists = self.by_name.get(source).into_iter().flatten();
        let listed = lists.filter_map(|id| self.listed.get(&(source.kind, *id)));
        listed.flat_map(|listed| &listed.workloads)
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
            bytes: list.size()
                + entries(list).count() * ENTRY_SIZE
                + prefixes(list).map_or(0, Iterator::count) * PREFIX_SIZE,
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

/// For which other sources its lists are asked; `None`: for none.
pub(super) fn asked(opt_in: &OptIn) -> Option<Asked> {
    let mut by = Vec::new();
    for (kind, list) in listed(opt_in) {
        let prefixes = prefixes(list).map(|prefixes| prefixes.map(|prefix| (kind, prefix.into())));
        match prefixes {
            Some(prefixes) => by.extend(prefixes),
            None => return Some(Asked::ForEach),
        }
    }
    (!by.is_empty()).then_some(Asked::By(by))
}

fn listed(opt_in: &OptIn) -> impl Iterator<Item = (SourceKind, &Arc<NameList>)> {
    let kinds = SourceKind::ALL.into_iter();
    kinds.filter_map(|kind| Some((kind, opt_in.listed(kind)?)))
}

/// What a name begins with for which the list is asked, if it is not asked for each.
fn prefixes(list: &NameList) -> Option<impl Iterator<Item = &str>> {
    let prefixes = list.prefixes()?;
    let is_short = list.names().len() <= MAX_ENTRIES && prefixes.len() <= MAX_ENTRIES;
    is_short.then_some(prefixes)
}

#[cfg(not(test))]
fn asks(list: &NameList, subject: &Subject<'_>) -> bool {
    list.matches(subject)
}

#[cfg(test)]
use counted::asks;

#[cfg(test)]
mod counted {
    use std::cell::Cell;

    use super::{NameList, Subject};

    thread_local! {
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn asks(list: &NameList, subject: &Subject<'_>) -> bool {
        ASKED.set(ASKED.get() + 1);
        list.matches(subject)
    }

    /// How many lists are asked for a name while that is done.
    pub(in crate::index) fn asked_by(act: impl FnOnce()) -> usize {
        let before = ASKED.get();
        act();
        ASKED.get() - before
    }
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
