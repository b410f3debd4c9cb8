//! What waits: its bounds, whose turn it is, and what is dropped.
//!
//! Input: items, each with a namespace and a rank. Output: one at a time; what is dropped. I/O: none.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// How many items wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of one namespace; at least 1.
    pub namespace: usize,
    /// In all; at least 1.
    pub total: usize,
}

/// What is dropped first; it does not change the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Dropped first.
    Usual,
    /// Dropped only where nothing usual waits.
    Important,
}

/// Items that wait, each namespace's in order.
#[derive(Debug)]
pub struct Waiting<T> {
    bounds: Bounds,
    namespaces: HashMap<Arc<str>, Line<T>>,
    /// Every namespace that has a line, once; the first is served next.
    turns: VecDeque<Arc<str>>,
    len: usize,
}

/// What waits of one namespace; never empty.
#[derive(Debug)]
struct Line<T> {
    items: VecDeque<(Rank, T)>,
    /// How many of them are usual.
    usual: usize,
}

impl<T> Line<T> {
    fn remove(&mut self, at: usize) -> Option<T> {
        let (rank, item) = self.items.remove(at)?;
        self.usual -= usize::from(rank == Rank::Usual);
        Some(item)
    }

    /// Where the oldest item of the lowest rank is.
    fn least(&self) -> usize {
        let is_least = |(rank, _): &(Rank, T)| self.usual == 0 || *rank == Rank::Usual;
        self.items.iter().position(is_least).unwrap_or_default()
    }
}

impl<T> Waiting<T> {
    /// Nothing waits.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            namespaces: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }

    /// Adds an item behind those of its namespace. Returns the one that is dropped for it.
    pub fn push(&mut self, namespace: &Arc<str>, rank: Rank, item: T) -> Option<T> {
        self.line(namespace, rank).push_back((rank, item));
        self.trim(namespace)
    }

    /// Adds an item in front of those of its namespace. Returns the one that is dropped for it.
    pub fn put_back(&mut self, namespace: &Arc<str>, rank: Rank, item: T) -> Option<T> {
        self.line(namespace, rank).push_front((rank, item));
        self.trim(namespace)
    }

    /// The next item; its namespace has its next turn after all others.
    pub fn take(&mut self) -> Option<T> {
        self.take_where(|_| true, |_| true)
    }

    /// The next item of the namespaces that may be served now which may itself be taken now.
    pub fn take_where(
        &mut self,
        may_be_served: impl Fn(&str) -> bool,
        may_be_taken: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let mut turns = self.turns.iter().enumerate();
        let found = turns.find_map(|(turn, namespace)| {
            if !may_be_served(namespace) {
                return None;
            }
            let items = &self.namespaces.get(namespace)?.items;
            let at = items.iter().position(|(_, item)| may_be_taken(item))?;
            Some((turn, Arc::clone(namespace), at))
        });
        let (turn, namespace, at) = found?;
        self.turns.remove(turn);
        self.turns.push_back(Arc::clone(&namespace));
        self.remove(&namespace, at)
    }

    /// Changes the first item of the namespace for which `change` returns true. Returns whether there was one.
    pub fn amend(&mut self, namespace: &str, mut change: impl FnMut(&mut T) -> bool) -> bool {
        let line = self.namespaces.get_mut(namespace);
        line.is_some_and(|line| line.items.iter_mut().any(|(_, item)| change(item)))
    }

    /// Takes out the first item of the namespace that is meant.
    pub fn extract(&mut self, namespace: &str, is_meant: impl Fn(&T) -> bool) -> Option<T> {
        let items = &self.namespaces.get(namespace)?.items;
        let at = items.iter().position(|(_, item)| is_meant(item))?;
        self.remove(namespace, at)
    }

    /// The line of the namespace, for one more item of that rank.
    fn line(&mut self, namespace: &Arc<str>, rank: Rank) -> &mut VecDeque<(Rank, T)> {
        self.len += 1;
        let line = self.namespaces.entry(Arc::clone(namespace)).or_insert_with(|| {
            self.turns.push_back(Arc::clone(namespace));
            Line {
                items: VecDeque::new(),
                usual: 0,
            }
        });
        line.usual += usize::from(rank == Rank::Usual);
        &mut line.items
    }

    /// Drops one item if there is one too many, after one of that namespace was added.
    fn trim(&mut self, added: &Arc<str>) -> Option<T> {
        let mine = self.namespaces.get(added)?.items.len();
        let from = if mine > self.bounds.namespace {
            Arc::clone(added)
        } else if self.len > self.bounds.total {
            // Of the lowest rank that there is, the namespace with most; among equals the one that adds.
            let is_usual = self.namespaces.values().any(|line| line.usual > 0);
            let most = self.namespaces.iter().max_by_key(|(namespace, line)| {
                let count = if is_usual { line.usual } else { line.items.len() };
                (count, *namespace == added)
            });
            Arc::clone(most?.0)
        } else {
            return None;
        };
        let at = self.namespaces.get(&from)?.least();
        self.remove(&from, at)
    }

    fn remove(&mut self, namespace: &str, at: usize) -> Option<T> {
        let line = self.namespaces.get_mut(namespace)?;
        let item = line.remove(at)?;
        self.len -= 1;
        if line.items.is_empty() {
            self.namespaces.remove(namespace);
            self.turns.retain(|other| **other != *namespace);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        namespace: 4,
        total: 6,
    };

    /// Pushes the items of a text: a letter is one of the namespace of that name, in upper case an important one.
    fn push(waiting: &mut Waiting<char>, items: &str) -> String {
        let mut dropped = String::new();
        for item in items.chars() {
            let namespace: Arc<str> = item.to_lowercase().collect::<String>().into();
            let rank = if item.is_uppercase() {
                Rank::Important
            } else {
                Rank::Usual
            };
            dropped.extend(waiting.push(&namespace, rank, item));
        }
        dropped
    }

    fn rest(waiting: &mut Waiting<char>) -> String {
        std::iter::from_fn(|| waiting.take()).collect()
    }

    #[test]
    fn namespaces_take_turns_and_what_floods_loses_its_own() {
        for (pushed, dropped, served) in [
            ("aaab", "", "abaa"),
            // More than one namespace may have.
            ("aaaaab", "a", "abaaa"),
            // More than all may have: of the one that has most.
            ("aaaabbc", "a", "abcaba"),
            ("abcdefa", "a", "abcdef"),
            // What is important stays, as long as anything usual waits, of whichever namespace.
            ("aAaAA", "a", "AaAA"),
            ("AAAAbcd", "d", "AbcAAA"),
            ("AAAABbcd", "cd", "ABAbAA"),
            ("AAAAA", "A", "AAAA"),
            ("AAAABBb", "b", "ABABAA"),
            ("AAAABBB", "A", "ABABAB"),
        ] {
            let mut waiting = Waiting::new(BOUNDS);
            assert_eq!(push(&mut waiting, pushed), dropped, "{pushed}");
            assert_eq!(rest(&mut waiting), served, "{pushed}");
        }
    }

    #[test]
    fn what_may_not_be_taken_yet_keeps_its_place() {
        let mut waiting = Waiting::new(BOUNDS);
        push(&mut waiting, "aAb");
        assert_eq!(waiting.take_where(|_| true, |item| *item != 'a'), Some('A'));
        assert_eq!(waiting.take_where(|_| true, |item| *item != 'b'), Some('a'));
        assert_eq!(waiting.take_where(|_| true, |item| *item != 'b'), None);
        assert_eq!(waiting.take_where(|namespace| namespace != "b", |_| true), None);
        assert_eq!(waiting.extract("b", |item| *item == 'b'), Some('b'));
        assert_eq!(rest(&mut waiting), "");
    }

    proptest! {
        /// Whatever is pushed and taken: bounds hold, nothing is lost unless it is returned, and nothing important is dropped
        /// while something usual waits in its namespace.
        #[test]
        fn nothing_is_lost_and_bounds_hold(steps in "[a-dA-D<]{0,80}") {
            let mut waiting = Waiting::new(BOUNDS);
            let (mut pushed, mut taken) = (0, 0);
            for step in steps.chars() {
                if step == '<' {
                    taken += usize::from(waiting.take().is_some());
                    continue;
                }
                pushed += 1;
                let dropped = push(&mut waiting, &step.to_string());
                taken += dropped.len();
                let usual = waiting.namespaces.values().map(|line| line.usual).sum::<usize>();
                let is_own = |letter: char| letter.eq_ignore_ascii_case(&step);
                for letter in dropped.chars().filter(|letter| letter.is_uppercase()) {
                    let own = waiting.namespaces.get(&*letter.to_lowercase().collect::<String>());
                    prop_assert!(own.is_none_or(|line| line.usual == 0));
                    prop_assert!(usual == 0 || is_own(letter));
                }
                prop_assert!(waiting.namespaces.values().all(|line| line.items.len() <= BOUNDS.namespace));
                prop_assert!(waiting.len <= BOUNDS.total);
                prop_assert_eq!(waiting.turns.len(), waiting.namespaces.len());
            }
            prop_assert_eq!(rest(&mut waiting).len() + taken, pushed);
            prop_assert!(waiting.namespaces.is_empty() && waiting.turns.is_empty());
        }
    }
}
