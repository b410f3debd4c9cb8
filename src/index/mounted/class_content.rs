//! Which content of a SecretProviderClass is the current one, out of what each pod shows.
//!
//! Input: statuses that appear, change and vanish. Output: the current digest, and whether it has moved. I/O: none.
//!
//! The versions in a status are opaque, and a rotation reaches pod after pod over minutes, so no status by itself says
//! which content is newer. What each *pod* goes through is in order, though:
//!
//! - A running pod that showed the current content and now shows another: that is a rotation, the other is current.
//! - A pod that showed something the class has left behind lags. What it shows next may be older than the current
//!   content, so it is passed over, unless every pod shows it by now. No workload is forgotten over that: the change that
//!   left the pod behind restarts its workload anyway.
//! - A pod that starts mounts what there is. It needs no restart, so it moves nothing; but when it is rotated before
//!   anything else has moved, it does not count as lagging.
//!
//! After a gap only the result is known. Then the content that was written last to a *running* pod is taken for newer,
//! if it was written after every status that shows the current content.

use std::collections::VecDeque;

use crate::model::{Digest, UnixSeconds};

/// How many contents that were left behind are remembered for each class. Pods lag by one rotation, seldom by two.
const LEFT_BEHIND: usize = 16;

/// The write that brought a status to what it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Write {
    /// `metadata.resourceVersion`: orders writes.
    pub(super) version: u64,
    /// `None` where that is not known.
    pub(super) at: Option<UnixSeconds>,
}

/// What one pod shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) digest: Digest,
    pub(super) write: Write,
    /// The pod was running already when it came to show this.
    pub(super) rotated: bool,
}

/// What is known of one class's content.
#[derive(Debug, Default)]
pub(super) struct ClassContent {
    /// `None` while the first list of the class's statuses is under way.
    current: Option<(Digest, Write)>,
    /// Contents that are no longer current, or were passed over; the oldest first.
    left_behind: VecDeque<Digest>,
    /// How many statuses show each content. Few contents, so a list.
    shown: Vec<(Digest, usize)>,
}

impl ClassContent {
    /// The current content, and the write that made it so.
    pub(super) const fn current(&self) -> Option<(Digest, Write)> {
        self.current
    }

    /// Whether any pod shows anything.
    pub(super) const fn is_shown(&self) -> bool {
        !self.shown.is_empty()
    }

    /// A pod that was not known shows this. While a list is under way nothing is concluded from it: [`Self::conclude`]
    /// does when all are known.
    pub(super) fn appeared(&mut self, shown: &Shown, listing: bool) {
        self.count(shown.digest);
        if self.current.is_none() && !listing {
            self.current = Some((shown.digest, shown.write));
        }
    }

    /// A pod shows something else than before. Returns whether that makes it the current content.
    pub(super) fn rotated(&mut self, from: Digest, to: &Shown) -> bool {
        self.count(to.digest);
        self.vanished(from);
        let Some((current, _)) = self.current.filter(|(current, _)| *current != to.digest) else {
            return false;
        };
        let lags = from != current && self.left_behind.contains(&from);
        if lags && self.shown.len() > 1 {
            self.leave_behind(to.digest);
            return false;
        }
        self.advance(to);
        true
    }

    /// A status that showed this is gone.
    pub(super) fn vanished(&mut self, digest: Digest) {
        if let Some(place) = self.shown.iter().position(|(shown, _)| *shown == digest) {
            self.shown[place].1 -= 1;
            if self.shown[place].1 == 0 {
                self.shown.swap_remove(place);
            }
        }
    }

    /// Concludes from all that pods show after a complete list, in which changes may be hidden. Returns whether another
    /// content is current than before. The first time the newest is current, and nothing has moved.
    pub(super) fn conclude(&mut self, all: &[Shown]) -> bool {
        let written = |shown: &&Shown| shown.write.version;
        let moved = if let Some((current, _)) = self.current {
            let since = last_written(all, current);
            let rotation = all
                .iter()
                .filter(|shown| shown.rotated && shown.digest != current)
                .filter(|shown| !self.left_behind.contains(&shown.digest))
                .filter(|shown| Some(shown.write.version) > since)
                .max_by_key(written);
            rotation.inspect(|to| self.advance(to)).is_some()
        } else {
            let newest = all.iter().max_by_key(written);
            self.current = newest.map(|shown| (shown.digest, shown.write));
            false
        };
        self.leave_the_older_behind(all);
        moved
    }

    /// What an earlier leader wrote down is the current content; [`Self::conclude`] tells what came after.
    pub(super) fn restore(&mut self, digest: Digest) {
        self.left_behind.retain(|other| *other != digest);
        let unknown = Write { version: 0, at: None };
        self.current = Some((digest, unknown));
    }

    /// Forgets the current content and all before it.
    pub(super) fn forget(&mut self) {
        self.current = None;
        self.left_behind.clear();
    }

    fn count(&mut self, digest: Digest) {
        match self.shown.iter_mut().find(|(shown, _)| *shown == digest) {
            Some((_, count)) => *count += 1,
            None => self.shown.push((digest, 1)),
        }
    }

    /// Whatever else is shown at that moment is left behind, by pods that the move restarts.
    fn advance(&mut self, to: &Shown) {
        let before = self.current.replace((to.digest, to.write));
        let shown = self.shown.iter().map(|(digest, _)| *digest);
        let all: Vec<Digest> = before
            .into_iter()
            .map(|(digest, _)| digest)
            .chain(shown)
            .collect();
        self.left_behind.retain(|digest| *digest != to.digest);
        for digest in all.into_iter().filter(|digest| *digest != to.digest) {
            self.leave_behind(digest);
        }
    }

    fn leave_behind(&mut self, digest: Digest) {
        if self.left_behind.contains(&digest) {
            return;
        }
        if self.left_behind.len() == LEFT_BEHIND {
            self.left_behind.pop_front();
        }
        self.left_behind.push_back(digest);
    }

    /// Pods that have shown something else for longer than any pod shows the current content lag.
    fn leave_the_older_behind(&mut self, all: &[Shown]) {
        let Some((current, _)) = self.current else {
            return;
        };
        let since = last_written(all, current);
        let older: Vec<Digest> = self
            .shown
            .iter()
            .map(|(digest, _)| *digest)
            .filter(|digest| *digest != current && last_written(all, *digest) < since)
            .collect();
        for digest in older {
            self.leave_behind(digest);
        }
    }
}

/// When a status that shows this was last written; `None`, which is before any, where no pod shows it.
fn last_written(all: &[Shown], digest: Digest) -> Option<u64> {
    let shows_it = all.iter().filter(|shown| shown.digest == digest);
    shows_it.map(|shown| shown.write.version).max()
}

#[cfg(test)]
mod tests;
