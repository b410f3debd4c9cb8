//! How a workload that was just seen differs from what was known.
//!
//! Input: the workload before and now. Output: [`Replaced`]. I/O: none.

use std::sync::Arc;

use super::change::{PutBack, RolloutChange};
use crate::model::{Content, SourceRef, Workload};

/// Two resourceVersions between which something has happened, at the second at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: u64,
    pub(super) until: u64,
}

/// How a workload that was just seen differs from what was known.
#[derive(Debug)]
pub(super) enum WorkloadSeen {
    /// It was not known.
    New,
    /// What is known is newer.
    Stale,
    /// It replaces what was known.
    Known(Replaced),
}

/// What was known of a workload before it was seen again.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) before: Arc<Workload>,
    /// How many changes had been seen when it was listed or read last.
    pub(super) read_at: u64,
    /// When its template became another one, if it did.
    pub(super) template_changed: Option<Span>,
    /// To one that pods may have been of all the while: these are not replaced.
    pub(super) template_returned: bool,
    /// When pods came or went, if they did: the status follows them with a delay.
    pub(super) pods_moved: Option<Span>,
}

impl Replaced {
    /// What it became is a restart by Reloader, and for another content than this. An annotation that names another source
    /// says nothing of this one: it has room for one of those that caused the restart.
    pub(super) fn is_restart_beside(&self, now: &Workload, source: &SourceRef, content: Content) -> bool {
        let (before, template) = (&self.before.template, &now.template);
        is_restart(&self.before, now)
            && !template.newly_shows(content, before)
            && !template.newly_names_another(source, before)
    }

    /// The object is another one of the same name.
    pub(super) fn is_recreated(&self, now: &Workload) -> bool {
        self.before.uid != now.uid
    }

    /// When it is to be resumed may differ: any change may be what a refused resume has waited for.
    pub(super) fn affects_pauses(&self, now: &Workload) -> bool {
        let differs = self.before.pause != now.pause || self.differs(now);
        differs && (is_paused(&self.before) || is_paused(now))
    }

    /// Another client took out or put back what a restart of Reloader's left in the template. That a debt is open must be
    /// looked at beside it: Reloader's own writes come while one is.
    pub(super) fn put_back(&self, now: &Workload) -> Option<PutBack> {
        let before = &self.before;
        let is_put_back = !self.is_recreated(now)
            && now.template.written_at <= before.template.written_at
            && before.template.has_marker_beyond(&now.template);
        let restarted_at = before.template.written_at.filter(|_| is_put_back)?;
        let last_write = now.written_by.as_ref().filter(|write| write.at >= restarted_at);
        Some(PutBack {
            workload: now.key.clone(),
            uid: now.uid.clone(),
            restarted_at,
            manager: last_write.map(|write| write.manager.clone()),
        })
    }

    /// Its rollout stands otherwise than before.
    pub(super) fn rollout_change(&self, now: &Workload) -> Option<RolloutChange> {
        let (before, after) = (self.before.rollout, now.rollout);
        let differs = (before.state, before.is_healthy) != (after.state, after.is_healthy);
        differs.then(|| RolloutChange {
            key: now.key.clone(),
            uid: now.uid.clone(),
            from: before.state,
            to: after.state,
            is_healthy: after.is_healthy,
        })
    }

    /// What is reported about it may differ.
    pub(super) fn is_news(&self, now: &Workload) -> bool {
        self.before.pause != now.pause
            || self.before.opt_in != now.opt_in
            || self.before.lacks_template != now.lacks_template
    }

    /// Which sources concern it may differ. A restart changes the template's markers and nothing of this.
    pub(super) fn interests_differ(&self, now: &Workload) -> bool {
        self.before.opt_in != now.opt_in
            || self.before.template_of != now.template_of
            || !self.before.template.references().eq(now.template.references())
    }

    /// What decides about a restart differs. That Reloader wrote it is no such thing: else its own write, of which nothing
    /// was kept, would be a reason to write again at once.
    pub(super) fn differs(&self, now: &Workload) -> bool {
        self.before.opt_in != now.opt_in
            || !self.before.template.says_the_same(&now.template)
            || self.before.template_of != now.template_of
    }
}

/// When the template became another one. An event is seen with the resourceVersion of what has just happened; what is
/// listed or read may have become so since it was seen before.
///
/// Only where the generation moved with it: a template may be written in another way by another API server.
pub(super) fn template_changed(before: &Workload, now: &Workload, is_event: bool) -> Option<Span> {
    let until = now.resource_version;
    let changed = before.uid == now.uid
        && before.template.fingerprint.differs(now.template.fingerprint)
        && before.generation != now.generation
        && before.resource_version < until;
    changed.then_some(Span {
        since: if is_event { until } else { before.resource_version },
        until,
    })
}

/// Whether Reloader has restarted it in between, by this process or another: one that is an undo has the text of a marker and
/// not its owner.
pub(super) fn is_restart(before: &Workload, now: &Workload) -> bool {
    let (before, now) = (&before.template, &now.template);
    now.written_at.is_some() && now.written_at >= before.written_at && now.has_marker_beyond(before)
}

/// Whether Reloader has paused it.
pub(super) fn is_paused(workload: &Workload) -> bool {
    workload.pause.as_ref().is_some_and(|pause| pause.is_ours())
}
