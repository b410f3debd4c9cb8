//! The workloads of one namespace, and which sources concern them.
//!
//! Input: workloads as the watches show them, in any order. Output: [`WorkloadSeen`], and who a source concerns.
//! I/O: none.
//!
//! A reverse map leads from a source to the workloads that reference it, [`Lists`] to those that list it. Both give
//! candidates, the annotations decide.
//!
//! A Rollout with `workloadRef` has the pod template of its Deployment, whichever of the two is seen first.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    change::{Observed, WorkloadId},
    course::{Course, Everywhere, Horizon, InProgress, Place},
    lists::{self, Asked, Lists},
    replaced::{Replaced, Span, WorkloadSeen, is_paused, is_restart, template_changed},
    templates_left::TemplatesLeft,
};
use crate::model::{
    Content, PodTemplate, Replacement, Restart, RolloutState, Source, SourceRef, UnixSeconds, Verdict,
    Workload, WorkloadKey, WorkloadKind,
};

#[derive(Debug)]
pub(super) struct Workloads {
    /// Workloads without annotations are opted in.
    auto_reload_all: bool,
    /// Otherwise no source concerns any workload here.
    selected: bool,
    slots: HashMap<WorkloadId, Slot>,
    /// How many there are of each kind of which there is any.
    counts: BTreeMap<WorkloadKind, usize>,
    /// How many opted into some source.
    opted_in: usize,
    /// The reverse index: workloads that a source of that name may concern because they reference it.
    interested: HashMap<SourceRef, HashSet<WorkloadId>>,
    /// What the workloads list.
    lists: Lists,
    /// Workloads that use the pod template of the Deployment of that name.
    followers: HashMap<Arc<str>, HashSet<WorkloadId>>,
    in_progress: InProgress,
}

#[derive(Debug)]
struct Slot {
    workload: Arc<Workload>,
    /// The list in which it was last seen.
    generation: u32,
    /// The earliest resourceVersion it was seen with: the nearest to its creation.
    first_version: u64,
    /// How many changes had been seen when it was listed or read last.
    read_at: u64,
    /// Its creation was watched, with [`Slot::first_version`].
    watched_from_creation: bool,
    /// The template became what it is after this resourceVersion of the workload; 0: not watched.
    template_since: u64,
    /// And at this one at the latest.
    template_until: u64,
    templates_left: TemplatesLeft,
    /// It came back while pods of it may have been left: these were not replaced.
    template_returned: bool,
    /// Pods came or went last at that resourceVersion of the workload or before.
    pods_moved: u64,
    /// The resourceVersion that this process, or another replica as far as it is seen, wrote last.
    written: u64,
    course: Course,
}

impl Slot {
    /// Where it counts among those in progress, if it may.
    fn place(&self) -> Option<Place> {
        let state = self.workload.rollout.state;
        // Whether it was restarted a short while ago is known when it is asked for.
        let may_count = state.is_in_progress() || state == RolloutState::Opaque;
        let moved_at = self.course.moved_at(&self.workload).filter(|_| may_count)?;
        Some((state, moved_at))
    }
}

impl Workloads {
    /// `in_progress`: how many workloads of all namespaces are.
    pub(super) fn new(auto_reload_all: bool, selected: bool, in_progress: Everywhere) -> Self {
        Self {
            auto_reload_all,
            selected,
            slots: HashMap::new(),
            counts: BTreeMap::new(),
            opted_in: 0,
            interested: HashMap::new(),
            lists: Lists::default(),
            followers: HashMap::new(),
            in_progress: InProgress::new(selected, in_progress),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether sources concern workloads here.
    pub(super) const fn are_selected(&self) -> bool {
        self.selected
    }

    /// From now on sources concern workloads here, or do not. Returns whether that is new.
    pub(super) fn select(&mut self, selected: bool) -> bool {
        self.in_progress.select(selected);
        std::mem::replace(&mut self.selected, selected) != selected
    }

    /// `generation`: the list it was in; `None` where it comes from the answer to a patch. `observed`: `None` where only
    /// the template it uses was seen.
    pub(super) fn seen(
        &mut self,
        workload: &Arc<Workload>,
        generation: Option<u32>,
        observed: Option<Observed>,
    ) -> WorkloadSeen {
        let id = WorkloadId::from(&workload.key);
        let version = workload.resource_version;
        let may_count = self.opts_in(workload);
        let Some(slot) = self.slots.get_mut(&id) else {
            let course = Course::new(workload, observed.map_or(UnixSeconds(0), |observed| observed.at));
            let slot = Slot {
                workload: Arc::clone(workload),
                generation: generation.unwrap_or_default(),
                first_version: version,
                read_at: observed.map_or(0, |observed| observed.order),
                watched_from_creation: observed.is_some_and(|observed| observed.is_event),
                template_since: 0,
                template_until: 0,
                templates_left: TemplatesLeft::of(workload),
                template_returned: false,
                pods_moved: 0,
                written: 0,
                course,
            };
            self.opted_in += usize::from(may_count);
            self.in_progress.note(None, slot.place().filter(|_| may_count));
            *self.counts.entry(id.kind).or_default() += 1;
            self.slots.insert(id.clone(), slot);
            self.link(&id, workload);
            return WorkloadSeen::New;
        };
        slot.generation = generation.unwrap_or(slot.generation);
        let recreated = slot.workload.uid != workload.uid;
        if !recreated && slot.workload.resource_version > version {
            return WorkloadSeen::Stale;
        }
        slot.first_version = if recreated {
            version
        } else {
            slot.first_version.min(version)
        };
        let is_event = observed.is_some_and(|observed| observed.is_event);
        if recreated {
            slot.watched_from_creation = is_event;
            slot.template_returned = false;
        }
        let pods_moved = (slot.workload.pods.counts != workload.pods.counts).then_some(Span {
            since: slot.workload.resource_version,
            until: version,
        });
        if pods_moved.is_some() {
            slot.pods_moved = version;
        }
        let template_changed = template_changed(&slot.workload, workload, is_event);
        let has_returned = slot.templates_left.note(&slot.workload, workload);
        let template_returned = has_returned && template_changed.is_some();
        if let Some(span) = template_changed {
            slot.template_since = span.since;
            slot.template_returned = template_returned;
            slot.template_until = span.until;
            if is_restart(&slot.workload, workload) {
                slot.written = slot.written.max(version);
            }
        }
        if recreated || workload.pods.are_complete {
            slot.templates_left.clear();
        }
        let read_at = slot.read_at;
        if let Some(observed) = observed.filter(|observed| !observed.is_event) {
            slot.read_at = observed.order;
        }
        let place = slot.place();
        if let Some(observed) = observed {
            slot.course = slot.course.next(&slot.workload, workload, observed.at);
        }
        let before = std::mem::replace(&mut slot.workload, Arc::clone(workload));
        let now = slot.place().filter(|_| may_count);
        let did_count = self.opts_in(&before);
        self.opted_in = self.opted_in + usize::from(may_count) - usize::from(did_count);
        self.in_progress.note(place.filter(|_| did_count), now);
        let replaced = Replaced {
            before,
            read_at,
            template_changed,
            template_returned,
            pods_moved: pods_moved.filter(|_| !recreated),
        };
        if replaced.interests_differ(workload) {
            self.unlink(&id, &replaced.before);
            self.link(&id, workload);
        }
        WorkloadSeen::Known(replaced)
    }

    pub(super) fn remove(&mut self, id: &WorkloadId) -> Option<Arc<Workload>> {
        let slot = self.slots.remove(id)?;
        if let Some(count) = self.counts.get_mut(&id.kind) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&id.kind);
            }
        }
        let did_count = self.opts_in(&slot.workload);
        self.opted_in -= usize::from(did_count);
        self.in_progress.note(slot.place().filter(|_| did_count), None);
        self.unlink(id, &slot.workload);
        Some(slot.workload)
    }

    /// The workloads of that kind which that list did not show.
    pub(super) fn unseen(&self, kind: WorkloadKind, generation: u32) -> Vec<WorkloadId> {
        let of_kind = self.slots.iter().filter(|(id, _)| id.kind == kind);
        let unseen = of_kind.filter(|(_, slot)| slot.generation != generation);
        unseen.map(|(id, _)| id.clone()).collect()
    }

    /// The workloads of that kind which are not among these.
    pub(super) fn unlisted(&self, kind: WorkloadKind, listed: &[Workload]) -> Vec<WorkloadId> {
        let names: HashSet<&str> = listed.iter().map(|workload| &*workload.key.name).collect();
        let of_kind = self.slots.keys().filter(|id| id.kind == kind);
        of_kind.filter(|id| !names.contains(&*id.name)).cloned().collect()
    }

    pub(super) fn get(&self, id: &WorkloadId) -> Option<&Arc<Workload>> {
        Some(&self.slots.get(id)?.workload)
    }

    /// And how far its rollout is.
    pub(super) fn with_course(&self, id: &WorkloadId) -> Option<(&Arc<Workload>, Course)> {
        let slot = self.slots.get(id)?;
        Some((&slot.workload, slot.course))
    }

    /// How many opted into some source; none where no source concerns any.
    pub(super) const fn opted_in(&self) -> usize {
        if self.selected { self.opted_in } else { 0 }
    }

    /// How many that opted in have a rollout in progress; none where the namespace does not count.
    pub(super) fn in_progress(&self, horizon: Horizon) -> usize {
        self.in_progress.count(horizon)
    }

    /// Whether that one is among these.
    pub(super) fn is_in_progress(&self, id: &WorkloadId, horizon: Horizon) -> bool {
        let counts = |slot: &Slot| {
            self.opts_in(&slot.workload) && slot.place().is_some_and(|place| horizon.counts(place))
        };
        self.selected && self.slots.get(id).is_some_and(counts)
    }

    fn opts_in(&self, workload: &Workload) -> bool {
        self.auto_reload_all || !workload.opt_in.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.slots.values().map(|slot| &slot.workload)
    }

    pub(super) fn keys(&self, ids: &[WorkloadId]) -> Vec<WorkloadKey> {
        let workloads = ids.iter().filter_map(|id| self.get(id));
        workloads.map(|workload| workload.key.clone()).collect()
    }

    /// How many there are, of each kind of which there is any.
    pub(super) const fn counts(&self) -> &BTreeMap<WorkloadKind, usize> {
        &self.counts
    }

    /// Those whose annotations may hold a mistake, a list or a pause period, or that have no pod template.
    pub(super) fn to_check(&self) -> Vec<Arc<Workload>> {
        self.all()
            .filter(|_| self.selected)
            .filter(|workload| {
                workload.pause.is_some()
                    || workload.lacks_template
                    || workload.opt_in.bad_items().next().is_some()
            })
            .cloned()
            .collect()
    }

    /// Those that Reloader has paused.
    pub(super) fn paused(&self) -> Vec<WorkloadKey> {
        let paused = self.all().filter(|workload| self.selected && is_paused(workload));
        paused.map(|workload| workload.key.clone()).collect()
    }

    /// Whether it was created after the source was last written, so that its pods have always had that content.
    pub(super) fn is_younger(&self, id: &WorkloadId, source: &Source) -> bool {
        let slot = self.slots.get(id);
        slot.is_some_and(|slot| slot.workload.is_younger_than(source, slot.first_version))
    }

    /// Whether all its pods have certainly started after that resourceVersion, because somebody else has changed its
    /// template since. After a restart of Reloader's the marker has to follow all the same.
    pub(super) fn was_replaced_since(&self, id: &WorkloadId, version: u64) -> bool {
        let slot = self.slots.get(id).filter(|_| version > 0);
        slot.is_some_and(|slot| {
            slot.template_since > version
                && slot.template_since > slot.written
                && !slot.template_returned
                && slot.workload.replacement == Replacement::All
        })
    }

    /// Whether pods of a template before its present one may be left.
    pub(super) fn is_under_replacement(&self, id: &WorkloadId) -> bool {
        let slot = self.slots.get(id);
        slot.is_some_and(|slot| slot.templates_left.is_any_known())
    }

    /// Whether pods may be left of a template that shows that content.
    pub(super) fn may_have_left_a_template_with(&self, id: &WorkloadId, content: Content) -> bool {
        let slot = self.slots.get(id);
        slot.is_some_and(|slot| slot.templates_left.may_show(content))
    }

    /// Whether all its pods have certainly started after that time, by the API server's clock: whole seconds, so that the later
    /// one is greater.
    pub(super) fn was_replaced_after(&self, id: &WorkloadId, time: UnixSeconds) -> bool {
        let slot = self.slots.get(id).filter(|slot| !slot.template_returned);
        slot.is_some_and(|slot| {
            slot.workload.replacement == Replacement::All && slot.workload.template.replaced_at > Some(time)
        })
    }

    /// Whether its template shows when all its pods were replaced.
    pub(super) fn shows_restarts(&self, id: &WorkloadId) -> bool {
        self.get(id).is_some_and(|workload| {
            workload.replacement == Replacement::All && workload.restart == Restart::Template
        })
    }

    /// This process has written it, and it got that resourceVersion.
    pub(super) fn written(&mut self, id: &WorkloadId, version: u64) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.written = slot.written.max(version);
        }
    }

    /// Whether its markers are certainly older than that resourceVersion.
    pub(super) fn was_written_before(&self, id: &WorkloadId, version: u64) -> bool {
        let slot = self.slots.get(id).filter(|slot| slot.written > 0);
        slot.is_some_and(|slot| slot.written < version)
    }

    /// Whether pods may have started after that resourceVersion: its template has changed since, or pods came or went.
    pub(super) fn pods_may_start_since(&self, id: &WorkloadId, version: u64) -> bool {
        let slot = self.slots.get(id);
        slot.is_some_and(|slot| slot.template_until > version) || self.pods_moved_since(id, version)
    }

    /// Whether pods have come or gone after that resourceVersion, or may at any moment.
    pub(super) fn pods_moved_since(&self, id: &WorkloadId, version: u64) -> bool {
        let slot = self.slots.get(id);
        slot.is_some_and(|slot| slot.pods_moved > version || slot.workload.pods.are_moving)
    }

    /// Whether it was certainly created after that resourceVersion.
    pub(super) fn was_created_since(&self, id: &WorkloadId, version: u64) -> bool {
        let slot = self.slots.get(id).filter(|_| version > 0);
        slot.is_some_and(|slot| slot.watched_from_creation && slot.first_version > version)
    }

    /// Whether any source may concern it.
    pub(super) fn may_be_concerned(&self, workload: &Workload) -> bool {
        self.selected && (self.auto_reload_all || !workload.opt_in.is_empty())
    }

    /// The workloads that opted into this source.
    pub(super) fn concerned(&self, source: &Source) -> Vec<WorkloadId> {
        if !self.selected {
            return Vec::new();
        }
        let reference = source.key.reference();
        let naming = self.lists.naming(&reference);
        let using = self.interested.get(&reference);
        let only_listing = self
            .lists
            .workloads(reference.kind, &naming)
            .filter(|id| using.is_none_or(|using| !using.contains(*id)));
        let candidates = using.into_iter().flatten().chain(only_listing);
        let concerned = candidates.filter(|id| {
            self.slots.get(*id).is_some_and(|slot| {
                let opt_in = &slot.workload.opt_in;
                match opt_in.verdict_where(source, self.auto_reload_all, |list| naming.contains(list)) {
                    Verdict::No(_) => false,
                    Verdict::Named => true,
                    Verdict::Auto => using.is_some_and(|using| using.contains(*id)),
                }
            })
        });
        concerned.cloned().collect()
    }

    pub(super) fn concerns(&self, source: &Source, workload: &Workload) -> bool {
        let reference = source.key.reference();
        self.concerns_where(source, workload, || {
            workload.template.references().any(|used| *used == reference)
        })
    }

    /// The same where it is known whether the workload's template references the source.
    pub(super) fn concerns_where(
        &self,
        source: &Source,
        workload: &Workload,
        is_used: impl FnOnce() -> bool,
    ) -> bool {
        self.selected
            && match workload.opt_in.verdict(source, self.auto_reload_all) {
                Verdict::No(_) => false,
                Verdict::Named => true,
                Verdict::Auto => is_used(),
            }
    }

    /// Whether a workload references or lists a source of that name, which need not exist.
    pub(super) fn name(&self, reference: &SourceRef) -> bool {
        self.selected && (self.interested.contains_key(reference) || self.lists.has_name(reference))
    }

    /// Every source that workloads reference or list by its exact name.
    pub(super) fn named(&self) -> impl Iterator<Item = &SourceRef> {
        let listed = self.lists.by_name();
        let only_listed = listed.filter(|reference| !self.interested.contains_key(*reference));
        let named = self.interested.keys().chain(only_listed);
        named.filter(|_| self.selected)
    }

    /// How many workloads opted into each source by referencing it or listing its exact name.
    pub(super) fn users_by_name(&self) -> Vec<(SourceRef, usize)> {
        let users = |reference: &SourceRef| {
            let using = self.interested.get(reference);
            let listing = self.lists.listing(reference);
            let only_listing = listing.filter(|id| using.is_none_or(|using| !using.contains(*id)));
            using.map_or(0, HashSet::len) + only_listing.count()
        };
        self.named()
            .map(|reference| (reference.clone(), users(reference)))
            .collect()
    }

    /// The sources that may concern the workload.
    pub(super) fn interests(&self, workload: &Workload) -> Interests {
        Interests {
            used: self.used(workload).collect(),
            listed: lists::names(&workload.opt_in).collect(),
            asked: lists::asked(&workload.opt_in),
        }
    }

    /// Gives the workload the template it uses; an empty one while its Deployment is unknown.
    pub(super) fn lend_template(&self, workload: &mut Workload) {
        if let Some(name) = &workload.template_of {
            workload.template = self.template_of(name);
        }
    }

    /// The workloads that use this one's template, as they become with its present one; those that have it already are
    /// left out.
    pub(super) fn followers(&self, id: &WorkloadId) -> Vec<Workload> {
        if id.kind != WorkloadKind::Deployment {
            return Vec::new();
        }
        let Some(followers) = self.followers.get(&id.name) else {
            return Vec::new();
        };
        let template = self.template_of(&id.name);
        let outdated = followers
            .iter()
            .filter_map(|id| self.get(id))
            .filter(|follower| follower.template != template);
        let renewed = outdated.map(|follower| Workload {
            template: template.clone(),
            ..Workload::clone(follower)
        });
        renewed.collect()
    }

    fn template_of(&self, deployment: &Arc<str>) -> PodTemplate {
        let id = WorkloadId {
            kind: WorkloadKind::Deployment,
            name: Arc::clone(deployment),
        };
        self.get(&id)
            .map(|workload| workload.template.clone())
            .unwrap_or_default()
    }

    /// The sources that it references, where that is a wish to be restarted; some more than once.
    fn used(&self, workload: &Workload) -> impl Iterator<Item = SourceRef> {
        let references = workload.template.references();
        let wanted = references.filter(|reference| {
            workload
                .opt_in
                .wants_references(reference.kind, self.auto_reload_all)
        });
        wanted.cloned()
    }

    /// Lists for which the namespace has no room do not count; those that equal the workload's so far are the same.
    pub(super) fn limit_lists(&self, workload: &mut Workload) {
        let before = self.get(&WorkloadId::from(&workload.key));
        let before = before.map(|before| &before.opt_in);
        let opt_in = std::mem::take(&mut workload.opt_in);
        let limited = opt_in.within(|list| self.lists.has_room(list, before));
        workload.opt_in = match before {
            Some(before) if *before == limited => before.clone(),
            _ => limited,
        };
    }

    fn link(&mut self, id: &WorkloadId, workload: &Workload) {
        if let Some(name) = &workload.template_of {
            let followers = self.followers.entry(Arc::clone(name)).or_default();
            followers.insert(id.clone());
        }
        for reference in self.used(workload).collect::<Vec<_>>() {
            self.interested.entry(reference).or_default().insert(id.clone());
        }
        self.lists.add(id, &workload.opt_in);
    }

    fn unlink(&mut self, id: &WorkloadId, workload: &Workload) {
        if let Some(name) = &workload.template_of {
            remove_from(&mut self.followers, name, id);
        }
        for reference in self.used(workload).collect::<Vec<_>>() {
            remove_from(&mut self.interested, &reference, id);
        }
        self.lists.remove(id, &workload.opt_in);
    }
}

/// The sources that may concern a workload.
#[derive(Debug)]
pub(super) struct Interests {
    /// Those it references, where that is a wish to be restarted.
    pub(super) used: HashSet<SourceRef>,
    /// Those it lists by their exact name.
    pub(super) listed: HashSet<SourceRef>,
    /// And others, if its lists match them; `None`: they cannot.
    pub(super) asked: Option<Asked>,
}

/// Removes the workload from that set, and the set when it is empty.
fn remove_from<K: std::hash::Hash + Eq>(
    sets: &mut HashMap<K, HashSet<WorkloadId>>,
    key: &K,
    id: &WorkloadId,
) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
