//! The steps of a recreation, each safe to repeat.
//!
//! Input: a [`Recreation`]. Output: how far it got. I/O: reads and writes Jobs; waits for nothing but answers.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};

use super::super::{
    job::Recreation,
    request::{REQUEST_TIMEOUT, post},
    seal::Seal,
};
use crate::{
    api_error::{ApiError, Class},
    model::opt_in::RECREATES,
    watch::workload::RawObject,
};

/// How far a recreation got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The Job is there; with the uid of the new one, where it is this process that has created it.
    Done(Option<Box<str>>),
    /// The old Job is still there; why.
    Waits(&'static str),
}

/// The Job that waits beside another one.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) name: String,
    pub(super) uid: String,
}

impl Copy {
    pub(super) fn of(job: &RawObject) -> Self {
        Self {
            name: job.metadata_text("name").to_owned(),
            uid: job.metadata_text("uid").to_owned(),
        }
    }
}

/// Stores the copy, in place of one of an earlier attempt.
pub(super) async fn put_copy(
    jobs: &Api<RawObject>,
    recreation: &Recreation,
    seal: &Seal,
) -> Result<RawObject, ApiError> {
    let copy = RawObject::from(recreation.copy(seal, Timestamp::now().into()));
    let create = async || ApiError::within(REQUEST_TIMEOUT, jobs.create(&post(), &copy)).await;
    match create().await {
        Err(error) if error.class == Class::Exists => {}
        created => return created,
    }
    let name = recreation.copy_name();
    let earlier = ApiError::within(REQUEST_TIMEOUT, jobs.get_opt(&name)).await?;
    if let Some(earlier) = earlier {
        // One that another client made, or version 0.1.0, is replaced as well: label and name are Reloader's.
        if earlier.value()["metadata"]["labels"][RECREATES].is_null() {
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
pub(super) const HELD: &str =
    "it is deleted, but its finalizers hold it; it is created again once they are done";
const STAYS: &str = "it is still there after its deletion was accepted or answered with a conflict; look for an admission \
    webhook that answers 409";

/// Steps 3 to 5. Safe to repeat, by any replica. Waits for nothing but answers.
pub(super) async fn finish(
    jobs: &Api<RawObject>,
    recreation: &Recreation,
    copy: &Copy,
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
pub(super) fn with_room(error: ApiError) -> ApiError {
    if !error.is_forbidden() || !error.message.contains("exceeded quota") {
        return error;
    }
    let message = format!(
        "{}; running a Job again needs room for a second, suspended Job, which waits beside it meanwhile",
        error.message
    );
    ApiError { message, ..error }
}

async fn remove_copy(jobs: &Api<RawObject>, copy: &Copy) -> Result<(), ApiError> {
    delete(jobs, &copy.name, &copy.uid).await
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
}
