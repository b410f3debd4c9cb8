//! What each namespace takes of the ledger, so that none takes the others' place.
//!
//! Input: lines and their sizes. Output: whether one more is admitted, and which fit into a chunk. I/O: none.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::model::SourceKey;

/// Maximum number of lines of one namespace.
pub(super) const MOST_LINES: usize = 20_000;
/// Maximum number of bytes that the lines of one namespace take.
pub(super) const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What the namespaces take.
#[derive(Debug, Default)]
pub(super) struct Shares {
    taken: HashMap<Arc<str>, Share>,
    bytes: usize,
    /// By namespace, the sources that did not fit.
    left_out: HashMap<Arc<str>, BTreeSet<SourceKey>>,
    /// Namespaces of which that was said.
    told: HashSet<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    lines: usize,
    bytes: usize,
}

impl Shares {
    /// The sum of all.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of sources that are left out.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.values().map(BTreeSet::len).sum()
    }

    /// Whether the namespace may have a line of that size instead of one of `before`; 0: instead of none.
    pub(super) fn admit(&self, namespace: &Arc<str>, before: usize, wanted: usize) -> bool {
        let share = self.taken.get(namespace).copied().unwrap_or_default();
        let lines = share.lines + usize::from(before == 0);
        lines <= MOST_LINES && share.bytes + wanted <= MOST_BYTES + before
    }

    pub(super) fn add(&mut self, namespace: &Arc<str>, bytes: usize) {
        let share = self.taken.entry(Arc::clone(namespace)).or_default();
        share.lines += 1;
        share.bytes += bytes;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, namespace: &Arc<str>, bytes: usize) {
        if let Some(share) = self.taken.get_mut(namespace) {
            share.lines -= 1;
            share.bytes -= bytes;
            self.bytes -= bytes;
            if share.lines == 0 {
                self.taken.remove(namespace);
            }
        }
    }

    /// The source has no line because of the limits. Returns whether it is the first of its namespace.
    pub(super) fn leave_out(&mut self, source: &SourceKey) -> bool {
        let namespace = &source.namespace;
        let left_out = self.left_out.entry(Arc::clone(namespace)).or_default();
        left_out.insert(source.clone());
        self.told.insert(Arc::clone(namespace))
    }

    /// The source has a line, or needs none. Returns those that were left out and may have a line now.
    pub(super) fn take_back(&mut self, source: &SourceKey, needs_none: bool) -> BTreeSet<SourceKey> {
        let Some(left_out) = self.left_out.get_mut(&source.namespace) else {
            return BTreeSet::new();
        };
        left_out.remove(source);
        if needs_none || left_out.is_empty() {
            self.left_out.remove(&source.namespace).unwrap_or_default()
        } else {
            BTreeSet::new()
        }
    }
}

/// As many of the lines, given with their namespaces, as fit into that many bytes; and how many do not. Where they do not
/// all fit, namespaces that take less than their part of it keep theirs.
pub(super) fn fit(lines: &[(&str, &str)], most: usize) -> (String, usize) {
    let size = |line: &str| line.len() + 1;
    let sum: usize = lines.iter().map(|(_, line)| size(line)).sum();
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let allowance = if sum > most {
        for (namespace, line) in lines {
            *taken.entry(namespace).or_default() += size(line);
        }
        allowance(taken.values().copied().collect(), most)
    } else {
        most
    };
    let mut text = String::with_capacity(sum.min(most));
    let mut left_out = 0;
    let mut used: HashMap<&str, usize> = HashMap::new();
    for (namespace, line) in lines {
        let used = used.entry(namespace).or_default();
        if *used + size(line) <= allowance {
            *used += size(line);
            text.push_str(line);
            text.push('\n');
        } else {
            left_out += 1;
        }
    }
    (text, left_out)
}

/// How much each may have at most, so that all have no more than `most` together.
fn allowance(mut taken: Vec<usize>, most: usize) -> usize {
    taken.sort_unstable();
    let mut rest = most;
    let mut part = most;
    for (number, bytes) in taken.iter().enumerate() {
        part = rest / (taken.len() - number);
        if *bytes > part {
            break;
        }
        rest -= bytes;
    }
    part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SourceKind;

    #[test]
    fn what_fits_is_kept_in_its_order() {
        assert_eq!(fit(&[("a", "1"), ("b", "2")], 4), ("1\n2\n".to_owned(), 0));
        assert_eq!(fit(&[("a", "1"), ("b", "2")], 3), (String::new(), 2));
    }

    #[test]
    fn the_namespace_that_takes_most_loses_lines() {
        let mut lines = vec![("large", "0123456789"); 100];
        lines.push(("small", "one"));
        let (text, left_out) = fit(&lines, 110);
        assert!(text.contains("one\n"), "{text}");
        assert_eq!(left_out, 100 - 9);
    }

    #[test]
    fn a_namespace_has_so_many_lines_and_no_more() {
        let mut shares = Shares::default();
        let [full, other] = ["full", "other"].map(Arc::from);
        for _ in 0..MOST_LINES {
            assert!(shares.admit(&full, 0, 10));
            shares.add(&full, 10);
        }
        assert!(!shares.admit(&full, 0, 10));
        assert!(shares.admit(&full, 10, 20), "what it has may change");
        assert!(!shares.admit(&full, 10, MOST_BYTES));
        assert!(shares.admit(&other, 0, 10));
        let left_out = |number: usize| SourceKey::new(SourceKind::Secret, "full", format!("s-{number}"));
        assert!(shares.leave_out(&left_out(1)));
        assert!(!shares.leave_out(&left_out(2)), "it is said once");
        assert_eq!(shares.left_out(), 2);
        assert_eq!(shares.take_back(&left_out(1), false), BTreeSet::new());
        shares.remove(&full, 10);
        assert_eq!(shares.take_back(&left_out(9), true), [left_out(2)].into());
        assert!(shares.admit(&full, 0, 10));
    }

    proptest! {
        #[test]
        fn no_more_than_allowed_is_kept(
            sizes in prop::collection::vec((0..5_usize, 0..50_usize), 0..40),
            most in 0..600_usize,
        ) {
            let texts: Vec<String> = sizes.iter().map(|(_, size)| "x".repeat(*size)).collect();
            let names = ["a", "b", "c", "d", "e"];
            let lines: Vec<_> = sizes.iter().zip(&texts).map(|((name, _), text)| (names[*name], text.as_str())).collect();
            let (text, left_out) = fit(&lines, most);
            prop_assert!(text.len() <= most);
            prop_assert_eq!(text.lines().count() + left_out, lines.len());
        }
    }
}
