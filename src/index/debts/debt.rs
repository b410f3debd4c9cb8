//! What one workload owes for one source.
//!
//! Input: changes, attempts and outcomes. Output: whether the debt remains, and the work it makes. I/O: none.

use std::time::Instant;

use super::{
    super::change::Change,
    belief::{Belief, Known},
};
use crate::model::{Content, Owed, Proof, Source, Workload};

/// Why a debt is not due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dormant {
    /// The source is gone, and the workload need not be restarted for that. Should the source return with what the workload
    /// runs with, nothing has changed.
    Declined,
    /// Somebody else's rollout is under way, which starts pods with the present content, unless it is taken back.
    Replaced,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    /// What the workload's pods may have started with.
    belief: Belief,
    /// Nothing is known to have changed: only a marker with other content makes it due.
    tentative: bool,
    /// The ledger has it as owed.
    from_ledger: bool,
    /// Nothing is due at present, for this reason.
    dormant: Option<Dormant>,
    /// When the first change since then was seen.
    since: Instant,
    /// The last change.
    last: Change,
    /// The source's resourceVersion at the last change.
    version: u64,
}

impl Debt {
    /// The workload runs with this (`None`: unknown), and the source has changed.
    pub(super) fn new(running: Option<Content>, change: &Change, source: Option<&Source>) -> Self {
        let known = if change.inherited {
            Known::Told
        } else {
            Known::Watched
        };
        Self::with(Belief::new(running, known), change, source)
    }

    pub(super) fn with(belief: Belief, change: &Change, source: Option<&Source>) -> Self {
        Self {
            belief,
            tentative: change.tentative,
            from_ledger: false,
            dormant: None,
            since: change.seen.at,
            last: *change,
            version: version(source),
        }
    }

    /// The same, as the ledger has it.
    pub(super) fn from_ledger(running: Option<Content>, change: &Change, source: Option<&Source>) -> Self {
        Self {
            from_ledger: true,
            ..Self::with(Belief::new(running, Known::Told), change, source)
        }
    }

    /// The source has changed once more, to `target`. Returns whether the debt [`Self::remains`].
    pub(super) fn changed(&mut self, step: Step, target: Content, change: &Change, source: &Source) -> bool {
        // Where anything is possible already, that it may be what prints alike still has to be known.
        if let Some(before) = step.before
            && (step.pods_moved || self.belief.is_any())
        {
            self.belief.add(before);
        }
        self.dormant = None;
        self.version = version(Some(source));
        self.last = *change;
        self.tentative &= change.tentative;
        self.remains(Some(target), step.unrecorded)
    }

    /// Whether the workload still owes a restart: it does not where the source is what its pods run with. Where an earlier
    /// leader says so, and what it wrote down may lack a restart (`unrecorded`), the marker has to confirm it.
    pub(super) fn remains(&mut self, target: Option<Content>, unrecorded: bool) -> bool {
        self.dormant = self.dormant.filter(|reason| *reason != Dormant::Declined);
        if !self.belief.is(target) {
            return true;
        }
        self.tentative = self.belief.is_told() && unrecorded;
        self.tentative
    }

    /// A patch is about to be sent. Its answer may be lost while it was applied.
    pub(super) fn attempted(&mut self, target: Content) {
        self.belief.attempted(target);
    }

    /// The API server refused the last patch: nothing of it was applied. An earlier one without an answer may have been.
    /// Returns whether the debt [`Self::remains`]: the source may have returned meanwhile.
    pub(super) fn refused(&mut self, target: Option<Content>, unrecorded: bool) -> bool {
        self.belief.refused();
        self.remains(target, unrecorded)
    }

    /// Some of its pods may have started with one of these. Returns whether the debt [`Self::remains`].
    pub(super) fn pods_started(&mut self, with: &Belief, target: Content) -> bool {
        if !with.is(Some(target)) {
            // So may pods of a rollout under way.
            self.dormant = None;
        }
        self.belief.merge(with);
        self.remains(Some(target), true)
    }

    /// The template was changed by somebody else, and all its pods start with one of these. Returns whether the debt
    /// [`Self::remains`].
    pub(super) fn rolled(&mut self, with: &Belief, target: Content) -> bool {
        if self.tentative && with.is_any() {
            // A restart for another source: still nothing is known to have changed of this one.
            return true;
        }
        self.tentative = false;
        self.dormant = with.is(Some(target)).then_some(Dormant::Replaced);
        if self.dormant.is_some() {
            self.belief.merge(with);
        } else {
            self.belief = *with;
        }
        self.remains(Some(target), true)
    }

    /// The template became one again that pods may have been of all the while; others start with one of these. Returns whether
    /// the debt [`Self::remains`].
    pub(super) fn taken_back(&mut self, with: &Belief, target: Content) -> bool {
        self.tentative = false;
        self.dormant = None;
        self.belief.merge(with);
        self.remains(Some(target), true)
    }

    /// As [`Self::rolled`], where the template was seen before the change of the source.
    pub(super) fn rolled_before(mut self, target: Content) -> Self {
        self.belief.add(target);
        self.dormant = Some(Dormant::Replaced);
        self
    }

    /// Whether somebody else's rollout is under way that settles it.
    pub(super) fn is_replaced(&self) -> bool {
        self.dormant == Some(Dormant::Replaced)
    }

    /// An earlier leader wrote down something else, or nothing: it may have done more than this process has seen.
    pub(super) fn merge_told(&mut self, told: Option<&Self>) {
        self.belief.doubt();
        if let Some(told) = told {
            self.belief.merge(&told.belief);
            self.tentative &= told.tentative;
            self.from_ledger |= told.from_ledger;
        }
    }

    /// An earlier leader wrote down that it runs with this; `None`: with anything.
    pub(super) fn told_to_run_with(&mut self, content: Option<Content>) {
        match content {
            Some(content) => self.belief.add(content),
            None => self.belief.forget(),
        }
    }

    /// The workload was brought to this content, and the source has moved on.
    pub(super) fn brought_to(&mut self, content: Content) {
        self.belief = Belief::new(Some(content), Known::Watched);
    }

    /// Its pods may have started with this as well.
    pub(super) fn started_with(&mut self, content: Content) {
        self.belief.add(content);
    }

    /// The source's deletion restarts nothing: the pods run with what they ran with before. Returns whether that is
    /// known, and so whether the debt remains, as declined.
    pub(super) fn decline(&mut self) -> bool {
        let is_known = self.belief.only().is_some() && !self.from_ledger;
        self.dormant = is_known.then_some(Dormant::Declined);
        is_known
    }

    /// The workload was recreated: it is not known with which content its pods started.
    pub(super) const fn forget_running(&mut self) {
        self.belief.forget();
    }

    /// Whether the workload was certainly created after the last change: creation times have whole seconds.
    pub(super) fn is_older_than(&self, workload: &Workload) -> bool {
        workload.created_at > Some(self.last.seen.unix)
    }

    /// Whether nothing is known to have changed.
    pub(super) const fn is_tentative(&self) -> bool {
        self.tentative
    }

    /// Whether an earlier leader may have done more than is known of it.
    pub(super) fn is_inherited(&self) -> bool {
        self.belief.is_told()
    }

    /// Whether a restart is owed, if only for a source that is absent at present.
    pub(super) const fn is_due(&self) -> bool {
        self.dormant.is_none()
    }

    /// Whether a later leader has to know of it.
    pub(super) fn is_recorded(&self) -> bool {
        self.is_due() && (!self.tentative || self.belief.is_told())
    }

    /// What it runs with, as far as a later leader may rely on it.
    pub(super) fn running(&self) -> Option<Content> {
        self.belief.recorded().filter(|_| !self.tentative)
    }

    /// What decides about a restart.
    pub(super) const fn state(&self) -> (Belief, bool, bool) {
        (self.belief, self.tentative, self.is_due())
    }

    /// What its pods may have started with.
    pub(super) const fn belief(&self) -> &Belief {
        &self.belief
    }

    /// When the first change was seen.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// The source's resourceVersion at the last change.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// The debt as a worker sees it: the workload is to be brought to `content`.
    pub(super) fn owed(&self, content: Content, source: &Source, template: Template) -> Owed {
        Owed {
            content,
            may_bring_back: template.may_bring_back,
            look_alike: matches!(content, Content::Present(digest) if self.belief.is_look_alike(digest)),
            source: source.clone(),
            version: self.version,
            proof: match self.belief.proof(content) {
                _ if self.tentative && self.belief.is_told() => Proof::Unrecorded,
                _ if self.tentative => Proof::Change,
                Proof::Nothing | Proof::Restart if template.follows => Proof::Restart,
                Proof::Restart if template.is_older => Proof::Nothing,
                proof => proof,
            },
            seen_at: self.last.seen.unix,
            order: self.last.order,
        }
    }
}

/// What is known of the pod template of a workload that owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    /// It is another workload's, which its own versions say nothing of.
    pub(super) follows: bool,
    /// Pods may be left of an earlier template that showed the content.
    pub(super) may_bring_back: bool,
    /// Its markers are certainly older than the source's present content, although both are of one second.
    pub(super) is_older: bool,
}

/// A change of a source that a workload owed already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// What the source held until now, as far as that is known.
    pub(super) before: Option<Content>,
    /// Pods of the workload have come or gone meanwhile, and may have started with that.
    pub(super) pods_moved: bool,
    /// What the ledger says may lack a restart of the workload.
    pub(super) unrecorded: bool,
}

fn version(source: Option<&Source>) -> u64 {
    source.map_or(0, |source| source.resource_version)
}
