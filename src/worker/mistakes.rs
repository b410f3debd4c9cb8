//! Remembers which objects have mistakes in their annotations, and says so once.
//!
//! Input: what the watches find, what the index lacks. Output: what is to be said of it, counts. I/O: none.
//!
//! | Part | Owns |
//! |---|---|
//! | [`register`] | which object has which mistakes, and what was said of them |
//! | [`budget`] | how much is said within an hour |
//! | [`missing`] | since when a listed source does not exist |
//!
//! Every replica keeps the register, so that the next leader goes on where this one ended. What it says once more has
//! the name of the Event that was written before: the API server refuses the second one.

mod budget;
mod missing;
mod register;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    diagnose::Finding,
    model::{ObjectKey, Workload, WorkloadKey},
    watch::{Event, Found, StreamId},
};
pub(super) use budget::{Budget, LeftOut};
pub(super) use missing::Missing;
pub(crate) use register::Counts;
pub(super) use register::Said;
use register::{Part, Register};

/// What is wrong with which objects. Shared by the intake, which notes it, and the task that says it.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    register: Mutex<Register>,
    news: Notify,
}

impl Mistakes {
    /// Takes in what an observation shows of its objects, and what is wrong with them.
    pub(super) fn observed(&self, stream: &StreamId, event: &Event, found: Vec<Found>) {
        let mut register = self.lock();
        if let Event::NamespaceSeen { .. } = event {
            // What was found there counts from now on.
            self.news.notify_one();
        }
        if register.is_empty() && found.is_empty() {
            return;
        }
        match event {
            Event::ListStarted => register.list_begins(stream),
            Event::Listed => register.list_ends(stream),
            event if event.shows_no_kind(stream) => {
                register.list_begins(stream);
                register.list_ends(stream);
            }
            Event::NamespaceListed { namespace, .. } => {
                let stream = StreamId {
                    watched: stream.watched,
                    namespace: Some(Arc::clone(namespace)),
                };
                register.list_begins(&stream);
                note(&mut register, found, &self.news);
                register.list_ends(&stream);
                return;
            }
            event => match shown(event) {
                Some(Shown::Seen(about)) if found.is_empty() => register.right(&about),
                Some(Shown::Gone(about)) => register.remove(&about),
                _ => {}
            },
        }
        note(&mut register, found, &self.news);
    }

    /// What is wrong with the workload: its sentences as far as they are kept, and the names of the others.
    pub(super) fn of(&self, key: &WorkloadKey) -> (Vec<Finding>, Vec<&'static str>) {
        self.lock().of(&ObjectKey::Workload(key.clone()))
    }

    /// Completes when there may be something to say.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes in what is wrong with the workload beyond its own text.
    pub(super) fn beyond_text(&self, workload: &Workload, findings: Vec<Finding>) {
        let mut register = self.lock();
        if !findings.is_empty() || !register.is_empty() {
            let about = ObjectKey::Workload(workload.key.clone());
            register.note(about, &workload.uid, Part::Indexed, findings);
        }
    }

    /// Of that namespace, nothing was found beyond the text of any but these workloads.
    pub(super) fn beyond_text_only(&self, namespace: &Arc<str>, workloads: &HashSet<ObjectKey>) {
        self.lock().only_indexed(namespace, workloads);
    }

    /// What is to be said now, as far as the budget goes; it counts as said.
    pub(super) fn due(&self, budget: &mut Budget, counts: impl Fn(&str) -> bool) -> Vec<Said> {
        self.lock().due(Instant::now(), budget, counts)
    }

    /// Of how many objects something is left to say, by namespace.
    pub(super) fn unsaid(&self, counts: impl Fn(&str) -> bool) -> Vec<(Arc<str>, usize)> {
        self.lock().unsaid(counts)
    }

    /// How many objects of the namespaces that count have which mistakes.
    pub(super) fn counts(&self, counts: impl Fn(&str) -> bool) -> Counts {
        self.lock().counts(counts)
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(register: &mut Register, found: Vec<Found>, news: &Notify) {
    for Found { about, uid, findings } in found {
        if register.note(about, &uid, Part::Watched, findings) {
            news.notify_one();
        }
    }
}

/// The one object of an event.
enum Shown {
    Seen(ObjectKey),
    Gone(ObjectKey),
}

fn shown(event: &Event) -> Option<Shown> {
    Some(match event {
        Event::SourceSeen(source) => Shown::Seen(ObjectKey::Source(source.key.clone())),
        Event::ClassSeen(class) => Shown::Seen(ObjectKey::Source(class.key.clone())),
        Event::WorkloadSeen(workload) => Shown::Seen(ObjectKey::Workload(workload.key.clone())),
        Event::SourceGone { key, .. } | Event::ClassGone(key) => Shown::Gone(ObjectKey::Source(key.clone())),
        Event::WorkloadGone(key) | Event::WorkloadReleased(key) => {
            Shown::Gone(ObjectKey::Workload(key.clone()))
        }
        _ => return None,
    })
}
