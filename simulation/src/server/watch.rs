//! Watches.
//!
//! As [`cacher.go`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/storage/cacher/cacher.go) does it.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use serde_json::{Value, json};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep_until},
};

use super::{
    front::{FRESH_WITHIN, Front},
    list::Form,
    log::Commit,
    path::Address,
    query::Query,
    refusal::Refusal,
};

/// How often a watch that allows bookmarks gets one.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// How long before its end it gets one.
const BEFORE_END: Duration = Duration::from_secs(2);
/// How long a watch stays open whose client does not care. The real server draws up to twice as much.
const LONGEST: u64 = 1800;

/// One watch.
pub(super) struct Watch {
    front: Front,
    address: Address,
    query: Query,
    form: Form,
    /// Lines that are to be sent.
    lines: VecDeque<Bytes>,
    /// Events up to this revision were sent, or are not wanted.
    sent: u64,
    /// A list is to be sent once the cache is as new as this, until the moment given.
    list_at: Option<(u64, Instant)>,
    /// It ends after its lines.
    ends: bool,
    until: Instant,
    next_bookmark: Instant,
    written: Receiver<u64>,
    changed: Receiver<u64>,
    restarts: Receiver<u64>,
}

impl Watch {
    /// Opens a watch. 429 if the cache is not filled yet.
    pub(super) fn open(front: &Front, address: &Address, query: Query, form: Form) -> Result<Self, Refusal> {
        let now = Instant::now();
        let until = now + Duration::from_secs(query.timeout.unwrap_or(LONGEST));
        let mut watch = Self {
            front: front.clone(),
            address: address.clone(),
            form,
            lines: VecDeque::new(),
            sent: 0,
            list_at: None,
            ends: false,
            until,
            next_bookmark: now + BOOKMARKS,
            written: front.store.subscribe(),
            changed: front.changed(),
            restarts: front.restarts(),
            query,
        };
        watch.begin()?;
        // What it shows first is of now, not of when it is read.
        if !watch.ends {
            watch.advance();
        }
        Ok(watch)
    }

    /// The lines, as they become known.
    pub(super) fn lines(self) -> BoxStream<'static, Bytes> {
        stream::unfold(self, |mut watch| async move {
            let line = watch.next().await?;
            Some((line, watch))
        })
        .boxed()
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        let front = self.front.clone();
        let state = front.store.state();
        let mut cache = front.cache();
        if !cache.is_ready(&state) {
            return Err(Refusal::initializing());
        }
        let kind = self.address.kind;
        let shown = cache.revision(&state, kind);
        let version = self.query.version;
        match self.query.initial_events {
            Some(true) => {
                // Unset: as new as etcd is now.
                let wanted = version.unwrap_or_else(|| state.log.revision());
                self.list_at = Some((wanted, Instant::now() + FRESH_WITHIN));
            }
            None if version.unwrap_or_default() == 0 => {
                self.list_at = Some((0, Instant::now()));
            }
            Some(false) | None => {
                let since = match version {
                    None => state.log.revision(),
                    Some(0) => shown,
                    Some(version) => version,
                };
                match cache.has_since(&state, kind, since) {
                    Ok(()) => self.sent = since,
                    // Not the answer's status: it has begun by then.
                    Err(refusal) => self.fail(&refusal),
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.push("ERROR", &refusal.body);
        self.ends = true;
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.ends || self.restarts.has_changed().unwrap_or(true) {
                return None;
            }
            self.written.borrow_and_update();
            self.changed.borrow_and_update();
            let wake = self.advance();
            if self.lines.is_empty() && !self.ends && !self.wait(wake).await {
                return None;
            }
        }
    }

    /// Takes in what the cache shows now. Returns when it will show more, if that is known.
    fn advance(&mut self) -> Option<Instant> {
        let front = self.front.clone();
        let state = front.store.state();
        let mut cache = front.cache();
        let kind = self.address.kind;
        let shown = cache.revision(&state, kind);
        let next = state
            .log
            .since(shown)
            .first()
            .map(|commit| commit.at + cache.lag(kind));
        if let Some((wanted, until)) = self.list_at {
            if shown < wanted {
                if Instant::now() >= until {
                    self.fail(&Refusal::too_large_version(wanted, shown));
                }
                return Some(next.map_or(until, |next| next.min(until)));
            }
            self.list_at = None;
            for ((namespace, _), object) in state.at(kind, shown) {
                if self.selects(&namespace, &object) {
                    self.push_object("ADDED", &object);
                }
            }
            self.sent = shown;
            if self.query.initial_events == Some(true) && self.query.bookmarks {
                self.bookmark(shown, true);
            }
            return next;
        }
        for commit in state.log.since(self.sent) {
            if commit.revision > shown {
                break;
            }
            if commit.is_of(kind) {
                self.event(commit);
            }
        }
        self.sent = self.sent.max(shown);
        next
    }

    /// Waits for something to look at. `false`: the watch is over.
    async fn wait(&mut self, wake: Option<Instant>) -> bool {
        let bookmark = self.query.bookmarks.then_some(self.next_bookmark);
        let never = self.until;
        tokio::select! {
            biased;
            _ = self.restarts.changed() => return false,
            () = sleep_until(self.until) => return false,
            () = sleep_until(wake.unwrap_or(never)) => {}
            _ = self.written.changed() => {}
            _ = self.changed.changed() => {}
            () = sleep_until(bookmark.unwrap_or(never)) => {
                let last = self.until.checked_sub(BEFORE_END).unwrap_or(self.until);
                let now = Instant::now();
                self.next_bookmark = if now < last { last.min(now + BOOKMARKS) } else { self.until + BOOKMARKS };
                if self.list_at.is_none() {
                    self.bookmark(self.sent, false);
                }
            }
        }
        true
    }

    fn selects(&self, namespace: &str, object: &Value) -> bool {
        (self.address.namespace.is_empty() || namespace == self.address.namespace)
            && self.query.selector.selects(object)
    }

    fn event(&mut self, commit: &Commit) {
        let selects = |object: &Value| self.selects(&commit.namespace, object);
        let before = commit.before.as_deref().filter(|object| selects(object));
        let after = commit.after.as_deref().filter(|object| selects(object));
        match (before, after) {
            (None, None) => {}
            (None, Some(object)) => self.push_object("ADDED", object),
            (Some(_), Some(object)) => self.push_object("MODIFIED", object),
            (Some(object), None) => {
                // As it was when it was last selected, with the version of its end.
                let mut object = object.clone();
                object["metadata"]["resourceVersion"] = commit.revision.to_string().into();
                self.push_object("DELETED", &object);
            }
        }
    }

    fn bookmark(&mut self, revision: u64, ends_list: bool) {
        let kind = self.address.kind;
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if ends_list {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let mut object = json!({ "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata });
        // The rest is the kind's empty struct.
        match kind.kind {
            "Lease" => object["spec"] = json!({}),
            "Deployment" => {
                let template = json!({ "metadata": {}, "spec": { "containers": null } });
                object["spec"] =
                    json!({ "replicas": 0, "selector": null, "strategy": {}, "template": template });
                object["status"] = json!({});
            }
            _ => {}
        }
        self.push_object("BOOKMARK", &object);
    }

    fn push_object(&mut self, event: &str, object: &Value) {
        let object = self.form.write(object);
        self.push(event, &object);
    }

    fn push(&mut self, event: &str, object: &Value) {
        let line = json!({ "type": event, "object": object });
        self.lines.push_back(format!("{line}\n").into());
    }
}
