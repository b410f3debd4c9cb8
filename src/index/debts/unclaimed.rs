//! Changes that workloads may owe which no stream has shown yet, or not as they are now.
//!
//! Input: changes of sources. Output: [`Claim`]s of a workload seen later. I/O: none.
//!
//! Each stream has a connection of its own, and one may lag behind another: by milliseconds as a rule, by minutes when
//! its connection has died silently. A workload that was created, or has opted in, before a source changed must be
//! restarted for the change all the same, whichever of the two is seen first. So each change is kept until every
//! workload it may concern has been seen, with what the source held before: a workload from between two changes is known
//! to run with what it started with.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::super::{
    change::{Change, Observed},
    replaced::{Replaced, Span},
};
use crate::model::{Content, SourceRef, UnixSeconds, Workload};

/// So many changes of one source are told apart; a workload older than all of them may run with anything.
const TOLD_APART: usize = 8;

/// How far apart the clocks of two API servers may be. Each writes times of its own.
const CLOCK_SKEW_SECONDS: i64 = 2;

#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    by_source: HashMap<SourceRef, History>,
    /// When the last change of each was seen.
    by_age: BTreeSet<(Instant, SourceRef)>,
}

/// A change that a workload seen later may owe.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) reference: SourceRef,
    /// What the workload runs with; `None`: unknown.
    pub(super) running: Option<Content>,
    /// The last change of the source.
    pub(super) change: Change,
}

/// The changes of one source.
#[derive(Debug)]
struct History {
    past: Vec<Past>,
    /// The last one.
    last: Change,
}

/// One of them.
#[derive(Debug)]
struct Past {
    /// What the source held until then, as far as that is known.
    before: Option<Content>,
    written: Written,
    change: Change,
}

/// When a change was written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written {
    /// The source's content: at that time, with that resourceVersion.
    At(Option<UnixSeconds>, u64),
    /// A deletion leaves no time; its resourceVersion is 0 where it is not known.
    Deletion(u64),
}

impl Unclaimed {
    pub(super) fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }

    /// Keeps a change: the source held `before` until now.
    pub(super) fn remember(
        &mut self,
        reference: &SourceRef,
        before: Option<Content>,
        written: Written,
        change: &Change,
    ) {
        let past = Past {
            before,
            written,
            change: *change,
        };
        let history = self.by_source.entry(reference.clone());
        let history = history.or_insert_with(|| History {
            // Most sources change once while it is remembered; an empty one would take room for four.
            past: Vec::with_capacity(1),
            last: *change,
        });
        let mut entry = (history.last.seen.at, reference.clone());
        self.by_age.remove(&entry);
        history.note(past);
        entry.0 = change.seen.at;
        self.by_age.insert(entry);
    }

    /// Forgets the changes that were seen until then: every workload they may concern has been seen since. Returns their
    /// sources.
    pub(super) fn forget_until(&mut self, horizon: Instant) -> Vec<SourceRef> {
        let mut expired = Vec::new();
        while self.by_age.first().is_some_and(|(last, _)| *last <= horizon) {
            expired.extend(self.by_age.pop_first().map(|(_, reference)| reference));
        }
        for reference in &expired {
            self.by_source.remove(reference);
        }
        expired
    }

    /// What a workload that was not known may owe: of each source, from the first change that came after it on.
    ///
    /// `candidates`: the sources that may concern it; `None`: any may.
    pub(super) fn of_new(
        &self,
        workload: &Workload,
        is_event: bool,
        candidates: impl FnOnce() -> Option<BTreeSet<SourceRef>>,
    ) -> Vec<Claim> {
        self.claims(candidates, |past| past.is_after_new(workload, is_event))
    }

    /// The same of a workload that was known, and which sources concern only now.
    pub(super) fn of_changed(
        &self,
        workload: &Workload,
        observed: Observed,
        replaced: &Replaced,
        candidates: impl FnOnce() -> Option<BTreeSet<SourceRef>>,
    ) -> Vec<Claim> {
        let same_template = replaced.before.template.says_the_same(&workload.template);
        self.claims(candidates, |past| {
            if observed.is_event {
                past.version()
                    .is_some_and(|version| workload.resource_version < version)
            } else {
                past.is_after_read(workload, replaced, same_template)
            }
        })
    }

    /// Those of the candidates that have changed after that resourceVersion, or may have.
    pub(super) fn changed_since(
        &self,
        version: u64,
        candidates: impl FnOnce() -> Option<BTreeSet<SourceRef>>,
    ) -> Vec<SourceRef> {
        let changed = |history: &History| {
            let last = history.past.last().map_or(0, Past::written_version);
            last == 0 || last > version
        };
        self.collect(candidates, |reference, history| {
            changed(history).then(|| reference.clone())
        })
    }

    /// What the source, which holds `now`, has held between these two resourceVersions, both included.
    pub(super) fn contents(&self, reference: &SourceRef, during: Span, now: Content) -> Vec<Option<Content>> {
        let past = self
            .by_source
            .get(reference)
            .map_or(&[][..], |history| &history.past);
        let until = past
            .iter()
            .position(|past| past.written_version() > during.until)
            .unwrap_or(past.len());
        let since = past[..until]
            .iter()
            .position(|past| past.written_version() > during.since)
            .unwrap_or(until);
        let then = past.get(until).map_or(Some(now), |past| past.before);
        // It may have come at any time.
        let untimed = past.iter().filter(|past| past.written_version() == 0);
        let within = past[since..until].iter().chain(untimed).map(|past| past.before);
        within.chain([then]).collect()
    }

    /// An earlier leader may have restarted workloads for the changes of the source.
    pub(super) fn doubt(&mut self, reference: &SourceRef) {
        if let Some(history) = self.by_source.get_mut(reference) {
            history.last.inherited = true;
        }
    }

    /// The last change of the source.
    pub(super) fn last(&self, reference: &SourceRef) -> Option<&Change> {
        Some(&self.by_source.get(reference)?.last)
    }

    pub(super) fn forget(&mut self, reference: &SourceRef) {
        if let Some(history) = self.by_source.remove(reference) {
            self.by_age.remove(&(history.last.seen.at, reference.clone()));
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_source.clear();
        self.by_age.clear();
    }

    fn claims(
        &self,
        candidates: impl FnOnce() -> Option<BTreeSet<SourceRef>>,
        is_owed: impl Fn(&Past) -> bool,
    ) -> Vec<Claim> {
        self.collect(candidates, |reference, history| {
            let first = history.past.iter().find(|past| is_owed(past))?;
            Some(Claim {
                reference: reference.clone(),
                running: first.before,
                change: history.last,
            })
        })
    }

    /// What there is to say of the candidates; a storm elsewhere in the namespace is not looked through for the few that a
    /// workload uses.
    fn collect<T>(
        &self,
        candidates: impl FnOnce() -> Option<BTreeSet<SourceRef>>,
        say: impl Fn(&SourceRef, &History) -> Option<T>,
    ) -> Vec<T> {
        if self.by_source.is_empty() {
            return Vec::new();
        }
        let all = || {
            self.by_source
                .iter()
                .filter_map(|(reference, history)| say(reference, history))
        };
        candidates().map_or_else(
            || all().collect(),
            |candidates| {
                let known = candidates
                    .iter()
                    .filter_map(|name| self.by_source.get_key_value(name));
                known
                    .filter_map(|(reference, history)| say(reference, history))
                    .collect()
            },
        )
    }
}

impl History {
    fn note(&mut self, past: Past) {
        self.last = past.change;
        self.past.push(past);
        if self.past.len() > TOLD_APART {
            self.past.remove(0);
            self.past[0].before = None;
        }
    }
}

impl Past {
    /// Whether it came after the creation of a workload that was not known.
    fn is_after_new(&self, workload: &Workload, is_event: bool) -> bool {
        match self.written {
            Written::Deletion(_) => workload.created_at <= Some(self.change.seen.unix),
            Written::At(at, version) if is_event => {
                let latest = |at: UnixSeconds| Some(at.saturating_add(CLOCK_SKEW_SECONDS));
                workload.resource_version < version && at.is_none_or(|at| workload.created_at <= latest(at))
            }
            Written::At(None, _) => true,
            Written::At(at, version) => (workload.created_at, workload.resource_version) <= (at, version),
        }
    }

    /// Whether it may have come after a workload became as it was just read: it came after the workload was read before,
    /// and after the workload or, with the same template, while its pods need not be others.
    fn is_after_read(&self, workload: &Workload, replaced: &Replaced, same_template: bool) -> bool {
        let came_since = |version| {
            self.change.order >= replaced.read_at
                && replaced.before.resource_version < version
                && (workload.resource_version < version || same_template)
        };
        self.version().is_some_and(came_since)
    }

    /// The resourceVersion of the source's content since; a deletion has none.
    const fn version(&self) -> Option<u64> {
        match self.written {
            Written::At(_, version) => Some(version),
            Written::Deletion(_) => None,
        }
    }

    /// The resourceVersion of the write; 0: not known.
    const fn written_version(&self) -> u64 {
        match self.written {
            Written::At(_, version) | Written::Deletion(version) => version,
        }
    }
}

#[cfg(test)]
mod tests;
