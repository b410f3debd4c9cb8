//! Which requests meet which fault. Input: request heads; output: faults. I/O: none.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The HTTP method, "PATCH".
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, empty if there is none.
    pub query: String,
}

impl RequestHead {
    /// Whether it opens a watch.
    pub fn is_watch(&self) -> bool {
        self.query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server never sees it; the client gets this status with a `Status` object.
    Status {
        /// The HTTP status.
        code: u16,
        /// Seconds to wait before another attempt, as header and in the object.
        retry_after: Option<u32>,
    },
    /// It reaches the API server this much later, even if the client has given up by then.
    DelayRequest(Duration),
    /// It reaches the API server when the rule is removed, even if the client has given up by then.
    Hold,
    /// The API server gets it at once, the client the answer this much later.
    DelayAnswer(Duration),
    /// The API server never sees it, the client never gets an answer: a silent, half-open connection.
    Stall,
    /// The API server never sees it; the connection is closed without an answer.
    Reset,
    /// The API server acts on it; the connection is closed without an answer.
    DropAnswer,
    /// The connection is closed after so many bytes of the answer's body. Not for watches.
    TruncateBody(usize),
}

type Condition = Box<dyn Fn(&RequestHead) -> bool + Send + Sync>;

/// A fault for some requests; for all of them unless conditions are added, and without end unless [`times`](Self::times) is.
pub struct Rule {
    conditions: Vec<Condition>,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// Lets every request meet the fault.
    pub fn new(fault: Fault) -> Self {
        Self {
            conditions: Vec::new(),
            times: usize::MAX,
            fault,
        }
    }

    /// Only requests with this HTTP method: "PATCH".
    #[must_use]
    pub fn method(self, method: &'static str) -> Self {
        self.when(move |head| head.method == method)
    }

    /// Only requests whose path holds this text.
    #[must_use]
    pub fn path(self, part: impl Into<String>) -> Self {
        let part = part.into();
        self.when(move |head| head.path.contains(&part))
    }

    /// Only watches, or only what is none.
    #[must_use]
    pub fn watch(self, watch: bool) -> Self {
        self.when(move |head| head.is_watch() == watch)
    }

    /// Only requests for which the condition is true.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&RequestHead) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Box::new(condition));
        self
    }

    /// Only the first so many of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("times", &self.times)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// A rule in force, and the requests it was applied to.
struct Entry {
    rule: Rule,
    hits: AtomicUsize,
    removed: watch::Sender<bool>,
}

/// What a request meets.
pub(super) struct Hit(Arc<Entry>);

impl Hit {
    pub(super) fn fault(&self) -> &Fault {
        &self.0.rule.fault
    }

    /// Waits until the rule is removed.
    pub(super) async fn removed(&self) {
        // Fails only when the sender is gone, and the entry holds it.
        let _ = self.0.removed.subscribe().wait_for(|removed| *removed).await;
    }
}

/// The rules in force, oldest first.
#[derive(Clone, Default)]
pub(super) struct Rules(Arc<Mutex<Vec<Arc<Entry>>>>);

/// A rule that was added; it stays in force when this is dropped.
#[must_use = "a rule can be removed and asked for its hits only through this; `let _ =` says that neither is wanted"]
pub struct ActiveRule {
    rules: Rules,
    entry: Arc<Entry>,
}

impl ActiveRule {
    /// How many requests met the fault so far.
    pub fn hits(&self) -> usize {
        self.entry.hits.load(Ordering::Acquire)
    }

    /// Takes the rule back for requests to come, and lets go those it [holds](Fault::Hold).
    pub fn remove(&self) {
        self.entry.removed.send_replace(true);
        self.rules
            .change(|entries| entries.retain(|entry| !Arc::ptr_eq(entry, &self.entry)));
    }
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> ActiveRule {
        let entry = Arc::new(Entry {
            rule,
            hits: AtomicUsize::new(0),
            removed: watch::Sender::new(false),
        });
        self.change(|entries| entries.push(Arc::clone(&entry)));
        ActiveRule {
            rules: self.clone(),
            entry,
        }
    }

    /// The rule for a request, which is counted.
    pub(super) fn meet(&self, head: &RequestHead) -> Option<Hit> {
        self.change(|entries| {
            let entry = entries.iter().find(|entry| {
                entry.hits.load(Ordering::Acquire) < entry.rule.times
                    && entry.rule.conditions.iter().all(|condition| condition(head))
            })?;
            entry.hits.fetch_add(1, Ordering::AcqRel);
            Some(Hit(Arc::clone(entry)))
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Entry>>) -> T) -> T {
        // A panic while holding the lock, of a test's condition, leaves the list whole.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
