//! A comma list of an annotation, parsed: exact names, and patterns that can match more than one.
//!
//! Input: the annotation's text. Output: [`NameList`]. I/O: none.
//!
//! An annotation may have 256 KiB, and each object of a namespace another one. Names are kept in one piece of text, and
//! found by halving; a match takes a number of steps that is known beforehand ([`NameList::steps`]). What a list may
//! hold is bounded here, what all lists of a namespace may take together by the index.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::model::go_regex::{Expression, NamePattern, PatternError, Subject};

/// Maximum number of items in one list that need an engine ([`NamePattern::Regex`]). Each takes up to 40 KiB.
pub const MAX_REGEXES: usize = 32;

/// Maximum number of states of all these. What compiles slowest takes 25 ms for 500 of them.
pub const MAX_STATES: usize = 2048;

/// What matching one name against the patterns of one list may cost, in steps of about a nanosecond: 64 KiB of
/// wildcards, or one expression of 128 states that needs too large a table.
pub const MAX_LIST_STEPS: usize = 64 << 10;

/// Maximum number of invalid items kept for logging, per list; the rest are skipped silently.
const MAX_BAD_PATTERNS: usize = 16;

/// Longest part of an invalid item kept for logging, in characters.
const MAX_BAD_ITEM_LENGTH: usize = 256;

/// What matching one name against a list costs besides its patterns: the list itself, and halving its names.
const STEPS_OF_A_LIST: usize = 16;

/// An item of a reload annotation that is not a pattern and is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadItem {
    /// The item, trimmed, and cut after 256 characters.
    pub item: Box<str>,
    /// What is wrong with it.
    pub error: BadPatternReason,
}

/// What is wrong with an item of a reload annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPatternReason {
    /// It does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// It compiles, but [`MAX_REGEXES`] items of its list are regular expressions already.
    #[error("more than 32 regular expressions in one annotation")]
    TooMany,
    /// The items before it take [`MAX_LIST_STEPS`] or [`MAX_STATES`] already.
    #[error("the patterns of this annotation cost too much; list fewer or simpler ones, or exact names")]
    TooCostly,
    /// The whole list is skipped: the lists of its namespace take too much already.
    #[error(
        "the lists of this namespace exceed what Reloader keeps of one namespace, so this list is ignored; give workloads \
         the same list or a shorter one, then change this workload"
    )]
    NamespaceFull,
}

/// A parsed list. Equal lists are equal whatever the order of their items.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NameList {
    names: Names,
    patterns: Box<[NamePattern]>,
    bad_items: Box<[BadItem]>,
}

impl NameList {
    /// Parses a list of patterns, split at its commas before each is compiled, so that `a{2,3}` is split.
    pub(super) fn parse(list: &str) -> Self {
        let (mut names, mut patterns, mut bad_items) = (Vec::new(), Vec::<NamePattern>::new(), Vec::new());
        let (mut regexes, mut states, mut steps) = (0, 0, 0);
        for item in items(list) {
            let compiled = match NamePattern::plain(item) {
                Some(NamePattern::Exact(_)) => {
                    names.push(item);
                    continue;
                }
                Some(wildcard) => Ok(wildcard),
                None if regexes == MAX_REGEXES => Err(BadPatternReason::TooMany),
                None => {
                    // Failures count too: they can cost as much time as successes.
                    regexes += 1;
                    compile(item, &mut states)
                }
            };
            let compiled = compiled.and_then(|pattern| {
                if steps + pattern.steps() > MAX_LIST_STEPS {
                    return Err(BadPatternReason::TooCostly);
                }
                steps += pattern.steps();
                Ok(pattern)
            });
            match compiled {
                Ok(pattern) => patterns.push(pattern),
                Err(error) if bad_items.len() < MAX_BAD_PATTERNS => bad_items.push(BadItem {
                    item: item.chars().take(MAX_BAD_ITEM_LENGTH).collect(),
                    error,
                }),
                Err(_) => {}
            }
        }
        patterns.sort_by(|left, right| left.as_str().cmp(right.as_str()));
        patterns.dedup();
        Self {
            names: Names::new(names),
            patterns: patterns.into(),
            bad_items: bad_items.into(),
        }
    }

    /// A list of exact names, whatever they look like.
    pub(super) fn of_names(list: &str) -> Self {
        Self {
            names: Names::new(items(list).collect()),
            ..Self::default()
        }
    }

    /// In place of a list for which the namespace has no room.
    pub(super) fn refused() -> Arc<Self> {
        static REFUSED: LazyLock<Arc<NameList>> = LazyLock::new(|| {
            let bad_item = BadItem {
                item: Box::default(),
                error: BadPatternReason::NamespaceFull,
            };
            Arc::new(NameList {
                bad_items: Box::new([bad_item]),
                ..NameList::default()
            })
        });
        Arc::clone(&REFUSED)
    }

    /// Whether it matches no name. It may have items that are reported.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    /// Whether an item matches that name. An absent list is one empty item to upstream, and an empty item matches an
    /// empty name.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let name = subject.name();
        (self.is_empty() && name.is_empty())
            || self.names.contains(name)
            || self.patterns.iter().any(|pattern| pattern.matches(subject))
    }

    /// Whether it holds that exact name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The exact names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter()
    }

    /// Whether an item can match more than one name.
    pub const fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// What the names begin with that its patterns match, one for each of them; `None`: a pattern may match any name.
    pub fn prefixes(&self) -> Option<impl ExactSizeIterator<Item = &str>> {
        let all_have_one = self.patterns.iter().all(|pattern| !pattern.prefix().is_empty());
        all_have_one.then(|| self.patterns.iter().map(NamePattern::prefix))
    }

    /// The items that were skipped, the first 16.
    pub const fn bad_items(&self) -> &[BadItem] {
        &self.bad_items
    }

    /// How much matching one name costs at most, in steps of about a nanosecond.
    pub fn steps(&self) -> usize {
        let patterns = self.patterns.iter().map(NamePattern::steps);
        STEPS_OF_A_LIST + patterns.sum::<usize>()
    }

    /// The heap it takes, in bytes, without the invalid items, which are few.
    pub fn size(&self) -> usize {
        let patterns = self.patterns.iter().map(NamePattern::size);
        size_of::<Self>() + self.names.size() + patterns.sum::<usize>() + size_of_val(&*self.patterns)
    }
}

/// Compiles an item that needs an engine, unless it would have more states than are left for it.
fn compile(item: &str, states: &mut usize) -> Result<NamePattern, BadPatternReason> {
    let expression = Expression::read(item)?;
    *states += expression.states();
    if *states > MAX_STATES {
        *states -= expression.states();
        return Err(BadPatternReason::TooCostly);
    }
    Ok(expression.compile()?)
}

/// Sorted names in one piece of text: tens of thousands of short names take little more than the annotation.
#[derive(Default, PartialEq, Eq)]
struct Names {
    text: Box<str>,
    /// Where each ends.
    ends: Box<[u32]>,
}

impl Names {
    fn new(mut names: Vec<&str>) -> Self {
        names.sort_unstable();
        names.dedup();
        let mut text = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let end = |name: &&str| {
            text.push_str(name);
            // An annotation has 256 KiB at most.
            u32::try_from(text.len()).unwrap_or(u32::MAX)
        };
        let ends = names.iter().map(end).collect();
        Self {
            text: text.into(),
            ends,
        }
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text
            .get(start as usize..self.ends[number] as usize)
            .unwrap_or_default()
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|number| self.get(number))
    }

    fn contains(&self, name: &str) -> bool {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    fn size(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The lists of all workloads: each is parsed and kept once, however many workloads have it, and however often one of
/// them is seen.
#[derive(Default)]
pub struct SharedLists {
    /// Two hashes of a text with random keys stand for the text: nobody can make two texts alike.
    keys: [RandomState; 2],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    lists: HashMap<[u64; 2], Weak<NameList>>,
    /// With so many, those that no workload has any more are dropped.
    next_sweep: usize,
}

impl SharedLists {
    /// The list that `parse` makes of that text; `None`: without any item.
    pub(super) fn get(&self, text: &str, parse: fn(&str) -> NameList) -> Option<Arc<NameList>> {
        items(text).next()?;
        // An item means one thing where patterns are allowed and another where they are not.
        let key = self
            .keys
            .each_ref()
            .map(|key| key.hash_one((text, parse as usize)));
        if let Some(list) = self.known().lists.get(&key).and_then(Weak::upgrade) {
            return Some(list);
        }
        let list = Arc::new(parse(text));
        let mut known = self.known();
        if known.lists.len() >= known.next_sweep {
            known.lists.retain(|_, list| list.strong_count() > 0);
            known.next_sweep = 64.max(known.lists.len() * 2);
        }
        known.lists.insert(key, Arc::downgrade(&list));
        Some(list)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLists").finish_non_exhaustive()
    }
}

/// The trimmed, non-empty items of a comma list. An empty item could match an empty name only, which no object has.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests;
