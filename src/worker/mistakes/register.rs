//! Which objects have mistakes in their annotations, and what was said of each.
//!
//! Input: findings, object by object; lists that begin and end. Output: what is to be said, counts. I/O: none; `now` is
//! given.
//!
//! Right objects cost nothing. Of the others a name and a few words are kept, the sentences until they are said and, of the
//! first few thousand, for those who ask. All of it is bounded by namespace and in all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use tokio::time::Instant;

use super::budget::Budget;
use crate::{
    diagnose::Finding,
    mailbox::Bounds,
    model::{ObjectKey, SourceKind},
    watch::{StreamId, Watched},
};

/// Objects that are remembered. Beyond the bound in all, one of the namespace that has most is forgotten.
const OBJECTS: Bounds = Bounds {
    namespace: 10_000,
    total: 20_000,
};
/// Findings that wait to be said, of about 300 bytes each. Of further ones only their names are kept. Beyond the bound in all,
/// one of the namespace that has most makes room.
const WAITING: Bounds = Bounds {
    namespace: 100,
    total: 2000,
};

/// Objects up to which sentences are kept after they were said.
const EXPLAINED: usize = 2000;
/// Sentences of one object that are kept then, of about 300 bytes each.
const EXPLAINED_OF_ONE: usize = 4;

/// Where a finding comes from. Each part is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The text of the object.
    Watched,
    /// What else there is in its namespace.
    Indexed,
}

/// The same mistakes of one annotation of one object, to be said together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::worker) struct Said {
    /// The object.
    pub(in crate::worker) about: ObjectKey,
    /// `metadata.uid` of it.
    pub(in crate::worker) uid: Box<str>,
    /// At least one.
    pub(in crate::worker) findings: Vec<Finding>,
}

/// How many objects have a mistake, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Workloads.
    pub(crate) workloads: BTreeMap<&'static str, usize>,
    /// Sources.
    pub(crate) sources: BTreeMap<&'static str, usize>,
}

/// All objects with mistakes.
#[derive(Debug, Default)]
pub(super) struct Register {
    spaces: HashMap<Arc<str>, Space>,
    objects: usize,
    waiting: usize,
}

/// Those of one namespace.
#[derive(Debug, Default)]
struct Space {
    entries: BTreeMap<ObjectKey, Entry>,
    waiting: usize,
}

#[derive(Debug)]
struct Entry {
    uid: Box<str>,
    /// The list under way has shown it.
    is_listed: bool,
    watched: Vec<Noted>,
    indexed: Vec<Noted>,
}

#[derive(Debug)]
struct Noted {
    /// Stands for the finding: its sentence, hashed.
    id: u64,
    reason: &'static str,
    state: State,
}

#[derive(Debug)]
enum State {
    Waits(Box<Finding>),
    /// There is no room for its sentence.
    Left,
    /// With its sentence, where there is room for it.
    Said(Option<Box<Finding>>),
}

impl Register {
    pub(super) fn is_empty(&self) -> bool {
        self.objects == 0
    }

    /// Takes in what is wrong with an object, in place of what that part said before. Returns whether something new
    /// waits to be said.
    pub(super) fn note(&mut self, about: ObjectKey, uid: &str, part: Part, findings: Vec<Finding>) -> bool {
        if findings.is_empty() {
            self.clear(&about, part);
            return false;
        }
        let namespace = Arc::clone(about.namespace());
        let is_known = self
            .spaces
            .get(&namespace)
            .is_some_and(|space| space.entries.contains_key(&about));
        if !is_known && !self.make_room(&namespace) {
            return false;
        }
        let is_full = self.waiting >= WAITING.total;
        let most = is_full.then(|| self.spaces.values().map(|space| space.waiting).max());
        let most = most.flatten();
        let space = self.spaces.entry(namespace).or_default();
        let entry = space.entries.entry(about).or_insert_with(|| {
            self.objects += 1;
            Entry::new(uid)
        });
        let is_same = *entry.uid == *uid;
        let mut before = std::mem::take(entry.part(part));
        let mut waited = before.iter().filter(|noted| noted.waits()).count();
        if !is_same {
            waited += entry.all().filter(|noted| noted.waits()).count();
            before.clear();
            *entry = Entry::new(uid);
        }
        if part == Part::Watched {
            entry.is_listed = true;
        }
        space.waiting -= waited;
        self.waiting -= waited;
        let mut is_news = false;
        let mut now = Vec::with_capacity(findings.len());
        for finding in findings {
            let id = id_of(&finding);
            let reason = finding.mistake.reason();
            let known = before.iter().position(|noted| noted.id == id);
            let known = known.map(|at| before.swap_remove(at).state);
            let was_waiting = matches!(known, Some(State::Waits(_)));
            // A namespace that has as many as any other makes no room for itself.
            let in_all = self.waiting < WAITING.total || most.is_some_and(|most| space.waiting + 1 < most);
            let has_room = space.waiting < WAITING.namespace && in_all;
            let state = match known {
                Some(State::Said(sentence)) => State::Said(sentence),
                _ if has_room => {
                    is_news |= !was_waiting;
                    space.waiting += 1;
                    self.waiting += 1;
                    State::Waits(Box::new(finding))
                }
                _ => State::Left,
            };
            now.push(Noted { id, reason, state });
        }
        *entry.part(part) = now;
        while self.waiting > WAITING.total && self.leave_one() {}
        is_news
    }

    /// Of the namespace in which most waits, the last finding is not said.
    fn leave_one(&mut self) -> bool {
        let most = self.spaces.values_mut().max_by_key(|space| space.waiting);
        let has_left = most.is_some_and(Space::leave_last);
        self.waiting -= usize::from(has_left);
        has_left
    }

    /// The text of the object is right.
    pub(super) fn right(&mut self, about: &ObjectKey) {
        self.clear(about, Part::Watched);
    }

    /// The object is gone.
    pub(super) fn remove(&mut self, about: &ObjectKey) {
        let Some(space) = self.spaces.get_mut(about.namespace()) else {
            return;
        };
        let Some(entry) = space.entries.remove(about) else {
            return;
        };
        let waited = entry.all().filter(|noted| noted.waits()).count();
        space.waiting -= waited;
        self.waiting -= waited;
        self.objects -= 1;
        if space.entries.is_empty() {
            self.spaces.remove(about.namespace());
        }
    }

    /// Of that namespace, the index has findings about these objects only.
    pub(super) fn only_indexed(&mut self, namespace: &Arc<str>, objects: &HashSet<ObjectKey>) {
        let Some(space) = self.spaces.get(namespace) else {
            return;
        };
        let entries = space.entries.iter();
        let outdated =
            entries.filter(|(about, entry)| !entry.indexed.is_empty() && !objects.contains(*about));
        let outdated: Vec<ObjectKey> = outdated.map(|(about, _)| about.clone()).collect();
        for about in outdated {
            self.clear(&about, Part::Indexed);
        }
    }

    /// A complete list of that stream begins.
    pub(super) fn list_begins(&mut self, stream: &StreamId) {
        for entry in self.entries_of(stream) {
            entry.is_listed = false;
        }
    }

    /// The list is complete: what it did not show is gone.
    pub(super) fn list_ends(&mut self, stream: &StreamId) {
        let namespaces: Vec<Arc<str>> = self.spaces.keys().cloned().collect();
        for namespace in namespaces.iter().filter(|namespace| stream.covers(namespace)) {
            self.retain_in(namespace, |about, entry| {
                watched(about) != stream.watched || entry.is_listed
            });
        }
    }

    /// What is to be said now, the namespaces in turns, as far as the budget goes. It counts as said.
    pub(super) fn due(
        &mut self,
        now: Instant,
        budget: &mut Budget,
        counts: impl Fn(&str) -> bool,
    ) -> Vec<Said> {
        let waiting = self
            .spaces
            .iter()
            .filter(|(name, space)| space.waiting > 0 && counts(name));
        let mut turns: Vec<Arc<str>> = waiting.map(|(name, _)| Arc::clone(name)).collect();
        turns.sort_unstable();
        let mut due = Vec::new();
        while !turns.is_empty() {
            turns.retain(|namespace| {
                let Some(space) = self.spaces.get_mut(namespace).filter(|space| space.waiting > 0) else {
                    return false;
                };
                if !budget.take(namespace, now) {
                    return false;
                }
                let said = space.take(self.objects <= EXPLAINED);
                self.waiting -= said.as_ref().map_or(0, |said| said.findings.len());
                let has_said = said.is_some();
                due.extend(said);
                has_said
            });
        }
        due
    }

    /// Of how many objects something is left to say, by namespace.
    pub(super) fn unsaid(&self, counts: impl Fn(&str) -> bool) -> Vec<(Arc<str>, usize)> {
        let is_unsaid = |entry: &&Entry| entry.all().any(|noted| !matches!(noted.state, State::Said(_)));
        let spaces = self.spaces.iter().filter(|(name, _)| counts(name));
        let unsaid = spaces.map(|(name, space)| {
            let objects = space.entries.values().filter(is_unsaid).count();
            (Arc::clone(name), objects)
        });
        let mut unsaid: Vec<_> = unsaid.filter(|(_, objects)| *objects > 0).collect();
        unsaid.sort_unstable();
        unsaid
    }

    /// What is wrong with the object: its sentences as far as they are kept, and the names of the others.
    pub(super) fn of(&self, about: &ObjectKey) -> (Vec<Finding>, Vec<&'static str>) {
        let (mut sentences, mut others) = (Vec::new(), Vec::new());
        let space = self.spaces.get(about.namespace());
        let noted = space.and_then(|space| space.entries.get(about)).map(Entry::all);
        for noted in noted.into_iter().flatten() {
            match &noted.state {
                State::Waits(finding) | State::Said(Some(finding)) => sentences.push(Finding::clone(finding)),
                State::Left | State::Said(None) => others.push(noted.reason),
            }
        }
        (sentences, others)
    }

    pub(super) fn counts(&self, counts: impl Fn(&str) -> bool) -> Counts {
        let mut all = Counts::default();
        for (_, space) in self.spaces.iter().filter(|(name, _)| counts(name)) {
            for (about, entry) in &space.entries {
                let of_sort = match about {
                    ObjectKey::Workload(_) => &mut all.workloads,
                    ObjectKey::Source(_) => &mut all.sources,
                };
                let reasons: BTreeSet<&'static str> = entry.all().map(|noted| noted.reason).collect();
                for reason in reasons {
                    *of_sort.entry(reason).or_default() += 1;
                }
            }
        }
        all
    }

    /// Whether a further object of the namespace may be remembered.
    fn make_room(&mut self, namespace: &Arc<str>) -> bool {
        let own = self.spaces.get(namespace).map_or(0, |space| space.entries.len());
        if own >= OBJECTS.namespace {
            return false;
        }
        if self.objects < OBJECTS.total {
            return true;
        }
        let largest = self.spaces.iter().max_by_key(|(_, space)| space.entries.len());
        let Some((_, space)) = largest.filter(|(_, space)| space.entries.len() > own + 1) else {
            return false;
        };
        if let Some(last) = space.entries.keys().next_back().cloned() {
            self.remove(&last);
        }
        true
    }

    fn clear(&mut self, about: &ObjectKey, part: Part) {
        let Some(space) = self.spaces.get_mut(about.namespace()) else {
            return;
        };
        let Some(entry) = space.entries.get_mut(about) else {
            return;
        };
        if part == Part::Watched {
            entry.is_listed = true;
        }
        let cleared = std::mem::take(entry.part(part));
        let is_right = entry.all().next().is_none();
        let waited = cleared.iter().filter(|noted| noted.waits()).count();
        space.waiting -= waited;
        self.waiting -= waited;
        if is_right {
            self.remove(about);
        }
    }

    fn retain_in(&mut self, namespace: &Arc<str>, keep: impl Fn(&ObjectKey, &Entry) -> bool) {
        let Some(space) = self.spaces.get_mut(namespace) else {
            return;
        };
        let (objects, waiting) = (space.entries.len(), space.waiting);
        space.entries.retain(|about, entry| {
            let kept = keep(about, entry);
            if !kept {
                space.waiting -= entry.all().filter(|noted| noted.waits()).count();
            }
            kept
        });
        self.objects -= objects - space.entries.len();
        self.waiting -= waiting - space.waiting;
        if space.entries.is_empty() {
            self.spaces.remove(namespace);
        }
    }

    fn entries_of(&mut self, stream: &StreamId) -> impl Iterator<Item = &mut Entry> {
        let spaces = self.spaces.iter_mut().filter(|(name, _)| stream.covers(name));
        let entries = spaces.flat_map(|(_, space)| &mut space.entries);
        let of_kind = entries.filter(|(about, _)| watched(about) == stream.watched);
        of_kind.map(|(_, entry)| entry)
    }
}

impl Space {
    /// The next that waits, and what is like it; whether there is room to keep the sentences.
    fn take(&mut self, has_room: bool) -> Option<Said> {
        for (about, entry) in &mut self.entries {
            let waiting = |noted: &Noted| match &noted.state {
                State::Waits(finding) => Some((finding.place, finding.key.clone(), noted.reason)),
                State::Left | State::Said(_) => None,
            };
            let Some(group) = entry.all().find_map(waiting) else {
                continue;
            };
            let mut findings = Vec::new();
            for (number, noted) in entry.watched.iter_mut().chain(&mut entry.indexed).enumerate() {
                if waiting(noted).as_ref() == Some(&group)
                    && let State::Waits(finding) = std::mem::replace(&mut noted.state, State::Said(None))
                {
                    findings.push(Finding::clone(&finding));
                    noted.state = State::Said((has_room && number < EXPLAINED_OF_ONE).then_some(finding));
                }
            }
            self.waiting -= findings.len();
            return Some(Said {
                about: about.clone(),
                uid: entry.uid.clone(),
                findings,
            });
        }
        None
    }
}

impl Space {
    /// The last that waits is left out. Returns whether there was one.
    fn leave_last(&mut self) -> bool {
        let entries = self.entries.values_mut().rev();
        let noted = entries.flat_map(|entry| {
            entry
                .indexed
                .iter_mut()
                .rev()
                .chain(entry.watched.iter_mut().rev())
        });
        let Some(last) = noted.into_iter().find(|noted| noted.waits()) else {
            return false;
        };
        last.state = State::Left;
        self.waiting -= 1;
        true
    }
}

impl Entry {
    fn new(uid: &str) -> Self {
        Self {
            uid: uid.into(),
            is_listed: true,
            watched: Vec::new(),
            indexed: Vec::new(),
        }
    }

    const fn part(&mut self, part: Part) -> &mut Vec<Noted> {
        match part {
            Part::Watched => &mut self.watched,
            Part::Indexed => &mut self.indexed,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Noted> {
        self.watched.iter().chain(&self.indexed)
    }
}

impl Noted {
    const fn waits(&self) -> bool {
        matches!(self.state, State::Waits(_))
    }
}

/// The stream that shows the object.
fn watched(about: &ObjectKey) -> Watched {
    match about {
        ObjectKey::Workload(key) => Watched::Workload(key.kind),
        ObjectKey::Source(key) if key.kind == SourceKind::SecretProviderClass => Watched::Class,
        ObjectKey::Source(key) => Watched::Source(key.kind),
    }
}

fn id_of(finding: &Finding) -> u64 {
    let mut hasher = DefaultHasher::new();
    finding.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
