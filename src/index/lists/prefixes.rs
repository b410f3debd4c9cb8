//! Lists by what the names begin with that their patterns match.
//!
//! Input: lists with their prefixes. Output: those that may match a name. I/O: none.

use std::collections::{BTreeMap, HashMap};

use crate::model::SourceKind;

/// A distinct list: its address. Equal texts are one list, see [`crate::model::opt_in::SharedLists`].
pub(super) type ListId = usize;

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    of_kind: [OfKind; SourceKind::ALL.len()],
}

#[derive(Debug, Default)]
struct OfKind {
    /// A list is there once for each of its patterns.
    lists: HashMap<Box<str>, Vec<ListId>>,
    /// How many of these prefixes have that length: a name is cut at each of them. It has 253 characters at most.
    lengths: BTreeMap<usize, usize>,
}

impl Prefixes {
    pub(super) fn add<'a>(
        &mut self,
        kind: SourceKind,
        list: ListId,
        prefixes: impl Iterator<Item = &'a str>,
    ) {
        let OfKind { lists, lengths } = &mut self.of_kind[kind as usize];
        for prefix in prefixes {
            let known = lists.entry(prefix.into()).or_insert_with(|| {
                *lengths.entry(prefix.len()).or_default() += 1;
                Vec::with_capacity(1)
            });
            known.push(list);
        }
    }

    pub(super) fn remove<'a>(
        &mut self,
        kind: SourceKind,
        list: ListId,
        prefixes: impl Iterator<Item = &'a str>,
    ) {
        let OfKind { lists, lengths } = &mut self.of_kind[kind as usize];
        for prefix in prefixes {
            let Some(known) = lists.get_mut(prefix) else {
                continue;
            };
            known.retain(|other| *other != list);
            if !known.is_empty() {
                continue;
            }
            lists.remove(prefix);
            if let Some(count) = lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    lengths.remove(&prefix.len());
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let mut kinds = self.of_kind.iter();
        kinds.all(|of_kind| of_kind.lists.is_empty() && of_kind.lengths.is_empty())
    }

    /// The lists of that kind with a pattern whose names begin like this one; some more than once.
    pub(super) fn of(&self, kind: SourceKind, name: &str) -> impl Iterator<Item = ListId> {
        let OfKind { lists, lengths } = &self.of_kind[kind as usize];
        let lengths = lengths.range(..=name.len()).map(|(length, _)| *length);
        let known = lengths.filter_map(move |length| lists.get(name.get(..length)?));
        known.flatten().copied()
    }
}
