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

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Preconditions},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use super::{
    job,
    job::Recreation,
    request::{REQUEST_TIMEOUT, dry_run, post, stale},
    seal::Seal,
    seal_key::{KeyPlace, Seals},
};
use crate::{
    api_error::{ApiError, Class},
    decide::Plan,
    model::WorkloadKind,
    watch::workload::{Decoded, RECREATES, RawObject, Reading},
};

/// How long a Job that is being deleted is looked at often. Without finalizers a deletion takes milliseconds.
const DELETION: Duration = Duration::from_secs(20);
/// Interval of checks of a Job that is being deleted.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Interval of attempts to finish what is left over.
const ATTEMPTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Page size of the list of copies.
const PAGE: u32 = 50;

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
    /// `metadata.uid` of the copies that are not trusted, as last seen.
    unproven: Mutex<HashSet<String>>,
}

/// A Job that is deleted but not gone.
#[derive(Clone)]
struct Held {
    plan: Plan,
    recreation: Recreation,
    copy: RawObject,
    since: Instant,
}

/// How far a recreation got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The Job is there; with the uid of the new one, where it is this process that has created it.
    Done(Option<Box<str>>),
    /// The old Job is still there; why.
    Waits(&'static str),
}

/// A recreation that had to wait for finalizers and is complete.
#[derive(Clone, Debug)]
pub struct Recreated {
    /// What it was recreated for.
    pub plan: Plan,
    /// `metadata.uid` of the new Job.
    pub uid: Box<str>,
    /// How long it took.
    pub took: Duration,
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
            .is_some_and(|held| held.recreation.old_uid == *plan.uid)
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
        let rehearsal = RawObject::from(recreation.rehearsal(&seal));
        match ApiError::within(REQUEST_TIMEOUT, jobs.create(&dry_run(), &rehearsal)).await {
            // A copy of an earlier attempt has the name.
            Err(error) if error.class != Class::Exists => return Err(with_room(error)),
            _ => {}
        }
        let copy = put_copy(&jobs, &recreation, &seal).await.map_err(with_room)?;
        let progress = finish(&jobs, &recreation, &copy).await;
        match &progress {
            Ok(Progress::Done(_)) => {}
            Ok(Progress::Waits(_)) => {
                let held = Held {
                    plan: plan.clone(),
                    recreation,
                    copy,
                    since: Instant::now(),
                };
                self.shared.held().insert(place, held);
                self.shared.more_held.notify_one();
            }
            Err(_) => self.shared.left_over.notify_one(),
        }
        progress
    }

    /// Finishes what was left over, now and whenever something has been interrupted. Never ends.
    ///
    /// `namespaces` are those that are watched; `None` is all of them, but for what the field selector leaves out: what
    /// happens there may be another Reloader's work.
    /// What had to wait for finalizers goes to `recreated` when it is complete.
    pub async fn run(
        self,
        namespaces: Option<Vec<String>>,
        fields: String,
        recreated: mpsc::UnboundedSender<Recreated>,
    ) {
        tokio::join!(
            self.finish_held(recreated),
            self.finish_left_over(namespaces, fields)
        );
    }

    /// Looks often at the Jobs that are held, since most are gone soon; at first in quick succession.
    async fn finish_held(&self, recreated: mpsc::UnboundedSender<Recreated>) {
        let mut looks = pauses(LOOKS);
        loop {
            let all: Vec<_> = self
                .shared
                .held()
                .iter()
                .map(|(place, held)| (place.clone(), held.clone()))
                .collect();
            if all.is_empty() {
                self.shared.more_held.notified().await;
                looks = pauses(LOOKS);
            }
            for (place, held) in all {
                let Some(_in_hand) = self.shared.take(&place.0, &place.1) else {
                    continue;
                };
                let jobs = self.jobs(Some(&place.0));
                match finish(&jobs, &held.recreation, &held.copy).await {
                    Ok(Progress::Waits(_)) | Err(_) if held.since.elapsed() < DELETION => continue,
                    Ok(Progress::Done(Some(uid))) => {
                        // An error means that the process is ending.
                        let _ = recreated.send(Recreated {
                            plan: held.plan,
                            uid,
                            took: held.since.elapsed(),
                        });
                    }
                    Ok(Progress::Done(None)) => {}
                    Ok(Progress::Waits(_)) | Err(_) => self.shared.left_over.notify_one(),
                }
                self.shared.held().remove(&place);
            }
            sleep(looks.next().unwrap_or(LOOKS.1)).await;
        }
    }

    async fn finish_left_over(&self, namespaces: Option<Vec<String>>, fields: String) {
        let scopes: Vec<Option<String>> = match namespaces {
            None => vec![None],
            Some(names) => names.into_iter().map(Some).collect(),
        };
        let pauses = || pauses(ATTEMPTS);
        let mut waits = pauses();
        loop {
            let mut all_done = true;
            for scope in &scopes {
                match self.finish_all(scope.as_deref(), &fields).await {
                    Ok(done) => all_done &= done,
                    Err(error) if error.is_forbidden() => {
                        tracing::debug!("Recreations that were interrupted cannot be looked for: {error}");
                    }
                    Err(error) => {
                        tracing::warn!(
                            category = error.category(),
                            "Recreations of Jobs that were interrupted could not be looked for, trying again: {error}"
                        );
                        all_done = false;
                    }
                }
            }
            if all_done {
                waits = pauses();
                self.shared.left_over.notified().await;
            } else {
                sleep(waits.next().unwrap_or(ATTEMPTS.1)).await;
            }
        }
    }

    /// Finishes every recreation whose copy is there. Returns whether none is left.
    async fn finish_all(&self, namespace: Option<&str>, fields: &str) -> Result<bool, ApiError> {
        let all = self.jobs(namespace);
        let mut params = ListParams::default().labels(RECREATES).fields(fields).limit(PAGE);
        let mut all_done = true;
        let mut unproven = Vec::new();
        loop {
            let page = ApiError::within(REQUEST_TIMEOUT, all.list(&params)).await?;
            // Without copies no key is asked for.
            let seals = if page.items.is_empty() {
                Vec::new()
            } else {
                self.seals.to_verify().await?
            };
            for copy in page.items {
                match seals
                    .iter()
                    .find_map(|seal| Recreation::of_copy(copy.value(), seal))
                {
                    Some(recreation) => all_done &= self.finish_copy(&copy, &recreation).await,
                    None => unproven.push(copy),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        self.report_unproven(&unproven);
        Ok(all_done)
    }

    /// Says once of each that it is not trusted. A client that may create Jobs may create any number: one line for all of them.
    fn report_unproven(&self, copies: &[RawObject]) {
        let mut told = self
            .shared
            .unproven
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let uids: HashSet<String> = copies
            .iter()
            .map(|copy| copy.metadata_text("uid").to_owned())
            .collect();
        let is_news = |copy: &&RawObject| !told.contains(copy.metadata_text("uid"));
        let news = copies.iter().filter(is_news).count();
        if let Some(first) = copies.iter().find(is_news) {
            tracing::warn!(
                jobs = news,
                "Suspended Jobs carry the label {RECREATES}, but not the seal of this Reloader's key: version 0.1.0 left                  them, or another client made them. They are left alone; the first is '{}' in namespace '{}'. Its annotation                  {RECREATES} names a Job: if that is missing, create it again, then delete this one",
                first.metadata_text("name"),
                first.metadata_text("namespace"),
            );
        }
        *told = uids;
    }

    async fn finish_copy(&self, copy: &RawObject, recreation: &Recreation) -> bool {
        let namespace = copy.metadata_text("namespace");
        let name = recreation.name();
        let Some(_in_hand) = self.shared.take(namespace, name) else {
            return false;
        };
        let jobs = self.jobs(Some(namespace));
        // Others wait behind this one, and it comes up again.
        let finished = match finish(&jobs, recreation, copy).await {
            Ok(Progress::Done(_)) => Ok(()),
            Ok(Progress::Waits(why)) => Err(ApiError {
                class: Class::Unavailable,
                code: None,
                message: why.to_owned(),
            }),
            Err(error) => Err(error),
        };
        match finished {
            Ok(()) => {
                tracing::info!(
                    "The recreation of Job '{name}' in namespace '{namespace}', which had been interrupted, is complete"
                );
                true
            }
            Err(error) => {
                tracing::warn!(
                    category = error.category(),
                    "The Job '{name}' in namespace '{namespace}' could not be created again yet, trying again; its copy \
                     is the suspended Job '{}': {error}{}",
                    copy.metadata_text("name"),
                    error.advice(),
                );
                false
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

/// Stores the copy, in place of one of an earlier attempt.
async fn put_copy(
    jobs: &Api<RawObject>,
    recreation: &Recreation,
    seal: &Seal,
) -> Result<RawObject, ApiError> {
    let copy = RawObject::from(recreation.copy(seal));
    let create = async || ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &copy)).await;
    match create().await {
        Err(error) if error.class == Class::Exists => {}
        created => return created,
    }
    let name = recreation.copy_name(seal);
    let earlier = ApiError::within(REQUEST_TIMEOUT, jobs.get_opt(&name)).await?;
    if let Some(earlier) = earlier {
        if Recreation::of_copy(earlier.value(), seal).is_none() {
            return Err(ApiError {
                class: Class::Rejected,
                code: None,
                message: format!("a Job {name} that is not Reloader's is in the way; rename or delete it"),
            });
        }
        delete(jobs, &name, earlier.metadata_text("uid")).await?;
    }
    create().await
}

/// Why the old Job is still there.
const HELD: &str = "it is deleted, but its finalizers hold it; it is created again once they are done";
const STAYS: &str = "it is still there after its deletion was accepted or answered with a conflict; look for an admission \
    webhook that answers 409";

/// Steps 3 to 5. Safe to repeat, by any replica. Waits for nothing but answers.
async fn finish(
    jobs: &Api<RawObject>,
    recreation: &Recreation,
    copy: &RawObject,
) -> Result<Progress, ApiError> {
    let name = recreation.name();
    let look = async || ApiError::within(REQUEST_TIMEOUT, jobs.get_opt(name)).await;
    let is_old = |job: &RawObject| job.metadata_text("uid") == recreation.old_uid;
    let mut found = look().await?;
    if let Some(job) = &found
        && is_old(job)
        && !job.is_terminating()
    {
        delete(jobs, name, &recreation.old_uid).await?;
        found = look().await?;
    }
    match found {
        None => {}
        Some(job) if !is_old(&job) => return remove_copy(jobs, copy).await.map(|()| Progress::Done(None)),
        Some(job) if job.is_terminating() => return Ok(Progress::Waits(HELD)),
        Some(_) => return Ok(Progress::Waits(STAYS)),
    }
    let successor = RawObject::from(recreation.successor.clone());
    let created = match ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &successor)).await {
        Ok(job) => Some(job.metadata_text("uid").into()),
        // Another client was faster: the Job exists, which is what counts.
        Err(error) if error.class == Class::Exists => None,
        Err(error) => return Err(error),
    };
    remove_copy(jobs, copy).await?;
    Ok(Progress::Done(created))
}

/// Says what a quota has to leave room for.
fn with_room(error: ApiError) -> ApiError {
    if !error.is_forbidden() || !error.message.contains("exceeded quota") {
        return error;
    }
    let message = format!(
        "{}; running a Job again needs room for a second, suspended Job, which waits beside it meanwhile",
        error.message
    );
    ApiError { message, ..error }
}

async fn remove_copy(jobs: &Api<RawObject>, copy: &RawObject) -> Result<(), ApiError> {
    delete(jobs, copy.metadata_text("name"), copy.metadata_text("uid")).await
}

/// Deletes the Job if it is still that one; if it is not, that is as good.
async fn delete(jobs: &Api<RawObject>, name: &str, uid: &str) -> Result<(), ApiError> {
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        ..Preconditions::default()
    });
    match ApiError::within(REQUEST_TIMEOUT, jobs.delete(name, &params)).await {
        Err(error) if matches!(error.class, Class::NotFound | Class::Conflict) => Ok(()),
        deleted => deleted.map(drop),
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
    use super::*;

    #[test]
    fn only_a_quota_is_asked_for_room() {
        let error = |code, message: &str| ApiError {
            class: Class::Rejected,
            code: Some(code),
            message: message.to_owned(),
        };
        let quota = error(
            403,
            "jobs.batch \"a\" is forbidden: exceeded quota: jobs, requested: 1",
        );
        assert!(with_room(quota).message.ends_with("waits beside it meanwhile"));
        for other in [error(403, "denied"), error(422, "exceeded quota")] {
            assert_eq!(with_room(other.clone()), other);
        }
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
