//! Deletes and creates Jobs again without ever losing one.
//!
//! Input: a [`Plan`] for a Job; copies that were left over. Output: the new Job. I/O: reads and writes.
//!
//! ```text
//! 1 ask whether the new Job would be accepted (dry run)     nothing has happened
//! 2 create its copy, suspended, under another name          nothing has happened; the copy says what will happen
//! 3 delete the Job, if it is still the same one             the copy remains
//! 4 create the new Job                                      done
//! 5 delete the copy
//! ```
//! A Job that finalizers hold after step 3 is left to [`Recreator::run`]: no worker waits for it. From step 2 on, the copy
//! is enough to continue from step 3: for this process after a failure, or for the next leader.

mod steps;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{StreamExt, stream};
use kube::{Api, Client, api::ListParams};
use serde_json::json;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use super::{
    job,
    job::Recreation,
    request::{REQUEST_TIMEOUT, dry_run, stale},
    seal_key::{KeyPlace, Seals},
};
use crate::{
    api_error::{ApiError, Class},
    decide::Plan,
    model::{WorkloadKey, WorkloadKind, opt_in::RECREATES},
    watch::workload::{Decoded, RawObject, Reading},
};
pub(super) use steps::Progress;
use steps::{Copy, HELD, finish, put_copy, with_room};

/// How long a Job that is being deleted is looked at often. Without finalizers a deletion takes milliseconds.
const DELETION: Duration = Duration::from_secs(20);
/// Interval of checks of a Job that is being deleted.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Interval of attempts to finish what is left over.
const ATTEMPTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Page size of the list of copies. Of each only the metadata is read, 256 KiB of annotations at most.
const PAGE: u32 = 50;
/// Bytes that the Jobs of one namespace, and of all, may take which are kept while finalizers hold them: some hundred of
/// usual size. Further ones come up with what is left over: their number is for tenants to choose, the memory is not.
const HELD_IN_NAMESPACE: usize = 2 << 20;
const HELD_IN_ALL: usize = 16 << 20;
/// Namespaces that are worked on at the same time: one whose requests hang delays no other.
const NAMESPACES_AT_ONCE: usize = 8;

/// Recreates Jobs. Clones share one state.
#[derive(Clone)]
pub struct Recreator {
    client: Client,
    reading: Reading,
    seals: Arc<Seals>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Names of Jobs, with their namespaces, that a task works on.
    in_hand: Mutex<HashSet<(String, String)>>,
    /// Something may be left over.
    left_over: Notify,
    /// Jobs that this process has deleted and whose finalizers it waits for, by namespace and name.
    held: Mutex<HashMap<(String, String), Held>>,
    /// There is one more of them.
    more_held: Notify,
    /// By scope of the list, `metadata.uid` of the copies that are not trusted, as last seen.
    unproven: Mutex<HashMap<String, HashSet<String>>>,
}

/// A Job that is deleted but not gone.
#[derive(Clone)]
struct Held {
    plan: Plan,
    old_uid: String,
    /// The Job to be created, as JSON text: a tree of it takes many times as much.
    successor: Arc<str>,
    copy: Copy,
    since: Instant,
}

impl Held {
    fn recreation(&self) -> Option<Recreation> {
        Some(Recreation {
            old_uid: self.old_uid.clone(),
            successor: serde_json::from_str(&self.successor).ok()?,
        })
    }
}

/// A request was not answered: the next one of the same namespace would not be, either.
struct Unanswered;

/// A copy that is not trusted.
struct Unproven {
    uid: String,
    place: (String, String),
}

/// A recreation that is complete, and was not when its ticket was done.
#[derive(Clone, Debug)]
pub enum Recreated {
    /// It had to wait for finalizers.
    Waited {
        /// What it was recreated for.
        plan: Plan,
        /// `metadata.uid` of the new Job.
        uid: Box<str>,
        /// How long it took.
        took: Duration,
    },
    /// It was left over, by this process or another one: what for is not known any more.
    LeftOver {
        /// The Job.
        job: WorkloadKey,
        /// `metadata.uid` of the new Job.
        uid: Box<str>,
    },
}

/// A Job that no other task works on meanwhile.
struct InHand<'a> {
    shared: &'a Shared,
    job: (String, String),
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.shared.in_hand().remove(&self.job);
    }
}

impl Shared {
    fn in_hand(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(String, String), Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a Job that finalizers hold, or leaves it to what is left over.
    fn hold(&self, place: (String, String), job: Held) {
        let mut held = self.held();
        let bytes = |namespace: Option<&str>| -> usize {
            let counted = held
                .iter()
                .filter(|((of, _), _)| namespace.is_none_or(|namespace| of == namespace));
            counted.map(|(_, held)| held.successor.len()).sum()
        };
        let more = job.successor.len();
        if bytes(Some(&place.0)) + more > HELD_IN_NAMESPACE || bytes(None) + more > HELD_IN_ALL {
            self.left_over.notify_one();
            return;
        }
        held.insert(place, job);
        self.more_held.notify_one();
    }

    fn take(&self, namespace: &str, name: &str) -> Option<InHand<'_>> {
        let job = (namespace.to_owned(), name.to_owned());
        // The lock ends with this line, and there is a guard only for the task that has taken the Job: its end locks
        // again.
        let is_free = self.in_hand().insert(job.clone());
        is_free.then(|| InHand { shared: self, job })
    }
}

impl Recreator {
    pub(super) fn new(client: Client, reading: Reading, key: Option<KeyPlace>) -> Self {
        Self {
            seals: Arc::new(Seals::new(client.clone(), key)),
            client,
            reading,
            shared: Arc::default(),
        }
    }

    /// Recreates the plan's Job. Does not wait for its finalizers: [`Recreator::run`] continues when they are done.
    pub(super) async fn recreate(&self, plan: &Plan) -> Result<Progress, ApiError> {
        let key = &plan.workload;
        let place = (key.namespace.to_string(), key.name.to_string());
        if self
            .shared
            .held()
            .get(&place)
            .is_some_and(|held| held.old_uid == *plan.uid)
        {
            return Ok(Progress::Waits(HELD));
        }
        let jobs = self.jobs(Some(&key.namespace));
        let Some(_in_hand) = self.shared.take(&key.namespace, &key.name) else {
            return Err(stale("an earlier attempt is still under way"));
        };
        let job = ApiError::within(REQUEST_TIMEOUT, jobs.get(&key.name)).await?;
        let wants_it = self
            .reading
            .read(job.clone().into_object(key.kind), key.kind)
            .is_some();
        if !wants_it || job.metadata_text("uid") != &*plan.uid {
            return Err(stale("it was deleted, replaced or has finished; trying again"));
        }
        let recreation = Recreation {
            old_uid: plan.uid.to_string(),
            successor: job::successor(job.value(), plan).map_err(stale)?,
        };
        let seal = self.seals.to_sign().await?;
        let rehearsal = RawObject::from(recreation.rehearsal());
        match ApiError::within(REQUEST_TIMEOUT, jobs.create(&dry_run(), &rehearsal)).await {
            // A copy of an earlier attempt has the name.
            Err(error) if error.class != Class::Exists => return Err(with_room(error)),
            _ => {}
        }
        let copy = put_copy(&jobs, &recreation, &seal).await.map_err(with_room)?;
        let copy = Copy::of(&copy);
        let progress = finish(&jobs, &recreation, &copy).await;
        match &progress {
            Ok(Progress::Done(_)) => {}
            Ok(Progress::Waits(_)) => {
                let held = Held {
                    plan: plan.clone(),
                    old_uid: recreation.old_uid,
                    successor: recreation.successor.to_string().into(),
                    copy,
                    since: Instant::now(),
                };
                self.shared.hold(place, held);
            }
            Err(_) => self.shared.left_over.notify_one(),
        }
        progress
    }

    /// Finishes what was left over, now and whenever something has been interrupted. Never ends.
    ///
    /// `namespaces` are those that are watched; `None` is all of them, but for what the field selector leaves out: what
    /// happens there may be another Reloader's work.
    /// What is complete goes to `recreated`.
    pub async fn run(
        self,
        namespaces: Option<Vec<String>>,
        fields: String,
        recreated: mpsc::UnboundedSender<Recreated>,
    ) {
        tokio::join!(
            self.finish_held(recreated.clone()),
            self.finish_left_over(namespaces, fields, recreated)
        );
    }

    /// Looks often at the Jobs that are held, since most are gone soon; at first in quick succession.
    async fn finish_held(&self, recreated: mpsc::UnboundedSender<Recreated>) {
        let mut looks = pauses(LOOKS);
        loop {
            let mut by_namespace: HashMap<String, Vec<(String, Held)>> = HashMap::new();
            for ((namespace, name), held) in &*self.shared.held() {
                let jobs = by_namespace.entry(namespace.clone()).or_default();
                jobs.push((name.clone(), held.clone()));
            }
            if by_namespace.is_empty() {
                self.shared.more_held.notified().await;
                looks = pauses(LOOKS);
                continue;
            }
            let each = async |(namespace, jobs): (String, Vec<(String, Held)>)| {
                for (name, held) in jobs {
                    self.look_at(&namespace, &name, held, &recreated).await;
                }
            };
            stream::iter(by_namespace)
                .for_each_concurrent(NAMESPACES_AT_ONCE, each)
                .await;
            sleep(looks.next().unwrap_or(LOOKS.1)).await;
        }
    }

    /// Recreates a Job that was held, if it is gone by now.
    async fn look_at(
        &self,
        namespace: &str,
        name: &str,
        held: Held,
        recreated: &mpsc::UnboundedSender<Recreated>,
    ) {
        let Some(_in_hand) = self.shared.take(namespace, name) else {
            return;
        };
        let jobs = self.jobs(Some(namespace));
        let progress = match held.recreation() {
            Some(recreation) => finish(&jobs, &recreation, &held.copy).await,
            None => Err(stale("what was kept of it cannot be read")),
        };
        match progress {
            Ok(Progress::Waits(_)) | Err(_) if held.since.elapsed() < DELETION => return,
            Ok(Progress::Done(Some(uid))) => {
                // An error means that the process is ending.
                let _ = recreated.send(Recreated::Waited {
                    plan: held.plan,
                    uid,
                    took: held.since.elapsed(),
                });
            }
            Ok(Progress::Done(None)) => {}
            Ok(Progress::Waits(_)) | Err(_) => self.shared.left_over.notify_one(),
        }
        let place = (namespace.to_owned(), name.to_owned());
        self.shared.held().remove(&place);
    }

    async fn finish_left_over(
        &self,
        namespaces: Option<Vec<String>>,
        fields: String,
        recreated: mpsc::UnboundedSender<Recreated>,
    ) {
        let scopes: Vec<Option<String>> = match namespaces {
            None => vec![None],
            Some(names) => names.into_iter().map(Some).collect(),
        };
        let pauses = || pauses(ATTEMPTS);
        let mut waits = pauses();
        let mut is_reported = false;
        loop {
            let mut all_done = true;
            for scope in &scopes {
                match self.finish_all(scope.as_deref(), &fields, &recreated).await {
                    Ok(done) => all_done &= done,
                    Err(error) if error.is_forbidden() => {
                        tracing::debug!("Recreations that were interrupted cannot be looked for: {error}");
                    }
                    Err(error) => {
                        all_done = false;
                        if std::mem::replace(&mut is_reported, true) {
                            tracing::debug!("Recreations of Jobs could not be looked for again: {error}");
                            continue;
                        }
                        tracing::warn!(
                            category = error.category(),
                            "Recreations of Jobs that were interrupted could not be looked for, trying again: {error}"
                        );
                    }
                }
            }
            if all_done {
                is_reported = false;
                waits = pauses();
                self.shared.left_over.notified().await;
            } else {
                sleep(waits.next().unwrap_or(ATTEMPTS.1)).await;
            }
        }
    }

    /// Finishes every recreation whose copy is there. Returns whether none is left.
    async fn finish_all(
        &self,
        namespace: Option<&str>,
        fields: &str,
        recreated: &mpsc::UnboundedSender<Recreated>,
    ) -> Result<bool, ApiError> {
        let all = self.jobs(namespace);
        let mut params = ListParams::default().labels(RECREATES).fields(fields).limit(PAGE);
        let mut all_done = true;
        let mut unproven = Vec::new();
        loop {
            let page = ApiError::within(REQUEST_TIMEOUT, all.list_metadata(&params)).await?;
            // Without copies no key is asked for.
            let seals = if page.items.is_empty() {
                Vec::new()
            } else {
                self.seals.to_verify().await?
            };
            let mut by_namespace: HashMap<String, Vec<(Copy, Recreation)>> = HashMap::new();
            for item in page.items {
                let copy = RawObject::from(json!({ "metadata": item.metadata }));
                let namespace = copy.metadata_text("namespace").to_owned();
                let proven = seals
                    .iter()
                    .find_map(|seal| Recreation::of_copy(copy.value(), seal));
                let copy = Copy::of(&copy);
                match proven {
                    Some(recreation) => by_namespace
                        .entry(namespace)
                        .or_default()
                        .push((copy, recreation)),
                    None => unproven.push(Unproven {
                        uid: copy.uid,
                        place: (namespace, copy.name),
                    }),
                }
            }
            let done: Vec<bool> = stream::iter(by_namespace)
                .map(|(namespace, copies)| self.finish_copies(namespace, copies, recreated))
                .buffer_unordered(NAMESPACES_AT_ONCE)
                .collect()
                .await;
            all_done &= done.into_iter().all(|done| done);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        self.report_unproven(namespace.unwrap_or_default(), &unproven);
        Ok(all_done)
    }

    /// Says once of each that it is not trusted. A client that may create Jobs may create any number: one line for all of them.
    fn report_unproven(&self, scope: &str, copies: &[Unproven]) {
        let mut reported = self
            .shared
            .unproven
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let uids: HashSet<String> = copies.iter().map(|copy| copy.uid.clone()).collect();
        let before = reported.insert(scope.to_owned(), uids).unwrap_or_default();
        let news: Vec<_> = copies.iter().filter(|copy| !before.contains(&copy.uid)).collect();
        if let Some(Unproven { place, .. }) = news.first() {
            let (namespace, name) = place;
            tracing::warn!(
                jobs = news.len(),
                "Suspended Jobs carry the label {RECREATES}, but not the seal of this Reloader's key: version 0.1.0 left \
                 them, or another client made them. They are left alone; the first is '{name}' in namespace \
                 '{namespace}'. Its annotation {RECREATES} names a Job: if that is missing, create it again, then delete \
                 this one",
            );
        }
    }

    /// Finishes the recreations of one namespace, one after the other. Returns whether all of them are complete. After one
    /// without an answer the others wait for the next attempt.
    async fn finish_copies(
        &self,
        namespace: String,
        copies: Vec<(Copy, Recreation)>,
        recreated: &mpsc::UnboundedSender<Recreated>,
    ) -> bool {
        let mut all_done = true;
        for (copy, recreation) in copies {
            match self.finish_copy(&namespace, &copy, &recreation, recreated).await {
                Ok(done) => all_done &= done,
                Err(Unanswered) => return false,
            }
        }
        all_done
    }

    async fn finish_copy(
        &self,
        namespace: &str,
        copy: &Copy,
        recreation: &Recreation,
        recreated: &mpsc::UnboundedSender<Recreated>,
    ) -> Result<bool, Unanswered> {
        let name = recreation.name();
        let Some(_in_hand) = self.shared.take(namespace, name) else {
            return Ok(false);
        };
        let jobs = self.jobs(Some(namespace));
        let incomplete = |category: &str, why: &str, advice: &str| {
            tracing::warn!(
                category,
                "The Job '{name}' in namespace '{namespace}' could not be created again yet, trying again; its copy is \
                 the suspended Job '{}': {why}{advice}",
                copy.name,
            );
        };
        match finish(&jobs, recreation, copy).await {
            Ok(Progress::Done(created)) => {
                if let Some(uid) = created {
                    let job = WorkloadKey::new(WorkloadKind::Job, namespace, name);
                    // An error means that the process is ending.
                    let _ = recreated.send(Recreated::LeftOver { job, uid });
                }
                tracing::info!(
                    "The recreation of Job '{name}' in namespace '{namespace}', which had been interrupted, is complete"
                );
                Ok(true)
            }
            Ok(Progress::Waits(why)) => {
                incomplete("waiting", why, "");
                Ok(false)
            }
            Err(error) => {
                incomplete(error.category(), &error.message, error.advice());
                if error.class == Class::Unavailable {
                    return Err(Unanswered);
                }
                Ok(false)
            }
        }
    }

    fn jobs(&self, namespace: Option<&str>) -> Api<RawObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &WorkloadKind::Job),
            None => Api::all_with(self.client.clone(), &WorkloadKind::Job),
        }
    }
}

fn pauses((first, longest): (Duration, Duration)) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::super::body::tests::plan;
    use super::*;
    use crate::decide::Strategy;

    #[test]
    fn what_is_kept_of_held_jobs_is_bounded_in_each_namespace_and_in_all() {
        let shared = Shared::default();
        let hold = |namespace: &str, name: &str, bytes: usize| {
            let held = Held {
                plan: plan(Strategy::EnvVars, &[]),
                old_uid: String::new(),
                successor: "x".repeat(bytes).into(),
                copy: Copy {
                    name: String::new(),
                    uid: String::new(),
                },
                since: Instant::now(),
            };
            shared.hold((namespace.to_owned(), name.to_owned()), held);
            shared
                .held()
                .contains_key(&(namespace.to_owned(), name.to_owned()))
        };
        assert!(hold("a", "1", HELD_IN_NAMESPACE));
        assert!(!hold("a", "2", 1), "another of the same namespace");
        for namespace in 1..HELD_IN_ALL / HELD_IN_NAMESPACE {
            assert!(hold(&namespace.to_string(), "1", HELD_IN_NAMESPACE));
        }
        assert!(!hold("b", "1", 1), "one more in all");
    }

    #[test]
    fn a_job_is_in_one_hand_at_a_time() {
        let shared = Shared::default();
        let first = shared.take("team", "migrate");
        assert!(first.is_some());
        assert!(shared.take("team", "migrate").is_none());
        assert!(
            shared.take("team", "migrate").is_none(),
            "a refused claim frees nothing"
        );
        assert!(shared.take("other", "migrate").is_some());
        drop(first);
        assert!(shared.take("team", "migrate").is_some());
    }
}
