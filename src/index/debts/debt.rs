//! What one workload owes for one source, and what its pods are believed to run with.
//!
//! I/O: none.

use std::time::Instant;

use super::super::change::Change;
use crate::model::{Content, Digest, Owed, Source, Workload};

#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Debt {
    /// The content the workload runs with; `None` where it may be either, after a patch of unknown outcome.
    running: Option<Content>,
    /// What it certainly ran with before a patch of unknown outcome.
    ran: Option<Content>,
    /// What it ran with before the last patch was sent: a refusal proves that it still does.
    before_attempt: Option<Content>,
    /// Nothing is known to have changed: only a marker with other content makes it due.
    tentative: bool,
    /// Only the ledger says what it runs with: the leader before may have done more than it had written down.
    inherited: bool,
    /// The ledger has it as owed.
    from_ledger: bool,
    /// The source is gone, and the workload need not be restarted for that. Nothing is due; should the source return
    /// with what the workload runs with, nothing has changed.
    declined: bool,
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
        Self {
            running,
            ran: None,
            before_attempt: None,
            tentative: change.tentative,
            inherited: change.inherited,
            from_ledger: false,
            declined: false,
            since: change.seen.at,
            last: *change,
            version: version(source),
        }
    }

    /// The same, as the ledger has it.
    pub(super) fn from_ledger(running: Option<Content>, change: &Change, source: Option<&Source>) -> Self {
        Self {
            inherited: true,
            from_ledger: true,
            ..Self::new(running, change, source)
        }
    }

    /// The source has changed once more, from `before` to `target`. Returns whether the debt remains: it does not where
    /// the source is back to what the workload certainly runs with, before anything was sent. `unrecorded`: the ledger may
    /// lack a restart of the workload.
    pub(super) fn changed(
        &mut self,
        before: Option<Content>,
        target: Content,
        change: &Change,
        source: &Source,
        unrecorded: bool,
    ) -> bool {
        if let (None, Some(Content::Present(before)), Content::Present(target)) =
            (self.running, before, target)
            && before.is_look_alike_of(&target)
        {
            self.running = Some(Content::Present(before.unknown_look_alike()));
        }
        self.version = version(Some(source));
        self.last = *change;
        self.declined = false;
        self.tentative &= change.tentative;
        !self.runs_with(Some(target)) || self.verify(unrecorded)
    }

    /// The source is back as it was last. Returns whether the debt remains.
    pub(super) fn source_returned(&mut self, target: Option<Content>, unrecorded: bool) -> bool {
        self.declined = false;
        !self.runs_with(target) || self.verify(unrecorded)
    }

    /// The source is back to what the workload is believed to run with. Where only the ledger says so, and may lack a
    /// restart, the marker has to confirm it. Returns whether it has to.
    const fn verify(&mut self, unrecorded: bool) -> bool {
        self.tentative = self.inherited && unrecorded;
        self.tentative
    }

    /// A patch is about to be sent. Its answer may be lost while it was applied, so the workload may run with the
    /// target from here on. That its marker cannot tell stays true.
    pub(super) fn attempted(&mut self, target: Option<Content>) {
        self.before_attempt = self.running;
        self.ran = self.running.or(self.ran);
        self.running = match target {
            Some(Content::Present(digest)) if self.is_look_alike(digest) => {
                Some(Content::Present(digest.unknown_look_alike()))
            }
            _ => None,
        };
    }

    /// The API server refused the last patch: nothing of it was applied. An earlier one without an answer may have been.
    /// Returns whether the debt remains: it does not where the source has returned meanwhile to what the workload runs with.
    pub(super) fn refused(&mut self, target: Option<Content>, unrecorded: bool) -> bool {
        if let Some(before) = self.before_attempt.take() {
            self.running = Some(before);
        }
        !self.runs_with(target) || self.verify(unrecorded)
    }

    /// The workload was brought to this content, and the source has moved on.
    pub(super) fn brought_to(&mut self, content: Content) {
        self.running = Some(content);
        self.ran = None;
        self.before_attempt = None;
        self.inherited = false;
    }

    /// The source's deletion restarts nothing: the pods run with what they ran with before. Returns whether that is
    /// known, and so whether the debt remains, as declined.
    pub(super) fn decline(&mut self) -> bool {
        self.declined = self.running.is_some() && !self.from_ledger;
        self.declined
    }

    /// The workload was recreated: it is not known with which content its pods started.
    pub(super) const fn forget_running(&mut self) {
        self.running = None;
        self.before_attempt = None;
    }

    /// Whether the workload was certainly created after the last change: creation times have whole seconds.
    pub(super) fn is_older_than(&self, workload: &Workload) -> bool {
        workload.created_at > Some(self.last.seen.unix)
    }

    /// Whether only the ledger says what the workload runs with.
    pub(super) const fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Whether a restart is owed, if only for a source that is absent at present.
    pub(super) const fn is_due(&self) -> bool {
        !self.declined
    }

    /// Whether a later leader has to know of it.
    pub(super) const fn is_recorded(&self) -> bool {
        !self.declined && (!self.tentative || self.inherited)
    }

    /// What it runs with, as far as a later leader may rely on it.
    pub(super) const fn running(&self) -> Option<Content> {
        if self.tentative { None } else { self.running }
    }

    /// Whether it certainly runs with this.
    pub(super) fn runs_with(&self, content: Option<Content>) -> bool {
        self.running.is_some() && self.running == content
    }

    /// When the first change was seen.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// The debt as a worker sees it: the workload is to be brought to `content`.
    pub(super) fn owed(&self, content: Content, source: &Source) -> Owed {
        Owed {
            content,
            look_alike: matches!(content, Content::Present(digest) if self.is_look_alike(digest)),
            source: source.clone(),
            version: self.version,
            only_if_marked: self.tentative,
            seen_at: self.last.seen.unix,
            order: self.last.order,
        }
    }

    /// Whether the workload may run with other data that prints alike.
    fn is_look_alike(&self, digest: Digest) -> bool {
        let prints_alike =
            |content| matches!(content, Content::Present(other) if digest.is_look_alike_of(&other));
        [self.running, self.ran].into_iter().flatten().any(prints_alike)
    }
}

fn version(source: Option<&Source>) -> u64 {
    source.map_or(0, |source| source.resource_version)
}
