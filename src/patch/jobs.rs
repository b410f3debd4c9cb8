//! Deletes and creates Jobs again without ever losing one.
//!
//! Input: a [`Plan`] for a Job; copies that were left over. Output: the new Job. I/O: reads and writes.
//!
//! ```text
//! 1 ask whether the new Job would be accepted (dry run)     nothing has happened
//! 2 create its copy, suspended, under another name          nothing has happened; the copy says what will happen
//! 3 delete the Job, if it is still the same one; wait       the copy remains
//! 4 create the new Job                                      done
//! 5 delete the copy
//! ```
//! From step 2 on, the copy is enough to continue from step 3: for this process after a failure, or for the next
//! leader.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Preconditions},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    job,
    job::Recreation,
    request::{REQUEST_TIMEOUT, dry_run, post, stale},
};
use crate::{
    api_error::{ApiError, Class},
    decide::Plan,
    model::WorkloadKind,
    watch::workload::{Decoded, RECREATES, RawObject, Reading},
};

/// How long a worker waits for a deletion: without finalizers it takes milliseconds. Afterwards the background task
/// continues.
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
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Names of Jobs, with their namespaces, that a task works on.
    in_hand: Mutex<HashSet<(String, String)>>,
    /// Something may be left over.
    left_over: Notify,
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

    fn take(&self, namespace: &str, name: &str) -> Option<InHand<'_>> {
        let job = (namespace.to_owned(), name.to_owned());
        // The lock ends with this line, and there is a guard only for the task that has taken the Job: its end locks
        // again.
        let is_free = self.in_hand().insert(job.clone());
        is_free.then(|| InHand { shared: self, job })
    }
}

impl Recreator {
    pub(super) fn new(client: Client, reading: Reading) -> Self {
        Self {
            client,
            reading,
            shared: Arc::default(),
        }
    }

    /// Recreates the plan's Job; gives the uid of the new one, where it is this process that has created it.
    pub(super) async fn recreate(&self, plan: &Plan) -> Result<Option<Box<str>>, ApiError> {
        let key = &plan.workload;
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
        let rehearsal = RawObject::from(recreation.rehearsal());
        match ApiError::within(REQUEST_TIMEOUT, jobs.create(&dry_run(), &rehearsal)).await {
            // A copy of an earlier attempt has the name.
            Err(error) if error.class != Class::Exists => return Err(with_room(error)),
            _ => {}
        }
        let copy = self.put_copy(&jobs, &recreation).await.map_err(with_room)?;
        let finished = finish(&jobs, &recreation, copy.metadata_text("uid"), DELETION).await;
        if finished.is_err() {
            self.shared.left_over.notify_one();
        }
        finished
    }

    /// Stores the copy, in place of one of an earlier attempt.
    async fn put_copy(&self, jobs: &Api<RawObject>, recreation: &Recreation) -> Result<RawObject, ApiError> {
        let copy = RawObject::from(recreation.copy());
        let create = async || ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &copy)).await;
        match create().await {
            Err(error) if error.class == Class::Exists => {}
            created => return created,
        }
        let name = recreation.copy_name();
        let earlier = ApiError::within(REQUEST_TIMEOUT, jobs.get_opt(&name)).await?;
        if let Some(earlier) = earlier {
            if Recreation::of_copy(earlier.value()).is_none() {
                return Err(ApiError {
                    class: Class::Rejected,
                    code: None,
                    message: format!(
                        "a Job {name} that is not Reloader's is in the way; rename or delete it"
                    ),
                });
            }
            delete(jobs, &name, earlier.metadata_text("uid")).await?;
        }
        create().await
    }

    /// Finishes what was left over, now and whenever something has been interrupted. Never ends.
    ///
    /// `namespaces` are those that are watched; `None` is all of them, but for what the field selector leaves out: what
    /// happens there may be another Reloader's work.
    pub async fn run(self, namespaces: Option<Vec<String>>, fields: String) {
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
        loop {
            let page = ApiError::within(REQUEST_TIMEOUT, all.list(&params)).await?;
            for copy in page.items {
                all_done &= self.finish_copy(&copy).await;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all_done),
            }
        }
    }

    async fn finish_copy(&self, copy: &RawObject) -> bool {
        let namespace = copy.metadata_text("namespace");
        let Some(recreation) = Recreation::of_copy(copy.value()) else {
            tracing::warn!(
                "The Job '{}' in namespace '{namespace}' carries the label {RECREATES}, but does not name the Job it is a \
                 copy of; it is left alone. Delete it if it is not yours",
                copy.metadata_text("name"),
            );
            return true;
        };
        let name = recreation.name();
        let Some(_in_hand) = self.shared.take(namespace, name) else {
            return false;
        };
        let jobs = self.jobs(Some(namespace));
        // Others wait behind this one, and it comes up again.
        match finish(&jobs, &recreation, copy.metadata_text("uid"), Duration::ZERO).await {
            Ok(_) => {
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
                    recreation.copy_name(),
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

/// Steps 3 to 5. Safe to repeat, by any replica. Gives the uid of the new Job, unless it, or another, was there before.
///
/// `patience`: how long the deletion may take.
async fn finish(
    jobs: &Api<RawObject>,
    recreation: &Recreation,
    copy_uid: &str,
    patience: Duration,
) -> Result<Option<Box<str>>, ApiError> {
    let name = recreation.name();
    let until = Instant::now() + patience;
    let mut looks = pauses(LOOKS);
    let mut created = None;
    let mut asked = false;
    while let Some(job) = ApiError::within(REQUEST_TIMEOUT, jobs.get_opt(name)).await? {
        if job.metadata_text("uid") != recreation.old_uid {
            return remove_copy(jobs, recreation, copy_uid).await.map(|()| None);
        }
        let is_going = job.is_terminating();
        if !is_going {
            delete(jobs, name, &recreation.old_uid).await?;
            if !std::mem::replace(&mut asked, true) {
                continue;
            }
        }
        if Instant::now() >= until {
            let message = if is_going {
                "it is deleted, but its finalizers hold it; it is created again once they are done"
            } else {
                "it is still there after its deletion was accepted or answered with a conflict; look for an admission \
                 webhook that answers 409"
            };
            return Err(ApiError {
                class: Class::Unavailable,
                code: None,
                message: message.to_owned(),
            });
        }
        sleep(looks.next().unwrap_or(LOOKS.1)).await;
    }
    let successor = RawObject::from(recreation.successor.clone());
    match ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &successor)).await {
        Ok(job) => created = Some(job.metadata_text("uid").into()),
        // Another client was faster: the Job exists, which is what counts.
        Err(error) if error.class == Class::Exists => {}
        Err(error) => return Err(error),
    }
    remove_copy(jobs, recreation, copy_uid).await?;
    Ok(created)
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

async fn remove_copy(jobs: &Api<RawObject>, recreation: &Recreation, uid: &str) -> Result<(), ApiError> {
    delete(jobs, &recreation.copy_name(), uid).await
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
