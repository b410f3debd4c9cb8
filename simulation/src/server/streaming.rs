//! Watches: what has changed, as soon as the cache of an API server shows it.
//!
//! Input: a target. Output: a body of JSON lines. I/O: none.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{body::Body, front::Front, path::Target, read::Scope, refusal::Refusal};

/// How often a quiet watch gets a bookmark.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// How long a watch lasts that does not say it.
const LONGEST: Duration = Duration::from_mins(40);

/// Where a watch begins.
enum Start {
    /// With everything that there is, from the cache.
    Everything,
    /// As [`Self::Everything`], at least as new as that, and with a bookmark at its end.
    InitialEvents(u64),
    /// After that revision.
    After(u64),
}

/// The body of a watch.
pub(super) fn watch(front: &Front, target: &Target, scope: Scope) -> Body {
    let (frames, received) = mpsc::unbounded_channel();
    let version = target.parameter("resourceVersion");
    let start = match (target.parameter("sendInitialEvents"), version) {
        ("true", "0") => Start::InitialEvents(0),
        ("true", _) => Start::InitialEvents(front.store().revision()),
        (_, "" | "0") => Start::Everything,
        (_, version) => Start::After(version.parse().unwrap_or_default()),
    };
    let seconds = target.parameter("timeoutSeconds").parse().map(Duration::from_secs);
    let watcher = Watcher {
        front: front.clone(),
        scope,
        frames,
        bookmarks: target.parameter("allowWatchBookmarks") == "true",
        ends_at: Instant::now() + seconds.unwrap_or(LONGEST),
    };
    tokio::spawn(watcher.run(start));
    Body::frames(received)
}

struct Watcher {
    front: Front,
    scope: Scope,
    frames: mpsc::UnboundedSender<Bytes>,
    bookmarks: bool,
    ends_at: Instant,
}

impl Watcher {
    fn send(&self, event: &Value) {
        let _ = self.frames.send(format!("{event}\n").into());
    }

    async fn run(self, start: Start) {
        let (mut changes, mut revisions) = (self.front.changes(), self.front.store().subscribe());
        let (starts, _) = *changes.borrow_and_update();
        let mut position = None;
        let mut bookmark_at = Instant::now() + BOOKMARKS;
        loop {
            let (cached, next) = self.front.cached(self.scope.kind);
            position = match (position, &start) {
                (Some(position), _) => Some(position),
                (None, Start::After(revision)) => {
                    if *revision < self.front.store().compacted() {
                        let compacted = self.front.store().compacted();
                        let text = format!("too old resource version: {revision} ({compacted})");
                        let status = Refusal::expired(text).body;
                        self.send(&json!({ "type": "ERROR", "object": status }));
                        return;
                    }
                    Some(*revision)
                }
                (None, Start::InitialEvents(least)) if cached < *least => None,
                (None, Start::Everything | Start::InitialEvents(_)) => {
                    self.send_everything(cached, matches!(start, Start::InitialEvents(_)));
                    Some(cached)
                }
            };
            if let Some(position) = &mut position
                && *position < cached
            {
                for commit in self.front.store().commits_since(*position) {
                    if commit.revision > cached {
                        break;
                    }
                    if let Some(event) = self.scope.event(&commit) {
                        self.send(&event);
                    }
                }
                *position = cached;
            }
            let wake_at = next.map_or(self.ends_at, |next| next.min(self.ends_at)).min(bookmark_at);
            tokio::select! {
                biased;
                () = self.frames.closed() => return,
                changed = changes.changed() => if changed.is_err() || changes.borrow_and_update().0 != starts { return },
                changed = revisions.changed() => if changed.is_err() { return },
                () = sleep_until(wake_at) => {}
            }
            let now = Instant::now();
            if now >= self.ends_at {
                return;
            }
            if now >= bookmark_at {
                bookmark_at = now + BOOKMARKS;
                if let Some(position) = position.filter(|_| self.bookmarks) {
                    self.send(&self.scope.bookmark(position, false));
                }
            }
        }
    }

    fn send_everything(&self, revision: u64, with_bookmark: bool) {
        let state = self.front.store().state_at(self.scope.kind.plural, revision);
        for (_, object) in self.scope.select(state) {
            self.send(&json!({ "type": "ADDED", "object": *object }));
        }
        if with_bookmark {
            self.send(&self.scope.bookmark(revision, true));
        }
    }
}
